// SPDX-License-Identifier: GPL-2.0
/*
 * For a real server in ENAT (triangle mode), the half that is called ctk:
 *
 *	arriving	VIP:vport -> RIP:rport, CIP:cport in an option	becomes	CIP:cport -> RIP:rport
 *	or		CIP:cport -> RIP:rport, VIP:vport in an option	stays as it is
 *	leaving		RIP:rport -> CIP:cport				becomes	VIP:vport -> CIP:cport
 *
 * Every arriving packet carries the option and explains itself. The table only remembers by which virtual service a client
 * came, for the replies; after a reload it is learned again from the next packet.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/rhashtable.h>
#include <linux/workqueue.h>

#include "common.h"
#include "packet.h"

#define OPENING (60 * HZ)
#define CLOSING (120 * HZ)
#define SWEEP (10 * HZ)

static struct address_set __rcu *vips;
module_param_cb(vips, &address_set_ops, &vips, 0644);
MODULE_PARM_DESC(vips, "virtual addresses: an option from one of them names the client");

static struct address_set __rcu *cip_src_vips;
module_param_cb(cip_src_vips, &address_set_ops, &cip_src_vips, 0644);
MODULE_PARM_DESC(cip_src_vips, "virtual addresses that an option from any other source may name");

static u8 kind = 254;
module_param(kind, byte, 0644);
MODULE_PARM_DESC(kind, "kind of the TCP option");

static unsigned int connections = 1 << 20;
module_param(connections, uint, 0644);
MODULE_PARM_DESC(connections, "how many connections there are at most");

static unsigned int idle = 86400;
module_param(idle, uint, 0644);
MODULE_PARM_DESC(idle, "seconds after which an established connection without packets is forgotten");

enum { LEARNED, NO_OPTION, COLLISION, UNTRUSTED, TABLE_FULL, NO_MEMORY, MSS_LOWERED, COUNTERS };

DEFINE_COUNTERS("learned", "no_option", "collision", "untrusted", "table_full", "no_memory", "mss_lowered")

struct session {
	struct rhash_head node;
	struct ends ends; /* CIP:cport and RIP:rport */
	struct endpoint virtual;
	bool closing;
	unsigned long until; /* jiffies */
	struct rcu_head rcu;
};

static const struct rhashtable_params shape = {
	.key_len = sizeof(struct ends),
	.key_offset = offsetof(struct session, ends),
	.head_offset = offsetof(struct session, node),
	.automatic_shrinking = true,
};
static struct rhashtable sessions;

static void end_session(struct session *session)
{
	if (!rhashtable_remove_fast(&sessions, &session->node, shape))
		kfree_rcu(session, rcu);
}

static struct session *learn(const struct ends *ends, const struct endpoint *virtual)
{
	struct session *session, *other;

	if (atomic_read(&sessions.nelems) >= connections) {
		COUNT(TABLE_FULL);
		return NULL;
	}
	session = kzalloc(sizeof(*session), GFP_ATOMIC);
	if (!session) {
		COUNT(NO_MEMORY);
		return NULL;
	}
	session->ends = *ends;
	session->virtual = *virtual;
	session->until = jiffies + OPENING;
	other = rhashtable_lookup_get_insert_fast(&sessions, &session->node, shape);
	if (!other) {
		COUNT(LEARNED);
		return session;
	}
	kfree(session);
	if (IS_ERR(other)) {
		COUNT(NO_MEMORY);
		return NULL;
	}
	return other; /* another processor has learned it in the meantime */
}

static void touch(struct session *session, const struct tcphdr *tcp)
{
	if (tcp->syn && !tcp->ack)
		WRITE_ONCE(session->closing, false);
	else if (tcp->fin || tcp->rst)
		WRITE_ONCE(session->closing, true);
	WRITE_ONCE(session->until, jiffies + (READ_ONCE(session->closing) ? CLOSING : tcp->syn ? OPENING : idle * HZ));
}

/* The session of an arriving packet, or NULL when it must not reach the stack. */
static struct session *session_of(const struct ends *ends, const struct endpoint *virtual, const struct tcphdr *tcp)
{
	struct session *session = rhashtable_lookup(&sessions, ends, shape);

	if (session && (session->virtual.address != virtual->address || session->virtual.port != virtual->port)) {
		/* The same client port by another virtual service: only one of the two can have the replies. */
		if (!READ_ONCE(session->closing)) {
			COUNT(COLLISION);
			return NULL;
		}
		end_session(session);
		session = NULL;
	}
	return session ? session : learn(ends, virtual);
}

static unsigned int arriving(void *unused, struct sk_buff *skb, const struct nf_hook_state *state)
{
	const struct endpoint *client, *virtual;
	struct endpoint source, option;
	struct session *session;
	struct tcphdr *tcp = tcp_header(skb);
	bool from_vip, explained;
	struct ends ends;

	if (!tcp)
		return NF_ACCEPT;
	source.address = ip_hdr(skb)->saddr;
	source.port = tcp->source;
	from_vip = address_set_has(rcu_dereference(vips), source.address);
	explained = option_endpoint(tcp, kind, &option);
	if (from_vip && !explained) {
		COUNT(NO_OPTION);
		return NF_DROP; /* the stack would answer the VIP, which is nobody it knows */
	}
	if (!explained)
		return NF_ACCEPT;
	if (!from_vip && !address_set_has(rcu_dereference(cip_src_vips), option.address)) {
		if (tcp->syn)
			COUNT(UNTRUSTED);
		return NF_ACCEPT;
	}
	client = from_vip ? &option : &source;
	virtual = from_vip ? &source : &option;
	ends = (struct ends){
		.peer = client->address,
		.real = ip_hdr(skb)->daddr,
		.peer_port = client->port,
		.real_port = tcp->dest,
	};
	session = session_of(&ends, virtual, tcp);
	if (!session)
		return NF_DROP;
	if (from_vip) {
		tcp = tcp_header_writable(skb);
		if (!tcp) {
			COUNT(NO_MEMORY);
			return NF_DROP;
		}
		translate(skb, tcp, &ip_hdr(skb)->saddr, client->address, &tcp->source, client->port);
	}
	touch(session, tcp);
	return NF_ACCEPT;
}

static unsigned int leaving(void *unused, struct sk_buff *skb, const struct nf_hook_state *state)
{
	struct session *session;
	struct tcphdr *tcp;
	struct ends ends;

	if (!atomic_read(&sessions.nelems))
		return NF_ACCEPT;
	tcp = tcp_header(skb);
	if (!tcp)
		return NF_ACCEPT;
	ends = (struct ends){
		.peer = ip_hdr(skb)->daddr,
		.real = ip_hdr(skb)->saddr,
		.peer_port = tcp->dest,
		.real_port = tcp->source,
	};
	session = rhashtable_lookup(&sessions, &ends, shape);
	if (!session)
		return NF_ACCEPT;
	tcp = tcp_header_writable(skb);
	if (!tcp) {
		COUNT(NO_MEMORY);
		return NF_DROP;
	}
	touch(session, tcp);
	if (tcp->syn && lower_mss(skb, tcp) > 0) {
		COUNT(MSS_LOWERED);
		tcp = tcp_header(skb);
	}
	translate(skb, tcp, &ip_hdr(skb)->saddr, session->virtual.address, &tcp->source, session->virtual.port);
	return NF_ACCEPT;
}

static void sweep(struct work_struct *unused);
static DECLARE_DELAYED_WORK(sweeper, sweep);

static void sweep(struct work_struct *unused)
{
	struct rhashtable_iter iter;
	struct session *session;

	rhashtable_walk_enter(&sessions, &iter);
	rhashtable_walk_start(&iter);
	while ((session = rhashtable_walk_next(&iter))) {
		if (!IS_ERR(session) && time_after(jiffies, READ_ONCE(session->until)))
			end_session(session);
	}
	rhashtable_walk_stop(&iter);
	rhashtable_walk_exit(&iter);
	schedule_delayed_work(&sweeper, SWEEP);
}

static void free_session(void *session, void *unused)
{
	kfree(session);
}

/* Replies leave before the rules of the table mangle, where what was not translated is stopped. */
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
};

static int show(struct seq_file *file, void *unused)
{
	counters_show(file, unused);
	seq_printf(file, "connections %d\n", atomic_read(&sessions.nelems));
	return 0;
}

static int __init lvskit_ctk_init(void)
{
	int error = rhashtable_init(&sessions, &shape);

	if (error)
		return error;
	error = defragment();
	if (error)
		goto no_defragmentation;
	error = attach(show, hooks, ARRAY_SIZE(hooks));
	if (error)
		goto no_hooks;
	schedule_delayed_work(&sweeper, SWEEP);
	return 0;

no_hooks:
	no_longer_defragment();
no_defragmentation:
	rhashtable_destroy(&sessions);
	return error;
}

static void __exit lvskit_ctk_exit(void)
{
	detach(hooks, ARRAY_SIZE(hooks));
	no_longer_defragment();
	cancel_delayed_work_sync(&sweeper);
	rhashtable_free_and_destroy(&sessions, free_session, NULL);
	kfree(rcu_dereference_protected(vips, true));
	kfree(rcu_dereference_protected(cip_src_vips, true));
}

module_init(lvskit_ctk_init);
module_exit(lvskit_ctk_exit);
MODULE_LICENSE("GPL");
MODULE_VERSION(LVSKIT_VERSION);
MODULE_DESCRIPTION("Real server in ENAT (triangle) mode");
