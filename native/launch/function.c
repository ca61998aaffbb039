// Makes the process of a function out of the one that it is: cgroup and limits, the port's network namespace, a view of
// the files in which the switch's own are not, then, without a way back, a user of its own that can do nothing, and
// only then the program. It is root until step 5; what fails before the program runs ends the process: a function that
// is shut in by half is never started. The pid stays the same all along.
//
//   function JOIN NETNS STATE SOURCE BASE NODE ID PROGRAM [ARGUMENT...]
//
// JOIN: files of the cgroup that "0" is written into, with spaces between them. NETNS: path of the namespace. STATE:
// the folder that is covered. SOURCE: the function's own files, which are seen at BASE. NODE: seen as BASE/node. ID:
// its user and group.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void fail(const char *what)
{
	fprintf(stderr, "midplane: start of the function: %s: %s\n", what, strerror(errno));
	_exit(126);
}

static void join(char *files)
{
	for (char *file = strtok(files, " "); file != NULL; file = strtok(NULL, " ")) {
		int fd = open(file, O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, "0", 1) != 1)
			fail(file);
		close(fd);
	}
}

static void limit(int what, rlim_t value, const char *name)
{
	struct rlimit both = { .rlim_cur = value, .rlim_max = value };
	if (setrlimit(what, &both) != 0)
		fail(name);
}

static void enter(const char *netns)
{
	int fd = open(netns, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
		fail(netns);
	close(fd);
	if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) != 0)
		fail("unshare");
	// Nothing that is mounted from here on is seen outside.
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		fail("mount /");
}

// The flags of a bind mount are set by a second call: the first one ignores them.
static void show(const char *from, const char *at, unsigned long flags)
{
	if (mount(from, at, NULL, MS_BIND, NULL) != 0 || mount(NULL, at, NULL, MS_REMOUNT | MS_BIND | flags, NULL) != 0)
		fail(at);
}

static void below(char *path, const char *folder, const char *name)
{
	if (snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX) {
		errno = ENAMETOOLONG;
		fail(name);
	}
}

static void hide(const char *state, const char *source, const char *base, const char *node)
{
	const unsigned long dead = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
	if (mount("none", state, "tmpfs", dead, "size=64k,mode=0755") != 0)
		fail(state);
	show(source, base, dead);
	char path[PATH_MAX];
	below(path, base, "node");
	show(node, path, MS_RDONLY | MS_NOSUID | MS_NODEV);
	below(path, base, "resolv.conf");
	struct stat own;
	if (stat(path, &own) != 0)
		fail(path);
	if (own.st_size > 0)
		show(path, "/etc/resolv.conf", dead);
	if (chdir(base) != 0)
		fail(base);
}

// The order counts: what can be dropped by root alone goes first; setresuid takes the capabilities that are in effect,
// capset those that could be inherited, and no_new_privs keeps setuid programs from giving any back.
static void become(const char *text)
{
	char *end;
	errno = 0;
	unsigned long id = strtoul(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || id == 0 || id > INT_MAX) {
		errno = EINVAL;
		fail("user");
	}
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
			fail("bounding set");
	if (setgroups(0, NULL) != 0)
		fail("setgroups");
	if (setresgid(id, id, id) != 0)
		fail("setresgid");
	if (setresuid(id, id, id) != 0)
		fail("setresuid");
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };
	if (syscall(SYS_capset, &head, none) != 0)
		fail("capset");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		fail("no_new_privs");
}

int main(int argc, char **argv)
{
	if (argc < 9) {
		fprintf(stderr, "function JOIN NETNS STATE SOURCE BASE NODE ID PROGRAM [ARGUMENT...]\n");
		return 126;
	}
	join(argv[1]);                              // 1
	limit(RLIMIT_CORE, 0, "core");              // 2
	limit(RLIMIT_FSIZE, 8 << 20, "file size");
	limit(RLIMIT_NOFILE, 4096, "open files");
	enter(argv[2]);                             // 3
	hide(argv[3], argv[4], argv[5], argv[6]);   // 4
	become(argv[7]);                            // 5
	char *environment[] = { "PATH=/usr/bin:/bin", NULL };
	execve(argv[8], argv + 8, environment);     // 6
	fail(argv[8]);
}
