/*
 * Segments of many clients' connections, as a director sends them to a real server, or as clients send them to a director:
 *
 *	crowd INTERFACE MAC KIND FORM RATE FIRST NUMBER CLIENT CLIENTS OTHER PORT TO PORT
 *
 * KIND	open	the client's SYN, the server's answer, and its acknowledgement: the connection is established for who watches it
 *	syn	the SYN alone
 *	pin	the SYN, and after all of them a segment without flags for each
 * FORM	client	from the client alone
 *	forged	the same, with an option that names another client
 *	vip	from OTHER:PORT, the client in the option
 *	cip	from the client, OTHER:PORT in the option
 *	lip	from addresses from OTHER on, with the client's port; the client in the option
 *
 * CLIENT is the first of CLIENTS addresses; connections FIRST to FIRST + NUMBER have their ports in turn. RATE is packets per second
 * at most, 0: as many as go. The server's answers leave by a raw socket: this host must not answer itself. Prints packets and seconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netpacket/packet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FIRST_PORT 1024
#define PORTS 64000
#define OPTION 8
#define ANSWER 77 /* the server's first number */

struct packet {
	struct iphdr ip;
	struct tcphdr tcp;
	unsigned char option[OPTION];
} __attribute__((packed));

typedef unsigned short __attribute__((may_alias)) word;

static unsigned int sum_of(unsigned int sum, const void *data, int length)
{
	for (const word *next = data; length > 1; length -= 2)
		sum += *next++;
	return sum;
}

static unsigned short folded(unsigned int sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static int out, answers, rate;
static struct sockaddr_ll link_to;
static unsigned long sent;
static double begin;

static void finish(struct packet *p, bool option, struct sockaddr *to, size_t length, int by)
{
	struct {
		unsigned int source, destination;
		unsigned char zero, protocol;
		unsigned short length;
	} pseudo = { p->ip.saddr, p->ip.daddr, 0, IPPROTO_TCP, 0 };
	int size = sizeof(p->tcp) + (option ? OPTION : 0);

	p->ip.version = 4;
	p->ip.ihl = 5;
	p->ip.ttl = 64;
	p->ip.protocol = IPPROTO_TCP;
	p->ip.tot_len = htons(sizeof(p->ip) + size);
	p->ip.check = folded(sum_of(0, &p->ip, sizeof(p->ip)));
	p->tcp.doff = size / 4;
	p->tcp.window = htons(64000);
	pseudo.length = htons(size);
	p->tcp.check = folded(sum_of(sum_of(0, &pseudo, sizeof(pseudo)), &p->tcp, size));
	while (sendto(by, p, sizeof(p->ip) + size, 0, to, length) < 0) {
		if (errno != ENOBUFS && errno != EAGAIN) {
			perror("sendto");
			exit(1);
		}
		usleep(500);
	}
	sent++;
	while (rate && sent > (seconds() - begin) * rate)
		usleep(500);
}

int main(int argc, char **argv)
{
	if (argc != 14)
		return 2;
	const char *kind = argv[3], *form = argv[4];
	int first = atoi(argv[6]), number = atoi(argv[7]), clients = atoi(argv[9]);
	unsigned int client = ntohl(inet_addr(argv[8])), other = ntohl(inet_addr(argv[10]));
	unsigned short other_port = htons(atoi(argv[11]));
	bool option = strcmp(form, "client") != 0, pins = !strcmp(kind, "pin");
	struct ether_addr *mac = ether_aton(argv[2]);

	rate = atoi(argv[5]);
	out = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
	answers = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	link_to = (struct sockaddr_ll){ .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_halen = 6,
					.sll_ifindex = if_nametoindex(argv[1]) };
	if (out < 0 || answers < 0 || !mac || !link_to.sll_ifindex)
		return 2;
	memcpy(link_to.sll_addr, mac, 6);
	begin = seconds();
	for (int round = 0; round <= pins; round++) {
		for (int i = first; i < first + number; i++) {
			unsigned int its_address = htonl(client + i % clients);
			unsigned short its_port = htons(FIRST_PORT + i / clients % PORTS);
			struct packet p = { .ip.daddr = inet_addr(argv[12]), .tcp.dest = htons(atoi(argv[13])) };
			unsigned int named = its_address;
			unsigned short named_port = its_port;

			p.ip.saddr = its_address;
			p.tcp.source = its_port;
			if (!strcmp(form, "vip")) {
				p.ip.saddr = htonl(other);
				p.tcp.source = other_port;
			} else if (!strcmp(form, "cip")) {
				named = htonl(other);
				named_port = other_port;
			} else if (!strcmp(form, "lip")) {
				p.ip.saddr = htonl(other + i % clients);
			} else if (!strcmp(form, "forged")) {
				named = htonl(0x06060606);
			}
			p.option[0] = 254;
			p.option[1] = OPTION;
			memcpy(p.option + 2, &named_port, 2);
			memcpy(p.option + 4, &named, 4);
			p.tcp.seq = htonl(i);
			p.tcp.syn = !round;
			finish(&p, option, (struct sockaddr *)&link_to, sizeof(link_to), out);
			if (strcmp(kind, "open"))
				continue;
			struct packet answer = { .ip = { .saddr = p.ip.daddr, .daddr = its_address },
						 .tcp = { .source = p.tcp.dest, .dest = its_port, .syn = 1, .ack = 1,
							  .seq = htonl(ANSWER), .ack_seq = htonl(i + 1) } };
			struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = its_address };

			finish(&answer, false, (struct sockaddr *)&to, sizeof(to), answers);
			p.tcp.syn = 0;
			p.tcp.ack = 1;
			p.tcp.seq = htonl(i + 1);
			p.tcp.ack_seq = htonl(ANSWER + 1);
			p.tcp.check = p.ip.check = 0;
			finish(&p, option, (struct sockaddr *)&link_to, sizeof(link_to), out);
		}
	}
	printf("%lu %.3f\n", sent, seconds() - begin);
	return 0;
}
