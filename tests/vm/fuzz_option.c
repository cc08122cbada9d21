/*
 * Random TCP headers for option_find(), each right before a page that must not be read; what it finds is held against what a
 * plain reading of RFC 9293 finds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "option.h"

static unsigned int by_the_book(const unsigned char *header, unsigned int length, unsigned char kind)
{
	unsigned int at = 20;

	while (at < length && header[at] != 0) {
		if (header[at] == 1) {
			at += 1;
		} else {
			if (length - at < 2 || header[at + 1] < 2 || header[at + 1] > length - at)
				break;
			if (header[at] == kind && header[at + 1] == 8)
				return at;
			at += header[at + 1];
		}
	}
	return 0;
}

int main(int count, char **words)
{
	long page = sysconf(_SC_PAGESIZE), rounds = count > 1 ? atol(words[1]) : 100000, found = 0;
	unsigned char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED || mprotect(pages + page, page, PROT_NONE))
		return 2;
	srandom(2026);
	for (long round = 0; round < rounds; round++) {
		unsigned int length = 20 + 4 * (random() % 11), at;
		unsigned char *header = pages + page - length;
		static const unsigned char likely[] = { 0, 1, 1, 1, 2, 4, 8, 8, 8, 10, 254, 254 };

		for (unsigned int i = 0; i < length; i++)
			header[i] = random() % 4 ? likely[random() % sizeof(likely)] : random();
		at = option_find(header, length, 20, 254, 8);
		if (at != by_the_book(header, length, 254)) {
			printf("round %ld: found %u\n", round, at);
			return 1;
		}
		if (at && (at < 20 || at + 8 > length))
			return 1;
		found += at != 0;
	}
	printf("%ld headers, %ld with an option\n", rounds, found);
	return 0;
}
