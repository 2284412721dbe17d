// The container profile of a pod: each control as weak as the weakest container has it, with the place in the manifest that makes it so.
import type { ContainerProfile } from "../schema/request.ts";
import type { ManifestPart } from "./manifest.ts";
import type { PodPlace } from "./objects.ts";
import { HOST_NAMESPACES, type HostNamespace } from "./pod.ts";

/** Where places of the workload lie in the manifest: pointer into the request → path. */
export type Origins = { [pointer: string]: string };

interface Profiled {
  readonly declared: Partial<ContainerProfile>;
  readonly origins: Origins;
}

/** A container's context and the pod's, in which what it does not set is looked up. */
interface Contexts {
  readonly container: ManifestPart;
  readonly own: ManifestPart | undefined;
  readonly pods: ManifestPart | undefined;
}

const PROFILE = "/workload/envelope/container";

export function containerProfile({ metadata, spec }: PodPlace, containers: readonly ManifestPart[]): Profiled {
  const pods = spec.object("securityContext");
  const each = containers.map((container): Contexts => ({ container, own: container.object("securityContext"), pods }));
  const annotations = metadata.labels("annotations");
  const flags = {
    privileged: weakest(each, "privileged", ({ own }) => own?.flag("privileged") ?? false, [true, false]),
    allow_privilege_escalation: weakest(
      each,
      "allowPrivilegeEscalation",
      ({ own }) => own?.flag("allowPrivilegeEscalation"),
      [true, undefined, false],
    ),
    run_as_non_root: weakest(each, "runAsNonRoot", nonRoot, [false, undefined, true]),
    read_only_root_filesystem: weakest(
      each,
      "readOnlyRootFilesystem",
      ({ own }) => own?.flag("readOnlyRootFilesystem") ?? false,
      [false, true],
    ),
    seccomp: weakest(each, "seccompProfile.type", seccompOf, SECCOMP),
    apparmor: weakest(each, "appArmorProfile.type", (contexts) => apparmorOf(contexts, annotations), APPARMOR),
  };
  const lists = {
    host_namespaces: HOST_NAMESPACES.filter((name) => spec.flag(name) === true).map((name) => ({
      value: HOST_NAMES[name],
      at: spec.within(name),
    })),
    host_paths: spec.objects("volumes").flatMap((volume) => {
      const hostPath = volume.object("hostPath");
      return hostPath === undefined ? [] : [{ value: hostPath.text("path") ?? "", at: hostPath.within("path") }];
    }),
    added_capabilities: addedCapabilities(each),
  };
  const origins: Origins = {};
  const declared: { [member: string]: unknown } = {};
  for (const [member, { value, at }] of Object.entries(flags)) {
    if (value !== undefined) declared[member] = value;
    origins[`${PROFILE}/${member}`] = at;
  }
  for (const [member, items] of Object.entries(lists)) {
    declared[member] = items.map(({ value }) => value);
    for (const [i, { at }] of items.entries()) origins[`${PROFILE}/${member}/${i}`] = at;
  }
  return { declared, origins };
}

const HOST_NAMES: Readonly<Record<HostNamespace, string>> = { hostNetwork: "network", hostPID: "pid", hostIPC: "ipc" };

/** Of all containers the weakest value, and the place of the first that has it. @param order from the weakest; what a text begins with counts. */
function weakest<T>(
  each: readonly Contexts[],
  member: string,
  read: (contexts: Contexts) => T,
  order: readonly unknown[],
): { value: T | undefined; at: string } {
  const rank = (value: T): number => {
    const found = order.findIndex(
      (known) =>
        value === known ||
        (typeof value === "string" && typeof known === "string" && known.endsWith("/") && value.startsWith(known)),
    );
    return found === -1 ? 0 : found;
  };
  let least: { value: T; at: string; rank: number } | undefined;
  for (const contexts of each) {
    const value = read(contexts);
    if (least === undefined || rank(value) < least.rank)
      least = { value, rank: rank(value), at: `${contexts.container.within("securityContext")}.${member}` };
  }
  return { value: least?.value, at: least?.at ?? "" };
}

/** As Kubernetes has it: the container's own word, else the pod's; and whoever is user 0 is root, whatever else is said. */
function nonRoot({ own, pods }: Contexts): boolean | undefined {
  const user = own?.integer("runAsUser") ?? pods?.integer("runAsUser");
  if (user === 0) return false;
  const said = own?.flag("runAsNonRoot") ?? pods?.flag("runAsNonRoot");
  return said === true || (user !== undefined && user > 0) ? true : said;
}

const SECCOMP = ["Unconfined", undefined, "Localhost/", "RuntimeDefault"];
const APPARMOR = ["unconfined", undefined, "localhost/", "runtime/default"];

function seccompOf({ own, pods }: Contexts): string | undefined {
  const profile = own?.object("seccompProfile") ?? pods?.object("seccompProfile");
  const type = profile?.text("type");
  return type === "Localhost" ? `Localhost/${profile!.text("localhostProfile") ?? ""}` : type;
}

/** By the field, else by the annotation that came before it. */
function apparmorOf({ container, own, pods }: Contexts, annotations: ReadonlyMap<string, string>): string | undefined {
  const profile = own?.object("appArmorProfile") ?? pods?.object("appArmorProfile");
  if (profile === undefined)
    return (
      annotations.get(`container.apparmor.security.beta.kubernetes.io/${container.text("name") ?? ""}`) || undefined
    );
  switch (profile.text("type")) {
    case "RuntimeDefault":
      return "runtime/default";
    case "Localhost":
      return `localhost/${profile.text("localhostProfile") ?? ""}`;
    default:
      return "unconfined";
  }
}

function addedCapabilities(each: readonly Contexts[]): { value: string; at: string }[] {
  const added = new Map<string, string>();
  for (const { own } of each)
    for (const [i, name] of (own?.object("capabilities")?.texts("add") ?? []).entries())
      if (!added.has(name)) added.set(name, `${own!.within("capabilities")}.add[${i}]`);
  return [...added].map(([value, at]) => ({ value, at }));
}
