// One turn: what epoll has, the rows of it, and again while there is more, a bounded number of times.
#include "l7.h"

#include <errno.h>
#include <stdlib.h>

#define EVENTS 256
#define ROUNDS 16

static void note(struct engine *e, struct sock *s, uint32_t events)
{
	// Closed by an earlier event of this turn.
	if (s->fd < 0)
		return;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		s->readable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		s->hup = true;
	if (events & (EPOLLHUP | EPOLLERR))
		s->broken = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		s->writable = true;
	look_at(e, s);
}

static void look(struct engine *e, struct sock *s)
{
	if (s->fd < 0)
		return;
	if (s->role == GATE)
		accept_all(e, (struct gate *)s);
	else if (s->role == CLIENT)
		client_event(e, (struct conn *)s);
	else
		up_event(e, (struct up *)s);
}

static void look_at_ready(struct engine *e)
{
	struct sock *s = e->ready;
	e->ready = NULL;
	e->ready_end = &e->ready;
	while (s) {
		struct sock *next = s->next;
		s->listed = false;
		look(e, s);
		s = next;
	}
}

// Frees what was closed: no event and no list names it any more.
void dig(struct engine *e)
{
	struct sock *s = e->graves;
	e->graves = NULL;
	while (s) {
		struct sock *after = s->grave;
		if (s->listed)
			sock_bury(e, s);
		else
			free(s);
		s = after;
	}
	struct conn **link = &e->gone;
	while (*link) {
		struct conn *c = *link;
		if (c->rows > 0 || c->s.listed) {
			link = &c->newer;
			continue;
		}
		*link = c->newer;
		conn_free(e, c);
	}
}

void sock_bury(struct engine *e, struct sock *s)
{
	s->grave = e->graves;
	e->graves = s;
}

void turn(struct engine *e)
{
	struct epoll_event events[EVENTS];
	if (e->closed || e->in_turn)
		return;
	e->in_turn = true;
	uv_idle_stop(&e->again);
	bool more = true;
	for (int round = 0; round < ROUNDS && more && !e->closed; round++) {
		int n = epoll_wait(e->epoll, events, EVENTS, 0);
		e->now_us = uv_hrtime() / 1000;
		for (int i = 0; i < n; i++)
			note(e, events[i].data.ptr, events[i].events);
		look_at_ready(e);
		bool asked = rows_wait(e);
		if (asked)
			batch(e);
		dig(e);
		more = rows_wait(e) || e->ready || n == EVENTS || (asked && n > 0);
	}
	e->in_turn = false;
	if (more && !e->closed)
		turn_soon(e);
}

static void on_again(uv_idle_t *again)
{
	turn(again->data);
}

void turn_soon(struct engine *e)
{
	if (!e->closed)
		uv_idle_start(&e->again, on_again);
}
