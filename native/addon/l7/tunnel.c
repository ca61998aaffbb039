// Both directions as they come, each with its own end.
#include "l7.h"

#include <stdlib.h>
#include <string.h>

// Over once both have ended and all is written; a reset of one is a reset of the other.
static void look_for_end(struct engine *e, struct conn *c)
{
	struct up *up = c->up;
	if (c->s.lost || c->s.deaf || up->s.lost || up->s.deaf)
		return abort_conn(e, c, WHY_RESET);
	if (!c->s.shut || !up->s.shut || !c->s.ended || !up->s.ended)
		return;
	c->up = NULL;
	up_destroy(e, up);
	settle(e, c, WHY_NONE);
	close_soon(e, c);
}

static void move(struct engine *e, struct conn *c, struct sock *from, struct sock *to, uint64_t *moved)
{
	size_t size = sock_blocked(to) ? 0 : sock_read(from, e->scratch, bite(e));
	if (size > 0) {
		touch(e, c);
		*moved += size;
		sock_send_bytes(e, to, e->scratch, size);
	}
	if (from->ended && !to->ending)
		sock_end(e, to);
	else if (from->readable && !sock_blocked(to))
		look_at(e, from);
}

void tunnel_up(struct engine *e, struct conn *c)
{
	move(e, c, &c->s, &c->up->s, &c->bytes_in);
	look_for_end(e, c);
}

void tunnel_down(struct engine *e, struct conn *c)
{
	move(e, c, &c->up->s, &c->s, &c->bytes_out);
	look_for_end(e, c);
}

void tunnel_begin(struct engine *e, struct conn *c, struct up *up)
{
	c->phase = TUNNELED;
	c->opening = false;
	c->started = true;
	queue_free(e, &c->sent);
	wheel_clear(&c->deadline);
	if (c->tunnel_ms > 0)
		wheel_set(&e->wheel, &c->deadline, e->now_us / 1000 + c->tunnel_ms);
	touch(e, c);
	const struct template *t = c->tunnel_template < e->templates.size ? e->templates.entries[c->tunnel_template] : NULL;
	if (t) {
		c->bytes_out += t->size;
		sock_send_bytes(e, &c->s, t->bytes, t->size);
	}
	c->bytes_in += queue_length(&c->s.in);
	c->bytes_out += queue_length(&up->s.in);
	sock_send_bytes(e, &up->s, c->s.in.data + c->s.in.start, queue_length(&c->s.in));
	sock_send_bytes(e, &c->s, up->s.in.data + up->s.in.start, queue_length(&up->s.in));
	queue_free(e, &c->s.in);
	queue_free(e, &up->s.in);
	look_at(e, &c->s);
	look_at(e, &up->s);
}
