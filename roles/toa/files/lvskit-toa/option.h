/* SPDX-License-Identifier: GPL-2.0 */
/*
 * TCP options (RFC 9293, 3.1), and the one among them that carries a client's address: kind, length 8, port, IPv4 address,
 * both in network byte order.
 *
 * Nothing of the kernel in here: the same text is compiled for user space, where it is fuzzed.
 */
#ifndef LVSKIT_OPTION_H
#define LVSKIT_OPTION_H

enum {
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_MSS = 2,
	OPTION_SACK = 5,
	OPTION_MSS_LENGTH = 4,
	OPTION_ADDRESS_LENGTH = 8,
	TCP_FIXED_HEADER = 20,
	TCP_LARGEST_HEADER = 60,
};

/*
 * Where in a TCP header an option of this kind and length begins, looking from `from` on (20 at least). Zero when there is
 * none, when the options are malformed before it, or when it does not end within the header.
 */
static inline unsigned int option_find(const unsigned char *header, unsigned int header_length, unsigned int from,
				       unsigned char kind, unsigned char length)
{
	unsigned int at = from;

	while (at < header_length) {
		unsigned int its_length;

		if (header[at] == OPTION_END)
			return 0;
		if (header[at] == OPTION_NOP) {
			at++;
			continue;
		}
		if (at + 1 >= header_length)
			return 0;
		its_length = header[at + 1];
		if (its_length < 2 || at + its_length > header_length)
			return 0;
		if (header[at] == kind && its_length == length)
			return at;
		at += its_length;
	}
	return 0;
}

#endif
