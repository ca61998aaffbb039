// Connections on their way from one engine to another, of this process or of the next one. An engine parks those that
// nothing is under way on, also when its thread ends; whoever says a parcel's number takes it. The parcels are the only
// thing that engines share. park.c: out of an engine and into one. depot.c: what is parked. pass.c: between processes.
#ifndef MIDPLANE_L7_MOVE_H
#define MIDPLANE_L7_MOVE_H

#include "../l7.h"

struct side {
	int fd; // -1: there is none
	bool ended, ending, shut;
	struct queue in, out;
	struct session *tls; // NULL: plain
};

struct parcel {
	struct parcel *next;
	uint64_t number;
	uint32_t home, tag;
	uint8_t phase;
	uint32_t mark, stall_ms;
	union address peer, local;
	uint64_t bytes_in, bytes_out, began_us, until_ms, parked_ms;
	struct side client, up;
	struct queue label;
};

// depot.c. Gives the parcel its number; it is the depot's.
void depot_put(struct parcel *p);
// NULL: there is no such parcel. It is the caller's.
struct parcel *depot_take(uint64_t number);
void parcel_free(struct parcel *p);
void parcels_discard(uint32_t home);
// Their numbers.
napi_value parcels_list(napi_env env, uint32_t home);

// park.c. NULL: there is no room, or no such listener any more.
struct conn *unpack(struct engine *e, struct parcel *p);

// pass.c
// Memory that says all of a tunnel but its sockets, as a descriptor; -1 and errno where it can't be had, EINVAL for
// what is bound to this process.
int parcel_write(const struct parcel *p);
// NULL: the memory says nothing that could be, or these are no sockets; the descriptors stay the caller's then.
struct parcel *parcel_read(int memory, int client, int up);

// door.c
void register_l7_move(napi_env env, napi_value exports);

#endif
