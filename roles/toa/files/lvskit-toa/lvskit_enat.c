// SPDX-License-Identifier: GPL-2.0
/*
 * For a director in ENAT (triangle mode): what IPVS has addressed to a real server leaves as
 *
 *	VIP:vport -> RIP:rport, with CIP:cport in a TCP option, or
 *	CIP:cport -> RIP:rport, with VIP:vport in it, for services whose network lets foreign sources pass.
 *
 * Every packet carries the option, so each one explains itself: there is no table here, no port is taken, and clients that
 * use the same source port cannot meet. Where IPVS sends the packet, and for which virtual service, its own connection tells.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <net/icmp.h>
#include <net/ip_vs.h>

#include "common.h"
#include "packet.h"

static struct endpoint_set __rcu *vips;
module_param_cb(vips, &addresses_ops, &vips, 0644);
MODULE_PARM_DESC(vips, "virtual addresses whose services are forwarded with the VIP as their source");

static struct endpoint_set __rcu *cip_src_vips;
module_param_cb(cip_src_vips, &addresses_ops, &cip_src_vips, 0644);
MODULE_PARM_DESC(cip_src_vips, "virtual addresses whose services are forwarded with the client as their source");
static const struct shown_set sets[] = { SHOWN(vips), SHOWN(cip_src_vips) };

static u8 kind = 254;
module_param(kind, byte, 0644);
MODULE_PARM_DESC(kind, "kind of the TCP option");

enum { FORWARDED, STRIPPED, SQUEEZED, NO_OPTION_SPACE, TOO_LARGE, FRAGMENTED, NO_MEMORY, COUNTERS };

DEFINE_COUNTERS("forwarded", "stripped", "squeezed", "no_option_space", "too_large", "fragmented", "no_memory")

/* Which end of a connection is the source of its packets; the other one is in the option. */
enum form { NOT_OURS, VIP_IS_SOURCE, CIP_IS_SOURCE };

static enum form form_of_vip(__be32 vip)
{
	if (set_has_address(rcu_dereference(cip_src_vips), vip))
		return CIP_IS_SOURCE;
	return set_has_address(rcu_dereference(vips), vip) ? VIP_IS_SOURCE : NOT_OURS;
}

/*
 * The virtual end of the packet that IPVS has in hand on this processor. By its real end alone a connection is not found for
 * certain: a client may use one port for two virtual services on the same RIP:rport.
 */
struct in_hand {
	const struct sk_buff *skb;
	struct endpoint virtual;
};
static DEFINE_PER_CPU(struct in_hand, in_hand);

static unsigned int before_ipvs(void *unused, struct sk_buff *skb, const struct nf_hook_state *state)
{
	struct in_hand *mine = raw_cpu_ptr(&in_hand); /* the packet stays on its processor until it has left */
	const struct tcphdr *tcp;

	if (form_of_vip(ip_hdr(skb)->daddr) == NOT_OURS)
		return NF_ACCEPT;
	tcp = tcp_header(skb);
	if (!tcp)
		return NF_ACCEPT;
	mine->virtual.address = ip_hdr(skb)->daddr;
	mine->virtual.port = tcp->dest;
	mine->skb = skb;
	return NF_ACCEPT;
}

/* The connection of IPVS to which a packet for a real server belongs. What was in hand before is not believed unseen. */
static struct ip_vs_conn *connection_of(struct net *net, const struct sk_buff *skb, const struct tcphdr *tcp)
{
	union nf_inet_addr client = { .ip = ip_hdr(skb)->saddr }, real = { .ip = ip_hdr(skb)->daddr };
	struct in_hand *mine = raw_cpu_ptr(&in_hand);
	struct ip_vs_conn_param param;
	struct ip_vs_conn *connection;

	if (mine->skb == skb) {
		union nf_inet_addr virtual = { .ip = mine->virtual.address };

		mine->skb = NULL;
		ip_vs_conn_fill_param(net_ipvs(net), AF_INET, IPPROTO_TCP, &client, tcp->source, &virtual, mine->virtual.port,
				      &param);
		connection = ip_vs_conn_in_get(&param);
		if (connection && connection->daddr.ip == real.ip && connection->dport == tcp->dest)
			return connection;
		if (connection)
			__ip_vs_conn_put(connection);
	}
	ip_vs_conn_fill_param(net_ipvs(net), AF_INET, IPPROTO_TCP, &real, tcp->dest, &client, tcp->source, &param);
	return ip_vs_conn_out_get(&param);
}

/* How the connection to which IPVS has assigned this packet is forwarded, and its virtual end. */
static enum form form_of_packet(struct net *net, const struct sk_buff *skb, const struct tcphdr *tcp, struct endpoint *virtual)
{
	struct ip_vs_conn *connection = connection_of(net, skb, tcp);
	enum form form = NOT_OURS;

	if (!connection)
		return NOT_OURS;
	virtual->address = connection->vaddr.ip;
	virtual->port = connection->vport;
	if (IP_VS_FWD_METHOD(connection) == IP_VS_CONN_F_MASQ)
		form = form_of_vip(virtual->address);
	__ip_vs_conn_put(connection);
	return form;
}

/*
 * Whether a packet that must not be fragmented is too large with the option. The client is told the size that it may have
 * (RFC 1191), about the packet as it knows it; this one must be dropped then.
 */
static bool too_large(struct sk_buff *skb, struct tcphdr *tcp, const struct endpoint *virtual)
{
	if (!(ip_hdr(skb)->frag_off & htons(IP_DF)) || tcp->doff * 4 + OPTION_ADDRESS_LENGTH > TCP_LARGEST_HEADER ||
	    may_grow(skb, OPTION_ADDRESS_LENGTH))
		return false;
	COUNT(TOO_LARGE);
	translate(skb, tcp, &ip_hdr(skb)->daddr, virtual->address, &tcp->dest, virtual->port);
	icmp_send(skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, htonl(dst_mtu(skb_dst(skb)) - OPTION_ADDRESS_LENGTH));
	return true;
}

/* The end that is not the source into the packet, whatever it takes; false when that is impossible. */
static bool explain(struct sk_buff *skb, struct tcphdr *tcp, const struct endpoint *other)
{
	int error = add_option(skb, tcp, kind, other);

	if (error == -EMSGSIZE) {
		COUNT(FRAGMENTED); /* the client allows it */
		error = add_option_beyond_mtu(skb, tcp, kind, other);
	}
	if (error > 0)
		COUNT(SQUEEZED);
	else if (error == -ENOSPC)
		COUNT(NO_OPTION_SPACE);
	else if (error)
		COUNT(NO_MEMORY);
	return error >= 0;
}

static unsigned int leaving(void *unused, struct sk_buff *skb, const struct nf_hook_state *state)
{
	struct endpoint client, virtual;
	struct tcphdr *tcp;
	enum form form;
	int stripped;

	if (!skb->ipvs_property || !(rcu_access_pointer(vips) || rcu_access_pointer(cip_src_vips)))
		return NF_ACCEPT;
	tcp = tcp_header(skb);
	form = tcp ? form_of_packet(state->net, skb, tcp, &virtual) : NOT_OURS;
	if (form == NOT_OURS)
		return NF_ACCEPT;
	tcp = tcp_header_writable(skb);
	stripped = tcp && may_carry_address(tcp) ? strip_address_options(skb, tcp, kind) : 0;
	if (!tcp || stripped < 0) {
		COUNT(NO_MEMORY);
		return NF_DROP;
	}
	if (stripped)
		COUNT(STRIPPED);
	tcp = tcp_header(skb);
	if (too_large(skb, tcp, &virtual))
		return NF_DROP;
	client.address = ip_hdr(skb)->saddr;
	client.port = tcp->source;
	if (form == VIP_IS_SOURCE)
		translate(skb, tcp, &ip_hdr(skb)->saddr, virtual.address, &tcp->source, virtual.port);
	if (!explain(skb, tcp, form == VIP_IS_SOURCE ? &client : &virtual))
		return NF_DROP;
	COUNT(FORWARDED);
	return NF_ACCEPT;
}

/* IPVS takes packets from LOCAL_IN at two priorities below that of source NAT. */
static const struct nf_hook_ops hooks[] = {
	{
		.hook = before_ipvs,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_LOCAL_IN,
		.priority = NF_IP_PRI_NAT_SRC - 3,
	},
	{
		.hook = leaving,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_POST_ROUTING,
		.priority = NF_IP_PRI_LAST,
	},
};

static int __init lvskit_enat_init(void)
{
	return attach(counters_show, sets, ARRAY_SIZE(sets), hooks, ARRAY_SIZE(hooks));
}

static void __exit lvskit_enat_exit(void)
{
	detach(sets, ARRAY_SIZE(sets), hooks, ARRAY_SIZE(hooks));
}

module_init(lvskit_enat_init);
module_exit(lvskit_enat_exit);
MODULE_LICENSE("GPL");
MODULE_VERSION(LVSKIT_VERSION);
MODULE_DESCRIPTION("LVS director in ENAT (triangle) mode");
