// Body framing, strictly by RFC 9112 section 7: what the sender wrote as framing never reaches the receiver, only data
// does. Chunk extensions are read and dropped, trailers are checked and dropped (section 7.1.2 allows both).
#ifndef MIDPLANE_L7_BODY_H
#define MIDPLANE_L7_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Where a decoder stands in a message's body.
struct body {
	uint64_t left; // of the body (length), of the chunk (chunked)
	uint16_t extra; // bytes of this extension, or of all trailers
	uint8_t mode; // BODY_*
	uint8_t step;
	uint8_t digits;
	bool done;
};

void body_begin(struct body *b, uint8_t mode, uint64_t length);

// Reads up to the next piece of data. *start and *end say where that lies (equal: none). Gives how many bytes were
// read, the piece included, or -1 where the framing is broken. It stops before trailers. Call
// again with the rest until it is used up or b->done.
ptrdiff_t body_next(struct body *b, const uint8_t *bytes, size_t size, size_t *start, size_t *end);

// Whether the data is over, and what comes next is trailers up to their empty line.
bool body_behind(const struct body *b);

#endif
