#include "wheel.h"

#include <stddef.h>
#include <string.h>

void wheel_open(struct wheel *w, uint32_t tick_ms, uint64_t now_ms)
{
	memset(w, 0, sizeof(*w));
	w->tick_ms = tick_ms;
	w->tick = now_ms / tick_ms;
}

void wheel_forget(struct timer *t)
{
	if (!t->link)
		return;
	*t->link = t->next;
	if (t->next)
		t->next->link = t->link;
	t->link = NULL;
}

static uint64_t bucket_of(const struct wheel *w, uint64_t due_ms)
{
	uint64_t at = (due_ms + w->tick_ms - 1) / w->tick_ms;
	if (at <= w->tick)
		return w->tick + 1;
	return at < w->tick + BUCKETS ? at : w->tick + BUCKETS - 1;
}

static void insert(struct wheel *w, struct timer *t)
{
	t->at = bucket_of(w, t->due_ms);
	struct timer **head = &w->buckets[t->at % BUCKETS];
	t->next = *head;
	t->link = head;
	if (t->next)
		t->next->link = &t->next;
	*head = t;
}

void wheel_set(struct wheel *w, struct timer *t, uint64_t due_ms)
{
	t->due_ms = due_ms;
	if (t->link && bucket_of(w, due_ms) >= t->at)
		return;
	wheel_forget(t);
	insert(w, t);
}

void wheel_clear(struct timer *t)
{
	t->due_ms = 0;
}

void wheel_advance(struct wheel *w, uint64_t now_ms, void (*fire)(struct timer *t, void *hint), void *hint)
{
	while (w->tick < now_ms / w->tick_ms) {
		w->tick += 1;
		struct timer **head = &w->buckets[w->tick % BUCKETS];
		// What fires may set timers and forget others; none comes into this bucket, since all go at least a tick ahead.
		while (*head) {
			struct timer *t = *head;
			wheel_forget(t);
			if (t->due_ms == 0)
				continue;
			if (t->due_ms > now_ms) {
				insert(w, t);
				continue;
			}
			t->due_ms = 0;
			fire(t, hint);
		}
	}
}
