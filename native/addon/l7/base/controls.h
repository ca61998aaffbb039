// Where the control bytes of a head are, so that JavaScript, which looks at one byte at a time, need not look for the
// ends of its lines.
#ifndef MIDPLANE_L7_CONTROLS_H
#define MIDPLANE_L7_CONTROLS_H

#include <stddef.h>
#include <stdint.h>

// Places (plus `offset`) of all bytes below 32 and of 127, but of no tab and no LF right behind a CR, in order: up to
// the CR of an empty line, or to `most`. Gives how many. Reads up to 63 bytes behind `size`.
uint32_t controls_of(const uint8_t *bytes, size_t size, int32_t offset, int32_t *places, uint32_t most);

#endif
