// SPDX-License-Identifier: GPL-2.0
/*
 * For a real server, or for the host that routes its only link: puts the client's address, which a director has sent in a
 * TCP option, back into the packets as their source, and turns the replies back to the director.
 *
 *	arriving	LIP:lport -> RIP:rport	becomes	CIP:cport -> RIP:rport, before conntrack and routing
 *	leaving		RIP:rport -> CIP:cport	becomes	RIP:rport -> LIP:lport, after conntrack, and is routed again
 *
 * A session begins with a SYN that carries the option. What belongs to none passes as it is.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/icmp.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>

#include "common.h"
#include "packet.h"

static struct endpoint_set __rcu *lips;
module_param_cb(lips, &addresses_ops, &lips, 0644);
MODULE_PARM_DESC(lips, "local addresses of the directors: an option from any other source is not believed");

static struct endpoint_set __rcu *rips;
module_param_cb(rips, &addresses_ops, &rips, 0644);
MODULE_PARM_DESC(rips, "addresses of the real servers it restores for: a host in front of them may route others too");
static const struct shown_set sets[] = { SHOWN(lips), SHOWN(rips) };

static u8 kind = 254;
module_param(kind, byte, 0644);
MODULE_PARM_DESC(kind, "kind of the TCP option");

static unsigned int connections = 1 << 20;
module_param(connections, uint, 0644);
MODULE_PARM_DESC(connections, "how many sessions there are at most");

static unsigned int idle = 86400;
module_param(idle, uint, 0644);
MODULE_PARM_DESC(idle, "seconds after which an established connection without packets is forgotten");

enum { RESTORED, OTHER_PORT, SYN_WITHOUT_OPTION, NO_SESSION, COLLISION, UNTRUSTED, TABLE_FULL, NO_MEMORY, NO_ROUTE, COUNTERS };

DEFINE_COUNTERS("restored", "other_port", "syn_without_option", "no_session", "collision", "untrusted", "table_full", "no_memory",
		"no_route")

/* The outer name is LIP:lport and RIP:rport, the inner one CIP:cport and RIP:rport. */
static struct flow_table table;

static struct flow *begin_session(const struct outer *outer, const struct endpoint *client)
{
	struct ends inner = outer->ends;
	struct flow *flow;

	inner.peer = client->address;
	inner.peer_port = client->port;
	flow = flow_begin(&table, outer, &inner, true, false, READ_ONCE(connections));
	if (!IS_ERR(flow)) {
		COUNT(RESTORED);
		if (flow->inner.peer_port != client->port)
			COUNT(OTHER_PORT);
		return flow;
	}
	if (PTR_ERR(flow) == -ENOSPC)
		COUNT(TABLE_FULL);
	else if (PTR_ERR(flow) == -EADDRINUSE)
		COUNT(COLLISION);
	else
		COUNT(NO_MEMORY);
	return NULL;
}

/* Whether a session is that of a client, which the stack may know by another port. */
static bool names(const struct flow *flow, const struct endpoint *client)
{
	return flow->inner.peer == client->address && flow->client_port == client->port;
}

/*
 * The session of a SYN; NULL: it has none, ERR_PTR: it must not reach the stack.
 *
 * An established session stays, whatever a SYN says: the stack answers by an acknowledgement, and if the client is another one by
 * now, that one resets the old connection (RFC 9293, 3.10.7.4). Otherwise a client that the director names anew is right. A SYN
 * that names nobody cannot be the session's, where it has not come to be; nor may the stack take it for another client's.
 */
static struct flow *opening(struct flow *older, const struct outer *outer, const struct tcphdr *tcp)
{
	enum phase phase = older ? READ_ONCE(older->phase) : CLOSED;
	struct endpoint client;

	if (phase == OPEN || phase == CLOSING)
		return older;
	if (!option_endpoint(tcp, kind, &client)) {
		COUNT(SYN_WITHOUT_OPTION);
		if (phase == OPENING)
			return ERR_PTR(-EBUSY);
		if (older)
			flow_end(&table, older);
		return NULL;
	}
	if (older && names(older, &client))
		return older;
	if (older)
		flow_end(&table, older);
	return begin_session(outer, &client);
}

/*
 * A router's complaint about a reply (RFC 1191: too large) quotes it as RIP -> LIP; the stack knows it as RIP -> CIP. A checksum that
 * was wrong stays wrong.
 */
static void restore_quoted(struct sk_buff *skb)
{
	unsigned int offset, quoted_length;
	struct icmphdr *icmp;
	struct iphdr *quoted;
	struct outer outer;
	struct flow *flow;
	__be16 *ports;
	__sum16 check;

	if (!pskb_may_pull(skb, sizeof(struct iphdr)) || ip_hdr(skb)->protocol != IPPROTO_ICMP || ip_is_fragment(ip_hdr(skb)))
		return;
	offset = ip_hdrlen(skb);
	if (!pskb_may_pull(skb, offset + sizeof(*icmp) + sizeof(*quoted)))
		return;
	icmp = (struct icmphdr *)(skb_network_header(skb) + offset);
	quoted = (struct iphdr *)(icmp + 1);
	if (icmp->type != ICMP_DEST_UNREACH || quoted->protocol != IPPROTO_TCP || quoted->ihl < 5)
		return;
	if (!set_has_address(rcu_dereference(lips), quoted->daddr))
		return;
	quoted_length = offset + sizeof(*icmp) + quoted->ihl * 4 + 8;
	if (!pskb_may_pull(skb, quoted_length) || skb_ensure_writable(skb, quoted_length))
		return;
	icmp = (struct icmphdr *)(skb_network_header(skb) + offset);
	quoted = (struct iphdr *)(icmp + 1);
	ports = (__be16 *)((u8 *)quoted + quoted->ihl * 4);
	outer = (struct outer){
		.ends = {
			.peer = quoted->daddr,
			.real = quoted->saddr,
			.peer_port = ports[1],
			.real_port = ports[0],
		},
	};
	flow = flow_of_outer(&table, &outer);
	if (!flow)
		return;
	check = quoted->check;
	csum_replace4(&quoted->check, quoted->daddr, flow->inner.peer);
	csum_replace4(&icmp->checksum, quoted->daddr, flow->inner.peer);
	csum_replace2(&icmp->checksum, (__force __be16)check, (__force __be16)quoted->check);
	csum_replace2(&icmp->checksum, ports[1], flow->inner.peer_port);
	quoted->daddr = flow->inner.peer;
	ports[1] = flow->inner.peer_port;
}

/* A complaint of this host itself, about a reply that it routes for a real server behind it. */
static unsigned int complaining(void *unused, struct sk_buff *skb, const struct nf_hook_state *state)
{
	restore_quoted(skb);
	return NF_ACCEPT;
}

static unsigned int arriving(void *unused, struct sk_buff *skb, const struct nf_hook_state *state)
{
	struct endpoint client;
	struct segment segment;
	struct outer outer;
	struct tcphdr *tcp;
	struct flow *flow;

	restore_quoted(skb);
	tcp = tcp_header(skb);
	if (!tcp)
		return NF_ACCEPT;
	if (!set_has_address(rcu_dereference(lips), ip_hdr(skb)->saddr)) {
		if (tcp->syn && option_endpoint(tcp, kind, &client))
			COUNT(UNTRUSTED);
		return NF_ACCEPT;
	}
	if (!set_has_address(rcu_dereference(rips), ip_hdr(skb)->daddr))
		return NF_ACCEPT;
	outer = (struct outer){
		.ends = {
			.peer = ip_hdr(skb)->saddr,
			.real = ip_hdr(skb)->daddr,
			.peer_port = tcp->source,
			.real_port = tcp->dest,
		},
	};
	flow = flow_of_outer(&table, &outer);
	if (tcp->syn && !tcp->ack)
		flow = opening(flow, &outer, tcp);
	else if (!flow)
		COUNT(NO_SESSION);
	if (IS_ERR(flow))
		return NF_DROP;
	if (!flow)
		return NF_ACCEPT;
	tcp = tcp_header_writable(skb);
	if (!tcp) {
		COUNT(NO_MEMORY);
		return NF_DROP;
	}
	segment = segment_of(skb, tcp);
	flow_takes(&table, flow, &segment, false, ticks_of(idle));
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
	translate(skb, tcp, &ip_hdr(skb)->daddr, flow->outer.ends.peer, &tcp->dest, flow->outer.ends.peer_port);
	/* The way to the client is not the way to the director. */
	if (ip_route_me_harder(state->net, skb->sk, skb, RTN_UNSPEC)) {
		COUNT(NO_ROUTE);
		return NF_DROP;
	}
	skb->dev = skb_dst(skb)->dev;
	return NF_ACCEPT;
}

static const struct nf_hook_ops hooks[] = {
	{
		.hook = arriving,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_PRE_ROUTING,
		.priority = NF_IP_PRI_CONNTRACK - 1,
	},
	{
		.hook = complaining,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_LOCAL_OUT,
		.priority = NF_IP_PRI_CONNTRACK - 1,
	},
	{
		.hook = leaving,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_POST_ROUTING,
		.priority = NF_IP_PRI_LAST,
	},
};

static int show(struct seq_file *file, void *unused)
{
	counters_show(file, unused);
	flow_table_show(&table, file);
	return 0;
}

static int __init lvskit_restore_init(void)
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

static void __exit lvskit_restore_exit(void)
{
	detach(sets, ARRAY_SIZE(sets), hooks, ARRAY_SIZE(hooks));
	no_longer_defragment();
	flow_table_end(&table);
}

module_init(lvskit_restore_init);
module_exit(lvskit_restore_exit);
MODULE_LICENSE("GPL");
MODULE_VERSION(LVSKIT_VERSION);
MODULE_DESCRIPTION("Client address from a TCP option, restored in the packets");
