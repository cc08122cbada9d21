/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a host between the two ends of a TCP connection may conclude from its segments (RFC 9293, RFC 5961), where the server's
 * end is this host or behind it: what the server sends is true, what seems to come from the client may be forged.
 *
 * A forger does not see what the server sends, so it cannot know sequence numbers. A connection is confirmed when the client
 * has acknowledged what the server has sent. It is closed when the server has reset it, when the client has done so with a
 * sequence number that the server expects, or when each end has acknowledged the other's FIN. No SYN changes anything: the
 * server's answer to it does.
 *
 * Nothing of the kernel in here: the same text is compiled for user space, where it is tested against a forger.
 */
#ifndef LVSKIT_TRACK_H
#define LVSKIT_TRACK_H

struct segment {
	unsigned int sequence, acknowledged; /* host byte order */
	unsigned int length; /* of the data */
	bool syn, fin, rst, ack;
};

enum phase {
	OPENING, /* the client has not shown that it gets what the server sends */
	OPEN,
	CLOSING, /* the server sends no more */
	CLOSED,
};

enum {
	ANSWERED = 1,
	CONFIRMED = 2,
	RESET = 4,
	CLIENT_FIN = 8,
	SERVER_FIN = 16,
	SERVER_FIN_ACKNOWLEDGED = 32,
};

struct track {
	unsigned int first; /* what the client acknowledges first: the number after the server's SYN, where that was seen */
	unsigned int sent; /* the number after what the server has sent */
	unsigned int expected; /* what the server expects of the client: its highest acknowledgement */
	unsigned int seen; /* the number after what the client has sent without a gap */
	unsigned int client_fin, server_fin; /* the numbers after each FIN */
	unsigned char flags;
	bool by_syn; /* it has begun with a SYN that the server has not answered with anything but its own */
};

static inline bool later(unsigned int one, unsigned int other)
{
	return (int)(one - other) > 0;
}

static inline bool within(unsigned int number, unsigned int from, unsigned int to)
{
	return number - from <= to - from;
}

/* The number after all that a segment takes up. */
static inline unsigned int end_of(const struct segment *segment)
{
	return segment->sequence + segment->length + segment->syn + segment->fin;
}

static inline enum phase phase_of(const struct track *track)
{
	unsigned char flags = track->flags;

	if (flags & RESET)
		return CLOSED;
	if (!(flags & CONFIRMED))
		return OPENING;
	if (!(flags & SERVER_FIN))
		return OPEN;
	if ((flags & CLIENT_FIN) && (flags & SERVER_FIN_ACKNOWLEDGED) && !later(track->client_fin, track->expected))
		return CLOSED;
	return CLOSING;
}

/* A segment that names the client as its source. */
static inline void track_client(struct track *track, const struct segment *segment)
{
	if (segment->syn || !(track->flags & ANSWERED))
		return;
	if (within(segment->sequence, track->expected, track->seen)) {
		unsigned int end = end_of(segment);

		if (segment->rst)
			track->flags |= RESET;
		else if (later(end, track->seen))
			track->seen = end;
		if (segment->fin && !segment->rst) {
			track->client_fin = end;
			track->flags |= CLIENT_FIN;
		}
	}
	if (segment->ack && !segment->rst && within(segment->acknowledged, track->first, track->sent)) {
		track->flags |= CONFIRMED;
		if ((track->flags & SERVER_FIN) && segment->acknowledged == track->server_fin)
			track->flags |= SERVER_FIN_ACKNOWLEDGED;
	}
}

/*
 * A segment of the server. A reset that answers a forged segment names a number that the forger has chosen, while the connection
 * goes on: it counts only where the client could have chosen it.
 */
static inline void track_server(struct track *track, const struct segment *segment)
{
	unsigned int end = end_of(segment);

	if (segment->rst) {
		if (!(track->flags & ANSWERED) || within(segment->sequence, track->first, track->sent))
			track->flags |= RESET;
		return;
	}
	if (!(track->flags & ANSWERED) || (segment->syn && segment->sequence + 1 != track->first)) {
		track->first = segment->sequence + segment->syn;
		track->sent = end;
		track->expected = track->seen = segment->acknowledged;
		track->flags = ANSWERED;
		track->by_syn = segment->syn;
	} else {
		if (later(end, track->sent))
			track->sent = end;
		if (later(segment->acknowledged, track->expected))
			track->expected = segment->acknowledged;
		if (later(track->expected, track->seen))
			track->seen = track->expected;
	}
	if (segment->fin) {
		track->server_fin = end;
		track->flags |= SERVER_FIN;
	}
}

#endif
