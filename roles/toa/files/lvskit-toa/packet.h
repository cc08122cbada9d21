/* SPDX-License-Identifier: GPL-2.0 */
/* Packets: their TCP header and its options, read and changed with all checksums kept right. */
#ifndef LVSKIT_PACKET_H
#define LVSKIT_PACKET_H

#include <linux/ip.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/version.h>
#include <net/checksum.h>
#include <net/dst.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
#include <net/gso.h>
#endif
#include <net/ip.h>
#include <net/net_namespace.h>
#include <net/netfilter/ipv4/nf_defrag_ipv4.h>

#include "flows.h"
#include "header.h"

/* The TCP header of a whole IPv4 packet, options included, linear and safe to read; NULL when it is not one. */
static inline struct tcphdr *tcp_header(struct sk_buff *skb)
{
	const struct iphdr *ip;
	unsigned int offset;
	struct tcphdr *tcp;

	if (!pskb_may_pull(skb, sizeof(*ip)))
		return NULL;
	ip = ip_hdr(skb);
	if (ip->protocol != IPPROTO_TCP || ip_is_fragment(ip))
		return NULL;
	offset = ip->ihl * 4;
	if (!pskb_may_pull(skb, offset + sizeof(*tcp)))
		return NULL;
	tcp = (struct tcphdr *)(skb_network_header(skb) + offset);
	if (tcp->doff * 4 < sizeof(*tcp) || !pskb_may_pull(skb, offset + tcp->doff * 4))
		return NULL;
	return (struct tcphdr *)(skb_network_header(skb) + offset);
}

/*
 * Makes the headers of a packet writable; the TCP header, which may have moved, or NULL when memory is short. Segments that were
 * joined with their headers (rx-gro-list) will leave with the header of the first: the kernel would give the others addresses and
 * ports alone.
 */
static inline struct tcphdr *tcp_header_writable(struct sk_buff *skb)
{
	unsigned int offset = ip_hdr(skb)->ihl * 4;
	const struct tcphdr *tcp = (struct tcphdr *)(skb_network_header(skb) + offset);

	if (skb_ensure_writable(skb, offset + tcp->doff * 4))
		return NULL;
	if (skb_is_gso(skb) && (skb_shinfo(skb)->gso_type & SKB_GSO_FRAGLIST)) {
		if (skb_unclone(skb, GFP_ATOMIC))
			return NULL;
		skb_shinfo(skb)->gso_type &= ~SKB_GSO_FRAGLIST;
	}
	return (struct tcphdr *)(skb_network_header(skb) + offset);
}

/* Takes options with an address out of a packet that must not have them; how many there were, negative on no memory. */
static inline int strip_address_options(struct sk_buff *skb, struct tcphdr *tcp, u8 kind)
{
	static const u8 nothing[OPTION_ADDRESS_LENGTH] = { [0 ... OPTION_ADDRESS_LENGTH - 1] = OPTION_NOP };
	unsigned int at = TCP_FIXED_HEADER;
	int found = 0;

	while ((at = option_find((u8 *)tcp, tcp->doff * 4, at, kind, OPTION_ADDRESS_LENGTH))) {
		tcp = tcp_header_writable(skb);
		if (!tcp)
			return -ENOMEM;
		tcp_overwrite(skb, tcp, at, nothing, OPTION_ADDRESS_LENGTH);
		found++;
	}
	return found;
}

/* Whether the packet may grow by so many bytes and still leave in one piece. */
static inline bool may_grow(struct sk_buff *skb, unsigned int by)
{
	unsigned int mtu = dst_mtu(skb_dst(skb));

	return skb_is_gso(skb) ? skb_gso_validate_network_len(skb, mtu - by) : skb->len + by <= mtu;
}

/*
 * Puts an option with an endpoint right behind the fixed part of the TCP header of a packet on its way out, whatever the MTU.
 * The header must be writable. Moves the headers: pointers into them are void afterwards. 0, or 1 when other options had to make
 * room; -ENOSPC when that is not enough, -ENOMEM: the packet is as it was then.
 */
static inline int add_option_beyond_mtu(struct sk_buff *skb, struct tcphdr *tcp, u8 kind,
					const struct endpoint *endpoint)
{
	static const u8 empty[OPTION_ADDRESS_LENGTH];
	unsigned int ip_length = ip_hdrlen(skb);
	__be32 old_length, new_length;
	__be16 flags, new_flags;
	u8 option[OPTION_ADDRESS_LENGTH];
	struct iphdr *ip;
	__be16 total;

	if (tcp->doff * 4 + OPTION_ADDRESS_LENGTH > TCP_LARGEST_HEADER)
		return squeeze_option(skb, tcp, kind, endpoint);
	if (skb_cow_head(skb, OPTION_ADDRESS_LENGTH))
		return -ENOMEM;
	/* The sum over the whole packet is about to become wrong; the one in its header is kept right. */
	if (skb->ip_summed == CHECKSUM_COMPLETE)
		skb->ip_summed = CHECKSUM_NONE;
	old_length = htonl(skb->len - ip_length);
	new_length = htonl(skb->len - ip_length + OPTION_ADDRESS_LENGTH);

	/* The IP header and the fixed part of the TCP header move towards the front; the option fills the gap. */
	skb_push(skb, OPTION_ADDRESS_LENGTH);
	memmove(skb->data, skb->data + OPTION_ADDRESS_LENGTH, ip_length + TCP_FIXED_HEADER);
	skb_reset_network_header(skb);
	skb_set_transport_header(skb, ip_length);
	if (skb->ip_summed == CHECKSUM_PARTIAL)
		skb->csum_start -= OPTION_ADDRESS_LENGTH;

	/* Joined segments may be longer than the field can say; it has 0 then, and each gets its own when they are cut again. */
	ip = ip_hdr(skb);
	total = skb->len <= IP_MAX_MTU ? htons(skb->len) : 0;
	csum_replace2(&ip->check, ip->tot_len, total);
	ip->tot_len = total;

	tcp = tcp_hdr(skb);
	memcpy(tcp + 1, empty, OPTION_ADDRESS_LENGTH);
	option_write(option, kind, endpoint);
	tcp_overwrite(skb, tcp, TCP_FIXED_HEADER, option, OPTION_ADDRESS_LENGTH);
	memcpy(&flags, (u8 *)tcp + 12, sizeof(flags));
	tcp->doff += OPTION_ADDRESS_LENGTH / 4;
	memcpy(&new_flags, (u8 *)tcp + 12, sizeof(new_flags));
	inet_proto_csum_replace2(&tcp->check, skb, flags, new_flags, false);
	inet_proto_csum_replace4(&tcp->check, skb, old_length, new_length, true);
	return 0;
}

/* The same, but -EMSGSIZE where the packet would no longer leave in one piece. */
static inline int add_option(struct sk_buff *skb, struct tcphdr *tcp, u8 kind, const struct endpoint *endpoint)
{
	if (tcp->doff * 4 + OPTION_ADDRESS_LENGTH <= TCP_LARGEST_HEADER && !may_grow(skb, OPTION_ADDRESS_LENGTH))
		return -EMSGSIZE;
	return add_option_beyond_mtu(skb, tcp, kind, endpoint);
}

/*
 * The sender's segments will grow on their way, so it is told to make them smaller. 1 when it was told, 0 when the segment
 * names no MSS, -ENOMEM.
 */
static inline int lower_mss(struct sk_buff *skb, struct tcphdr *tcp)
{
	unsigned int at = option_find((u8 *)tcp, tcp->doff * 4, TCP_FIXED_HEADER, OPTION_MSS, OPTION_MSS_LENGTH);
	u16 mss;
	u8 lower[2];

	if (!at)
		return 0;
	tcp = tcp_header_writable(skb);
	if (!tcp)
		return -ENOMEM;
	mss = ((u8 *)tcp)[at + 2] << 8 | ((u8 *)tcp)[at + 3];
	if (mss <= OPTION_ADDRESS_LENGTH)
		return 0;
	mss -= OPTION_ADDRESS_LENGTH;
	lower[0] = mss >> 8;
	lower[1] = mss & 0xff;
	tcp_overwrite(skb, tcp, at + 2, lower, sizeof(lower));
	return 1;
}

/* Fragments are put together before the hooks see them: only the first one has the ports. */
static inline int defragment(void)
{
	return nf_defrag_ipv4_enable(&init_net);
}

static inline void no_longer_defragment(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 12, 0)
	nf_defrag_ipv4_disable(&init_net); /* before that it cannot be taken back */
#endif
}

/* The ends of a connection, as a reply of the real server has them. */
static inline struct ends ends_of_reply(const struct sk_buff *skb, const struct tcphdr *tcp)
{
	return (struct ends){
		.peer = ip_hdr(skb)->daddr,
		.real = ip_hdr(skb)->saddr,
		.peer_port = tcp->dest,
		.real_port = tcp->source,
	};
}

/* What a TCP segment says about its connection. */
static inline struct segment segment_of(const struct sk_buff *skb, const struct tcphdr *tcp)
{
	return (struct segment){
		.sequence = ntohl(tcp->seq),
		.acknowledged = ntohl(tcp->ack_seq),
		.length = skb->len - ip_hdrlen(skb) - tcp->doff * 4,
		.syn = tcp->syn,
		.fin = tcp->fin,
		.rst = tcp->rst,
		.ack = tcp->ack,
	};
}

/*
 * Exchanges one endpoint of a packet, which must be writable: its address in the IP header, its port in the TCP header. The route
 * is as it was.
 */
static inline void translate(struct sk_buff *skb, struct tcphdr *tcp, __be32 *address, __be32 new_address, __be16 *port,
			     __be16 new_port)
{
	csum_replace4(&ip_hdr(skb)->check, *address, new_address);
	inet_proto_csum_replace4(&tcp->check, skb, *address, new_address, true);
	inet_proto_csum_replace2(&tcp->check, skb, *port, new_port, false);
	*address = new_address;
	*port = new_port;
}

#endif
