// SPDX-License-Identifier: GPL-2.0
/*
 * For a director: puts the client's address into a TCP option of the packets that open a connection, where source NAT to a
 * local address (LIP) hides it from the real server.
 *
 * It looks at packets as they leave, after conntrack has translated them. The option goes into the SYN, and into everything
 * from the client until the real server has answered with more than its SYN-ACK: third-party receivers read the ACK that
 * completes the handshake, and with deferred accepts or SYN cookies the first data completes it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_conntrack_acct.h>

#include "common.h"
#include "packet.h"

/* The real server's SYN-ACK may have to be sent again; until then its answers do not mean that it has the option. */
#define ANSWERS_OF_A_HANDSHAKE 3

static struct endpoint_set __rcu *lips;
module_param_cb(lips, &addresses_ops, &lips, 0644);
MODULE_PARM_DESC(lips, "local addresses of the services that hand on the client's address");
static const struct shown_set sets[] = { SHOWN(lips) };

static u8 kind = 254;
module_param(kind, byte, 0644);
MODULE_PARM_DESC(kind, "kind of the TCP option (RFC 6994: 253 and 254 are for experiments)");

enum {
	ADDED_TO_SYN,
	ADDED_LATER,
	SQUEEZED,
	NO_OPTION_SPACE,
	NO_ROOM_IN_MTU,
	NO_MEMORY,
	NO_ACCOUNTING,
	STRIPPED,
	MSS_LOWERED,
	COUNTERS,
};

DEFINE_COUNTERS("added_to_syn", "added_later", "squeezed", "no_option_space", "no_room_in_mtu", "no_memory", "no_accounting",
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

static void count_added(bool syn, int error)
{
	switch (error) {
	case 1:
		COUNT(SQUEEZED);
		fallthrough;
	case 0:
		this_cpu_inc(counters.of[syn ? ADDED_TO_SYN : ADDED_LATER]);
		break;
	case -ENOSPC:
		COUNT(NO_OPTION_SPACE);
		break;
	case -EMSGSIZE:
		COUNT(NO_ROOM_IN_MTU);
		break;
	default:
		COUNT(NO_MEMORY);
	}
}

static void count_mss(int lowered)
{
	if (lowered > 0)
		COUNT(MSS_LOWERED);
	else if (lowered < 0)
		COUNT(NO_MEMORY);
}

static unsigned int leaving(void *unused, struct sk_buff *skb, const struct nf_hook_state *state)
{
	const struct nf_conntrack_tuple *original, *reply;
	enum ip_conntrack_info info;
	struct nf_conn *ct = nf_ct_get(skb, &info);
	struct endpoint client;
	struct tcphdr *tcp;
	bool syn;

	if (!ct || nf_ct_protonum(ct) != IPPROTO_TCP)
		return NF_ACCEPT;
	original = &ct->tuplehash[IP_CT_DIR_ORIGINAL].tuple;
	reply = &ct->tuplehash[IP_CT_DIR_REPLY].tuple;
	if (reply->dst.u3.ip == original->src.u3.ip || !set_has_address(rcu_dereference(lips), reply->dst.u3.ip))
		return NF_ACCEPT;
	tcp = tcp_header(skb);
	if (!tcp)
		return NF_ACCEPT;
	if (CTINFO2DIR(info) == IP_CT_DIR_REPLY) {
		if (tcp->syn)
			count_mss(lower_mss(skb, tcp));
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
	if (!tcp->rst && (tcp->syn || handshaking(ct))) {
		tcp = tcp_header_writable(skb);
		if (!tcp) {
			COUNT(NO_MEMORY);
			return NF_ACCEPT;
		}
		client.address = original->src.u3.ip;
		client.port = original->src.u.tcp.port;
		syn = tcp->syn;
		count_added(syn, add_option(skb, tcp, kind, &client));
	}
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
	return attach(counters_show, sets, ARRAY_SIZE(sets), &hook, 1);
}

static void __exit lvskit_toa_exit(void)
{
	detach(sets, ARRAY_SIZE(sets), &hook, 1);
}

module_init(lvskit_toa_init);
module_exit(lvskit_toa_exit);
MODULE_LICENSE("GPL");
MODULE_VERSION(LVSKIT_VERSION);
MODULE_DESCRIPTION("Client address in a TCP option, sent by an LVS director");
