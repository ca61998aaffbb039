// Gives up capabilities before main() runs, while there is one thread: capset is about a thread, and those that Node
// makes inherit it. Loaded by LD_PRELOAD, of which it is the first; what is behind it stays for our children, it does
// not. They get everything back by execve, since they are root's: so it guards against mistakes of the program, not
// against a program that runs others.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char wish[] = "MIDPLANE_CAPABILITIES", preload[] = "LD_PRELOAD";

static void fail(const char *what)
{
	fprintf(stderr, "midplane: capabilities: %s: %s\n", what, strerror(errno));
	_exit(2);
}

static void leave_preload(void)
{
	const char *list = getenv(preload);
	const char *rest = list == NULL ? NULL : strpbrk(list, ": ");
	if (rest == NULL)
		unsetenv(preload);
	else if (setenv(preload, rest + 1, 1) != 0)
		fail(preload);
}

// MIDPLANE_CAPABILITIES is a mask in hexadecimal, as /proc/self/status has it. Only what is there can be kept.
__attribute__((constructor)) static void shed(void)
{
	const char *text = getenv(wish);
	if (text == NULL)
		return;
	char *end;
	errno = 0;
	unsigned long long mask = strtoull(text, &end, 16);
	if (errno != 0 || end == text || *end != '\0') {
		errno = EINVAL;
		fail(wish);
	}
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	if (syscall(SYS_capget, &head, data) != 0)
		fail("capget");
	for (int word = 0; word < _LINUX_CAPABILITY_U32S_3; word++) {
		__u32 kept = (__u32)(mask >> (32 * word));
		data[word].permitted &= kept;
		data[word].effective = data[word].permitted;
		data[word].inheritable = 0;
	}
	if (syscall(SYS_capset, &head, data) != 0)
		fail("capset");
	unsetenv(wish);
	leave_preload();
}
