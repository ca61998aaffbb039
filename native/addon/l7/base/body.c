#include "body.h"

#include "rows.h"

#define MAX_EXTENSION 1024
#define MAX_TRAILERS (8 * 1024)
// Hex digits of a chunk size: 2^48 is more than any body.
#define MAX_SIZE_DIGITS 12

enum { SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, LINE, NAME, VALUE, LINE_LF, LAST_LF };

void body_begin(struct body *b, uint8_t mode, uint64_t length)
{
	*b = (struct body){
		.mode = mode,
		.left = mode == BODY_LENGTH ? length : 0,
		.done = mode == BODY_NONE || (mode == BODY_LENGTH && length == 0),
		.step = SIZE,
	};
}

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool value_byte(uint8_t c)
{
	return c == '\t' || (c >= 32 && c != 127);
}

// RFC 9110 5.6.2: ! # $ % & ' * + - . ^ _ ` | ~ digits and letters, as a bitmap of 128.
static bool token_byte(uint8_t c)
{
	static const uint32_t tokens[4] = { 0, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff };
	return c < 128 && (tokens[c >> 5] >> (c & 31) & 1);
}

static bool size_byte(struct body *b, uint8_t c)
{
	int digit = hex(c);
	if (digit >= 0) {
		b->digits += 1;
		b->left = b->left * 16 + (unsigned)digit;
		return b->digits <= MAX_SIZE_DIGITS;
	}
	if (b->digits == 0)
		return false;
	b->extra = 0;
	b->step = c == '\r' ? SIZE_LF : EXTENSION;
	return c == '\r' || c == ';';
}

static bool chunk_byte(struct body *b, uint8_t c)
{
	switch (b->step) {
	case SIZE:
		return size_byte(b, c);
	case EXTENSION:
		b->extra += 1;
		if (c == '\r')
			b->step = SIZE_LF;
		else if (!value_byte(c))
			return false;
		return b->extra <= MAX_EXTENSION;
	case SIZE_LF:
		b->digits = 0;
		b->extra = 0;
		b->step = b->left == 0 ? LINE : DATA;
		return c == '\n';
	case DATA_CR:
		b->step = DATA_LF;
		return c == '\r';
	default:
		b->step = SIZE;
		return c == '\n';
	}
}

static bool trailer_byte(struct body *b, uint8_t c)
{
	b->extra += 1;
	if (b->extra > MAX_TRAILERS)
		return false;
	switch (b->step) {
	case LINE:
		b->step = c == '\r' ? LAST_LF : NAME;
		return c == '\r' || token_byte(c);
	case NAME:
		if (c == ':')
			b->step = VALUE;
		return c == ':' || token_byte(c);
	case VALUE:
		if (c == '\r')
			b->step = LINE_LF;
		return c == '\r' || value_byte(c);
	case LINE_LF:
		b->step = LINE;
		return c == '\n';
	default:
		b->done = true;
		return c == '\n';
	}
}

static ptrdiff_t take(struct body *b, size_t at, size_t size, size_t *start, size_t *end)
{
	size_t n = b->left < size - at ? (size_t)b->left : size - at;
	b->left -= n;
	*start = at;
	*end = at + n;
	return (ptrdiff_t)*end;
}

bool body_behind(const struct body *b)
{
	return b->mode == BODY_CHUNKED && b->step >= LINE;
}

ptrdiff_t body_next(struct body *b, const uint8_t *bytes, size_t size, size_t *start, size_t *end)
{
	*start = *end = 0;
	if (b->done)
		return 0;
	if (b->mode == BODY_CLOSE) {
		*end = size;
		return (ptrdiff_t)size;
	}
	if (b->mode == BODY_LENGTH) {
		ptrdiff_t used = take(b, 0, size, start, end);
		b->done = b->left == 0;
		return used;
	}
	bool behind = body_behind(b);
	for (size_t p = 0; p < size; p++) {
		if (!behind && body_behind(b))
			return (ptrdiff_t)p;
		if (b->step == DATA) {
			ptrdiff_t used = take(b, p, size, start, end);
			if (b->left == 0)
				b->step = DATA_CR;
			return used;
		}
		if (!(b->step >= LINE ? trailer_byte(b, bytes[p]) : chunk_byte(b, bytes[p])))
			return -1;
		if (b->done)
			return (ptrdiff_t)p + 1;
	}
	return (ptrdiff_t)size;
}
