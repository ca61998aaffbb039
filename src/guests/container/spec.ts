// What podman is asked to make (libpod's SpecGenerator).
import { cgroupName } from '../cgroup.ts';
import type { ContainerSpec } from './compile.ts';

const periodUs = 100_000;
const logBytes = 2 ** 20;

/** The namespace is ours, joined by its path; podman makes no network, and restarts nothing: we do. `resolvConf` is the
 * file that the guest sees as its own: left to podman, the machine's own servers may stand in it. */
export function specFor(
  instance: string,
  name: string,
  spec: ContainerSpec,
  labels: Readonly<Record<string, string>>,
  resolvConf: string,
): object {
  const quota = Math.max(1000, Math.round(spec.cpus * periodUs));
  return {
    name: `${instance}-${name}`,
    hostname: name,
    image: spec.image,
    ...(spec.command === undefined ? {} : { command: spec.command }),
    ...(spec.entrypoint === undefined ? {} : { entrypoint: spec.entrypoint }),
    env: spec.environment,
    labels,
    netns: { nsmode: 'path', value: `/run/netns/${spec.netns}` },
    mounts: [{ type: 'bind', source: resolvConf, destination: '/etc/resolv.conf', options: ['ro'] }],
    resource_limits: {
      memory: { limit: spec.memory, swap: spec.memory },
      cpu: { quota, period: periodUs },
      pids: { limit: spec.pids },
    },
    cgroup_parent: `/${cgroupName(instance, name)}`,
    log_configuration: { driver: 'k8s-file', size: logBytes },
    no_new_privileges: true,
    restart_policy: 'no',
    stop_timeout: 3,
    image_volume_mode: 'anonymous',
  };
}
