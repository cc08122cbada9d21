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
#include <linux/tracepoint.h>
#include <linux/user_namespace.h>
#include <net/inet_sock.h>
#include <net/ipv6.h>
#include <net/sock.h>
#include <net/tcp_states.h>

#include "common.h"
#include "packet.h"

#define CLAIMED_LATE (86400 * HZ) /* for how long a note serves a socket that was established before it; each use renews it */
#define CALLS_AT_ONCE 1024

static struct endpoint_set __rcu *lips;
module_param_cb(lips, &addresses_ops, &lips, 0644);
MODULE_PARM_DESC(lips, "local addresses of the directors: an option from any other source is not believed");
static const struct shown_set sets[] = { SHOWN(lips) };

static u8 kind = 254;
module_param(kind, byte, 0644);
MODULE_PARM_DESC(kind, "kind of the TCP option");

static unsigned int connections = 1 << 20;
module_param(connections, uint, 0644);
MODULE_PARM_DESC(connections, "how many connections are noted at most");

enum { NOTED, GIVEN, NOT_NOTED, UNTRUSTED, TABLE_FULL, NO_MEMORY, COUNTERS };

DEFINE_COUNTERS("noted", "given", "not_noted", "untrusted", "table_full", "no_memory")

/*
 * Notes are flows. One waits for its socket (OPENING) and is claimed when that is established (OPEN), or where the socket was
 * there before it (CLOSING). It goes with its socket; if nobody has accepted that yet, it stays for a while (CLOSED).
 */
static struct flow_table notes = { .owned = true };

static bool claimed(const struct flow *note)
{
	u8 phase = READ_ONCE(note->phase);

	return phase == OPEN || phase == CLOSING;
}

/* The name of a connection in this namespace. */
static struct outer outer_of(const struct net *net, __be32 peer, __be16 peer_port, __be32 here, __be16 here_port)
{
	return (struct outer){
		.ends = { .peer = peer, .real = here, .peer_port = peer_port, .real_port = here_port },
		.net = net->ns.inum,
	};
}

static void claim(struct flow *note, const struct sock *sk, enum phase phase)
{
	WRITE_ONCE(note->owner, sk);
	flow_settle(&notes, note, phase, CLAIMED_LATE);
}

static struct flow *take_note(const struct net *net, const struct outer *outer, const struct endpoint *client)
{
	struct ends inner = { .peer = client->address, .peer_port = client->port };
	struct flow *note = flow_of_outer(&notes, outer);

	if (note) {
		if (claimed(note))
			return note;
		if (READ_ONCE(note->phase) == OPENING && note->inner.peer == client->address &&
		    note->inner.peer_port == client->port) {
			flow_lives(note, UNCONFIRMED);
			return note;
		}
		flow_end(&notes, note);
	}
	note = flow_begin(&notes, outer, &inner, true, net->user_ns != &init_user_ns, READ_ONCE(connections));
	if (!IS_ERR(note)) {
		COUNT(NOTED);
		return note;
	}
	if (PTR_ERR(note) == -ENOSPC)
		COUNT(TABLE_FULL);
	else
		COUNT(NO_MEMORY);
	return NULL;
}

static bool established(const struct sock *sk)
{
	return sk && (1 << READ_ONCE(sk->sk_state)) & (TCPF_ESTABLISHED | TCPF_FIN_WAIT1 | TCPF_FIN_WAIT2 | TCPF_CLOSE_WAIT);
}

static unsigned int arriving(void *unused, struct sk_buff *skb, const struct nf_hook_state *state)
{
	struct endpoint client;
	struct tcphdr *tcp = tcp_header(skb);
	const struct iphdr *ip = ip_hdr(skb);
	struct outer outer;
	struct flow *note;

	if (!tcp || (!tcp->syn && !may_carry_address(tcp)))
		return NF_ACCEPT;
	if (!set_has_address(rcu_dereference(lips), ip->saddr)) {
		if (tcp->syn && option_endpoint(tcp, kind, &client))
			COUNT(UNTRUSTED);
		return NF_ACCEPT;
	}
	outer = outer_of(state->net, ip->saddr, tcp->source, ip->daddr, tcp->dest);
	if (option_endpoint(tcp, kind, &client)) {
		note = tcp->rst ? NULL : take_note(state->net, &outer, &client);
		if (note && !claimed(note) && established(skb->sk))
			claim(note, skb->sk, CLOSING);
	} else if (tcp->syn) {
		/* A new connection on the old one's ports, of which nothing is known yet. */
		note = flow_of_outer(&notes, &outer);
		if (note && !claimed(note))
			flow_end(&notes, note);
	}
	return NF_ACCEPT;
}

/* The note of a socket. The one of an MPTCP connection is claimed by the socket of its first path. */
static struct flow *note_of(const struct sock *sk)
{
	const struct inet_sock *inet = inet_sk(sk);
	/* inet_num is gone once a socket is closed */
	struct outer outer = outer_of(sock_net(sk), inet->inet_daddr, inet->inet_dport, inet->inet_rcv_saddr, inet->inet_sport);
	struct flow *note = flow_of_outer(&notes, &outer);
	const void *owner = note ? READ_ONCE(note->owner) : NULL;

	return !owner || owner == sk || sk->sk_protocol != IPPROTO_TCP ? note : NULL;
}

/*
 * Two packets that end a handshake in one batch may make a socket each: the second one is found superfluous and goes from
 * SYN-RECEIVED to CLOSED. The note is the first one's.
 */
static void state_changes(void *unused, const struct sock *sk, const int before, const int after)
{
	struct flow *note;

	if (sk->sk_protocol != IPPROTO_TCP || (after != TCP_ESTABLISHED && after != TCP_CLOSE) ||
	    (before == TCP_SYN_RECV && after == TCP_CLOSE) || !flow_count(&notes))
		return;
	rcu_read_lock();
	note = note_of(sk);
	if (note && after == TCP_ESTABLISHED)
		claim(note, sk, OPEN);
	else if (note && !sk->sk_socket && !sock_flag(sk, SOCK_DEAD)) /* whoever accepts it will ask */
		flow_settle(&notes, note, CLOSED, ENDING);
	else if (note)
		flow_end(&notes, note);
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

	if (!(int)regs_get_kernel_argument(regs, 2) || !socket->sk ||
	    (socket->sk->sk_protocol != IPPROTO_TCP && socket->sk->sk_protocol != IPPROTO_MPTCP))
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
	struct endpoint client;
	struct flow *note;

	if ((int)regs_return_value(regs) <= 0)
		return 0;
	rcu_read_lock();
	note = note_of(call->sk);
	if (note) {
		client.address = note->inner.peer;
		client.port = note->inner.peer_port;
		correct(call->answer, &client);
		if (!claimed(note) && established(call->sk))
			claim(note, call->sk, CLOSING);
		else if (READ_ONCE(note->phase) == CLOSING)
			flow_lives(note, CLAIMED_LATE);
	} else if (set_has_address(rcu_dereference(lips), inet_sk(call->sk)->inet_daddr))
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
	flow_table_show(&notes, file);
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
	error = flow_table_begin(&notes);
	if (error)
		return error;
	error = show_in_proc(show, sets, ARRAY_SIZE(sets));
	if (error)
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
	return 0;

no_hook:
	if (has_getname6)
		unregister_kretprobe(&inet6_getname_probe);
	unregister_kretprobe(&inet_getname_probe);
no_getname:
	tracepoint_probe_unregister(state_tracepoint, state_changes, NULL);
	tracepoint_synchronize_unregister();
no_tracepoint:
	hide(sets, ARRAY_SIZE(sets));
no_proc:
	flow_table_end(&notes);
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
	hide(sets, ARRAY_SIZE(sets));
	synchronize_rcu();
	flow_table_end(&notes);
}

module_init(lvskit_toa_peer_init);
module_exit(lvskit_toa_peer_exit);
MODULE_LICENSE("GPL");
MODULE_VERSION(LVSKIT_VERSION);
MODULE_DESCRIPTION("Client address from a TCP option, for accept() and getpeername() on a real server");
