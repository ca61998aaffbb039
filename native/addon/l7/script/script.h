// Sockets without a descriptor, whose other side is JavaScript: streams of clients, and the server that requests go to.
#ifndef MIDPLANE_L7_SCRIPT_H
#define MIDPLANE_L7_SCRIPT_H

#include "../l7.h"

// stream.c
// NULL: no memory, or no slot.
struct conn *stream_open(struct engine *e, struct conn *parent);
void stream_gone(struct engine *e, const struct conn *c);
// Gives how many bytes wait to be read.
uint32_t script_feed(struct engine *e, struct sock *s, const uint8_t *bytes, size_t size);
void script_end(struct engine *e, struct sock *s);
// Bytes, or an end, for the peer of a scripted socket.
void output(struct engine *e, struct conn *c);
void output_up(struct engine *e, struct conn *c);
// `why` of an OUTPUT row: whose.
enum { OF_CLIENT, OF_UPSTREAM };
uint32_t output_fill(struct engine *e, struct conn *c, uint8_t whose, int32_t *row, uint8_t *to);
void output_taken(struct engine *e, struct conn *c, uint8_t whose, const int32_t *row, struct given g);
// Says that it has news: bytes, an end, or that it is gone.
void script_news(struct engine *e, struct sock *s);
void script_trailers(struct engine *e, struct sock *s, struct queue *lines);
// A connection in bytes mode to that endpoint. NULL: it can not even be tried.
struct conn *dial(struct engine *e, struct endpoint *p);
bool dial_greet(struct engine *e, struct conn *c);
struct up *up_script(struct engine *e, struct endpoint *p);
size_t script_read(struct sock *s, void *to, size_t size);
bool script_send(struct engine *e, struct sock *s, const struct iovec *pieces, int count);
void script_close(struct engine *e, struct sock *s);

// door.c
void register_l7_script(napi_env env, napi_value exports);

#endif
