// A pod as the law is told of it: what the Pod Security Standards look at, and nothing else of it; neither environment nor secrets get into evidence.
import type { ContainerFact, PodFact } from "../schema/kubernetes.ts";
import { wrong, type ManifestPart } from "./manifest.ts";
import type { PodPlace } from "./objects.ts";

export const HOST_NAMESPACES = ["hostNetwork", "hostPID", "hostIPC"] as const;
export type HostNamespace = (typeof HOST_NAMESPACES)[number];
const CONTAINER_LISTS = ["initContainers", "containers", "ephemeralContainers"];
const PROBES = ["livenessProbe", "readinessProbe", "startupProbe"];
const HOOKS = ["postStart", "preStop"];
const HANDLERS = ["httpGet", "tcpSocket"];
/** Annotations by which security was set before there were fields for it. */
const ANNOTATIONS = [
  "container.apparmor.security.beta.kubernetes.io/",
  "container.seccomp.security.alpha.kubernetes.io/",
  "seccomp.security.alpha.kubernetes.io/pod",
];

// What one pod can make the law judge: several times what pods are seen to have (docs/decisions/0030).
const CONTAINERS_MAX = 256;
const LISTED_MAX = 1024;

/** Every container of a pod: init, main, ephemeral, in that order. @throws RequestError 422 there are too many. */
export function containersOf(spec: ManifestPart): ManifestPart[] {
  const containers = CONTAINER_LISTS.flatMap((list) => spec.objects(list));
  if (containers.length > CONTAINERS_MAX)
    throw wrong(spec.within("containers"), `at most ${CONTAINERS_MAX} containers`);
  return containers;
}

/** @throws RequestError 422 there are too many. */
function bounded(parts: ManifestPart[]): ManifestPart[] {
  if (parts.length > LISTED_MAX) throw wrong(parts[0]!.at, `one of at most ${LISTED_MAX}`);
  return parts;
}

/** @throws RequestError 422 a member is not of the type that it must have. */
export function podFact({ metadata, spec }: PodPlace): PodFact {
  const context = spec.object("securityContext");
  const annotations = [...metadata.labels("annotations")].filter(([name]) =>
    ANNOTATIONS.some((known) => name.startsWith(known)),
  );
  return {
    at: spec.at,
    metadata_at: metadata.at,
    annotations: Object.fromEntries(annotations),
    os: spec.object("os")?.text("name") ?? null,
    user_namespace: spec.flag("hostUsers") === false,
    host_namespaces: HOST_NAMESPACES.filter((name) => spec.flag(name) === true),
    runtime_class: spec.text("runtimeClassName") || null,
    security: {
      ...securityOf(context),
      sysctls: bounded(context?.objects("sysctls") ?? []).map((sysctl) => sysctl.text("name") ?? ""),
    },
    volumes: bounded(spec.objects("volumes")).map((volume) => ({
      name: volume.text("name") ?? "",
      at: volume.at,
      sources: volume.names().filter((name) => name !== "name"),
    })),
    containers: containersOf(spec).map(containerFact),
  };
}

/** Only what is set: absent members cost nothing to read. */
function set<T extends object>(members: T): { [M in keyof T]?: Exclude<T[M], undefined> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as {
    [M in keyof T]?: Exclude<T[M], undefined>;
  };
}

function securityOf(context: ManifestPart | undefined) {
  const selinux = context?.object("seLinuxOptions");
  return set({
    apparmor: profileOf(context, "appArmorProfile"),
    seccomp: profileOf(context, "seccompProfile"),
    selinux: selinux && {
      type: selinux.text("type") ?? "",
      user: selinux.text("user") ?? "",
      role: selinux.text("role") ?? "",
    },
    run_as_non_root: context?.flag("runAsNonRoot"),
    run_as_user: context?.integer("runAsUser"),
    host_process: context?.object("windowsOptions")?.flag("hostProcess"),
  });
}

/** A profile by its type; "" where it names none. */
function profileOf(context: ManifestPart | undefined, name: string): string | undefined {
  const profile = context?.object(name);
  return profile && (profile.text("type") ?? "");
}

function containerFact(container: ManifestPart): ContainerFact {
  const context = container.object("securityContext");
  const capabilities = context?.object("capabilities");
  const [host_ports, hosts] = [hostPorts(container), namedHosts(container)];
  return {
    name: container.text("name") ?? "",
    at: container.at,
    ...securityOf(context),
    ...set({
      privileged: context?.flag("privileged"),
      allow_privilege_escalation: context?.flag("allowPrivilegeEscalation"),
      capabilities: capabilities && { add: capabilities.texts("add"), drop: capabilities.texts("drop") },
      proc_mount: context?.text("procMount"),
      host_ports: host_ports.length > 0 ? host_ports : undefined,
      hosts: hosts.length > 0 ? hosts : undefined,
    }),
  };
}

function hostPorts(container: ManifestPart): { at: string; port: number }[] {
  return bounded(container.objects("ports")).flatMap((port) => {
    const number = port.integer("hostPort") ?? 0;
    return number === 0 ? [] : [{ at: port.at, port: number }];
  });
}

/** Of probes and lifecycle hooks those that go to a host by name. */
function namedHosts(container: ManifestPart): { at: string; host: string }[] {
  const lifecycle = container.object("lifecycle");
  const handled = [...PROBES.map((name) => container.object(name)), ...HOOKS.map((name) => lifecycle?.object(name))];
  return handled.flatMap((place) =>
    HANDLERS.flatMap((name) => {
      const handler = place?.object(name);
      const host = handler?.text("host") ?? "";
      return host === "" ? [] : [{ at: handler!.at, host }];
    }),
  );
}
