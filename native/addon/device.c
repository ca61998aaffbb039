// Device ioctls that netlink does not have: taps, and the offload switches of ethtool(8).
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

// `name` is shorter than IFNAMSIZ: arg_string saw to it.
static void set_name(struct ifreq *request, const char *name)
{
	memcpy(request->ifr_name, name, strnlen(name, IFNAMSIZ - 1));
}

static int open_tap(const char *name, short extra, int *error)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		*error = errno;
		return -1;
	}
	struct ifreq request = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | extra) };
	set_name(&request, name);
	if (ioctl(fd, TUNSETIFF, &request) == 0)
		return fd;
	*error = errno;
	close(fd);
	return -1;
}

// tapAdd(name, owner): a persistent tap in the thread's namespace, owner -1 for none. The kernel says EBUSY where the
// name is taken: IFF_TUN_EXCL.
static napi_value tap_add(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	char name[IFNAMSIZ];
	int owner, error = 0;
	if (!arg_string(&c, 0, "name", name, sizeof(name)) || !arg_i32(&c, 1, "owner", -1, INT32_MAX, &owner))
		return NULL;
	int fd = open_tap(name, (short)IFF_TUN_EXCL, &error);
	if (fd < 0)
		return throw_errno(env, error == EBUSY ? EEXIST : error, NULL, "tap %s", name);
	if ((owner >= 0 && ioctl(fd, TUNSETOWNER, (unsigned long)owner) != 0) || ioctl(fd, TUNSETPERSIST, 1UL) != 0)
		error = errno;
	close(fd);
	return error ? throw_errno(env, error, NULL, "tap %s", name) : undefined_value(env);
}

// tapOpen(name): a descriptor of an existing tap in the thread's namespace, non-blocking.
static napi_value tap_open(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	char name[IFNAMSIZ];
	int error = 0;
	if (!arg_string(&c, 0, "name", name, sizeof(name)))
		return NULL;
	// TUNSETIFF would make one.
	int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { 0 };
	set_name(&request, name);
	if (any < 0 || ioctl(any, SIOCGIFINDEX, &request) != 0)
		error = errno;
	if (any >= 0)
		close(any);
	int fd = error ? -1 : open_tap(name, 0, &error);
	return fd < 0 ? throw_errno(env, error, NULL, "tap %s", name) : u32_value(env, (uint32_t)fd);
}

// ethtool(name, command, data): struct ethtool_value's data after the command, in the thread's namespace.
static napi_value ethtool_value(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	char name[IFNAMSIZ];
	uint32_t command, data;
	if (!arg_string(&c, 0, "name", name, sizeof(name)) || !arg_u32(&c, 1, "command", 0xffff, &command) ||
	    !arg_u32(&c, 2, "data", UINT32_MAX, &data))
		return NULL;
	struct ethtool_value value = { .cmd = command, .data = data };
	struct ifreq request = { .ifr_data = (void *)&value };
	set_name(&request, name);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int error = fd < 0 || ioctl(fd, SIOCETHTOOL, &request) != 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	return error ? throw_errno(env, error, NULL, "ethtool 0x%x on %s", command, name) : u32_value(env, value.data);
}

void register_device(napi_env env, napi_value exports)
{
	export_function(env, exports, "tapAdd", tap_add);
	export_function(env, exports, "tapOpen", tap_open);
	export_function(env, exports, "ethtool", ethtool_value);
}
