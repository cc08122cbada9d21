/* Opens connections, each from a source address and port of its own, and sends again what is not answered: flood ADDRESS PORT
 * NUMBER OWN_ADDRESS... The kernel, which knows of none of them, resets what is answered. Prints how many were.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FIRST_PORT 1024
#define WINDOW 256	/* that wait for an answer at a time, so that no queue on the way overflows for long */
#define PATIENCE 100	/* ms without an answer until what is on its way counts as lost */
#define SECONDS 900

struct packet {
	struct iphdr ip;
	struct tcphdr tcp;
} __attribute__((packed));

typedef unsigned short __attribute__((may_alias)) word;

/* Of an even number of octets, after those that `sum` is of. */
static unsigned int sum_of(unsigned int sum, const void *data, int length)
{
	for (const word *next = data; length > 1; length -= 2)
		sum += *next++;
	return sum;
}

static unsigned short checksum(unsigned int sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static struct packet syn(int i, unsigned int source, const struct sockaddr_in *to, int addresses)
{
	struct packet p = {
		.ip = { .version = 4, .ihl = 5, .tot_len = htons(sizeof(p)), .ttl = 64, .protocol = IPPROTO_TCP },
		.tcp = { .dest = to->sin_port, .seq = htonl(i), .doff = 5, .syn = 1, .window = htons(64000) },
	};
	struct {
		unsigned int source, destination;
		unsigned char zero, protocol;
		unsigned short length;
	} pseudo = { .protocol = IPPROTO_TCP, .length = htons(sizeof(p.tcp)) };

	p.ip.saddr = pseudo.source = source;
	p.ip.daddr = pseudo.destination = to->sin_addr.s_addr;
	p.tcp.source = htons(FIRST_PORT + i / addresses % (65536 - FIRST_PORT));
	p.tcp.check = checksum(sum_of(sum_of(0, &pseudo, sizeof(pseudo)), &p.tcp, sizeof(p.tcp)));
	return p;
}

/* The connection that the next packet answers; -1 when none comes for a while, -2 for a packet of another kind. */
static int answered(int fd, const struct sockaddr_in *to, int number)
{
	struct pollfd waiting = { .fd = fd, .events = POLLIN };
	struct packet p;

	if (poll(&waiting, 1, PATIENCE) <= 0)
		return -1;
	if (recv(fd, &p, sizeof(p), 0) < (int)sizeof(p) || p.ip.ihl != 5 || p.ip.saddr != to->sin_addr.s_addr ||
	    p.tcp.source != to->sin_port || !p.tcp.syn || !p.tcp.ack)
		return -2;
	return ntohl(p.tcp.ack_seq) - 1 < (unsigned int)number ? (int)(ntohl(p.tcp.ack_seq) - 1) : -2;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int out = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	int in = socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
	int number = argc > 3 ? atoi(argv[3]) : 0, addresses = argc - 4, left = number, on_the_way = 0;
	unsigned int own[16];
	char *done = calloc(number + 1, 1);
	time_t until = time(NULL) + SECONDS;

	if (addresses < 1 || addresses > 16 || out < 0 || in < 0 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return 2;
	to.sin_port = htons(atoi(argv[2]));
	for (int i = 0; i < addresses; i++)
		inet_pton(AF_INET, argv[4 + i], &own[i]);
	for (int i = 0; left && time(NULL) < until; i = (i + 1) % number) {
		struct packet p = syn(i, own[i % addresses], &to, addresses);

		if (done[i])
			continue;
		while (sendto(out, &p, sizeof(p), 0, (struct sockaddr *)&to, sizeof(to)) < 0) {
			if (errno != ENOBUFS && errno != EAGAIN) {
				perror("sendto");
				return 1;
			}
			usleep(1000);
		}
		on_the_way++;
		while (on_the_way >= WINDOW || on_the_way >= left) {
			int which = answered(in, &to, number);

			if (which == -1)
				on_the_way = 0;
			else if (which >= 0) {
				left -= !done[which];
				done[which] = 1;
				on_the_way -= on_the_way > 0;
				if (!left)
					break;
			}
		}
	}
	printf("%d\n", number - left);
	return 0;
}
