/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sets of addresses or of endpoints (address and port), given as a module's parameter, which can be changed while the module works:
 *
 *	192.0.2.1,192.0.2.2	these alone
 *	+192.0.2.3		these too
 *	-192.0.2.1,192.0.2.2	these not any more
 *	192.0.2.1:80		in a set of endpoints
 *
 * Each write(2) of a parameter ends at a page, so larger sets are changed in steps; of each step all is in force or nothing. What is
 * given when the module is loaded may be of any length.
 *
 * The same text is compiled for user space, where it is tested: tests/modules.
 */
#ifndef LVSKIT_SETS_H
#define LVSKIT_SETS_H

#ifdef __KERNEL__
#include <linux/inet.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/sort.h>
#endif

#include "endpoint.h"

#define LONGEST_MEMBER 24 /* ",255.255.255.255:65535", the end of the line, and a zero */

/* Sorted, each member once; replaced as a whole, read under RCU. */
struct endpoint_set {
	struct rcu_head rcu;
	unsigned int count;
	struct endpoint members[];
};

/* Its place among the members, as people sort addresses. */
static inline u64 rank(const struct endpoint *member)
{
	return (u64)ntohl(member->address) << 16 | ntohs(member->port);
}

static int compare_members(const void *a, const void *b)
{
	u64 x = rank(a), y = rank(b);

	return x < y ? -1 : y < x;
}

static inline bool set_has(const struct endpoint_set *set, __be32 address, __be16 port)
{
	u64 wanted = rank(&(struct endpoint){ .address = address, .port = port });
	unsigned int from = 0, to = set ? set->count : 0;

	while (from < to) {
		unsigned int middle = from + (to - from) / 2;
		u64 there = rank(&set->members[middle]);

		if (there == wanted)
			return true;
		if (there < wanted)
			from = middle + 1;
		else
			to = middle;
	}
	return false;
}

static inline bool set_has_address(const struct endpoint_set *set, __be32 address)
{
	return set_has(set, address, 0);
}

static struct endpoint_set *set_new(unsigned int room)
{
	return kvzalloc(struct_size((struct endpoint_set *)NULL, members, room), GFP_KERNEL);
}

static void set_sort(struct endpoint_set *set)
{
	unsigned int i, kept = 0;

	sort(set->members, set->count, sizeof(*set->members), compare_members, NULL);
	for (i = 0; i < set->count; i++)
		if (!i || rank(&set->members[i]) != rank(&set->members[i - 1]))
			set->members[kept++] = set->members[i];
	set->count = kept;
}

/* One member of a set, whose text ends at `end`; whether it is one. */
static bool member_parse(struct endpoint *member, const char *at, const char *end, bool with_port)
{
	const char *colon = memchr(at, ':', end - at);
	unsigned int port = 0;

	if (with_port != !!colon || !in4_pton(at, (colon ?: end) - at, (u8 *)&member->address, -1, NULL))
		return false;
	for (at = colon ? colon + 1 : end; at < end; at++) {
		if (*at < '0' || *at > '9')
			return false;
		port = port * 10 + *at - '0';
		if (port > 65535)
			return false;
	}
	member->port = htons(port);
	return with_port == !!port;
}

/* "192.0.2.1,192.0.2.2": the set, or an ERR_PTR. An empty text is an empty set. */
static struct endpoint_set *set_parse(const char *text, bool with_port)
{
	unsigned int room = 1, length = strlen(text);
	struct endpoint_set *set;
	const char *at;

	while (length && (text[length - 1] == '\n' || text[length - 1] == ' '))
		length--;
	for (at = text; at < text + length; at++)
		room += *at == ',';
	set = set_new(room);
	if (!set)
		return ERR_PTR(-ENOMEM);
	for (at = text; at < text + length; at++) {
		const char *end = at;

		while (end < text + length && *end != ',')
			end++;
		if (end + 1 == text + length || !member_parse(&set->members[set->count++], at, end, with_port)) {
			kvfree(set);
			return ERR_PTR(-EINVAL);
		}
		at = end;
	}
	set_sort(set);
	return set;
}

/* `older` with the members of `change`, or without them. */
static struct endpoint_set *set_changed(const struct endpoint_set *older, const struct endpoint_set *change, bool more)
{
	unsigned int i, count = older ? older->count : 0;
	struct endpoint_set *set = set_new(count + (more ? change->count : 0) + 1);

	if (!set)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < count; i++)
		if (more || !set_has(change, older->members[i].address, older->members[i].port))
			set->members[set->count++] = older->members[i];
	for (i = 0; more && i < change->count; i++)
		set->members[set->count++] = change->members[i];
	set_sort(set);
	return set;
}

static DEFINE_MUTEX(set_mutex);

static int set_change(const char *text, struct endpoint_set __rcu **where, bool with_port)
{
	bool changes = *text == '+' || *text == '-';
	struct endpoint_set *given = set_parse(text + changes, with_port), *new = given, *old;

	if (IS_ERR(given))
		return PTR_ERR(given);
	mutex_lock(&set_mutex);
	old = rcu_dereference_protected(*where, lockdep_is_held(&set_mutex));
	if (changes) {
		new = set_changed(old, given, *text == '+');
		kvfree(given);
	}
	if (!IS_ERR(new))
		rcu_assign_pointer(*where, new);
	mutex_unlock(&set_mutex);
	if (IS_ERR(new))
		return PTR_ERR(new);
	if (old)
		kvfree_rcu(old, rcu);
	return 0;
}

static int addresses_param_set(const char *text, const struct kernel_param *parameter)
{
	return set_change(text, parameter->arg, false);
}

static int endpoints_param_set(const char *text, const struct kernel_param *parameter)
{
	return set_change(text, parameter->arg, true);
}

/* As many as fit in a page. */
static int set_param_get(char *text, const struct kernel_param *parameter)
{
	struct endpoint_set __rcu **where = parameter->arg;
	const struct endpoint_set *set;
	int length = 0;
	unsigned int i;

	rcu_read_lock();
	set = rcu_dereference(*where);
	for (i = 0; set && i < set->count && length < PAGE_SIZE - LONGEST_MEMBER; i++) {
		length += scnprintf(text + length, PAGE_SIZE - length, i ? ",%pI4" : "%pI4", &set->members[i].address);
		if (set->members[i].port)
			length += scnprintf(text + length, PAGE_SIZE - length, ":%u", ntohs(set->members[i].port));
	}
	rcu_read_unlock();
	return length + scnprintf(text + length, PAGE_SIZE - length, "\n");
}

/* The kernel calls it when nobody can reach the parameter's file any more, and when loading fails. */
static void set_param_free(void *where)
{
	kvfree(rcu_dereference_protected(*(struct endpoint_set __rcu **)where, true));
}

static const struct kernel_param_ops addresses_ops = {
	.set = addresses_param_set,
	.get = set_param_get,
	.free = set_param_free,
};

static const struct kernel_param_ops __maybe_unused endpoints_ops = {
	.set = endpoints_param_set,
	.get = set_param_get,
	.free = set_param_free,
};

#endif
