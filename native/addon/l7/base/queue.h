// Bytes that wait; no memory while there are none. What all of an engine keep is counted (engine.held). In sock.c.
#ifndef MIDPLANE_L7_QUEUE_H
#define MIDPLANE_L7_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine;

struct queue {
	uint8_t *data;
	uint32_t start, end, size;
};

bool queue_put(struct engine *e, struct queue *q, const void *bytes, size_t size);
// Puts bytes in the place of the first `skip` that wait: what was read of them and not used up.
// False: no memory; then nothing waits any more.
bool queue_before(struct engine *e, struct queue *q, size_t skip, const void *bytes, size_t size);
void queue_skip(struct engine *e, struct queue *q, size_t size);
void queue_free(struct engine *e, struct queue *q);
static inline size_t queue_length(const struct queue *q) { return q->end - q->start; }

#endif
