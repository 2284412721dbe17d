// Pods at random, out of values that the Pod Security Standards tell apart; the same seed makes the same pods.

type Json = { [member: string]: unknown };

/** A generator of numbers below 1 (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const PROFILES = [{ type: "RuntimeDefault" }, { type: "Localhost", localhostProfile: "x" }, { type: "Unconfined" }];
const SELINUX = [
  {},
  { type: "container_t" },
  { type: "container_engine_t" },
  { type: "spc_t" },
  { user: "u" },
  { role: "r" },
];
const CAPABILITIES = ["NET_BIND_SERVICE", "CHOWN", "NET_RAW", "SYS_ADMIN"];
const SYSCTLS = [
  "kernel.shm_rmid_forced",
  "net.ipv4.ip_local_reserved_ports",
  "net.ipv4.tcp_rmem",
  "net.ipv4.tcp_notsent_lowat",
  "kernel.msgmax",
];
const VOLUMES = ["configMap", "emptyDir", "hostPath", "nfs", "secret", "image", "csi", "gitRepo"];
const ANNOTATIONS = ["runtime/default", "docker/default", "localhost/x", "unconfined", ""];

/** @returns pods without names, as the API server would decode them. */
export function randomPods(count: number, seed: number): Json[] {
  const next = numbers(seed);
  const chance = (p: number) => next() < p;
  const pick = <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)]!;
  const some = <T>(from: readonly T[], p: number): T[] => from.filter(() => chance(p));
  const maybe = (p: number, make: () => Json): Json => (chance(p) ? make() : {});
  const flag = (p: number, name: string, yes: boolean) => maybe(p, () => ({ [name]: chance(0.8) ? yes : !yes }));
  const shared = (): Json => ({
    ...maybe(0.4, () => ({ runAsNonRoot: chance(0.8) })),
    ...maybe(0.2, () => ({ runAsUser: pick([0, 1000]) })),
    ...maybe(0.4, () => ({ seccompProfile: pick(PROFILES) })),
    ...maybe(0.15, () => ({ appArmorProfile: pick(PROFILES) })),
    ...maybe(0.15, () => ({ seLinuxOptions: pick(SELINUX) })),
    ...maybe(0.08, () => ({ windowsOptions: { hostProcess: chance(0.5) } })),
  });
  const handler = (): Json => ({
    [pick(["httpGet", "tcpSocket"])]: { port: 80, ...maybe(0.5, () => ({ host: "10.0.0.1" })) },
  });
  const container = (name: string): Json => ({
    name,
    image: "registry.example/app",
    ...maybe(0.85, () => ({
      securityContext: {
        ...shared(),
        ...flag(0.8, "allowPrivilegeEscalation", false),
        ...flag(0.2, "privileged", false),
        ...maybe(0.7, () => ({
          capabilities: { drop: chance(0.8) ? ["ALL"] : ["NET_RAW"], add: some(CAPABILITIES, 0.15) },
        })),
        ...maybe(0.1, () => ({ procMount: pick(["Default", "Unmasked"]) })),
      },
    })),
    ...maybe(0.15, () => ({ ports: [{ containerPort: 80, hostPort: pick([0, 80]) }] })),
    ...maybe(0.15, () => ({ livenessProbe: handler() })),
    ...maybe(0.1, () => ({ lifecycle: { [pick(["postStart", "preStop"])]: handler() } })),
  });
  return Array.from({ length: count }, () => ({
    metadata: {
      ...maybe(0.2, () => ({
        annotations: {
          ...maybe(0.5, () => ({ "container.apparmor.security.beta.kubernetes.io/a": pick(ANNOTATIONS) })),
          ...maybe(0.5, () => ({ "seccomp.security.alpha.kubernetes.io/pod": pick(ANNOTATIONS) })),
          ...maybe(0.5, () => ({ "container.seccomp.security.alpha.kubernetes.io/b": pick(ANNOTATIONS) })),
        },
      })),
    },
    spec: {
      ...maybe(0.1, () => ({ os: { name: pick(["linux", "windows"]) } })),
      ...maybe(0.15, () => ({ hostUsers: chance(0.3) })),
      ...flag(0.1, "hostNetwork", false),
      ...flag(0.1, "hostPID", false),
      ...flag(0.1, "hostIPC", false),
      ...maybe(0.7, () => ({
        securityContext: {
          ...shared(),
          ...maybe(0.15, () => ({ sysctls: some(SYSCTLS, 0.3).map((name) => ({ name, value: "1" })) })),
        },
      })),
      ...maybe(0.3, () => ({ volumes: some(VOLUMES, 0.2).map((type) => ({ name: type.toLowerCase(), [type]: {} })) })),
      ...maybe(0.3, () => ({ initContainers: [container("i")] })),
      containers: chance(0.5) ? [container("a")] : [container("a"), container("b")],
      ...maybe(0.1, () => ({ ephemeralContainers: [container("e")] })),
    },
  }));
}
