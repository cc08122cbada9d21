/*
 * Random TCP headers for option.h and header.h, each in memory of exactly its length. What is found is held against what a plain
 * reading of RFC 9293 finds; what is written, against a checksum that is made anew.
 *
 *	fuzz_header ROUNDS
 */
#include "kernel.h"

#define max(a, b) ((a) > (b) ? (a) : (b))
#define min(a, b) ((a) < (b) ? (a) : (b))

struct tcphdr {
	u16 source, dest;
	u32 seq, ack_seq;
	u8 reserved : 4, doff : 4;
	u8 flags;
	u16 window, check, urg_ptr;
};

struct sk_buff {
	int nothing;
};

static u16 folded(u32 sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void inet_proto_csum_replace2(u16 *check, struct sk_buff *skb, u16 before, u16 after, bool pseudo)
{
	(void)skb, (void)pseudo;
	*check = ~folded((u16)~*check + (u16)~before + after);
}

#include "header.h"

#define KIND 254
#undef CHECK /* with the round */
#define CHECK(what)                                                                              \
	do {                                                                                     \
		if (!(what)) {                                                                   \
			printf("round %ld, line %d: %s\n", round, __LINE__, #what);              \
			exit(1);                                                                 \
		}                                                                                \
	} while (0)

static unsigned int by_the_book(const u8 *header, unsigned int length)
{
	unsigned int at = 20;

	while (at < length && header[at] != 0) {
		if (header[at] == 1) {
			at += 1;
		} else {
			if (length - at < 2 || header[at + 1] < 2 || header[at + 1] > length - at)
				break;
			if (header[at] == KIND && header[at + 1] == 8)
				return at;
			at += header[at + 1];
		}
	}
	return 0;
}

static u16 sum_of(const u8 *header, unsigned int length)
{
	u32 sum = 0;

	for (unsigned int at = 0; at < length; at += 2) {
		u16 word;

		memcpy(&word, header + at, 2);
		sum += word;
	}
	return folded(sum);
}

/* All bytes of the options that have to be kept, in order: neither padding nor SACK, nor what nobody can read. */
static unsigned int kept(const u8 *header, unsigned int length, unsigned int from, u8 *found)
{
	unsigned int at = from, count = 0;

	while (at < length && header[at] != 0) {
		unsigned int its_length = 1;

		if (header[at] != 1) {
			if (length - at < 2 || header[at + 1] < 2 || header[at + 1] > length - at)
				break;
			its_length = header[at + 1];
			if (header[at] != OPTION_SACK) {
				memcpy(found + count, header + at, its_length);
				count += its_length;
			}
		}
		at += its_length;
	}
	return count;
}

int main(int count, char **words)
{
	static const u8 likely[] = { 0, 1, 1, 1, 2, 4, 5, 8, 8, 8, 10, 18, 254, 254 };
	long rounds = count > 1 ? atol(words[1]) : 0, found = 0, squeezed = 0, full = 0;
	struct sk_buff skb = {};

	srandom(2026);
	for (long round = 0; round < rounds; round++) {
		unsigned int length = 20 + 4 * (random() % 11), at;
		u8 *header = malloc(length), before[60], old[60], new[60];
		struct tcphdr *tcp = (struct tcphdr *)header;
		struct endpoint endpoint = { .address = get_random_u32(), .port = random() }, named;
		unsigned int old_count;
		u16 sum;

		for (unsigned int i = 0; i < length; i++)
			header[i] = random() % 4 ? likely[random() % sizeof(likely)] : random();
		if (random() % 2) /* whole options, which random bytes seldom are */
			for (unsigned int i = 20, its_length; i < length; i += its_length) {
				its_length = min(length - i, 2 + random() % 17);
				header[i] = its_length < 2 ? 1 : random() % 3 ? OPTION_SACK : 8;
				if (its_length >= 2)
					header[i + 1] = its_length;
			}
		tcp->doff = length / 4;

		at = option_find(header, length, 20, KIND, 8);
		CHECK(at == by_the_book(header, length));
		CHECK(!at || (at >= 20 && at + 8 <= length));
		CHECK(option_endpoint(tcp, KIND, &named) == (at != 0));
		found += at != 0;

		tcp->check = 0;
		tcp->check = ~sum_of(header, length);
		sum = sum_of(header, length);
		memcpy(before, header, length);
		old_count = kept(header, length, 20, old);
		if (length < 28)
			goto next;
		if (squeeze_option(&skb, tcp, KIND, &endpoint) < 0) {
			CHECK(!memcmp(header, before, length));
			CHECK(old_count + 8 > length - 20 || memchr(header + 20, OPTION_SACK, length - 20));
			full++;
			goto next;
		}
		CHECK(option_find(header, length, 20, KIND, 8) == 20);
		CHECK(option_endpoint(tcp, KIND, &named));
		CHECK(named.address == endpoint.address && named.port == endpoint.port);
		CHECK(sum_of(header, length) == sum || (sum_of(header, length) == 0xffff && !sum));
		CHECK(kept(header, length, 28, new) == old_count && !memcmp(old, new, old_count));
		CHECK(!memcmp(header, before, 16));
		squeezed++;
next:
		free(header);
	}
	printf("%ld headers, %ld with an option, %ld squeezed, %ld full\n", rounds, found, squeezed, full);
	return !(found && squeezed && full);
}
