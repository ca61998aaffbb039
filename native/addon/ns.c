// Network namespaces: run a function inside one, make one, take one's name away.
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

// A thread, not the process, is in a namespace: /proc/thread-self is right in workers too.
static const char own_path[] = "/proc/thread-self/ns/net";

static void leave(napi_env env, int own)
{
	(void)env;
	// Going on in the wrong namespace would change somebody else's network.
	if (setns(own, CLONE_NEWNET) != 0)
		napi_fatal_error("netnsCall", NAPI_AUTO_LENGTH, "no way back to the own namespace", NAPI_AUTO_LENGTH);
	close(own);
}

// netnsCall(path, fn): fn's result, having run in that namespace. fn must be synchronous.
static napi_value netns_call(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	char path[PATH_MAX];
	napi_value function, result = NULL;
	if (!arg_string(&c, 0, "path", path, sizeof(path)) || !arg_function(&c, 1, "function", &function))
		return NULL;
	int own = open(own_path, O_RDONLY | O_CLOEXEC);
	if (own < 0)
		return throw_errno(env, errno, NULL, "open %s", own_path);
	int there = open(path, O_RDONLY | O_CLOEXEC);
	if (there < 0) {
		int error = errno;
		close(own);
		return throw_errno(env, error, NULL, "namespace %s", path);
	}
	if (setns(there, CLONE_NEWNET) != 0) {
		// A file that lost its mount is the name of no namespace.
		int error = errno == EINVAL ? ENOENT : errno;
		close(there);
		close(own);
		return throw_errno(env, error, NULL, "enter namespace %s", path);
	}
	close(there);
	napi_call_function(env, undefined_value(env), function, 0, NULL, &result);
	leave(env, own);
	return result;
}

// The folder is a shared mount, so that a name taken away goes away in other mount namespaces too (as iproute2 does
// it).
static int share_folder(const char *folder)
{
	if (mkdir(folder, 0755) != 0 && errno != EEXIST)
		return errno;
	if (mount("", folder, "none", MS_SHARED | MS_REC, NULL) == 0)
		return 0;
	if (errno != EINVAL)
		return errno;
	if (mount(folder, folder, "none", MS_BIND | MS_REC, NULL) != 0)
		return errno;
	return mount("", folder, "none", MS_SHARED | MS_REC, NULL) == 0 ? 0 : errno;
}

static int loopback_up(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int error = ioctl(fd, SIOCSIFFLAGS, &request) == 0 ? 0 : errno;
	close(fd);
	return error;
}

// netnsAdd(folder, path): a new namespace bound to path, lo up. EEXIST where the name is taken.
static napi_value netns_add(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	char folder[PATH_MAX], path[PATH_MAX];
	if (!arg_string(&c, 0, "folder", folder, sizeof(folder)) || !arg_string(&c, 1, "path", path, sizeof(path)))
		return NULL;
	int error = share_folder(folder);
	if (error)
		return throw_errno(env, error, NULL, "share %s", folder);
	int file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
	if (file < 0)
		return throw_errno(env, errno, NULL, "namespace %s", path);
	close(file);
	int own = open(own_path, O_RDONLY | O_CLOEXEC);
	if (own < 0) {
		error = errno;
	} else if (unshare(CLONE_NEWNET) != 0) {
		error = errno;
		close(own);
	} else {
		error = mount(own_path, path, "none", MS_BIND, NULL) == 0 ? loopback_up() : errno;
		leave(env, own);
	}
	if (error) {
		umount2(path, MNT_DETACH);
		unlink(path);
		return throw_errno(env, error, NULL, "namespace %s", path);
	}
	return undefined_value(env);
}

// netnsBind(folder, path, fd): gives the namespace behind a descriptor a name. EEXIST where the name is taken.
static napi_value netns_bind(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	char folder[PATH_MAX], path[PATH_MAX], from[64];
	int fd;
	if (!arg_string(&c, 0, "folder", folder, sizeof(folder)) || !arg_string(&c, 1, "path", path, sizeof(path)) ||
	    !arg_fd(&c, 2, &fd))
		return NULL;
	int error = share_folder(folder);
	if (error)
		return throw_errno(env, error, NULL, "share %s", folder);
	int file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
	if (file < 0)
		return throw_errno(env, errno, NULL, "namespace %s", path);
	close(file);
	snprintf(from, sizeof(from), "/proc/thread-self/fd/%d", fd);
	if (mount(from, path, "none", MS_BIND, NULL) != 0) {
		error = errno;
		unlink(path);
		return throw_errno(env, error, NULL, "namespace %s", path);
	}
	return undefined_value(env);
}

// netnsRemove(path)
static napi_value netns_remove(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	char path[PATH_MAX];
	if (!arg_string(&c, 0, "path", path, sizeof(path)))
		return NULL;
	// EINVAL: the file is no mount point, left over by a crash between its creation and the mount.
	if (umount2(path, MNT_DETACH) != 0 && errno != EINVAL)
		return throw_errno(env, errno, NULL, "namespace %s", path);
	if (unlink(path) != 0)
		return throw_errno(env, errno, NULL, "namespace %s", path);
	return undefined_value(env);
}

void register_ns(napi_env env, napi_value exports)
{
	export_function(env, exports, "netnsCall", netns_call);
	export_function(env, exports, "netnsAdd", netns_add);
	export_function(env, exports, "netnsBind", netns_bind);
	export_function(env, exports, "netnsRemove", netns_remove);
}
