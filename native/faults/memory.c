// Memory that runs out now and then, for the addon that watches itself alone: its own calls come here (--wrap), and
// fail one time in so many while the environment says MIDPLANE_STARVE. Small ones do not.
#include <stddef.h>
#include <stdlib.h>

#define SMALL 256

void *__real_malloc(size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *old, size_t size);

static int fails(size_t size)
{
	static __thread unsigned count;
	const char *often = getenv("MIDPLANE_STARVE");
	int every = often ? atoi(often) : 0;
	return every > 0 && size >= SMALL && ++count % (unsigned)every == 0;
}

void *__wrap_malloc(size_t size)
{
	return fails(size) ? NULL : __real_malloc(size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return fails(size) ? NULL : __real_realloc(old, size);
}
