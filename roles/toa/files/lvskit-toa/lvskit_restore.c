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
#include <linux/rhashtable.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "common.h"
#include "packet.h"

#define OPENING (60 * HZ)
#define CLOSING (120 * HZ)
#define SWEEP (10 * HZ)

static struct address_set __rcu *lips;
module_param_cb(lips, &address_set_ops, &lips, 0644);
MODULE_PARM_DESC(lips, "local addresses of the directors: an option from any other source is not believed");

static struct address_set __rcu *rips;
module_param_cb(rips, &address_set_ops, &rips, 0644);
MODULE_PARM_DESC(rips, "addresses of the real servers it restores for: a host in front of them may route others too");

static u8 kind = 254;
module_param(kind, byte, 0644);
MODULE_PARM_DESC(kind, "kind of the TCP option");

static unsigned int connections = 1 << 20;
module_param(connections, uint, 0644);
MODULE_PARM_DESC(connections, "how many sessions there are at most");

static unsigned int idle = 86400;
module_param(idle, uint, 0644);
MODULE_PARM_DESC(idle, "seconds after which an established connection without packets is forgotten");

enum { RESTORED, SYN_WITHOUT_OPTION, NO_SESSION, COLLISION, UNTRUSTED, TABLE_FULL, NO_MEMORY, NO_ROUTE, COUNTERS };

DEFINE_COUNTERS("restored", "syn_without_option", "no_session", "collision", "untrusted", "table_full", "no_memory",
		"no_route")

struct session {
	struct rhash_head by_local;
	struct rhash_head by_client;
	struct ends local; /* LIP:lport and RIP:rport */
	struct ends client; /* CIP:cport and RIP:rport */
	bool closing;
	unsigned long until; /* jiffies */
	struct rcu_head rcu;
};

static const struct rhashtable_params local_shape = {
	.key_len = sizeof(struct ends),
	.key_offset = offsetof(struct session, local),
	.head_offset = offsetof(struct session, by_local),
	.automatic_shrinking = true,
};
static const struct rhashtable_params client_shape = {
	.key_len = sizeof(struct ends),
	.key_offset = offsetof(struct session, client),
	.head_offset = offsetof(struct session, by_client),
	.automatic_shrinking = true,
};
static struct rhashtable locals, clients;
static DEFINE_SPINLOCK(both_tables);

static void end_session(struct session *session)
{
	spin_lock_bh(&both_tables);
	if (!rhashtable_remove_fast(&locals, &session->by_local, local_shape)) {
		rhashtable_remove_fast(&clients, &session->by_client, client_shape);
		kfree_rcu(session, rcu);
	}
	spin_unlock_bh(&both_tables);
}

static struct session *begin_session(const struct ends *local, const struct endpoint *client)
{
	struct session *session;
	int error;

	if (atomic_read(&locals.nelems) >= connections) {
		COUNT(TABLE_FULL);
		return NULL;
	}
	session = kzalloc(sizeof(*session), GFP_ATOMIC);
	if (!session) {
		COUNT(NO_MEMORY);
		return NULL;
	}
	session->local = *local;
	session->client = *local;
	session->client.peer = client->address;
	session->client.peer_port = client->port;
	session->until = jiffies + OPENING;

	spin_lock_bh(&both_tables);
	error = rhashtable_lookup_insert_fast(&clients, &session->by_client, client_shape);
	if (!error) {
		error = rhashtable_lookup_insert_fast(&locals, &session->by_local, local_shape);
		if (error)
			rhashtable_remove_fast(&clients, &session->by_client, client_shape);
	}
	spin_unlock_bh(&both_tables);
	if (!error) {
		COUNT(RESTORED);
		return session;
	}
	/* The same client port, by another local one: the first connection keeps it, the second is not restored. */
	if (error == -EEXIST)
		COUNT(COLLISION);
	else
		COUNT(NO_MEMORY);
	kfree_rcu(session, rcu);
	return NULL;
}

static void touch(struct session *session, const struct tcphdr *tcp)
{
	unsigned long until;

	if (tcp->fin || tcp->rst)
		WRITE_ONCE(session->closing, true);
	if (READ_ONCE(session->closing))
		until = jiffies + CLOSING;
	else
		until = jiffies + (tcp->syn ? OPENING : idle * HZ);
	WRITE_ONCE(session->until, until);
}

/* The session of a packet that opens a connection; an older one on the same ports ends. */
static struct session *opening(struct session *older, const struct ends *ends, const struct tcphdr *tcp)
{
	struct endpoint client;

	if (!option_endpoint(tcp, kind, &client)) {
		if (older)
			end_session(older);
		COUNT(SYN_WITHOUT_OPTION);
		return NULL;
	}
	if (older) {
		if (older->client.peer == client.address && older->client.peer_port == client.port) {
			WRITE_ONCE(older->closing, false);
			return older;
		}
		end_session(older);
	}
	return begin_session(ends, &client);
}

/*
 * A router's complaint about a reply (RFC 1191: too large) quotes it as RIP -> LIP; the stack knows it as RIP -> CIP.
 */
static void restore_quoted(struct sk_buff *skb)
{
	unsigned int offset = ip_hdrlen(skb), quoted_length;
	struct icmphdr *icmp;
	struct iphdr *quoted;
	struct ends ends;
	struct session *session;
	__be16 *ports;

	if (!pskb_may_pull(skb, offset + sizeof(*icmp) + sizeof(*quoted)))
		return;
	icmp = (struct icmphdr *)(skb_network_header(skb) + offset);
	quoted = (struct iphdr *)(icmp + 1);
	if (icmp->type != ICMP_DEST_UNREACH || quoted->protocol != IPPROTO_TCP || quoted->ihl < 5)
		return;
	if (!address_set_has(rcu_dereference(lips), quoted->daddr))
		return;
	quoted_length = offset + sizeof(*icmp) + quoted->ihl * 4 + 8;
	if (!pskb_may_pull(skb, quoted_length) || skb_ensure_writable(skb, quoted_length))
		return;
	icmp = (struct icmphdr *)(skb_network_header(skb) + offset);
	quoted = (struct iphdr *)(icmp + 1);
	ports = (__be16 *)((u8 *)quoted + quoted->ihl * 4);
	ends = (struct ends){ .peer = quoted->daddr, .real = quoted->saddr, .peer_port = ports[1], .real_port = ports[0] };
	session = rhashtable_lookup(&locals, &ends, local_shape);
	if (!session)
		return;
	csum_replace4(&quoted->check, quoted->daddr, session->client.peer);
	quoted->daddr = session->client.peer;
	ports[1] = session->client.peer_port;
	icmp->checksum = 0;
	icmp->checksum = csum_fold(skb_checksum(skb, offset, skb->len - offset, 0));
	if (skb->ip_summed == CHECKSUM_COMPLETE)
		skb->ip_summed = CHECKSUM_NONE;
}

static unsigned int arriving(void *unused, struct sk_buff *skb, const struct nf_hook_state *state)
{
	struct endpoint client;
	struct session *session;
	struct tcphdr *tcp;
	struct ends ends;

	if (!pskb_may_pull(skb, sizeof(struct iphdr)))
		return NF_ACCEPT;
	if (ip_hdr(skb)->protocol == IPPROTO_ICMP && !ip_is_fragment(ip_hdr(skb)))
		restore_quoted(skb);
	tcp = tcp_header(skb);
	if (!tcp)
		return NF_ACCEPT;
	if (!address_set_has(rcu_dereference(lips), ip_hdr(skb)->saddr)) {
		if (tcp->syn && option_endpoint(tcp, kind, &client))
			COUNT(UNTRUSTED);
		return NF_ACCEPT;
	}
	if (!address_set_has(rcu_dereference(rips), ip_hdr(skb)->daddr))
		return NF_ACCEPT;
	ends = (struct ends){
		.peer = ip_hdr(skb)->saddr,
		.real = ip_hdr(skb)->daddr,
		.peer_port = tcp->source,
		.real_port = tcp->dest,
	};
	session = rhashtable_lookup(&locals, &ends, local_shape);
	if (tcp->syn && !tcp->ack)
		session = opening(session, &ends, tcp);
	else if (!session)
		COUNT(NO_SESSION);
	if (!session)
		return NF_ACCEPT;
	tcp = tcp_header_writable(skb);
	if (!tcp) {
		COUNT(NO_MEMORY);
		return NF_DROP;
	}
	touch(session, tcp);
	translate(skb, tcp, &ip_hdr(skb)->saddr, session->client.peer, &tcp->source, session->client.peer_port);
	return NF_ACCEPT;
}

static unsigned int leaving(void *unused, struct sk_buff *skb, const struct nf_hook_state *state)
{
	struct session *session;
	struct tcphdr *tcp;
	struct ends ends;

	if (!atomic_read(&clients.nelems))
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
	session = rhashtable_lookup(&clients, &ends, client_shape);
	if (!session)
		return NF_ACCEPT;
	tcp = tcp_header_writable(skb);
	if (!tcp) {
		COUNT(NO_MEMORY);
		return NF_DROP;
	}
	touch(session, tcp);
	translate(skb, tcp, &ip_hdr(skb)->daddr, session->local.peer, &tcp->dest, session->local.peer_port);
	/* The way to the client is not the way to the director. */
	if (ip_route_me_harder(state->net, skb->sk, skb, RTN_UNSPEC)) {
		COUNT(NO_ROUTE);
		return NF_DROP;
	}
	skb->dev = skb_dst(skb)->dev;
	return NF_ACCEPT;
}

static void sweep(struct work_struct *unused);
static DECLARE_DELAYED_WORK(sweeper, sweep);

static void sweep(struct work_struct *unused)
{
	struct rhashtable_iter iter;
	struct session *session;

	rhashtable_walk_enter(&locals, &iter);
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
		.priority = NF_IP_PRI_LAST,
	},
};

static int show(struct seq_file *file, void *unused)
{
	counters_show(file, unused);
	seq_printf(file, "connections %d\n", atomic_read(&locals.nelems));
	return 0;
}

static int __init lvskit_restore_init(void)
{
	int error = rhashtable_init(&locals, &local_shape);

	if (error)
		return error;
	error = rhashtable_init(&clients, &client_shape);
	if (error)
		goto no_clients;
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
	rhashtable_destroy(&clients);
no_clients:
	rhashtable_destroy(&locals);
	return error;
}

static void __exit lvskit_restore_exit(void)
{
	detach(hooks, ARRAY_SIZE(hooks));
	no_longer_defragment();
	cancel_delayed_work_sync(&sweeper);
	rhashtable_destroy(&clients);
	rhashtable_free_and_destroy(&locals, free_session, NULL);
	kfree(rcu_dereference_protected(lips, true));
	kfree(rcu_dereference_protected(rips, true));
}

module_init(lvskit_restore_init);
module_exit(lvskit_restore_exit);
MODULE_LICENSE("GPL");
MODULE_VERSION(LVSKIT_VERSION);
MODULE_DESCRIPTION("Client address from a TCP option, restored in the packets");
