// Deadlines by the thousand: a timer that is put off costs a store, because it is looked at again only when the bucket
// in which it lies comes round.
#ifndef MIDPLANE_L7_WHEEL_H
#define MIDPLANE_L7_WHEEL_H

#include <stdint.h>

#define BUCKETS 1024

// One deadline of one thing; all zero is off.
struct timer {
	struct timer *next, **link;
	uint64_t due_ms; // 0: off
	uint64_t at; // tick of its bucket, while link is set
	uint8_t kind; // the owner's own word
};

struct wheel {
	struct timer *buckets[BUCKETS];
	uint64_t tick;
	uint32_t tick_ms;
};

void wheel_open(struct wheel *w, uint32_t tick_ms, uint64_t now_ms);
// Fires once, at due_ms (monotonic) or up to a tick later.
void wheel_set(struct wheel *w, struct timer *t, uint64_t due_ms);
void wheel_clear(struct timer *t);
// Takes it out of its bucket: before its memory goes.
void wheel_forget(struct timer *t);
// Calls fire for what is due.
void wheel_advance(struct wheel *w, uint64_t now_ms, void (*fire)(struct timer *t, void *hint), void *hint);

#endif
