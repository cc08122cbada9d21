/* Single cases of the modules' table of connections and of what they conclude from segments (flows.h, track.h). */
#include "kernel.h"

#include "flows.h"

#define IDLE (3600 * HZ)
static struct flow_table table;

static struct outer outer_of(unsigned int port, unsigned int virtual)
{
	return (struct outer){
		.ends = { .peer = htonl(0xc6336401), .real = htonl(0x0a14010b), .peer_port = htons(port), .real_port = htons(80) },
		.virtual = htonl(virtual),
	};
}

static struct flow *begin(unsigned int port, unsigned int virtual, bool syn, unsigned int most)
{
	struct outer outer = outer_of(port, virtual);

	return flow_begin(&table, &outer, &outer.ends, syn, false, most);
}

static enum phase takes(struct flow *flow, bool from_server, unsigned int sequence, unsigned int acknowledged, unsigned int length,
			const char *flags)
{
	struct segment segment = { .sequence = sequence, .acknowledged = acknowledged, .length = length,
				   .syn = strchr(flags, 'S'), .fin = strchr(flags, 'F'), .rst = strchr(flags, 'R'),
				   .ack = strchr(flags, 'A') };

	flow_takes(&table, flow, &segment, from_server, IDLE);
	return flow->phase;
}
#define client(flow, ...) takes(flow, false, __VA_ARGS__)
#define server(flow, ...) takes(flow, true, __VA_ARGS__)

/* The client's numbers begin at 100, the server's at 500. */
static struct flow *handshake(unsigned int port)
{
	struct flow *flow = begin(port, 1, true, 100);

	CHECK(client(flow, 100, 0, 0, "S") == OPENING);
	CHECK(server(flow, 500, 101, 0, "SA") == OPENING);
	return flow;
}

static struct flow *established(unsigned int port)
{
	struct flow *flow = handshake(port);

	CHECK(client(flow, 101, 501, 0, "A") == OPEN);
	return flow;
}

static void wait_for(unsigned int seconds)
{
	jiffies = (u32)(jiffies + seconds * HZ);
	flow_sweep(&table);
}

static void handshakes(void)
{
	struct flow *flow = handshake(1);

	CHECK(client(flow, 101, 500, 0, "A") == OPENING); /* nobody may acknowledge what was never sent */
	CHECK(client(flow, 101, 502, 0, "A") == OPENING);
	CHECK(client(flow, 101, 501, 0, "") == OPENING); /* without the flag it acknowledges nothing */
	CHECK(server(flow, 700, 0, 0, "R") == OPENING); /* the stack's answer to a forged acknowledgement of 700 */
	CHECK(server(flow, 501, 101, 0, "A") == OPENING); /* and to a forged segment outside of the window */
	CHECK(client(flow, 900, 0, 0, "R") == OPENING);
	CHECK(client(flow, 101, 501, 0, "A") == OPEN);
	CHECK(client(flow, 900, 0, 0, "S") == OPEN);
	CHECK(client(flow, 900, 0, 0, "R") == OPEN);
	CHECK(client(flow, 101, 0, 0, "R") == CLOSED);

	/* The client gives up a handshake: the number that the server expects. */
	flow = handshake(2);
	CHECK(client(flow, 101, 0, 0, "R") == CLOSED);

	/* A port without a listener. */
	flow = begin(3, 1, true, 100);
	CHECK(client(flow, 100, 0, 0, "S") == OPENING);
	CHECK(server(flow, 0, 101, 0, "RA") == CLOSED);

	/* A new connection after a closed one: the server's SYN says so. */
	CHECK(client(flow, 300, 0, 0, "S") == CLOSED);
	CHECK(server(flow, 800, 301, 0, "SA") == OPENING);
	CHECK(server(flow, 800, 301, 0, "SA") == OPENING);
	CHECK(client(flow, 301, 801, 0, "A") == OPEN);
	CHECK(server(flow, 800, 301, 0, "SA") == OPEN); /* the acknowledgement came late */
}

static void midstream(void)
{
	struct flow *flow = begin(1, 1, false, 100);

	CHECK(client(flow, 101, 501, 100, "A") == OPENING);
	CHECK(client(flow, 77, 0, 0, "R") == OPENING);
	CHECK(client(flow, 0, 0, 0, "RA") == OPENING); /* nothing is known of the numbers yet */
	CHECK(server(flow, 501, 201, 1000, "A") == OPENING);
	CHECK(client(flow, 201, 400, 0, "A") == OPENING); /* sent before */
	CHECK(client(flow, 201, 1501, 0, "A") == OPEN);
	/* A gap: the second segment arrives first, and both are acknowledged. */
	CHECK(client(flow, 301, 1501, 100, "A") == OPEN);
	CHECK(client(flow, 201, 1501, 100, "A") == OPEN);
	CHECK(server(flow, 1501, 401, 0, "A") == OPEN);
	CHECK(client(flow, 301, 0, 0, "R") == OPEN);
	CHECK(client(flow, 401, 0, 0, "R") == CLOSED);
}

static void endings(void)
{
	struct flow *flow = established(1);

	/* The server closes first. */
	CHECK(server(flow, 501, 101, 10, "FA") == CLOSING);
	CHECK(client(flow, 101, 511, 0, "A") == CLOSING); /* the data alone */
	CHECK(client(flow, 101, 511, 0, "FA") == CLOSING);
	CHECK(server(flow, 512, 102, 0, "A") == CLOSING); /* the server's FIN may be lost */
	CHECK(client(flow, 102, 512, 0, "A") == CLOSED);

	/* The client closes first, and the server goes on sending. */
	flow = established(2);
	CHECK(client(flow, 101, 501, 0, "FA") == OPEN);
	CHECK(server(flow, 501, 102, 10, "A") == OPEN);
	CHECK(client(flow, 102, 511, 0, "A") == OPEN);
	CHECK(server(flow, 511, 102, 0, "FA") == CLOSING);
	CHECK(client(flow, 102, 512, 0, "A") == CLOSED);

	/* The server's FIN is acknowledged, and the client goes on sending. */
	flow = established(3);
	CHECK(server(flow, 501, 101, 0, "FA") == CLOSING);
	CHECK(client(flow, 101, 502, 0, "A") == CLOSING);
	CHECK(client(flow, 101, 502, 100, "A") == CLOSING);
	CHECK(client(flow, 201, 502, 0, "FA") == CLOSING); /* and the server has not acknowledged its FIN */
	CHECK(server(flow, 502, 201, 0, "A") == CLOSING);
	CHECK(server(flow, 502, 202, 0, "A") == CLOSED);

	/* A forged FIN ends nothing. */
	flow = established(4);
	CHECK(client(flow, 5000, 501, 0, "FA") == OPEN);
	CHECK(server(flow, 501, 101, 0, "FA") == CLOSING);
	CHECK(client(flow, 101, 502, 0, "A") == CLOSING);

	/* A reset by the server. */
	flow = established(5);
	CHECK(server(flow, 501, 0, 0, "R") == CLOSED);
}

static void ages(void)
{
	wait_for(10000);
	CHECK(flow_count(&table) == 0);
	handshake(1);
	wait_for(59);
	CHECK(flow_count(&table) == 1);
	wait_for(2);
	CHECK(flow_count(&table) == 0);

	/* Segments that confirm nothing keep nothing. */
	{
		struct flow *flow = handshake(1);

		for (unsigned int i = 0; i < 3; i++) {
			wait_for(19);
			client(flow, 101, 900, 0, "A");
		}
		wait_for(5);
		CHECK(flow_count(&table) == 0);
	}
	/* An established connection lives by its packets. */
	{
		struct flow *flow = established(1);

		for (unsigned int i = 0; i < 3; i++) {
			wait_for(3599);
			CHECK(flow_count(&table) == 1);
			client(flow, 101, 501, 0, "A");
		}
		wait_for(3601);
		CHECK(flow_count(&table) == 0);
	}
	/* A closed one goes soon, and sooner after a reset. */
	{
		struct flow *flow = established(1);

		server(flow, 501, 101, 0, "FA");
		client(flow, 101, 502, 0, "FA");
		CHECK(server(flow, 502, 102, 0, "A") == CLOSED);
		server(established(2), 501, 0, 0, "R");
		wait_for(11);
		CHECK(flow_count(&table) == 1);
		wait_for(110);
		CHECK(flow_count(&table) == 0);
	}
}

/* Two virtual services with one RIP:rport. */
static void names(void)
{
	struct flow *first = handshake(1), *second = begin(1, 2, true, 100);
	struct ends inner = first->inner;

	CHECK(!IS_ERR(second) && first->inner.peer_port == htons(1) && second->inner.peer_port != htons(1));
	CHECK(second->inner.peer == first->inner.peer && second->client_port == htons(1));
	CHECK(ntohs(second->inner.peer_port) >= 1024);
	CHECK(PTR_ERR(begin(1, 3, false, 100)) == -EADDRINUSE); /* a segment without SYN cannot be a new connection's */
	CHECK(client(first, 101, 501, 0, "A") == OPEN);
	CHECK(PTR_ERR(begin(1, 3, false, 100)) == -EADDRINUSE);
	CHECK(begin(1, 2, true, 100) == second); /* it is known */
	CHECK(server(first, 501, 0, 0, "R") == CLOSED);
	CHECK(begin(1, 4, true, 100)->inner.peer_port == htons(1)); /* what is closed gives its name up */
	CHECK(flow_of_inner(&table, &inner)->outer.virtual == htonl(4));

	/* Who claims to be in the midst of a connection holds no name against another one that does. */
	first = begin(2, 1, false, 100);
	second = begin(2, 2, false, 100);
	CHECK(!IS_ERR(second) && second->inner.peer_port == htons(2));
	CHECK(flow_of_inner(&table, &second->inner) == second);
	second = begin(2, 3, true, 100);
	CHECK(!IS_ERR(second) && second->inner.peer_port == htons(2));
	/* Nor does a SYN that the server has answered as one does in an open connection. */
	second = begin(3, 1, true, 100);
	CHECK(server(second, 501, 101, 0, "A") == OPENING);
	CHECK(begin(3, 2, false, 100)->inner.peer_port == htons(3));

	/* A flow that has ended is not put into a list again. */
	second = begin(4, 1, true, 100);
	{
		struct flow copy = *second;

		INIT_LIST_HEAD(&copy.place);
		flow_end(&table, second);
		flow_settle(&table, &copy, OPEN, IDLE);
		CHECK(list_empty(&copy.place));
	}
	/* Two processors begin the same one: no inner name is left behind. */
	{
		struct outer outer = outer_of(5, 1);
		struct ends other = outer.ends;
		int count;

		first = begin(5, 1, true, 100);
		other.peer_port = htons(6);
		count = table.inner.nelems.counter;
		CHECK(flow_begin(&table, &outer, &other, true, false, 100) == first);
		CHECK(table.inner.nelems.counter == count);
	}
	wait_for(10000);
	CHECK(flow_count(&table) == 0 && table.inner.nelems.counter == 0);
}

static void full(void)
{
	struct flow *flow = established(1), *silent, *last;
	struct outer first = outer_of(2, 1), kept = flow->outer, quiet;

	for (unsigned int port = 2; port < 12; port++)
		CHECK(!IS_ERR(begin(port, 1, true, 10)));
	CHECK(flow_count(&table) == 10 && !flow_of_outer(&table, &first) && flow_of_outer(&table, &kept));
	/* A lower limit is reached by and by. */
	for (unsigned int port = 12; port < 20; port++)
		CHECK(!IS_ERR(begin(port, 1, true, 4)));
	CHECK(flow_count(&table) == 4 && flow_of_outer(&table, &kept));
	/* Only established ones: nothing new, unless the table learns them again. */
	wait_for(61);
	CHECK(flow_count(&table) == 1);
	silent = established(40);
	established(41);
	established(42);
	quiet = silent->outer;
	last = established(50);
	CHECK(PTR_ERR(begin(100, 1, true, 5)) == -ENOSPC);
	table.forgetful = true;
	wait_for(10);
	client(flow, 101, 501, 0, "A"); /* the others have been silent for longer */
	client(last, 101, 501, 0, "A");
	for (unsigned int port = 1; port < 50; port++) {
		struct outer outer = outer_of(port, 1);
		struct flow *other = flow_of_outer(&table, &outer);

		if (other && other != silent)
			client(other, 101, 501, 0, "A");
	}
	CHECK(!IS_ERR(begin(100, 1, true, 5)) && flow_of_outer(&table, &kept) && !flow_of_outer(&table, &quiet));
	table.forgetful = false;
	wait_for(10000);
	CHECK(flow_count(&table) == 0);
}

/* A flood leaves a client time for its handshake, also where all the table is of established connections. */
static void flooded(bool forgetful)
{
	enum { MOST = 80, EIGHTH = MOST / 8 };
	unsigned int forged = 1000, kept = 0;
	struct outer outer;
	struct flow *flow;

	table.forgetful = forgetful;
	for (unsigned int port = 1; port <= MOST; port++)
		established(port);
	for (unsigned int port = 200; port < 210; port++) {
		flow = begin(port, 1, true, MOST);
		outer = flow->outer;
		CHECK(client(flow, 100, 0, 0, "S") == OPENING);
		for (unsigned int i = 0; i < EIGHTH - 1; i++)
			CHECK(!IS_ERR(begin(forged++, 1, true, MOST)));
		CHECK(flow_of_outer(&table, &outer) == flow);
		CHECK(server(flow, 500, 101, 0, "SA") == OPENING);
		CHECK(table.unconfirmed <= EIGHTH);
		if (forgetful) {
			CHECK(client(flow, 101, 501, 0, "A") == OPEN);
			CHECK(flow_count(&table) == MOST);
		} else {
			CHECK(flow_count(&table) <= MOST + EIGHTH);
		}
	}
	for (unsigned int i = 0; i < 10 * MOST; i++)
		CHECK(!IS_ERR(begin(forged++, 1, true, MOST)));
	CHECK(table.unconfirmed == EIGHTH);
	for (unsigned int port = 1; port <= MOST; port++) {
		outer = outer_of(port, 1);
		kept += !!flow_of_outer(&table, &outer);
	}
	CHECK(kept >= (forgetful ? MOST - EIGHTH - 10 : MOST));
	table.forgetful = false;
	wait_for(10000);
	CHECK(flow_count(&table) == 0 && table.unconfirmed == 0);
}

/* As lvskit_toa_peer uses it. */
static void owned(void)
{
	struct outer outer = outer_of(1, 0);
	unsigned int taken = 0;
	struct flow *flow;

	flow_table_end(&table);
	table = (struct flow_table){ .owned = true };
	CHECK(!flow_table_begin(&table));
	flow = flow_begin(&table, &outer, &outer.ends, true, false, 80);
	flow_settle(&table, flow, OPEN, IDLE);
	wait_for(100000);
	CHECK(flow_count(&table) == 1);
	for (unsigned int net = 1; net < 30; net++) {
		outer.net = net;
		taken += !IS_ERR(flow_begin(&table, &outer, &outer.ends, true, true, 80));
	}
	CHECK(taken == 10 && table.of_others == 10);
	wait_for(61);
	CHECK(flow_count(&table) == 1 && table.of_others == 0);
	CHECK(ticks_of(10) == 10 * HZ && !later(now(), now() + ticks_of(UINT_MAX)));
}

int main(void)
{
	CHECK(!flow_table_begin(&table));
	handshakes();
	wait_for(10000);
	midstream();
	wait_for(10000);
	endings();
	ages();
	names();
	full();
	flooded(true);
	flooded(false);
	owned();
	flow_table_end(&table);
	printf("all right\n");
	return 0;
}
