/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A table of connections. Each has two names: the outer one, of its packets as they arrive, and the inner one, by which this
 * host's stack knows it (in a table whose connections are owned by sockets they have no inner name).
 *
 * Memory is bounded by `most`. A full table takes in the new all the same: it forgets what is closed, then what nobody has
 * confirmed, the eldest first. An eighth of the table is for the latter whatever there is, so that a flood does not push a client out
 * between its SYN and its acknowledgement. A table that is `forgetful`, because it learns connections again from their next packet, gives
 * up established ones for it: the one that was silent longest, of LOOKED_AT. Any other grows by this eighth.
 *
 * The same text is compiled for user space, where it is tested: tests/modules.
 */
#ifndef LVSKIT_FLOWS_H
#define LVSKIT_FLOWS_H

#ifdef __KERNEL__
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/rhashtable.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#endif

#include "track.h"

#define UNCONFIRMED (60 * HZ) /* how long a connection may be without confirmation */
#define ENDING (120 * HZ)
#define ENDED_BY_RESET (10 * HZ)
#define SWEEP (10 * HZ)
#define SWEPT_AT_ONCE 4096
#define LOOKED_AT 8
#define FORGOTTEN_AT_ONCE 2
#define PORTS_TRIED 16
#define FIRST_FREE_PORT 1024
#define SHARE_OF_UNCONFIRMED 8 /* an eighth of the table is theirs */
#define SHARE_OF_OTHERS 8 /* namespaces of other users have an eighth of the table together */

/* The two ends of a connection. It serves as a key whose hash is over all of it, so there must be no gap. */
struct ends {
	__be32 peer, real;
	__be16 peer_port, real_port;
};

struct outer {
	struct ends ends;
	__be32 virtual; /* where packets say it */
	__be16 virtual_port;
	u16 nothing;
	u32 net; /* its number, where there is more than one */
};

struct flow {
	struct rhash_head by_outer, by_inner;
	struct list_head place; /* in one of the table's lists; in none, once it has ended */
	struct outer outer;
	struct ends inner;
	__be16 client_port; /* whatever the inner name has */
	u8 phase; /* enum phase, as the lists have it */
	bool of_others; /* of another user's namespace */
	spinlock_t lock; /* for `track` */
	unsigned int until; /* jiffies */
	union {
		struct track track;
		const void *owner; /* the socket */
	};
	struct rcu_head rcu;
};

struct flow_table {
	struct rhashtable outer, inner;
	spinlock_t lock; /* for what comes and goes, and for what follows */
	struct list_head lists[CLOSED + 1]; /* by phase; who came last is last */
	unsigned int unconfirmed; /* how many are OPENING */
	unsigned int of_others;
	bool forgetful;
	bool owned; /* a connection is a socket's: it has no inner name, and does not expire while it is established */
	unsigned long evicted; /* how many gave way to others */
	struct workqueue_struct *queue;
	struct delayed_work sweeper;
};

static const struct rhashtable_params outer_shape = {
	.key_len = sizeof(struct outer),
	.key_offset = offsetof(struct flow, outer),
	.head_offset = offsetof(struct flow, by_outer),
	.automatic_shrinking = true,
};
static const struct rhashtable_params inner_shape = {
	.key_len = sizeof(struct ends),
	.key_offset = offsetof(struct flow, inner),
	.head_offset = offsetof(struct flow, by_inner),
	.automatic_shrinking = true,
};

static inline struct flow *flow_of_outer(struct flow_table *table, const struct outer *outer)
{
	return rhashtable_lookup(&table->outer, outer, outer_shape);
}

static inline struct flow *flow_of_inner(struct flow_table *table, const struct ends *inner)
{
	return rhashtable_lookup(&table->inner, inner, inner_shape);
}

static inline unsigned int flow_count(struct flow_table *table)
{
	return atomic_read(&table->outer.nelems);
}

static inline unsigned int now(void)
{
	return (unsigned int)jiffies;
}

static inline bool flow_expired(const struct flow_table *table, const struct flow *flow)
{
	return later(now(), READ_ONCE(flow->until)) && !(table->owned && READ_ONCE(flow->phase) == OPEN);
}

/* Not more often than once a second: both ends' processors would write the same cache line for each packet. */
static inline void flow_lives(struct flow *flow, unsigned int ticks)
{
	unsigned int until = now() + ticks;

	if (until - READ_ONCE(flow->until) >= HZ)
		WRITE_ONCE(flow->until, until);
}

/* The table's lock is held. */
static inline void flow_remove(struct flow_table *table, struct flow *flow)
{
	if (list_empty(&flow->place))
		return;
	list_del_init(&flow->place);
	table->unconfirmed -= flow->phase == OPENING;
	rhashtable_remove_fast(&table->outer, &flow->by_outer, outer_shape);
	if (!table->owned)
		rhashtable_remove_fast(&table->inner, &flow->by_inner, inner_shape);
	table->of_others -= flow->of_others;
	kfree_rcu(flow, rcu);
}

static inline void flow_end(struct flow_table *table, struct flow *flow)
{
	spin_lock_bh(&table->lock);
	flow_remove(table, flow);
	spin_unlock_bh(&table->lock);
}

/* The established connection to forget, of a few that have been there long; the others go to the end of their list. */
static inline struct flow *flow_longest_silent(struct flow_table *table)
{
	struct flow *flow, *found = NULL;
	unsigned int i;

	for (i = 0; i < LOOKED_AT; i++) {
		flow = list_first_entry_or_null(&table->lists[OPEN], struct flow, place);
		if (!flow)
			break;
		list_move_tail(&flow->place, &table->lists[OPEN]);
		if (!found || later(found->until, flow->until))
			found = flow;
	}
	return found;
}

/* What gives way to a new connection; NULL when all there is must stay. */
static inline struct flow *flow_least(struct flow_table *table, unsigned int most)
{
	struct flow *flow = list_first_entry_or_null(&table->lists[CLOSED], struct flow, place);

	if (!flow && table->forgetful && table->unconfirmed < most / SHARE_OF_UNCONFIRMED) {
		flow = list_first_entry_or_null(&table->lists[CLOSING], struct flow, place);
		if (!flow)
			flow = flow_longest_silent(table);
	}
	if (!flow)
		flow = list_first_entry_or_null(&table->lists[OPENING], struct flow, place);
	if (!flow && table->forgetful)
		flow = flow_longest_silent(table);
	return flow;
}

/*
 * Room for one more where there may be so many, or -ENOSPC. After `most` was lowered the table shrinks as new ones come, by one
 * for each.
 */
static inline int flow_make_room(struct flow_table *table, unsigned int most)
{
	unsigned int i, gone = 0, theirs = most / SHARE_OF_UNCONFIRMED;

	if (!table->forgetful && table->unconfirmed < theirs)
		most += theirs;
	for (i = 0; i < FORGOTTEN_AT_ONCE && flow_count(table) >= most; i++) {
		struct flow *flow = flow_least(table, most);

		if (!flow)
			break;
		flow_remove(table, flow);
		table->evicted++;
		gone++;
	}
	return gone || flow_count(table) < most ? 0 : -ENOSPC;
}

/* 0; -EEXIST or -EADDRINUSE where there is another one of this outer or inner name; -ENOSPC; -ENOMEM. */
static inline int flow_add(struct flow_table *table, struct flow *flow, unsigned int most)
{
	int error;

	spin_lock_bh(&table->lock);
	error = flow->of_others && table->of_others >= most / SHARE_OF_OTHERS ? -ENOSPC : flow_make_room(table, most);
	if (error)
		goto out;
	if (!table->owned) {
		error = rhashtable_lookup_insert_fast(&table->inner, &flow->by_inner, inner_shape);
		if (error) {
			error = error == -EEXIST ? -EADDRINUSE : -ENOMEM;
			goto out;
		}
	}
	error = rhashtable_lookup_insert_fast(&table->outer, &flow->by_outer, outer_shape);
	if (error) {
		if (!table->owned)
			rhashtable_remove_fast(&table->inner, &flow->by_inner, inner_shape);
		error = error == -EEXIST ? -EEXIST : -ENOMEM;
		goto out;
	}
	list_add_tail(&flow->place, &table->lists[OPENING]);
	table->unconfirmed++;
	table->of_others += flow->of_others;
out:
	spin_unlock_bh(&table->lock);
	return error;
}

/*
 * Who has the inner name of a new connection gives it up when it is closed, or has only claimed to be in the midst of a
 * connection. Otherwise a connection that begins with a SYN takes another port, by which this host's stack then knows the client.
 * Whether to try again.
 */
static inline bool flow_give_way(struct flow_table *table, struct flow *flow)
{
	struct flow *holder = flow_of_inner(table, &flow->inner);
	u8 phase = holder ? READ_ONCE(holder->phase) : CLOSED;

	if (phase == CLOSED || (phase == OPENING && !READ_ONCE(holder->track.by_syn))) {
		if (holder)
			flow_end(table, holder);
		return true;
	}
	if (!flow->track.by_syn)
		return false;
	flow->inner.peer_port = htons(FIRST_FREE_PORT + get_random_u32() % (65536 - FIRST_FREE_PORT));
	return true;
}

/* A new connection, or an ERR_PTR: see flow_add(). Called under RCU. */
static inline struct flow *flow_begin(struct flow_table *table, const struct outer *outer, const struct ends *inner, bool syn,
				      bool of_others, unsigned int most)
{
	struct flow *flow = kzalloc(sizeof(*flow), GFP_ATOMIC);
	unsigned int tries = PORTS_TRIED;
	int error;

	if (!flow)
		return ERR_PTR(-ENOMEM);
	spin_lock_init(&flow->lock);
	INIT_LIST_HEAD(&flow->place);
	flow->outer = *outer;
	flow->inner = *inner;
	flow->client_port = inner->peer_port;
	flow->of_others = of_others;
	if (!table->owned)
		flow->track.by_syn = syn;
	flow->until = now() + UNCONFIRMED;
	do
		error = flow_add(table, flow, most);
	while (error == -EADDRINUSE && tries-- && flow_give_way(table, flow));
	if (!error)
		return flow;
	kfree(flow);
	if (error == -EEXIST) { /* another processor was faster */
		flow = flow_of_outer(table, outer);
		if (flow)
			return flow;
		error = -ENOMEM;
	}
	return ERR_PTR(error);
}

/* Puts a connection among those of its phase, for so many ticks. */
static inline void flow_settle(struct flow_table *table, struct flow *flow, enum phase phase, unsigned int ticks)
{
	spin_lock_bh(&table->lock);
	if (flow->phase != phase && !list_empty(&flow->place)) {
		list_move_tail(&flow->place, &table->lists[phase]);
		table->unconfirmed += (phase == OPENING) - (flow->phase == OPENING);
		WRITE_ONCE(flow->phase, phase);
		WRITE_ONCE(flow->until, now() + ticks);
	}
	spin_unlock_bh(&table->lock);
}

/* Takes a segment of a connection into account. `idle`: ticks for which an established one may be silent. */
static inline void flow_takes(struct flow_table *table, struct flow *flow, const struct segment *segment, bool from_server,
			      unsigned int idle)
{
	unsigned int ticks;
	enum phase phase;

	spin_lock_bh(&flow->lock);
	if (from_server)
		track_server(&flow->track, segment);
	else
		track_client(&flow->track, segment);
	phase = phase_of(&flow->track);
	ticks = phase == OPENING ? UNCONFIRMED : phase == OPEN ? idle : flow->track.flags & RESET ? ENDED_BY_RESET : ENDING;
	spin_unlock_bh(&flow->lock);
	if (READ_ONCE(flow->phase) != phase)
		flow_settle(table, flow, phase, ticks);
	else if (phase != OPENING) /* what nobody has confirmed does not live longer by packets */
		flow_lives(flow, ticks);
}

/* Seconds as ticks; as many as flow->until can tell. */
static inline unsigned int ticks_of(unsigned int seconds)
{
	return min_t(unsigned int, seconds, INT_MAX / HZ) * HZ;
}

static inline void flow_sweep(struct flow_table *table)
{
	unsigned int count = 0;
	struct rhashtable_iter iter;
	struct flow *flow;

	rhashtable_walk_enter(&table->outer, &iter);
	rhashtable_walk_start(&iter);
	while ((flow = rhashtable_walk_next(&iter))) {
		if (!IS_ERR(flow) && flow_expired(table, flow))
			flow_end(table, flow);
		if (++count % SWEPT_AT_ONCE == 0) {
			rhashtable_walk_stop(&iter);
			cond_resched();
			rhashtable_walk_start(&iter);
		}
	}
	rhashtable_walk_stop(&iter);
	rhashtable_walk_exit(&iter);
}

static inline void flow_sweeps(struct work_struct *work)
{
	struct flow_table *table = container_of(to_delayed_work(work), struct flow_table, sweeper);

	flow_sweep(table);
	queue_delayed_work(table->queue, &table->sweeper, SWEEP);
}

static inline int flow_table_begin(struct flow_table *table)
{
	unsigned int i;
	int error = -ENOMEM;

	spin_lock_init(&table->lock);
	for (i = 0; i < ARRAY_SIZE(table->lists); i++)
		INIT_LIST_HEAD(&table->lists[i]);
	table->queue = alloc_workqueue(KBUILD_MODNAME, WQ_UNBOUND, 1);
	if (!table->queue)
		return error;
	error = rhashtable_init(&table->outer, &outer_shape);
	if (error)
		goto no_outer;
	error = rhashtable_init(&table->inner, &inner_shape);
	if (error)
		goto no_inner;
	INIT_DELAYED_WORK(&table->sweeper, flow_sweeps);
	queue_delayed_work(table->queue, &table->sweeper, SWEEP);
	return 0;

no_inner:
	rhashtable_destroy(&table->outer);
no_outer:
	destroy_workqueue(table->queue);
	return error;
}

#ifdef __KERNEL__
static inline void flow_table_show(struct flow_table *table, struct seq_file *file)
{
	seq_printf(file, "evicted %lu\nconnections %u\n", READ_ONCE(table->evicted), flow_count(table));
	if (table->owned)
		seq_printf(file, "of_others %u\n", READ_ONCE(table->of_others));
}
#endif

static void flow_free(void *flow, void *unused)
{
	kfree(flow);
}

/* No hook sees the table any more. */
static inline void flow_table_end(struct flow_table *table)
{
	cancel_delayed_work_sync(&table->sweeper);
	destroy_workqueue(table->queue);
	rhashtable_destroy(&table->inner);
	rhashtable_free_and_destroy(&table->outer, flow_free, NULL);
}

#endif
