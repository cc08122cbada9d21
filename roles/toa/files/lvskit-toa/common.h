/* SPDX-License-Identifier: GPL-2.0 */
/* What lvskit's modules share: sets of addresses given as a parameter, counters, and changes of a TCP header. */
#ifndef LVSKIT_COMMON_H
#define LVSKIT_COMMON_H

#include <linux/bsearch.h>
#include <linux/inet.h>
#include <linux/ip.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/proc_fs.h>
#include <linux/rcupdate.h>
#include <linux/seq_file.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/tcp.h>
#include <net/checksum.h>
#include <net/ip.h>
#include <net/net_namespace.h>

#include "option.h"

/* Addresses, sorted; replaced as a whole, read under RCU. */
struct address_set {
	struct rcu_head rcu;
	unsigned int count;
	__be32 addresses[];
};

static int compare_addresses(const void *a, const void *b)
{
	u32 x = (__force u32)*(const __be32 *)a, y = (__force u32)*(const __be32 *)b;

	return x < y ? -1 : x > y;
}

static inline bool address_set_has(const struct address_set *set, __be32 address)
{
	return set && bsearch(&address, set->addresses, set->count, sizeof(address), compare_addresses);
}

/* "192.0.2.1,192.0.2.2": the addresses, or an ERR_PTR. An empty text is an empty set. */
static struct address_set *address_set_parse(const char *text)
{
	char *copy = kstrdup(text, GFP_KERNEL), *rest, *word;
	struct address_set *set = NULL;
	unsigned int room = 1;

	if (!copy)
		return ERR_PTR(-ENOMEM);
	rest = strim(copy);
	for (word = rest; *word; word++)
		room += *word == ',';
	set = kzalloc(struct_size(set, addresses, room), GFP_KERNEL);
	if (!set)
		goto failed;
	while (*rest && (word = strsep(&rest, ","))) {
		if (!in4_pton(word, -1, (u8 *)&set->addresses[set->count++], -1, NULL)) {
			kfree(set);
			set = ERR_PTR(-EINVAL);
			goto failed;
		}
		if (!rest)
			break;
	}
	sort(set->addresses, set->count, sizeof(__be32), compare_addresses, NULL);
failed:
	kfree(copy);
	return set ? set : ERR_PTR(-ENOMEM);
}

static DEFINE_MUTEX(address_set_mutex);

/* A module parameter whose value is a set of addresses; it can be changed while the module works. */
static int address_set_param_set(const char *text, const struct kernel_param *parameter)
{
	struct address_set __rcu **where = parameter->arg;
	struct address_set *new = address_set_parse(text), *old;

	if (IS_ERR(new))
		return PTR_ERR(new);
	mutex_lock(&address_set_mutex);
	old = rcu_replace_pointer(*where, new, lockdep_is_held(&address_set_mutex));
	mutex_unlock(&address_set_mutex);
	if (old)
		kfree_rcu(old, rcu);
	return 0;
}

static int address_set_param_get(char *text, const struct kernel_param *parameter)
{
	struct address_set __rcu **where = parameter->arg;
	const struct address_set *set;
	int length = 0;
	unsigned int i;

	rcu_read_lock();
	set = rcu_dereference(*where);
	for (i = 0; set && i < set->count; i++)
		length += scnprintf(text + length, PAGE_SIZE - length, i ? ",%pI4" : "%pI4", &set->addresses[i]);
	rcu_read_unlock();
	return length + scnprintf(text + length, PAGE_SIZE - length, "\n");
}

static const struct kernel_param_ops address_set_ops = {
	.set = address_set_param_set,
	.get = address_set_param_get,
};

/*
 * Counters, one set for each processor. A module lists them in an enum that ends with COUNTERS, and their names in
 * counter_names; /proc/net/<module> shows their sums, one a line.
 */
#define DEFINE_COUNTERS(...)                                                                                       \
	static const char *const counter_names[COUNTERS] = { __VA_ARGS__ };                                        \
	struct counters {                                                                                          \
		u64 of[COUNTERS];                                                                                  \
	};                                                                                                         \
	static DEFINE_PER_CPU(struct counters, counters);                                                          \
	static int counters_show(struct seq_file *file, void *unused)                                              \
	{                                                                                                          \
		unsigned int i;                                                                                    \
		int cpu;                                                                                           \
														   \
		for (i = 0; i < COUNTERS; i++) {                                                                   \
			u64 sum = 0;                                                                               \
														   \
			for_each_possible_cpu(cpu)                                                                 \
				sum += per_cpu(counters, cpu).of[i];                                               \
			seq_printf(file, "%s %llu\n", counter_names[i], sum);                                      \
		}                                                                                                  \
		return 0;                                                                                          \
	}

#define COUNT(what) this_cpu_inc(counters.of[what])

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

/* Makes the headers of a packet writable; the TCP header, which may have moved, or NULL when memory is short. */
static inline struct tcphdr *tcp_header_writable(struct sk_buff *skb)
{
	unsigned int offset = ip_hdr(skb)->ihl * 4;
	const struct tcphdr *tcp = (struct tcphdr *)(skb_network_header(skb) + offset);

	if (skb_ensure_writable(skb, offset + tcp->doff * 4))
		return NULL;
	return (struct tcphdr *)(skb_network_header(skb) + offset);
}

/* Whether the fixed part of a TCP header says that there is room for an option with an address. */
static inline bool may_carry_address(const struct tcphdr *tcp)
{
	return tcp->doff * 4 >= TCP_FIXED_HEADER + OPTION_ADDRESS_LENGTH;
}

struct endpoint {
	__be32 address;
	__be16 port;
};

/* The endpoint that an option of this kind names. */
static inline bool option_endpoint(const struct tcphdr *tcp, u8 kind, struct endpoint *found)
{
	const u8 *header = (const u8 *)tcp;
	unsigned int at;

	if (!may_carry_address(tcp))
		return false;
	at = option_find(header, tcp->doff * 4, TCP_FIXED_HEADER, kind, OPTION_ADDRESS_LENGTH);
	if (!at)
		return false;
	memcpy(&found->port, header + at + 2, sizeof(found->port));
	memcpy(&found->address, header + at + 4, sizeof(found->address));
	return true;
}

/* Overwrites part of a TCP header and mends the checksum, word by word: an option may begin at an odd place. */
static inline void tcp_overwrite(struct sk_buff *skb, struct tcphdr *tcp, unsigned int offset, const u8 *with,
				 unsigned int length)
{
	u8 *header = (u8 *)tcp;
	unsigned int word;

	for (word = offset & ~1u; word < offset + length; word += 2) {
		__be16 before, after;
		unsigned int i;

		memcpy(&before, header + word, 2);
		for (i = max(word, offset); i < min(word + 2, offset + length); i++)
			header[i] = with[i - offset];
		memcpy(&after, header + word, 2);
		inet_proto_csum_replace2(&tcp->check, skb, before, after, false);
	}
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

#endif
