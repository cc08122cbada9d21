/* SPDX-License-Identifier: GPL-2.0 */
/*
 * TCP headers in memory: the option with an address is found, and written over what is there, with the checksum kept right. What
 * it needs of the kernel is inet_proto_csum_replace2(): the same text is compiled for user space, where it is fuzzed.
 */
#ifndef LVSKIT_HEADER_H
#define LVSKIT_HEADER_H

#include "endpoint.h"
#include "option.h"

/* Whether the fixed part of a TCP header says that there is room for an option with an address. */
static inline bool may_carry_address(const struct tcphdr *tcp)
{
	return tcp->doff * 4 >= TCP_FIXED_HEADER + OPTION_ADDRESS_LENGTH;
}

/* The endpoint that an option of this kind names. */
static inline bool option_endpoint(const struct tcphdr *tcp, u8 kind, struct endpoint *found)
{
	const u8 *header = (const u8 *)tcp;
	unsigned int at;

	if (!may_carry_address(tcp))
		return false;
	at = option_find(header, tcp->doff * 4, TCP_FIXED_HEADER, kind, OPTION_ADDRESS_LENGTH);
	if (!at)
		return false;
	memcpy(&found->port, header + at + 2, sizeof(found->port));
	memcpy(&found->address, header + at + 4, sizeof(found->address));
	return true;
}

/* Overwrites part of a TCP header and updates the checksum, word by word: an option may begin at an odd offset. */
static inline void tcp_overwrite(struct sk_buff *skb, struct tcphdr *tcp, unsigned int offset, const u8 *with,
				 unsigned int length)
{
	u8 *header = (u8 *)tcp;
	unsigned int word;

	for (word = offset & ~1u; word < offset + length; word += 2) {
		__be16 before, after;
		unsigned int i;

		memcpy(&before, header + word, 2);
		for (i = max(word, offset); i < min(word + 2, offset + length); i++)
			header[i] = with[i - offset];
		memcpy(&after, header + word, 2);
		inet_proto_csum_replace2(&tcp->check, skb, before, after, false);
	}
}

static inline void option_write(u8 *at, u8 kind, const struct endpoint *endpoint)
{
	at[0] = kind;
	at[1] = OPTION_ADDRESS_LENGTH;
	memcpy(at + 2, &endpoint->port, sizeof(endpoint->port));
	memcpy(at + 4, &endpoint->address, sizeof(endpoint->address));
}

/*
 * The option into a header that is full, which takes room from others: padding goes first, and then the last block of a SACK,
 * which is advisory (RFC 2018, 8) and will be sent again. 1, or -ENOSPC when all of that is not enough.
 */
static inline int squeeze_option(struct sk_buff *skb, struct tcphdr *tcp, u8 kind, const struct endpoint *endpoint)
{
	u8 options[TCP_LARGEST_HEADER - TCP_FIXED_HEADER + OPTION_ADDRESS_LENGTH];
	unsigned int length = tcp->doff * 4 - TCP_FIXED_HEADER, used = OPTION_ADDRESS_LENGTH, sack = 0, at = 0;
	const u8 *old = (const u8 *)tcp + TCP_FIXED_HEADER;

	while (at < length && old[at] != OPTION_END) {
		unsigned int its_length = 1;

		if (old[at] != OPTION_NOP) {
			if (at + 1 >= length || old[at + 1] < 2 || at + old[at + 1] > length)
				break; /* nobody can read what follows */
			its_length = old[at + 1];
			if (old[at] == OPTION_SACK)
				sack = used;
			memcpy(options + used, old + at, its_length);
			used += its_length;
		}
		at += its_length;
	}
	if (used > length && sack && options[sack + 1] >= 10) {
		unsigned int block = options[sack + 1] == 10 ? 10 : 8, end = sack + options[sack + 1];

		options[sack + 1] -= block;
		memmove(options + end - block, options + end, used - end);
		used -= block;
	}
	if (used > length)
		return -ENOSPC;
	option_write(options, kind, endpoint);
	memset(options + used, OPTION_NOP, length - used);
	tcp_overwrite(skb, tcp, TCP_FIXED_HEADER, options, length);
	return 1;
}

#endif
