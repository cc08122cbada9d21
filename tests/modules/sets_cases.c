/* Sets of addresses and of endpoints, as parameters of the modules change them (sets.h). */
#include "kernel.h"

#define GFP_KERNEL 0
#define PAGE_SIZE 4096
#define __rcu
#define __force
#define __maybe_unused __attribute__((unused))
#define kvzalloc kzalloc
#define kvfree free
#define kvfree_rcu(pointer, member) free(pointer)
#define struct_size(pointer, member, count) (sizeof(*(pointer)) + (count) * sizeof(*(pointer)->member))
#define DEFINE_MUTEX(name) int name
#define mutex_lock(mutex) ((*(mutex))++ ? abort() : (void)0)
#define mutex_unlock(mutex) ((*(mutex))-- == 1 ? (void)0 : abort())
#define lockdep_is_held(mutex) (*(mutex))
#define rcu_dereference_protected(pointer, held) (pointer)
#define rcu_dereference(pointer) (pointer)
#define rcu_assign_pointer(pointer, value) ((pointer) = (value))
#define rcu_read_lock() ((void)0)
#define rcu_read_unlock() ((void)0)
#define sort(base, count, size, compare, swap) qsort(base, count, size, compare)

struct kernel_param {
	void *arg;
};
struct kernel_param_ops {
	int (*set)(const char *, const struct kernel_param *);
	int (*get)(char *, const struct kernel_param *);
	void (*free)(void *);
};

static int in4_pton(const char *text, int length, u8 *into, int delimiter, const char **end)
{
	char copy[32];

	(void)delimiter, (void)end;
	if (length <= 0 || length >= (int)sizeof(copy))
		return 0;
	memcpy(copy, text, length);
	copy[length] = 0;
	return inet_pton(AF_INET, copy, into);
}

/* "%pI4" and ",%pI4" alone, ":%u", and "\n". */
static int scnprintf(char *text, size_t room, const char *format, ...)
{
	char name[32] = "\n";
	__builtin_va_list words;
	size_t length;

	__builtin_va_start(words, format);
	if (*format == ':') {
		sprintf(name, ":%u", __builtin_va_arg(words, unsigned int));
	} else if (*format != '\n') {
		char *at = name;

		if (*format == ',')
			*at++ = ',';
		inet_ntop(AF_INET, __builtin_va_arg(words, __be32 *), at, 20);
	}
	__builtin_va_end(words);
	if (!room)
		return 0;
	length = strlen(name) < room ? strlen(name) : room - 1;
	memcpy(text, name, length);
	text[length] = 0;
	return length;
}

#include "sets.h"

static struct endpoint_set *set, *endpoints;
static const struct kernel_param parameter = { .arg = &set }, of_endpoints = { .arg = &endpoints };

static int given(const char *text)
{
	char *copy = strdup(text); /* with nothing behind it that could be read */
	int error = addresses_param_set(copy, &parameter);

	free(copy);
	return error;
}

static int given_endpoints(const char *text)
{
	return endpoints_param_set(text, &of_endpoints);
}

static bool shows(const struct kernel_param *what, const char *text)
{
	char page[PAGE_SIZE];

	set_param_get(page, what);
	return !strcmp(page, text);
}

static bool shown(const char *text)
{
	return shows(&parameter, text);
}

static __be32 address(unsigned int number)
{
	return htonl(0x0a000000 + number * 7);
}

int main(void)
{
	enum { MANY = 10000 };
	char *text = malloc(MANY * 17), *at = text, page[PAGE_SIZE];

	CHECK(shown("\n"));
	CHECK(!given("192.0.2.2,192.0.2.1,192.0.2.2\n") && set->count == 2);
	CHECK(set_has_address(set, inet_addr("192.0.2.1")) && !set_has_address(set, inet_addr("192.0.2.3")));
	for (const char **wrong = (const char *[]){ "192.0.2", "192.0.2.1,", ",192.0.2.1", "192.0.2.1,,192.0.2.2", "x", "+", "+x",
						    "-192.0.2.1,x", "+ 192.0.2.1", "192.0.2.1 192.0.2.2", "192.0.2.1:80", NULL };
	     *wrong; wrong++)
		if (strcmp(*wrong, "+"))
			CHECK(given(*wrong) == -EINVAL && set->count == 2);
	CHECK(!given("+192.0.2.3,192.0.2.1") && set->count == 3);
	CHECK(!given("10.0.2.1,9.0.3.1,10.0.1.2") && shown("9.0.3.1,10.0.1.2,10.0.2.1\n") && !given("192.0.2.2,192.0.2.3,192.0.2.1"));
	CHECK(!given("-192.0.2.1,192.0.2.9") && set->count == 2 && !set_has_address(set, inet_addr("192.0.2.1")));
	CHECK(!given("+") && set->count == 2);
	CHECK(!given("\n") && set->count == 0 && shown("\n"));
	CHECK(!given("-192.0.2.1") && !given("+192.0.2.1") && shown("192.0.2.1\n"));

	CHECK(!given_endpoints("192.0.2.1:8080,192.0.2.1:80,192.0.2.1:80") && endpoints->count == 2);
	CHECK(set_has(endpoints, inet_addr("192.0.2.1"), htons(80)) && !set_has(endpoints, inet_addr("192.0.2.1"), htons(81)));
	CHECK(!set_has_address(endpoints, inet_addr("192.0.2.1")));
	for (const char **wrong = (const char *[]){ "192.0.2.1", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", ":80", "192.0.2.1:8x",
						    "192.0.2.1:80:81", "192.0.2.1:80,", "192.0.2:80", "192.0.2.1: 80", "+192.0.2.1",
						    "192.0.2.1:99999999999", NULL };
	     *wrong; wrong++)
		CHECK(given_endpoints(*wrong) == -EINVAL && endpoints->count == 2);
	CHECK(!given_endpoints("192.0.2.1:8080,192.0.2.1:443,192.0.2.1:80") &&
	      shows(&of_endpoints, "192.0.2.1:80,192.0.2.1:443,192.0.2.1:8080\n"));
	CHECK(!given_endpoints("-192.0.2.1:8080,192.0.2.1:443") && shows(&of_endpoints, "192.0.2.1:80\n"));
	CHECK(!given_endpoints("+192.0.2.1:65535,0.0.0.0:1") && endpoints->count == 3);
	CHECK(set_has(endpoints, inet_addr("192.0.2.1"), htons(65535)) && set_has(endpoints, 0, htons(1)));
	for (unsigned int port = 1; port < 1000; port++) {
		char name[32];

		sprintf(name, "+255.255.255.255:%u", port + 60000);
		CHECK(!given_endpoints(name));
	}
	CHECK(set_param_get(page, &of_endpoints) < PAGE_SIZE && strchr(page, '\n')); /* and nothing was written behind the page */
	endpoints_ops.free(&endpoints);

	for (unsigned int i = 0; i < MANY; i++) {
		__be32 one = address(i);
		char name[20];

		at += sprintf(at, "%s%s", i ? "," : "", inet_ntop(AF_INET, &one, name, sizeof(name)));
	}
	CHECK(!given(text) && set->count == MANY);
	for (unsigned int i = 0; i < MANY; i++)
		CHECK(set_has_address(set, address(i)) && !set_has_address(set, htonl(ntohl(address(i)) + 1)));
	CHECK(set_param_get(page, &parameter) < PAGE_SIZE && strchr(page, '\n'));

	fails_one_in = 1;
	CHECK(given("+192.0.2.1") == -ENOMEM && set->count == MANY);
	fails_one_in = 0;
	addresses_ops.free(&set);
	free(text);
	printf("all right\n");
	return 0;
}
