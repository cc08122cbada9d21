/* SPDX-License-Identifier: GPL-2.0 */
/* What every module has: counters, and files in /proc/net that show them and its sets. */
#ifndef LVSKIT_COMMON_H
#define LVSKIT_COMMON_H

#include <linux/module.h>
#include <linux/netfilter.h>
#include <linux/percpu.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <net/net_namespace.h>

#include "sets.h"

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

/* A set and the name of its file, which shows one member a line: a parameter's own file ends at a page. */
struct shown_set {
	const char *name;
	struct endpoint_set __rcu **where;
};
#define SHOWN(set) { KBUILD_MODNAME "." #set, &set }

static inline int set_show(struct seq_file *file, void *unused)
{
	struct endpoint_set __rcu **where = file->private;
	const struct endpoint_set *set;
	unsigned int i;

	rcu_read_lock();
	set = rcu_dereference(*where);
	for (i = 0; set && i < set->count; i++) {
		seq_printf(file, "%pI4", &set->members[i].address);
		if (set->members[i].port)
			seq_printf(file, ":%u", ntohs(set->members[i].port));
		seq_putc(file, '\n');
	}
	rcu_read_unlock();
	return 0;
}

static inline void hide(const struct shown_set *sets, unsigned int count)
{
	remove_proc_entry(KBUILD_MODNAME, init_net.proc_net);
	while (count--)
		remove_proc_entry(sets[count].name, init_net.proc_net);
}

/* Files in /proc/net for the counters and for each set; all of them or none. */
static inline int show_in_proc(int (*counters)(struct seq_file *, void *), const struct shown_set *sets, unsigned int count)
{
	unsigned int i;

	if (!proc_create_single(KBUILD_MODNAME, 0444, init_net.proc_net, counters))
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		if (!proc_create_single_data(sets[i].name, 0444, init_net.proc_net, set_show, sets[i].where)) {
			hide(sets, i);
			return -ENOMEM;
		}
	}
	return 0;
}

/* Shows counters and sets, and hangs up the hooks; all of it or nothing. */
static inline int attach(int (*counters)(struct seq_file *, void *), const struct shown_set *sets, unsigned int number,
			 const struct nf_hook_ops *hooks, unsigned int count)
{
	int error = show_in_proc(counters, sets, number);

	if (error)
		return error;
	error = nf_register_net_hooks(&init_net, hooks, count);
	if (error) {
		synchronize_net(); /* a packet may be in one that was there for a moment */
		hide(sets, number);
	}
	return error;
}

/* Takes them away again, and returns when no packet is in a hook any more. */
static inline void detach(const struct shown_set *sets, unsigned int number, const struct nf_hook_ops *hooks, unsigned int count)
{
	nf_unregister_net_hooks(&init_net, hooks, count);
	hide(sets, number);
	synchronize_rcu();
}

#endif
