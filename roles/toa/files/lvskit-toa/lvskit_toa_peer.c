// SPDX-License-Identifier: GPL-2.0
/*
 * For a real server: accept() and getpeername() give the address that a director has put into a TCP option.
 *
 * Packets are not changed: an option is noted as its packet comes in, with the connection it belongs to, and answers of the
 * kernel's getname are corrected on their way to the application. A note lives as long as its socket.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kprobes.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/rhashtable.h>
#include <linux/tracepoint.h>
#include <linux/workqueue.h>
#include <net/inet_sock.h>
#include <net/ipv6.h>
#include <net/sock.h>
#include <net/tcp_states.h>

#include "common.h"
#include "packet.h"

#define UNCLAIMED (60 * HZ) /* how long a note waits for its socket */
#define SWEEP (20 * HZ)
#define CALLS_AT_ONCE 1024

static struct address_set __rcu *lips;
module_param_cb(lips, &address_set_ops, &lips, 0644);
MODULE_PARM_DESC(lips, "local addresses of the directors: an option from any other source is not believed");

static u8 kind = 254;
module_param(kind, byte, 0644);
MODULE_PARM_DESC(kind, "kind of the TCP option");

static unsigned int connections = 1 << 20;
module_param(connections, uint, 0644);
MODULE_PARM_DESC(connections, "how many connections are noted at most");

enum { NOTED, GIVEN, NOT_NOTED, UNTRUSTED, TABLE_FULL, NO_MEMORY, COUNTERS };

DEFINE_COUNTERS("noted", "given", "not_noted", "untrusted", "table_full", "no_memory")

/* A connection as the real server's stack sees it. The hash is over all of it, so nothing may be left unset. */
struct connection {
	const struct net *net;
	__be32 peer, here;
	__be16 peer_port, here_port;
	u32 nothing;
};

struct note {
	struct rhash_head node;
	struct connection connection;
	struct endpoint client;
	bool claimed; /* a socket has it */
	unsigned long until; /* jiffies; for one that is not claimed */
	struct rcu_head rcu;
};

static const struct rhashtable_params table_shape = {
	.key_len = sizeof(struct connection),
	.key_offset = offsetof(struct note, connection),
	.head_offset = offsetof(struct note, node),
	.automatic_shrinking = true,
};
static struct rhashtable notes;

static void forget(struct note *note)
{
	if (!rhashtable_remove_fast(&notes, &note->node, table_shape))
		kfree_rcu(note, rcu);
}

static void take_note(const struct connection *connection, const struct endpoint *client)
{
	struct note *note = rhashtable_lookup(&notes, connection, table_shape);

	if (note) {
		if (note->claimed || (note->client.address == client->address && note->client.port == client->port))
			return;
		forget(note);
	}
	if (atomic_read(&notes.nelems) >= connections) {
		COUNT(TABLE_FULL);
		return;
	}
	note = kzalloc(sizeof(*note), GFP_ATOMIC);
	if (!note) {
		COUNT(NO_MEMORY);
		return;
	}
	note->connection = *connection;
	note->client = *client;
	note->until = jiffies + UNCLAIMED;
	if (rhashtable_insert_fast(&notes, &note->node, table_shape))
		kfree(note);
	else
		COUNT(NOTED);
}

static unsigned int arriving(void *unused, struct sk_buff *skb, const struct nf_hook_state *state)
{
	struct connection connection = {};
	struct endpoint client;
	struct tcphdr *tcp = tcp_header(skb);
	const struct iphdr *ip = ip_hdr(skb);
	struct note *note;

	if (!tcp || (!tcp->syn && !may_carry_address(tcp)))
		return NF_ACCEPT;
	if (!address_set_has(rcu_dereference(lips), ip->saddr)) {
		if (tcp->syn && option_endpoint(tcp, kind, &client))
			COUNT(UNTRUSTED);
		return NF_ACCEPT;
	}
	connection.net = state->net;
	connection.peer = ip->saddr;
	connection.here = ip->daddr;
	connection.peer_port = tcp->source;
	connection.here_port = tcp->dest;
	if (option_endpoint(tcp, kind, &client)) {
		if (!tcp->rst)
			take_note(&connection, &client);
	} else if (tcp->syn) {
		/* A new connection on the old one's ports, of which nothing is known yet. */
		note = rhashtable_lookup(&notes, &connection, table_shape);
		if (note && !note->claimed)
			forget(note);
	}
	return NF_ACCEPT;
}

static struct note *note_of(const struct sock *sk)
{
	const struct inet_sock *inet = inet_sk(sk);
	struct connection connection = {
		.net = sock_net(sk),
		.peer = inet->inet_daddr,
		.here = inet->inet_rcv_saddr,
		.peer_port = inet->inet_dport,
		.here_port = inet->inet_sport, /* inet_num is gone once a socket is closed */
	};

	return rhashtable_lookup(&notes, &connection, table_shape);
}

/*
 * A note is claimed when its socket is established, and goes when the socket closes. Two packets that end a handshake in one
 * batch may make a socket each: the second one is found superfluous and goes from SYN-RECEIVED to CLOSED. The note is the
 * first one's.
 */
static void state_changes(void *unused, const struct sock *sk, const int before, const int after)
{
	struct note *note;

	if (sk->sk_protocol != IPPROTO_TCP || (after != TCP_ESTABLISHED && after != TCP_CLOSE) ||
	    (before == TCP_SYN_RECV && after == TCP_CLOSE))
		return;
	if (!address_set_has(rcu_dereference_sched(lips), inet_sk(sk)->inet_daddr) && !atomic_read(&notes.nelems))
		return;
	rcu_read_lock();
	note = note_of(sk);
	if (note && after == TCP_ESTABLISHED)
		WRITE_ONCE(note->claimed, true);
	else if (note && note->claimed)
		forget(note);
	rcu_read_unlock();
}

struct call {
	const struct sock *sk;
	struct sockaddr *answer;
};

static int getname_begins(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	const struct socket *socket = (const struct socket *)regs_get_kernel_argument(regs, 0);
	struct call *call = (struct call *)instance->data;

	if (!(int)regs_get_kernel_argument(regs, 2) || !socket->sk || socket->sk->sk_protocol != IPPROTO_TCP)
		return 1; /* its own address is asked for: nothing to correct */
	call->sk = socket->sk;
	call->answer = (struct sockaddr *)regs_get_kernel_argument(regs, 1);
	return 0;
}

static void correct(struct sockaddr *answer, const struct endpoint *client)
{
	if (answer->sa_family == AF_INET) {
		struct sockaddr_in *address = (struct sockaddr_in *)answer;

		address->sin_addr.s_addr = client->address;
		address->sin_port = client->port;
		COUNT(GIVEN);
	} else if (answer->sa_family == AF_INET6) {
		struct sockaddr_in6 *address = (struct sockaddr_in6 *)answer;

		if (!ipv6_addr_v4mapped(&address->sin6_addr))
			return;
		address->sin6_addr.s6_addr32[3] = client->address;
		address->sin6_port = client->port;
		COUNT(GIVEN);
	}
}

static int getname_ends(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct call *call = (struct call *)instance->data;
	struct note *note;

	if ((int)regs_return_value(regs) <= 0)
		return 0;
	rcu_read_lock();
	note = note_of(call->sk);
	if (note)
		correct(call->answer, &note->client);
	else if (address_set_has(rcu_dereference(lips), inet_sk(call->sk)->inet_daddr))
		COUNT(NOT_NOTED);
	rcu_read_unlock();
	return 0;
}

static struct kretprobe inet_getname_probe = {
	.kp.symbol_name = "inet_getname",
	.entry_handler = getname_begins,
	.handler = getname_ends,
	.data_size = sizeof(struct call),
	.maxactive = CALLS_AT_ONCE,
};
static struct kretprobe inet6_getname_probe = {
	.kp.symbol_name = "inet6_getname",
	.entry_handler = getname_begins,
	.handler = getname_ends,
	.data_size = sizeof(struct call),
	.maxactive = CALLS_AT_ONCE,
};
static bool has_getname6;

/* Takes away the notes whose connection never came to be. */
static void sweep(struct work_struct *unused);
static DECLARE_DELAYED_WORK(sweeper, sweep);

static void sweep(struct work_struct *unused)
{
	struct rhashtable_iter iter;
	struct note *note;

	rhashtable_walk_enter(&notes, &iter);
	rhashtable_walk_start(&iter);
	while ((note = rhashtable_walk_next(&iter))) {
		if (IS_ERR(note))
			continue;
		if (!READ_ONCE(note->claimed) && time_after(jiffies, note->until))
			forget(note);
	}
	rhashtable_walk_stop(&iter);
	rhashtable_walk_exit(&iter);
	schedule_delayed_work(&sweeper, SWEEP);
}

static void free_note(void *note, void *unused)
{
	kfree(note);
}

static const struct nf_hook_ops hook = {
	.hook = arriving,
	.pf = NFPROTO_IPV4,
	.hooknum = NF_INET_LOCAL_IN,
	.priority = NF_IP_PRI_LAST,
};

static int __net_init net_begins(struct net *net)
{
	return nf_register_net_hook(net, &hook);
}

static void __net_exit net_ends(struct net *net)
{
	nf_unregister_net_hook(net, &hook);
}

static struct pernet_operations all_nets = { .init = net_begins, .exit = net_ends };

static int show(struct seq_file *file, void *unused)
{
	counters_show(file, unused);
	seq_printf(file, "connections %d\n", atomic_read(&notes.nelems));
	seq_printf(file, "missed %d\n", inet_getname_probe.nmissed + inet6_getname_probe.nmissed);
	return 0;
}

static struct tracepoint *state_tracepoint;

static void find_tracepoint(struct tracepoint *tracepoint, void *unused)
{
	if (!strcmp(tracepoint->name, "inet_sock_set_state"))
		state_tracepoint = tracepoint;
}

static int __init lvskit_toa_peer_init(void)
{
	int error;

	for_each_kernel_tracepoint(find_tracepoint, NULL);
	if (!state_tracepoint) {
		pr_err("this kernel has no tracepoint inet_sock_set_state\n");
		return -ENOENT;
	}
	error = rhashtable_init(&notes, &table_shape);
	if (error)
		return error;
	error = -ENOMEM;
	if (!proc_create_single(KBUILD_MODNAME, 0444, init_net.proc_net, show))
		goto no_proc;
	error = tracepoint_probe_register(state_tracepoint, state_changes, NULL);
	if (error)
		goto no_tracepoint;
	error = register_kretprobe(&inet_getname_probe);
	if (error) {
		pr_err("cannot probe inet_getname (%d)\n", error);
		goto no_getname;
	}
	has_getname6 = !register_kretprobe(&inet6_getname_probe);
	if (!has_getname6)
		pr_info("no inet6_getname here: sockets of IPv6 are not looked at\n");
	error = register_pernet_subsys(&all_nets);
	if (error)
		goto no_hook;
	schedule_delayed_work(&sweeper, SWEEP);
	return 0;

no_hook:
	if (has_getname6)
		unregister_kretprobe(&inet6_getname_probe);
	unregister_kretprobe(&inet_getname_probe);
no_getname:
	tracepoint_probe_unregister(state_tracepoint, state_changes, NULL);
	tracepoint_synchronize_unregister();
no_tracepoint:
	remove_proc_entry(KBUILD_MODNAME, init_net.proc_net);
no_proc:
	rhashtable_destroy(&notes);
	return error;
}

static void __exit lvskit_toa_peer_exit(void)
{
	unregister_pernet_subsys(&all_nets);
	if (has_getname6)
		unregister_kretprobe(&inet6_getname_probe);
	unregister_kretprobe(&inet_getname_probe);
	tracepoint_probe_unregister(state_tracepoint, state_changes, NULL);
	tracepoint_synchronize_unregister();
	cancel_delayed_work_sync(&sweeper);
	remove_proc_entry(KBUILD_MODNAME, init_net.proc_net);
	synchronize_rcu();
	rhashtable_free_and_destroy(&notes, free_note, NULL);
	kfree(rcu_dereference_protected(lips, true));
}

module_init(lvskit_toa_peer_init);
module_exit(lvskit_toa_peer_exit);
MODULE_LICENSE("GPL");
MODULE_VERSION(LVSKIT_VERSION);
MODULE_DESCRIPTION("Client address from a TCP option, for accept() and getpeername() on a real server");
