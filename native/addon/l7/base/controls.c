#include "controls.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// Of 64 bytes, a bit each.
struct masks {
	uint64_t control, cr, lf;
};

#if defined(__SSE2__)
static struct masks masks_of(const uint8_t *bytes)
{
	struct masks m = { 0 };
	for (int i = 0; i < 4; i++) {
		__m128i b = _mm_loadu_si128((const __m128i *)(bytes + 16 * i));
		__m128i low = _mm_cmpeq_epi8(_mm_min_epu8(b, _mm_set1_epi8(31)), b);
		__m128i tab = _mm_cmpeq_epi8(b, _mm_set1_epi8('\t'));
		__m128i control = _mm_or_si128(_mm_andnot_si128(tab, low), _mm_cmpeq_epi8(b, _mm_set1_epi8(127)));
		uint32_t found = (uint32_t)_mm_movemask_epi8(control);
		if (found == 0)
			continue;
		m.control |= (uint64_t)found << 16 * i;
		m.cr |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(b, _mm_set1_epi8('\r'))) << 16 * i;
		m.lf |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(b, _mm_set1_epi8('\n'))) << 16 * i;
	}
	return m;
}
#else
static struct masks masks_of(const uint8_t *bytes)
{
	struct masks m = { 0 };
	for (int i = 0; i < 64; i++) {
		uint8_t b = bytes[i];
		m.control |= (uint64_t)((b < 32 && b != '\t') || b == 127) << i;
		m.cr |= (uint64_t)(b == '\r') << i;
		m.lf |= (uint64_t)(b == '\n') << i;
	}
	return m;
}
#endif

uint32_t controls_of(const uint8_t *bytes, size_t size, int32_t offset, int32_t *places, uint32_t most)
{
	uint32_t n = 0;
	uint64_t after = 0; // the byte before these 64 was a CR
	int32_t last = -3;
	for (size_t at = 0; at < size; at += 64) {
		struct masks m = masks_of(bytes + at);
		uint64_t left = m.control & ~(m.lf & (m.cr << 1 | after));
		after = m.cr >> 63;
		for (; left; left &= left - 1) {
			size_t p = at + (size_t)__builtin_ctzll(left);
			if (p >= size || n == most)
				return n;
			places[n++] = (int32_t)p + offset;
			if ((int32_t)p == last + 2)
				return n;
			last = (int32_t)p;
		}
	}
	return n;
}
