/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sets of addresses, given as a module's parameter, which can be changed while the module works:
 *
 *	192.0.2.1,192.0.2.2	these alone
 *	+192.0.2.3		these too
 *	-192.0.2.1,192.0.2.2	not these any more
 *
 * Each write(2) of a parameter ends at a page, so larger sets are changed in steps; of each step all is in force or nothing. What is
 * given when the module is loaded may be of any length.
 *
 * The same text is compiled for user space, where it is tested: tests/modules.
 */
#ifndef LVSKIT_ADDRESSES_H
#define LVSKIT_ADDRESSES_H

#ifdef __KERNEL__
#include <linux/inet.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/sort.h>
#endif

/* Sorted, each once; replaced as a whole, read under RCU. */
struct address_set {
	struct rcu_head rcu;
	unsigned int count;
	__be32 addresses[];
};

static inline bool address_below(__be32 one, __be32 other)
{
	return (__force u32)one < (__force u32)other;
}

static int compare_addresses(const void *a, const void *b)
{
	__be32 x = *(const __be32 *)a, y = *(const __be32 *)b;

	return address_below(x, y) ? -1 : address_below(y, x);
}

static inline bool address_set_has(const struct address_set *set, __be32 address)
{
	unsigned int from = 0, to = set ? set->count : 0;

	while (from < to) {
		unsigned int middle = from + (to - from) / 2;

		if (set->addresses[middle] == address)
			return true;
		if (address_below(set->addresses[middle], address))
			from = middle + 1;
		else
			to = middle;
	}
	return false;
}

static struct address_set *address_set_new(unsigned int room)
{
	return kvzalloc(struct_size((struct address_set *)NULL, addresses, room), GFP_KERNEL);
}

static void address_set_sort(struct address_set *set)
{
	unsigned int i, kept = 0;

	sort(set->addresses, set->count, sizeof(__be32), compare_addresses, NULL);
	for (i = 0; i < set->count; i++)
		if (!i || set->addresses[i] != set->addresses[i - 1])
			set->addresses[kept++] = set->addresses[i];
	set->count = kept;
}

/* "192.0.2.1,192.0.2.2": the addresses, or an ERR_PTR. An empty text is an empty set. */
static struct address_set *address_set_parse(const char *text)
{
	unsigned int room = 1, length = strlen(text);
	struct address_set *set;
	const char *at;

	while (length && (text[length - 1] == '\n' || text[length - 1] == ' '))
		length--;
	for (at = text; at < text + length; at++)
		room += *at == ',';
	set = address_set_new(room);
	if (!set)
		return ERR_PTR(-ENOMEM);
	for (at = text; at < text + length; at++) {
		const char *end = at;

		while (end < text + length && *end != ',')
			end++;
		if (end + 1 == text + length || !in4_pton(at, end - at, (u8 *)&set->addresses[set->count++], -1, NULL)) {
			kvfree(set);
			return ERR_PTR(-EINVAL);
		}
		at = end;
	}
	address_set_sort(set);
	return set;
}

/* `older` with the addresses of `change`, or without them. */
static struct address_set *address_set_changed(const struct address_set *older, const struct address_set *change, bool more)
{
	unsigned int i, count = older ? older->count : 0;
	struct address_set *set = address_set_new(count + (more ? change->count : 0) + 1);

	if (!set)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < count; i++)
		if (more || !address_set_has(change, older->addresses[i]))
			set->addresses[set->count++] = older->addresses[i];
	for (i = 0; more && i < change->count; i++)
		set->addresses[set->count++] = change->addresses[i];
	address_set_sort(set);
	return set;
}

static DEFINE_MUTEX(address_set_mutex);

static int address_set_param_set(const char *text, const struct kernel_param *parameter)
{
	struct address_set __rcu **where = parameter->arg;
	bool changes = *text == '+' || *text == '-';
	struct address_set *given = address_set_parse(text + changes), *new = given, *old;

	if (IS_ERR(given))
		return PTR_ERR(given);
	mutex_lock(&address_set_mutex);
	old = rcu_dereference_protected(*where, lockdep_is_held(&address_set_mutex));
	if (changes) {
		new = address_set_changed(old, given, *text == '+');
		kvfree(given);
	}
	if (!IS_ERR(new))
		rcu_assign_pointer(*where, new);
	mutex_unlock(&address_set_mutex);
	if (IS_ERR(new))
		return PTR_ERR(new);
	if (old)
		kvfree_rcu(old, rcu);
	return 0;
}

/* As many as fit in a page. */
static int address_set_param_get(char *text, const struct kernel_param *parameter)
{
	struct address_set __rcu **where = parameter->arg;
	const struct address_set *set;
	int length = 0;
	unsigned int i;

	rcu_read_lock();
	set = rcu_dereference(*where);
	for (i = 0; set && i < set->count && length < PAGE_SIZE - 17; i++)
		length += scnprintf(text + length, PAGE_SIZE - length, i ? ",%pI4" : "%pI4", &set->addresses[i]);
	rcu_read_unlock();
	return length + scnprintf(text + length, PAGE_SIZE - length, "\n");
}

/* The kernel calls it when nobody can reach the parameter's file any more, and when loading fails. */
static void address_set_param_free(void *where)
{
	kvfree(rcu_dereference_protected(*(struct address_set __rcu **)where, true));
}

static const struct kernel_param_ops address_set_ops = {
	.set = address_set_param_set,
	.get = address_set_param_get,
	.free = address_set_param_free,
};

#endif
