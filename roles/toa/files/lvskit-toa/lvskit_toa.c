// SPDX-License-Identifier: GPL-2.0
/*
 * For a director: puts the client's address into a TCP option of the packets that open a connection, where source NAT to a
 * local address (LIP) hides it from the real server.
 *
 * It looks at packets as they leave, after conntrack has translated them. The option goes into the SYN, and into everything
 * from the client until the real server has answered with more than its SYN-ACK: other makers' receivers read the ACK that
 * completes the handshake, and with deferred accepts or SYN cookies the first data completes it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <net/dst.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_conntrack_acct.h>
#if __has_include(<net/gso.h>)
#include <net/gso.h>
#endif

#include "common.h"

/* The real server's SYN-ACK may have to be sent again; until then its answers do not mean that it has the option. */
#define ANSWERS_OF_A_HANDSHAKE 3

static struct address_set __rcu *lips;
module_param_cb(lips, &address_set_ops, &lips, 0644);
MODULE_PARM_DESC(lips, "local addresses of the services that hand on the client's address");

static u8 kind = 254;
module_param(kind, byte, 0644);
MODULE_PARM_DESC(kind, "kind of the TCP option (RFC 6994: 253 and 254 are for experiments)");

enum {
	ADDED_TO_SYN,
	ADDED_LATER,
	NO_OPTION_SPACE,
	NO_ROOM_IN_MTU,
	NO_MEMORY,
	NO_ACCOUNTING,
	STRIPPED,
	MSS_LOWERED,
	COUNTERS,
};

DEFINE_COUNTERS("added_to_syn", "added_later", "no_option_space", "no_room_in_mtu", "no_memory", "no_accounting",
		"stripped", "mss_lowered")

/* Whether the real server may not have seen the option yet. */
static bool handshaking(const struct nf_conn *ct)
{
	const struct nf_conn_acct *accounts = nf_conn_acct_find(ct);

	if (!accounts) {
		COUNT(NO_ACCOUNTING);
		return false;
	}
	return atomic64_read(&accounts->counter[IP_CT_DIR_REPLY].packets) <= ANSWERS_OF_A_HANDSHAKE;
}

static bool fits(struct sk_buff *skb)
{
	unsigned int mtu = dst_mtu(skb_dst(skb));

	if (skb_is_gso(skb))
		return skb_gso_validate_network_len(skb, mtu - OPTION_ADDRESS_LENGTH);
	return skb->len + OPTION_ADDRESS_LENGTH <= mtu;
}

static void add_option(struct sk_buff *skb, struct tcphdr *tcp, __be32 address, __be16 port)
{
	struct {
		u8 kind, length;
		__be16 port;
		__be32 address;
	} __packed option = { kind, OPTION_ADDRESS_LENGTH, port, address };
	static const u8 empty[OPTION_ADDRESS_LENGTH];
	unsigned int ip_length = ip_hdrlen(skb);
	__be16 old_length, new_length, flags, new_flags;
	bool syn = tcp->syn;
	struct iphdr *ip;

	if (tcp->doff * 4 + OPTION_ADDRESS_LENGTH > TCP_LARGEST_HEADER) {
		COUNT(NO_OPTION_SPACE);
		return;
	}
	if (!fits(skb)) {
		COUNT(NO_ROOM_IN_MTU);
		return;
	}
	if (skb_cow_head(skb, OPTION_ADDRESS_LENGTH)) {
		COUNT(NO_MEMORY);
		return;
	}
	/* The sum over the whole packet is about to become wrong; the one in its header is kept right. */
	if (skb->ip_summed == CHECKSUM_COMPLETE)
		skb->ip_summed = CHECKSUM_NONE;
	old_length = htons(skb->len - ip_length);
	new_length = htons(skb->len - ip_length + OPTION_ADDRESS_LENGTH);

	/* The IP header and the fixed part of the TCP header move towards the front; the option fills the gap. */
	skb_push(skb, OPTION_ADDRESS_LENGTH);
	memmove(skb->data, skb->data + OPTION_ADDRESS_LENGTH, ip_length + TCP_FIXED_HEADER);
	skb_reset_network_header(skb);
	skb_set_transport_header(skb, ip_length);
	if (skb->ip_summed == CHECKSUM_PARTIAL)
		skb->csum_start -= OPTION_ADDRESS_LENGTH;

	ip = ip_hdr(skb);
	csum_replace2(&ip->check, ip->tot_len, htons(skb->len));
	ip->tot_len = htons(skb->len);

	tcp = tcp_hdr(skb);
	memcpy(tcp + 1, empty, OPTION_ADDRESS_LENGTH);
	tcp_overwrite(skb, tcp, TCP_FIXED_HEADER, (const u8 *)&option, OPTION_ADDRESS_LENGTH);
	memcpy(&flags, (u8 *)tcp + 12, sizeof(flags));
	tcp->doff += OPTION_ADDRESS_LENGTH / 4;
	memcpy(&new_flags, (u8 *)tcp + 12, sizeof(new_flags));
	inet_proto_csum_replace2(&tcp->check, skb, flags, new_flags, false);
	inet_proto_csum_replace2(&tcp->check, skb, old_length, new_length, true);
	if (syn)
		COUNT(ADDED_TO_SYN);
	else
		COUNT(ADDED_LATER);
}

/* The client's segments will grow on their way, so it is told to make them smaller. */
static void lower_mss(struct sk_buff *skb, struct tcphdr *tcp)
{
	unsigned int at = option_find((u8 *)tcp, tcp->doff * 4, TCP_FIXED_HEADER, OPTION_MSS, OPTION_MSS_LENGTH);
	u16 mss;
	u8 lower[2];

	if (!at)
		return;
	tcp = tcp_header_writable(skb);
	if (!tcp) {
		COUNT(NO_MEMORY);
		return;
	}
	mss = ((u8 *)tcp)[at + 2] << 8 | ((u8 *)tcp)[at + 3];
	if (mss <= OPTION_ADDRESS_LENGTH)
		return;
	mss -= OPTION_ADDRESS_LENGTH;
	lower[0] = mss >> 8;
	lower[1] = mss & 0xff;
	tcp_overwrite(skb, tcp, at + 2, lower, sizeof(lower));
	COUNT(MSS_LOWERED);
}

static unsigned int leaving(void *unused, struct sk_buff *skb, const struct nf_hook_state *state)
{
	const struct nf_conntrack_tuple *original, *reply;
	enum ip_conntrack_info info;
	struct nf_conn *ct = nf_ct_get(skb, &info);
	struct tcphdr *tcp;

	if (!ct || nf_ct_protonum(ct) != IPPROTO_TCP)
		return NF_ACCEPT;
	original = &ct->tuplehash[IP_CT_DIR_ORIGINAL].tuple;
	reply = &ct->tuplehash[IP_CT_DIR_REPLY].tuple;
	if (reply->dst.u3.ip == original->src.u3.ip || !address_set_has(rcu_dereference(lips), reply->dst.u3.ip))
		return NF_ACCEPT;
	tcp = tcp_header(skb);
	if (!tcp)
		return NF_ACCEPT;
	if (CTINFO2DIR(info) == IP_CT_DIR_REPLY) {
		if (tcp->syn)
			lower_mss(skb, tcp);
		return NF_ACCEPT;
	}
	if (may_carry_address(tcp)) {
		int stripped = strip_address_options(skb, tcp, kind);

		if (stripped < 0) {
			COUNT(NO_MEMORY);
			return NF_DROP; /* a forged address must not pass; the client sends again */
		}
		if (stripped) {
			COUNT(STRIPPED);
			tcp = tcp_header(skb);
		}
	}
	if (!tcp->rst && (tcp->syn || handshaking(ct)))
		add_option(skb, tcp, original->src.u3.ip, original->src.u.tcp.port);
	return NF_ACCEPT;
}

static const struct nf_hook_ops hook = {
	.hook = leaving,
	.pf = NFPROTO_IPV4,
	.hooknum = NF_INET_POST_ROUTING,
	.priority = NF_IP_PRI_NAT_SRC + 1,
};

static int __init lvskit_toa_init(void)
{
	int error;

	if (!proc_create_single(KBUILD_MODNAME, 0444, init_net.proc_net, counters_show))
		return -ENOMEM;
	error = nf_register_net_hook(&init_net, &hook);
	if (error)
		remove_proc_entry(KBUILD_MODNAME, init_net.proc_net);
	return error;
}

static void __exit lvskit_toa_exit(void)
{
	nf_unregister_net_hook(&init_net, &hook);
	remove_proc_entry(KBUILD_MODNAME, init_net.proc_net);
	synchronize_rcu();
	kfree(rcu_dereference_protected(lips, true));
}

module_init(lvskit_toa_init);
module_exit(lvskit_toa_exit);
MODULE_LICENSE("GPL");
MODULE_VERSION(LVSKIT_VERSION);
MODULE_DESCRIPTION("Client address in a TCP option, sent by an LVS director");
