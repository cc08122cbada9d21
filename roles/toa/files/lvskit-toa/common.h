/* SPDX-License-Identifier: GPL-2.0 */
/* What every module has: sets of addresses given as a parameter, and counters. */
#ifndef LVSKIT_COMMON_H
#define LVSKIT_COMMON_H

#include <linux/bsearch.h>
#include <linux/inet.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/netfilter.h>
#include <linux/percpu.h>
#include <linux/proc_fs.h>
#include <linux/rcupdate.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <net/net_namespace.h>

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
	for (i = 0; set && i < set->count && length < PAGE_SIZE - 1; i++)
		length += scnprintf(text + length, PAGE_SIZE - length, i ? ",%pI4" : "%pI4", &set->addresses[i]);
	rcu_read_unlock();
	return length + scnprintf(text + length, PAGE_SIZE - length, "\n");
}

/* The kernel calls it when nobody can reach the parameter's file any more, and when loading fails. */
static void address_set_param_free(void *where)
{
	kfree(rcu_dereference_protected(*(struct address_set __rcu **)where, true));
}

static const struct kernel_param_ops address_set_ops = {
	.set = address_set_param_set,
	.get = address_set_param_get,
	.free = address_set_param_free,
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

/* Shows the counters and hangs up the hooks; all of it or nothing. */
static inline int attach(int (*show)(struct seq_file *, void *), const struct nf_hook_ops *hooks, unsigned int count)
{
	int error;

	if (!proc_create_single(KBUILD_MODNAME, 0444, init_net.proc_net, show))
		return -ENOMEM;
	error = nf_register_net_hooks(&init_net, hooks, count);
	if (error)
		remove_proc_entry(KBUILD_MODNAME, init_net.proc_net);
	return error;
}

/* Takes them away again, and returns when no packet is in a hook any more. */
static inline void detach(const struct nf_hook_ops *hooks, unsigned int count)
{
	nf_unregister_net_hooks(&init_net, hooks, count);
	remove_proc_entry(KBUILD_MODNAME, init_net.proc_net);
	synchronize_rcu();
}

#endif
