/*
 * As much of the kernel, in user space and for one thread, as the modules' flows.h needs. Memory is freed at once in place of after
 * a grace period, and one allocation of `fails_one_in` fails.
 */
#ifndef LVSKIT_TESTS_KERNEL_H
#define LVSKIT_TESTS_KERNEL_H

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16, __be16;
typedef uint32_t u32, __be32;
typedef uint64_t u64;

/* Ends the test where something is not so. */
#define CHECK(what)                                                                     \
	do {                                                                            \
		if (!(what)) {                                                          \
			printf("line %d: %s\n", __LINE__, #what);                       \
			exit(1);                                                        \
		}                                                                       \
	} while (0)

#define HZ 250
#define KBUILD_MODNAME "test"
#define GFP_ATOMIC 0
#define WQ_UNBOUND 0
#define READ_ONCE(x) (x)
#define WRITE_ONCE(x, value) ((x) = (value))
#define ARRAY_SIZE(x) (sizeof(x) / sizeof(*(x)))
#define min_t(type, a, b) ((type)(a) < (type)(b) ? (type)(a) : (type)(b))
#define container_of(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))
#define ERR_PTR(error) ((void *)(long)(error))
#define PTR_ERR(pointer) ((long)(pointer))
#define IS_ERR(pointer) ((unsigned long)(pointer) >= (unsigned long)-4095)
#define cond_resched() ((void)0)

static unsigned long __attribute__((unused)) jiffies = 0xffff0000; /* it wraps soon */
static unsigned int __attribute__((unused)) fails_one_in;

static inline u32 get_random_u32(void)
{
	return (u32)random() << 1 ^ (u32)random();
}

static inline void *kzalloc(size_t size, int flags)
{
	(void)flags;
	return fails_one_in && random() % fails_one_in == 0 ? NULL : calloc(1, size);
}
#define kfree free
#define kfree_rcu(pointer, member) free(pointer)

typedef struct {
	int counter;
} atomic_t;
#define atomic_read(a) ((a)->counter)

typedef bool spinlock_t;
static inline void spin_lock_init(spinlock_t *lock)
{
	*lock = false;
}
static inline void spin_lock_bh(spinlock_t *lock)
{
	if (*lock)
		abort(); /* it is held */
	*lock = true;
}
static inline void spin_unlock_bh(spinlock_t *lock)
{
	if (!*lock)
		abort();
	*lock = false;
}

struct rcu_head {
	void *unused[2];
};
struct list_head {
	struct list_head *next, *previous;
};
static inline void INIT_LIST_HEAD(struct list_head *list)
{
	list->next = list->previous = list;
}
static inline bool list_empty(const struct list_head *list)
{
	return list->next == list;
}
static inline void list_add_tail(struct list_head *entry, struct list_head *list)
{
	entry->previous = list->previous;
	entry->next = list;
	list->previous->next = entry;
	list->previous = entry;
}
static inline void list_del_init(struct list_head *entry)
{
	entry->previous->next = entry->next;
	entry->next->previous = entry->previous;
	INIT_LIST_HEAD(entry);
}
static inline void list_move_tail(struct list_head *entry, struct list_head *list)
{
	list_del_init(entry);
	list_add_tail(entry, list);
}
#define list_first_entry_or_null(list, type, member) \
	(list_empty(list) ? NULL : container_of((list)->next, type, member))

/* A hash table of fixed size; the walk notes all entries first, as entries go during a walk. */
struct rhash_head {
	struct rhash_head *next;
};
struct rhashtable_params {
	size_t key_len, key_offset, head_offset;
	bool automatic_shrinking;
};
struct rhashtable {
	atomic_t nelems;
	struct rhash_head *buckets[4096];
	const struct rhashtable_params *shape;
};
struct rhashtable_iter {
	void **entries;
	size_t at, count;
};

static inline struct rhash_head **rhashtable_place(struct rhashtable *table, const void *key, struct rhashtable_params shape)
{
	u32 hash = 2166136261;
	struct rhash_head **place;

	for (size_t i = 0; i < shape.key_len; i++)
		hash = (hash ^ ((const u8 *)key)[i]) * 16777619;
	for (place = &table->buckets[hash % 4096]; *place; place = &(*place)->next)
		if (!memcmp((char *)*place - shape.head_offset + shape.key_offset, key, shape.key_len))
			break;
	return place;
}
static inline int rhashtable_init(struct rhashtable *table, const struct rhashtable_params *shape)
{
	memset(table, 0, sizeof(*table));
	table->shape = shape;
	return 0;
}
static inline void *rhashtable_lookup(struct rhashtable *table, const void *key, struct rhashtable_params shape)
{
	struct rhash_head *found = *rhashtable_place(table, key, shape);

	return found ? (char *)found - shape.head_offset : NULL;
}
static inline int rhashtable_lookup_insert_fast(struct rhashtable *table, struct rhash_head *head, struct rhashtable_params shape)
{
	struct rhash_head **place = rhashtable_place(table, (char *)head - shape.head_offset + shape.key_offset, shape);

	if (*place)
		return -EEXIST;
	head->next = NULL;
	*place = head;
	table->nelems.counter++;
	return 0;
}
static inline int rhashtable_remove_fast(struct rhashtable *table, struct rhash_head *head, struct rhashtable_params shape)
{
	struct rhash_head **place = rhashtable_place(table, (char *)head - shape.head_offset + shape.key_offset, shape);

	if (*place != head)
		abort();
	*place = head->next;
	table->nelems.counter--;
	return 0;
}
static inline void rhashtable_walk_enter(struct rhashtable *table, struct rhashtable_iter *iter)
{
	*iter = (struct rhashtable_iter){ .entries = calloc(table->nelems.counter + 1, sizeof(void *)) };
	for (size_t i = 0; i < 4096; i++)
		for (struct rhash_head *head = table->buckets[i]; head; head = head->next)
			iter->entries[iter->count++] = (char *)head - table->shape->head_offset;
}
static inline void *rhashtable_walk_next(struct rhashtable_iter *iter)
{
	return iter->at < iter->count ? iter->entries[iter->at++] : NULL;
}
#define rhashtable_walk_start(iter) ((void)(iter))
#define rhashtable_walk_stop(iter) ((void)(iter))
static inline void rhashtable_walk_exit(struct rhashtable_iter *iter)
{
	free(iter->entries);
}
#define rhashtable_destroy(table) ((void)(table))
static inline void rhashtable_free_and_destroy(struct rhashtable *table, void (*give)(void *, void *), void *with)
{
	struct rhashtable_iter iter;
	void *entry;

	rhashtable_walk_enter(table, &iter);
	while ((entry = rhashtable_walk_next(&iter)))
		give(entry, with);
	rhashtable_walk_exit(&iter);
}

/* The test sweeps by itself. */
struct work_struct {
	int unused;
};
struct delayed_work {
	struct work_struct work;
};
struct workqueue_struct {
	int unused;
};
static inline struct workqueue_struct *alloc_workqueue(const char *name, int flags, int most)
{
	static struct workqueue_struct queue;

	(void)name, (void)flags, (void)most;
	return &queue;
}
#define destroy_workqueue(queue) ((void)(queue))
#define queue_delayed_work(queue, work, ticks) ((void)(queue), (void)(work), (void)(ticks))
#define cancel_delayed_work_sync(work) ((void)(work))
#define to_delayed_work(pointer) container_of(pointer, struct delayed_work, work)
#define INIT_DELAYED_WORK(entry, function) ((void)(entry), (void)(function))

#endif
