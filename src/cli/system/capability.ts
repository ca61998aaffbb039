// Capabilities of Linux by name and bit (linux/capability.h).

const names = (
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE ' +
  'NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN ' +
  'SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE ' +
  'MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'
).split(' ');

/** The mask of these names. Throws a RangeError for one that there is not. */
export function maskOf(wanted: readonly string[]): bigint {
  return wanted.reduce((mask, name) => {
    const bit = names.indexOf(name);
    if (bit < 0) throw new RangeError(`there is no capability ${name}`);
    return mask | (1n << BigInt(bit));
  }, 0n);
}

/** Names of the bits of a mask; a bit without a name is its number. */
export function namesOf(mask: bigint): readonly string[] {
  const digits = Array.from(mask.toString(2)).toReversed();
  return digits.flatMap((digit, bit) => (digit === '1' ? [names[bit] ?? String(bit)] : []));
}

/** A mask of /proc/PID/status: "CapEff", "CapPrm", "CapBnd". */
export function maskIn(status: string, field: string): bigint {
  const line = status.split('\n').find((one) => one.startsWith(`${field}:`));
  return BigInt(`0x${line?.slice(field.length + 1).trim() ?? '0'}`);
}
