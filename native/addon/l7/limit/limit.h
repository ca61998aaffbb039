// Bounds of connections and of what they keep.
#ifndef MIDPLANE_L7_LIMIT_H
#define MIDPLANE_L7_LIMIT_H

#include "../../addon.h"

struct conn;
struct engine;
struct listener;

// shed.c
// Makes room when slots run short: of the connections that carry no request the oldest gives way.
void shed(struct engine *e);
// Ends those who keep most from moving, until memory is below its mark.
void shed_held(struct engine *e);
// Bytes that wait on a connection and its upstream.
size_t conn_kept(const struct conn *c);

// crowd.c: how many connections come by a listener at once, of all and of one client. Engines of one home that have
// the same listener count together, so that it does not matter which of them a connection came to.
// Those of a listener, in all engines of the home (0: of this engine alone). NULL: no memory.
struct crowd *crowd_join(uint32_t home, uint32_t tag);
void crowd_leave(struct crowd *k);
// Counts a new connection from that peer. False: there are too many, and it is counted as turned away.
bool crowd_admit(struct listener *l, struct conn *c);
// Counts one that came by another engine, however many there are.
void crowd_take(struct conn *c);
// It is over.
void crowd_exit(struct crowd *k, struct conn *c);
void register_l7_limit(napi_env env, napi_value exports);

#endif
