/*
 * Clients, a server and a forger on either side of the modules' table of connections (flows.h).
 *
 *	flows_model SEED ROUNDS MOST FORGETFUL FAILING
 *
 * MOST: connections that the table may have. FORGETFUL: 1 as lvskit_ctk's, 0 as lvskit_restore's. FAILING: one allocation of so many
 * fails, 0 for none. The clients and the server speak TCP as RFC 9293 and RFC 5961 have it, without loss. The forger uses the
 * clients' addresses and ports, and guesses numbers. After each round every established connection must have the place it had,
 * and each new client must be served.
 */
#include "kernel.h"

#include "flows.h"

#define CLIENTS 48
#define ADDRESSES 3
#define PORTS 6
#define VIRTUALS 3
#define SOCKETS 512
#define IDLE (3600 * HZ)

static struct flow_table table;
static unsigned int most, failing;
static bool strained; /* a forgetful table of fewer places than there are clients gives one to whoever speaks */
static unsigned long opened, forged, others, refused;

/* The server's end of a connection. */
struct socket {
	struct ends ends;
	bool used, established, fin_sent, fin_taken;
	u32 sent, taken, oldest; /* the next numbers of either side; what is not acknowledged */
	unsigned long since;
};
static struct socket sockets[SOCKETS];

/* The client's end. */
struct client {
	struct outer outer;
	struct ends inner; /* since it is established */
	bool used, established, fin_sent, fin_taken;
	u32 sent, taken;
};
static struct client clients[CLIENTS];

static void to_server(const struct outer *outer, const struct segment *segment);

static struct socket *socket_of(const struct ends *ends)
{
	for (unsigned int i = 0; i < SOCKETS; i++)
		if (sockets[i].used && !memcmp(&sockets[i].ends, ends, sizeof(*ends)))
			return &sockets[i];
	return NULL;
}

static struct client *client_of(const struct outer *outer)
{
	for (unsigned int i = 0; i < CLIENTS; i++)
		if (clients[i].used && !memcmp(&clients[i].outer, outer, sizeof(*outer)))
			return &clients[i];
	return NULL;
}

static void client_takes(const struct outer *outer, const struct segment *segment)
{
	struct client *client = client_of(outer);
	struct segment answer = { .sequence = segment->acknowledged, .rst = true };

	if (!client) {
		if (segment->ack && !segment->rst)
			to_server(outer, &answer);
		return;
	}
	if (segment->rst) {
		if (segment->sequence == client->taken || (!client->established && segment->acknowledged == client->sent))
			client->used = false;
		return;
	}
	answer = (struct segment){ .ack = true };
	if (!client->established) {
		if (segment->acknowledged != client->sent) {
			answer = (struct segment){ .sequence = segment->acknowledged, .rst = true };
			to_server(outer, &answer);
			return;
		}
		if (!segment->syn)
			return;
		client->established = true;
		client->taken = segment->sequence + 1;
	} else if (segment->sequence != client->taken) {
		return;
	} else {
		client->taken += segment->length + segment->fin;
		client->fin_taken |= segment->fin;
		if (!segment->length && !segment->fin)
			return;
	}
	answer.sequence = client->sent;
	answer.acknowledged = client->taken;
	to_server(outer, &answer);
}

/* A segment of the server's stack through the module. */
static void from_server(const struct ends *inner, struct segment segment)
{
	struct flow *flow = flow_of_inner(&table, inner);
	struct outer outer;

	if (!flow)
		return; /* it leaves as it is, and is stopped there */
	outer = flow->outer;
	flow_takes(&table, flow, &segment, true, IDLE);
	client_takes(&outer, &segment);
}

static void acknowledge(const struct socket *socket)
{
	from_server(&socket->ends,
		    (struct segment){ .sequence = socket->sent, .acknowledged = socket->taken, .ack = true });
}

static void server_takes(const struct ends *ends, const struct segment *segment)
{
	struct socket *socket = socket_of(ends);

	if (!socket) {
		if (segment->rst)
			return;
		if (segment->ack) {
			from_server(ends, (struct segment){ .sequence = segment->acknowledged, .rst = true });
			return;
		}
		if (!segment->syn)
			return;
		socket = &sockets[random() % SOCKETS];
		while (socket->used && socket->established) /* handshakes give way to each other */
			socket = &sockets[(socket - sockets + 1) % SOCKETS];
		*socket = (struct socket){ .ends = *ends, .used = true, .taken = segment->sequence + 1, .since = jiffies };
		socket->oldest = get_random_u32();
		socket->sent = socket->oldest + 1;
	}
	if (segment->rst) {
		if (segment->sequence == socket->taken)
			socket->used = false;
		else if (socket->established && within(segment->sequence, socket->taken, socket->taken + 65535))
			acknowledge(socket);
		return;
	}
	if (segment->syn) {
		if (!socket->established && segment->sequence + 1 == socket->taken)
			from_server(ends, (struct segment){ .sequence = socket->sent - 1, .acknowledged = socket->taken,
							    .syn = true, .ack = true });
		else
			acknowledge(socket);
		return;
	}
	if (!segment->ack)
		return;
	if (segment->sequence != socket->taken) {
		acknowledge(socket);
		return;
	}
	if (!socket->established) {
		if (segment->acknowledged != socket->sent) {
			from_server(ends, (struct segment){ .sequence = segment->acknowledged, .rst = true });
			return;
		}
		socket->established = true;
	}
	if (!within(segment->acknowledged, socket->oldest, socket->sent)) {
		if (later(segment->acknowledged, socket->sent))
			acknowledge(socket);
		return;
	}
	socket->oldest = segment->acknowledged;
	socket->taken += segment->length + segment->fin;
	socket->fin_taken |= segment->fin;
	if (segment->length || segment->fin)
		acknowledge(socket);
}

/* A segment of a client, or of who says so, through the module. */
static void to_server(const struct outer *outer, const struct segment *segment)
{
	struct flow *flow = flow_of_outer(&table, outer);
	struct ends inner;

	if (!flow)
		flow = flow_begin(&table, outer, &outer->ends, segment->syn, false, most);
	if (IS_ERR(flow)) {
		refused += PTR_ERR(flow) == -ENOSPC;
		return;
	}
	inner = flow->inner;
	flow_takes(&table, flow, segment, false, IDLE);
	server_takes(&inner, segment);
}

static struct outer any_end(void)
{
	return (struct outer){
		.ends = {
			.peer = htonl(0xc6336401 + random() % ADDRESSES),
			.real = htonl(0x0a14010b),
			.peer_port = htons(20000 + random() % PORTS),
			.real_port = htons(80),
		},
		.virtual = htonl(0xcb007150 + random() % VIRTUALS),
		.virtual_port = htons(80),
	};
}

static void client_sends(struct client *client, struct segment segment)
{
	struct outer outer = client->outer;

	segment.sequence = client->sent;
	segment.acknowledged = client->taken;
	client->sent += segment.length + segment.syn + segment.fin;
	to_server(&outer, &segment);
}

static void open_one(void)
{
	struct client *client = &clients[random() % CLIENTS];
	struct outer outer = any_end();

	if (client->used || client_of(&outer))
		return;
	*client = (struct client){ .outer = outer, .used = true, .sent = get_random_u32() };
	for (unsigned int tries = 0; tries < 4 && client->used && !client->established; tries++) {
		client->sent -= tries ? 1 : 0;
		client_sends(client, (struct segment){ .syn = true });
	}
	if (!client->established) {
		CHECK(failing || refused);
		client->used = false;
		return;
	}
	client->inner = flow_of_outer(&table, &outer)->inner;
	CHECK(client->inner.peer == outer.ends.peer);
	others += client->inner.peer_port != outer.ends.peer_port;
	opened++;
}

static void server_sends(struct client *client, struct segment segment)
{
	struct socket *socket = socket_of(&client->inner);

	segment.sequence = socket->sent;
	segment.acknowledged = socket->taken;
	segment.ack = true;
	socket->sent += segment.length + segment.fin;
	socket->fin_sent |= segment.fin;
	from_server(&client->inner, segment);
}

static void close_one(struct client *client, bool server_first)
{
	struct outer outer = client->outer;
	struct ends inner = client->inner;
	struct flow *flow;

	for (int turn = 0; turn < 2; turn++) {
		if ((turn == 0) == server_first)
			server_sends(client, (struct segment){ .fin = true });
		else
			client_sends(client, (struct segment){ .fin = true, .ack = true });
	}
	CHECK(client->fin_taken && socket_of(&inner)->fin_taken);
	flow = flow_of_outer(&table, &outer);
	CHECK(flow && flow->phase == CLOSED);
	client->used = false;
	socket_of(&inner)->used = false;
}

static void reset_one(struct client *client, bool by_server)
{
	struct outer outer = client->outer;
	struct ends inner = client->inner;
	struct socket *socket = socket_of(&inner);
	struct segment segment = { .rst = true, .sequence = by_server ? socket->sent : client->sent };

	if (by_server) {
		socket->used = false;
		from_server(&inner, segment);
	} else {
		client->used = false;
		to_server(&outer, &segment);
	}
	CHECK(!client->used && !socket_of(&inner));
	CHECK(flow_of_outer(&table, &outer)->phase == CLOSED);
}

/* Its machine has died. The server notices after a while. */
static void die(struct client *client)
{
	struct socket *socket = socket_of(&client->inner);

	client->used = false;
	if (socket && (strained || random() % 2))
		socket->used = false;
}

static void forge(void)
{
	static const unsigned int likely[] = { 0, 0, 1, 100, 1460, 70000 };
	struct segment segment = {
		.sequence = get_random_u32(), .acknowledged = get_random_u32(), .length = likely[random() % 6],
		.syn = random() % 3 == 0, .fin = random() % 4 == 0, .rst = random() % 4 == 0, .ack = random() % 2,
	};
	struct outer outer = any_end();

	if (random() % 8 == 0) { /* from anywhere, as a flood does */
		outer.ends.peer = get_random_u32();
		segment = (struct segment){ .sequence = segment.sequence, .syn = random() % 2 };
	}
	to_server(&outer, &segment);
	forged++;
}

static void check(void)
{
	for (unsigned int i = 0; i < CLIENTS && !strained; i++) {
		struct client *client = &clients[i];
		struct flow *flow;

		if (!client->used)
			continue;
		flow = flow_of_outer(&table, &client->outer);
		CHECK(flow && !memcmp(&flow->inner, &client->inner, sizeof(struct ends)));
		CHECK(flow_of_inner(&table, &client->inner) == flow);
		CHECK(flow->phase == OPEN);
		CHECK(socket_of(&client->inner)->taken == client->sent);
	}
	CHECK(flow_count(&table) <= most + (table.forgetful ? 0 : most / SHARE_OF_UNCONFIRMED));
	CHECK((unsigned int)table.inner.nelems.counter == flow_count(&table));
	CHECK(!table.forgetful || !refused);
}

static void time_passes(unsigned int seconds)
{
	jiffies = (u32)(jiffies + seconds * HZ);
	flow_sweep(&table);
	for (unsigned int i = 0; i < SOCKETS; i++)
		if (sockets[i].used && !sockets[i].established && later((u32)jiffies, (u32)sockets[i].since + 63 * HZ))
			sockets[i].used = false;
}

int main(int count, char **words)
{
	if (count != 6)
		return 2;
	srandom(atoi(words[1]));
	most = atoi(words[3]);
	table.forgetful = atoi(words[4]);
	failing = atoi(words[5]);
	strained = table.forgetful && most < CLIENTS;
	CHECK(!flow_table_begin(&table));
	for (long round = 0; round < atol(words[2]); round++) {
		struct client *client = &clients[random() % CLIENTS];
		unsigned int what = random() % 16;

		if (strained && what >= 4 && what < 10)
			what = 10;
		fails_one_in = failing;
		if (what < 4)
			open_one();
		else if (client->used && what < 6)
			client_sends(client, (struct segment){ .length = 1 + random() % 3000, .ack = true });
		else if (client->used && what < 8)
			server_sends(client, (struct segment){ .length = 1 + random() % 3000 });
		else if (client->used && what == 8)
			close_one(client, random() % 2);
		else if (client->used && what == 9)
			reset_one(client, random() % 2);
		else if (client->used && what == 10)
			die(client);
		else if (what == 11)
			time_passes(random() % 30);
		else
			for (unsigned int i = 0; i < 20; i++)
				forge();
		if (!failing || round % 16 == 0)
			check();
	}
	/* Nothing lives for ever. */
	fails_one_in = 0;
	for (unsigned int i = 0; i < 20; i++)
		time_passes(600);
	CHECK(flow_count(&table) == 0);
	CHECK(list_empty(&table.lists[OPENING]) && list_empty(&table.lists[OPEN]) && list_empty(&table.lists[CLOSED]));
	forge();
	flow_table_end(&table);
	printf("opened %lu, by another port %lu, forged %lu, evicted %lu, refused %lu\n", opened, others, forged, table.evicted,
	       refused);
	return 0;
}
