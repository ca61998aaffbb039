// Who gives way where slots or memory run short.
#include "../l7.h"

// How many old connections are looked at for one that may give way.
#define SHED_LOOK 4096
// A connection that keeps less frees nothing worth its end.
#define QUEUE_MUCH 4096

// So who holds many open and sends nothing keeps nobody else out.
void shed(struct engine *e)
{
	int looked = 0;
	for (struct conn *c = e->oldest; c && looked < SHED_LOOK; c = c->newer, looked++) {
		bool carries = c->phase == RAWMODE && (c->streams > 0 || !c->listener);
		if (carries || (c->phase != AWAIT && c->phase != GREETING && c->phase != RAWMODE))
			continue;
		e->stats.refused += 1;
		abort_conn(e, c, WHY_NONE);
		return;
	}
}

size_t conn_kept(const struct conn *c)
{
	size_t kept = queue_length(&c->s.out) + queue_length(&c->s.in) + queue_length(&c->label);
	if (c->s.script)
		kept += queue_length(&c->s.script->fed);
	return kept + (c->up ? queue_length(&c->up->s.in) + queue_length(&c->up->s.out) : 0);
}

static void shed_from(struct engine *e, struct conn *oldest)
{
	struct conn *after;
	for (struct conn *c = oldest; c && e->held > e->max_held; c = after) {
		after = c->newer;
		size_t kept = conn_kept(c);
		if (kept < QUEUE_MUCH)
			continue;
		e->stats.refused += 1;
		abort_conn(e, c, WHY_CLOSED);
	}
}

void shed_held(struct engine *e)
{
	shed_from(e, e->oldest_stream);
	shed_from(e, e->oldest);
}
