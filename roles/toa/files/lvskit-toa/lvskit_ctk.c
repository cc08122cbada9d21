// SPDX-License-Identifier: GPL-2.0
/*
 * For a real server in ENAT (triangle mode), the half that is called ctk:
 *
 *	arriving	VIP:vport -> RIP:rport, CIP:cport in an option	becomes	CIP:cport -> RIP:rport
 *	or		CIP:cport -> RIP:rport, VIP:vport in an option	stays as it is
 *	leaving		RIP:rport -> CIP:cport				becomes	VIP:vport -> CIP:cport
 *
 * Every arriving packet carries the option and explains itself. The table only remembers by which virtual service a client
 * came, for the replies; after a reload it is learned again from the next packet. Where a client uses one port for two virtual
 * services that have the same RIP:rport, the stack knows the second connection by another port of the client.
 *
 * Behind RIP:rport may be a socket, or a container whose port is published (DNAT): replies then leave as RIP:rport once conntrack
 * has translated them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <net/netfilter/nf_conntrack.h>

#include "common.h"
#include "packet.h"

static struct endpoint_set __rcu *vips;
module_param_cb(vips, &addresses_ops, &vips, 0644);
MODULE_PARM_DESC(vips, "virtual addresses: an option from one of them names the client");

static struct endpoint_set __rcu *cip_src_vips;
module_param_cb(cip_src_vips, &addresses_ops, &cip_src_vips, 0644);
MODULE_PARM_DESC(cip_src_vips, "virtual addresses that an option from any other source may name");

static struct endpoint_set __rcu *services;
module_param_cb(services, &endpoints_ops, &services, 0644);
MODULE_PARM_DESC(services, "addresses and ports of this host's services, RIP:rport: packets for others are left alone (empty: all are services)");
static const struct shown_set sets[] = { SHOWN(vips), SHOWN(cip_src_vips), SHOWN(services) };

static u8 kind = 254;
module_param(kind, byte, 0644);
MODULE_PARM_DESC(kind, "kind of the TCP option");

static unsigned int connections = 1 << 20;
module_param(connections, uint, 0644);
MODULE_PARM_DESC(connections, "how many connections there are at most");

static unsigned int idle = 86400;
module_param(idle, uint, 0644);
MODULE_PARM_DESC(idle, "seconds after which an established connection without packets is forgotten");

enum { LEARNED, OTHER_PORT, NO_OPTION, COLLISION, UNTRUSTED, NO_MEMORY, MSS_LOWERED, COUNTERS };

DEFINE_COUNTERS("learned", "other_port", "no_option", "collision", "untrusted", "no_memory", "mss_lowered")

static struct flow_table table = { .forgetful = true };

/* The connection of an arriving packet, or NULL when it must not reach the stack. */
static struct flow *flow_of_arriving(const struct outer *outer, const struct tcphdr *tcp)
{
	struct flow *flow = flow_of_outer(&table, outer);

	if (flow)
		return flow;
	flow = flow_begin(&table, outer, &outer->ends, tcp->syn, false, READ_ONCE(connections));
	if (IS_ERR(flow)) {
		if (PTR_ERR(flow) == -EADDRINUSE)
			COUNT(COLLISION);
		else
			COUNT(NO_MEMORY);
		return NULL;
	}
	COUNT(LEARNED);
	if (flow->inner.peer_port != outer->ends.peer_port)
		COUNT(OTHER_PORT);
	return flow;
}

static unsigned int arriving(void *unused, struct sk_buff *skb, const struct nf_hook_state *state)
{
	const struct endpoint *client, *virtual;
	struct endpoint source, option;
	const struct endpoint_set *known = rcu_dereference(services);
	bool from_vip, explained, for_service;
	struct segment segment;
	struct tcphdr *tcp = tcp_header(skb);
	struct outer outer;
	struct flow *flow;

	if (!tcp)
		return NF_ACCEPT;
	for_service = set_has(known, ip_hdr(skb)->daddr, tcp->dest);
	if (!for_service && known && known->count)
		return NF_ACCEPT; /* another kind of service, or the answer of a virtual service of which this host is a client */
	source.address = ip_hdr(skb)->saddr;
	source.port = tcp->source;
	from_vip = set_has_address(rcu_dereference(vips), source.address);
	explained = option_endpoint(tcp, kind, &option);
	if (from_vip && !explained) {
		COUNT(NO_OPTION);
		return NF_DROP; /* the stack would answer the VIP, which is nobody it knows */
	}
	if (!explained)
		return NF_ACCEPT;
	if (!from_vip && !set_has_address(rcu_dereference(cip_src_vips), option.address)) {
		COUNT(UNTRUSTED);
		return for_service ? NF_DROP : NF_ACCEPT; /* a service would answer it from its own address */
	}
	client = from_vip ? &option : &source;
	virtual = from_vip ? &source : &option;
	outer = (struct outer){
		.ends = {
			.peer = client->address,
			.real = ip_hdr(skb)->daddr,
			.peer_port = client->port,
			.real_port = tcp->dest,
		},
		.virtual = virtual->address,
		.virtual_port = virtual->port,
	};
	flow = flow_of_arriving(&outer, tcp);
	if (!flow)
		return NF_DROP;
	segment = segment_of(skb, tcp);
	flow_takes(&table, flow, &segment, false, ticks_of(idle));
	if (source.address == flow->inner.peer && source.port == flow->inner.peer_port)
		return NF_ACCEPT;
	tcp = tcp_header_writable(skb);
	if (!tcp) {
		COUNT(NO_MEMORY);
		return NF_DROP;
	}
	translate(skb, tcp, &ip_hdr(skb)->saddr, flow->inner.peer, &tcp->source, flow->inner.peer_port);
	return NF_ACCEPT;
}

static unsigned int leaving(void *unused, struct sk_buff *skb, const struct nf_hook_state *state)
{
	struct segment segment;
	struct tcphdr *tcp;
	struct ends inner;
	struct flow *flow;

	if (!flow_count(&table))
		return NF_ACCEPT;
	tcp = tcp_header(skb);
	if (!tcp)
		return NF_ACCEPT;
	inner = ends_of_reply(skb, tcp);
	flow = flow_of_inner(&table, &inner);
	if (!flow)
		return NF_ACCEPT;
	tcp = tcp_header_writable(skb);
	if (!tcp) {
		COUNT(NO_MEMORY);
		return NF_DROP;
	}
	segment = segment_of(skb, tcp);
	flow_takes(&table, flow, &segment, true, ticks_of(idle));
	if (tcp->syn && lower_mss(skb, tcp) > 0) {
		COUNT(MSS_LOWERED);
		tcp = tcp_header(skb);
	}
	translate(skb, tcp, &ip_hdr(skb)->saddr, flow->outer.virtual, &tcp->source, flow->outer.virtual_port);
	translate(skb, tcp, &ip_hdr(skb)->daddr, flow->outer.ends.peer, &tcp->dest, flow->outer.ends.peer_port);
	return NF_ACCEPT;
}

/* Replies to which conntrack has just given RIP:rport as their source. */
static unsigned int leaving_behind_nat(void *unused, struct sk_buff *skb, const struct nf_hook_state *state)
{
	enum ip_conntrack_info info;
	const struct nf_conn *ct = nf_ct_get(skb, &info);

	return ct && ct->status & IPS_NAT_MASK ? leaving(unused, skb, state) : NF_ACCEPT;
}

/* Replies of a socket leave before the rules of the table mangle, where what was not translated is stopped. */
static const struct nf_hook_ops hooks[] = {
	{
		.hook = arriving,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_PRE_ROUTING,
		.priority = NF_IP_PRI_CONNTRACK - 1,
	},
	{
		.hook = leaving,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_POST_ROUTING,
		.priority = NF_IP_PRI_MANGLE - 1,
	},
	{
		.hook = leaving_behind_nat,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_POST_ROUTING,
		.priority = NF_IP_PRI_NAT_SRC + 1,
	},
};

static int show(struct seq_file *file, void *unused)
{
	counters_show(file, unused);
	flow_table_show(&table, file);
	return 0;
}

static int __init lvskit_ctk_init(void)
{
	int error = flow_table_begin(&table);

	if (error)
		return error;
	error = defragment();
	if (error)
		goto no_defragmentation;
	error = attach(show, sets, ARRAY_SIZE(sets), hooks, ARRAY_SIZE(hooks));
	if (error)
		goto no_hooks;
	return 0;

no_hooks:
	no_longer_defragment();
no_defragmentation:
	flow_table_end(&table);
	return error;
}

static void __exit lvskit_ctk_exit(void)
{
	detach(sets, ARRAY_SIZE(sets), hooks, ARRAY_SIZE(hooks));
	no_longer_defragment();
	flow_table_end(&table);
}

module_init(lvskit_ctk_init);
module_exit(lvskit_ctk_exit);
MODULE_LICENSE("GPL");
MODULE_VERSION(LVSKIT_VERSION);
MODULE_DESCRIPTION("Real server in ENAT (triangle) mode");
