// The engine beneath src/l7/transport.ts: accept, polling, buffers, upstream pools, body framing, deadlines and writes.
// It reads no head: each turn it lays out rows, calls onBatch(n) once, and does what the rows say. One engine a thread;
// nothing in these files is static state. Order of travel: turn.c (epoll) -> rows.c (lay out, ask) -> apply.c (answer)
// -> exchange.c, tunnel.c (bytes move) -> pool.c, client.c (connections come and go) -> sock.c (the calls).
#ifndef MIDPLANE_L7_H
#define MIDPLANE_L7_H

#include "../addon.h"
#include "base/body.h"
#include "base/queue.h"
#include "base/rows.h"
#include "base/wheel.h"
#include "limit/limit.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <uv.h>

// What is read at once of a body or a tunnel, at most.
#define SCRATCH (512 * 1024)
// The same of a stream.
#define STREAM_SCRATCH (64 * 1024)
#define SLOTS 65536

// The other side of a socket that has no descriptor: JavaScript.
struct script {
	struct engine *engine;
	struct queue fed; // what it sent and nobody has read
	bool ended; // nothing follows that
	bool waits, begun; // wants to hear when `fed` is empty; has taken something of a request
	uint32_t trailers; // so many of the last bytes in `out`
};

enum role { GATE, CLIENT, UPSTREAM };

// What epoll knows. Edge-triggered, so `readable` and `writable` stay until a call says otherwise.
struct sock {
	int fd;
	uint8_t role;
	bool readable;
	bool writable;
	bool hup; // the other side sent its FIN or a reset: read until that is seen
	bool ended; // its FIN was read
	bool lost; // a read failed
	bool broken; // both directions are over, or an error
	bool deaf; // a write failed
	bool starved; // there was no memory for what came or was to go: it is not whole any more
	bool ending; // our FIN goes when `out` is empty
	bool shut; // our FIN is sent
	bool listed; // in the list of sockets to look at
	struct queue in, out;
	struct script *script; // NULL: a descriptor
	struct session *tls; // NULL: plain
	struct sock *next; // in that list
	struct sock *grave; // in the list of what is freed at the end of the turn
};

// What connections come by.
struct listener {
	uint32_t id;
	uint32_t tag; // the same in all engines that have it
	uint32_t clients; // with one or more it outlives its gates
	bool draining;
	uint8_t hello; // LISTEN_*
	bool later; // JavaScript says who a client is
	struct crowd *crowd;
	struct gate *gates;
};

// A listening socket that a listener accepts from, by a descriptor of its own: its queue outlives the engine where
// somebody else has one too.
struct gate {
	struct sock s;
	struct listener *listener;
	int source; // the descriptor that it was given by
	struct gate *next;
};

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

struct endpoint {
	union address address;
	uint32_t id;
	uint32_t connect_ms;
	uint32_t idle_ms;
	uint32_t open;
	bool dropped;
	bool script; // JavaScript is the server
	struct context *context; // of TLS, NULL: plain
	struct expected *expected; // who has to be there, with a context
	struct up *idle; // last used first
};

// conn.phase
enum phase {
	GREETING, // nothing is known of it yet but its listener
	AWAIT, // between requests, or with part of a head
	DECIDING, // a row is laid out, held, or about to be
	EXCHANGE,
	DISCARD, // the answer is written, the rest of the request is read and dropped
	TUNNELED,
	RAWMODE,
	CLOSING,
	GONE,
};

// What a listener asks at the beginning of a connection: nothing, once its first bytes are here, or at once.
enum { LISTEN_PLAIN, LISTEN_HELLO, LISTEN_AT_ONCE };

enum { TIMER_IDLE, TIMER_DEADLINE, TIMER_UP };

// A client's connection. Its memory stays until its last row is said.
struct conn {
	struct sock s;
	struct timer idle, deadline;
	uint32_t id; // slot in the low 16 bits, generation above
	uint32_t rows; // queued
	uint32_t parent; // of a stream: the connection that carries it
	uint32_t streams; // that it carries
	struct endpoint *dialled; // where it goes, if it is ours
	struct listener *listener;
	struct member *member; // of its listener's crowd: its client
	struct up *up;
	struct conn *newer, *older; // all open ones, or all streams, by age
	uint8_t phase;
	uint8_t held; // kind of the row that was answered with hold
	uint8_t end; // why it is gone
	uint8_t fail_flags;
	bool output_queued, up_output_queued;
	bool queued; // a row that lays out bytes is queued
	bool head_timed; // part of a head is here and its time runs
	bool greeting; // no answer to its first row was final yet; of one that is ours: its handshake is not done
	bool asked; // its first row is said, and that may be without bytes
	bool resumed; // while its row was being answered
	bool opening; // a tunnel, as soon as the upstream is connected
	bool lingering; // our FIN is sent and the time for theirs runs
	bool request_chunk, response_chunk;
	bool keep, keep_upstream;
	bool counted, later; // in that crowd; without its client yet
	bool active; // an exchange was begun and its DONE is owed
	bool started; // a response head has gone to the client
	bool body_sent;
	struct body request, response;
	struct queue request_trailers, response_trailers;
	struct queue sent; // last request head as sent, for a retry
	struct queue label; // what goes with it when it moves
	uint32_t mark;
	uint32_t stall_ms; // of this exchange, 0: as of any
	uint32_t tunnel_ms; // longest age of the tunnel, 0: any
	uint32_t tunnel_template; // what the client hears once it stands
	uint64_t bytes_in, bytes_out, discarded;
	uint64_t began_us;
	uint64_t body_at_ms, body_from; // since when, and since which byte, the client is held to BODY_RATE
	uint64_t done_us, done_in, done_out;
	union address peer, local;
};

// A connection to an upstream.
struct up {
	struct sock s;
	struct timer timer;
	struct endpoint *endpoint;
	struct conn *conn; // NULL: idle in its pool
	struct up *next, **link; // in the pool
	bool connected;
	bool reused;
	bool refused; // nothing was done for the request
	bool dirty; // more came than the response said: never used again
	bool in_body; // the response head has been passed on
	bool dead;
};

struct template {
	uint8_t *bytes;
	size_t size;
};

struct queued {
	struct conn *conn;
	uint8_t kind, why;
};

// What a row laid out: JavaScript can write over the words that say so.
struct given {
	const uint8_t *bytes;
	uint32_t size;
	uint32_t kept; // the first so many are still in the connection's queue
};

struct times {
	uint32_t head_ms, idle_ms, body_ms, stall_ms, upstream_idle_ms, linger_ms;
};

struct stats {
	uint32_t accepted, refused, connections, upstreams, upstreams_idle, connects, batches, rows, faults, held, streams;
	// Handshakes of clients; failed: nothing in common, the certificate, the client's alert, its end, anything else.
	uint32_t starved, tls_handshakes, tls_resumed, tls_unshared, tls_certificate, tls_alert, tls_cut, tls_other;
	uint32_t up_resumed; // handshakes with upstreams
};

// Grows by doubling, entries by index; a slot that is free is NULL.
struct table {
	void **entries;
	uint32_t size;
};

struct engine {
	napi_env env;
	napi_ref on_batch;
	napi_async_context context;
	napi_async_cleanup_hook_handle hook;
	uv_poll_t poll;
	uv_timer_t tick;
	uv_idle_t again;
	int handles; // of uv, not closed yet
	int holders; // who may still touch this memory: uv, the external object, what JavaScript has views of
	bool closed;
	bool in_turn;

	struct tls *tls; // NULL until it is asked for
	int epoll;
	uint64_t now_us;
	struct wheel wheel;
	struct times times;
	uint32_t home; // engines of the same one hand connections on
	uint32_t max_connections, max_streams, spare, max_per_endpoint;

	uint8_t *arena;
	int32_t *rows;
	uint8_t *scratch;
	struct sock *ready, **ready_end; // to be looked at
	struct sock *graves; // closed in this turn, freed at its end
	struct conn *gone; // closed, with rows to be said

	struct queued *queue;
	uint32_t queue_first, queue_last, queue_size;
	struct conn *batch[ROWS];
	struct given given[ROWS];

	struct table slots, listeners, endpoints, templates;
	uint16_t *generations; // of slots
	int32_t *known; // by slot, for JavaScript to note a connection in; 0 with each new one
	uint32_t listener_count; // all that ever were
	uint32_t free_endpoint, endpoint_count; // below the first no place is free; all that ever were
	uint16_t *free_slots;
	uint32_t free_count, slot_count;
	struct conn *oldest, *newest;
	struct conn *oldest_stream, *newest_stream;
	bool starved; // descriptors or memory ran out: accept again at the next tick
	size_t held, max_held; // bytes of all queues
	struct stats stats;
};

// base/sock.c
bool sock_watch(struct engine *e, struct sock *s, uint32_t events);
// Bytes read, 0 where none are there now or none will come (s->ended, s->lost).
size_t sock_read(struct sock *s, void *to, size_t size);
// The same beneath TLS.
size_t sock_receive(struct sock *s, void *to, size_t size);
// Writes what goes, keeps the rest. A failure shows as s->deaf; then the socket is looked at again.
void sock_send(struct engine *e, struct sock *s, struct iovec *pieces, int count);
// The same beneath TLS.
void sock_transmit(struct engine *e, struct sock *s, struct iovec *pieces, int count);
void sock_deaf(struct engine *e, struct sock *s);
void sock_starved(struct engine *e, struct sock *s);
// Puts bytes in the place of the first `skip` that were read and not used up.
void sock_keep(struct engine *e, struct sock *s, size_t skip, const void *bytes, size_t size);
void sock_send_bytes(struct engine *e, struct sock *s, const void *bytes, size_t size);
void sock_flush(struct engine *e, struct sock *s);
// FIN behind what waits.
void sock_end(struct engine *e, struct sock *s);
static inline bool sock_blocked(const struct sock *s) { return queue_length(&s->out) > 0; }
// Closes the descriptor; `reset` sends an RST.
void sock_close(struct engine *e, struct sock *s, bool reset);
// Frees the socket's owner at the end of the turn.
void sock_bury(struct engine *e, struct sock *s);
void look_at(struct engine *e, struct sock *s);

// How much is read at once.
size_t bite(const struct engine *e);

// turn.c
void turn(struct engine *e);
// Frees what was closed: only between turns.
void dig(struct engine *e);
// Sees to it that a turn comes though no descriptor has news.
void turn_soon(struct engine *e);

// rows.c
// Makes room for all that so many connections can have in the queue. False: no memory.
bool rows_open(struct engine *e, uint32_t connections);
void push(struct engine *e, struct conn *c, uint8_t kind, uint8_t why);
static inline bool rows_wait(const struct engine *e) { return e->queue_first < e->queue_last; }
void batch(struct engine *e);
static inline int32_t *row_at(const struct engine *e, uint32_t i) { return e->rows + i * ROW_WORDS; }

// apply.c
// Does what a row says. Numbers are checked before use.
void apply(struct engine *e, struct conn *c, int32_t *row, uint8_t kind, uint8_t why, struct given given);

// exchange.c
void await_body(struct engine *e, struct conn *c);
void touch(struct engine *e, struct conn *c);
void begin(struct engine *e, struct conn *c, uint32_t head);
void settle(struct engine *e, struct conn *c, uint8_t why);
void missed(struct engine *e, struct conn *c, const int32_t *row, uint8_t kind);
void hold(struct engine *e, struct conn *c, uint8_t kind);
void resume(struct engine *e, struct conn *c);
void finish(struct engine *e, struct conn *c);
void fail(struct engine *e, struct conn *c, uint8_t why);
// Moves bytes of a body from `bytes` to the other side; `head` goes before them in the same write.
struct head {
	struct iovec pieces[MAX_RUNS + 1];
	int count;
	size_t size;
};
void pump_request(struct engine *e, struct conn *c, struct head *head, const uint8_t *bytes, size_t size);
void request_more(struct engine *e, struct conn *c);
void pump_response(struct engine *e, struct conn *c, struct up *up, struct head *head, const uint8_t *bytes,
		   size_t size);
void response_more(struct engine *e, struct conn *c, struct up *up);
void upstream_ready(struct engine *e, struct conn *c);
void discard(struct engine *e, struct conn *c);

// tunnel.c
// From now on both directions as they come, for at most c->tunnel_ms.
void tunnel_begin(struct engine *e, struct conn *c, struct up *up);
void tunnel_up(struct engine *e, struct conn *c);
void tunnel_down(struct engine *e, struct conn *c);

// client.c
// Gives it a slot and a place among those of its kind. False: there is none.
bool conn_enter(struct engine *e, struct conn *c, struct listener *l);
struct listener *listener_open(struct engine *e, uint8_t hello, uint32_t tag);
struct listener *listener_find(const struct engine *e, uint32_t id);
void listener_close(struct engine *e, struct listener *l);
// False: no memory, or errno says why not.
bool gate_open(struct engine *e, struct listener *l, int source);
void gate_close(struct engine *e, struct listener *l, int source);
void accept_all(struct engine *e, struct gate *g);
void client_event(struct engine *e, struct conn *c);
void client_timer(struct engine *e, struct conn *c, bool deadline);
// Nothing more is to be said: FIN, then a while of reading, so that the answer is not lost to a reset.
void close_soon(struct engine *e, struct conn *c);
// RST.
void abort_conn(struct engine *e, struct conn *c, uint8_t why);
void conn_free(struct engine *e, struct conn *c);
// Also one that is gone, while rows of it are to be said.
struct conn *conn_find(const struct engine *e, uint32_t id);

// pool.c
struct endpoint *endpoint_open(struct engine *e, const union address *address, uint32_t connect_ms);
struct endpoint *endpoint_find(const struct engine *e, uint32_t id);
void endpoint_drop(struct engine *e, struct endpoint *p);
// Forgets its TLS.
void endpoint_plain(struct endpoint *p);
// A free or new connection; a tunnel's is never scripted. NULL: *why says why not.
struct up *up_acquire(struct engine *e, struct endpoint *p, bool fresh, bool tunnel, uint8_t *why);
// Gives a connection back after a whole exchange.
void up_release(struct engine *e, struct up *up);
void up_destroy(struct engine *e, struct up *up);
// One connection to it less.
void endpoint_left(struct engine *e, struct endpoint *p);
void up_event(struct engine *e, struct up *up);
void up_timer(struct engine *e, struct up *up);

// door.c
// NULL: an exception is pending, or the engine is shut (then what is asked does nothing).
struct engine *engine_of(const struct call *c);

// tls/session.c
// The connection speaks TLS, and in it HTTP, or what a HELLO asks.
void tls_greet(struct engine *e, struct conn *c, uint32_t context, bool ask);
// tls/door.c
void register_l7_tls(napi_env env, napi_value exports);

// move/
uint32_t park_all(struct engine *e, bool tunnels, uint32_t most);
// Ends what nobody took in time.
void parcels_expire(void);
void register_l7_move(napi_env env, napi_value exports);

// engine.c
// Makes room for that place. False: no memory.
bool table_reach(struct table *t, uint32_t place);
struct engine *engine_new(const struct times *times, uint32_t tick_ms, uint32_t max_connections,
			  uint32_t max_streams, uint32_t max_per_endpoint, uint32_t max_held);
// 0 or an errno. From then on the loop holds it too, until engine_shut.
int engine_start(struct engine *e, napi_env env, napi_value on_batch);
void engine_shut(struct engine *e); // everything at once
void engine_release(struct engine *e); // the last holder frees it

#include "script/script.h"

#endif
