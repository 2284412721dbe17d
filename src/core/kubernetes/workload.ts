// A pod as a workload: every container by its own security context with the pod's as default, the whole as weak as the weakest of them (spec law §7).
import { ENVELOPE_KINDS } from "../schema/base.ts";
import type { AdmissionRequest } from "../schema/request.ts";
import type { ManifestFault } from "../schema/kubernetes.ts";
import { firstOf, readFields, settingFields, type FieldValues } from "./fields.ts";
import type { ManifestPart } from "./manifest.ts";
import { namespaceFields, type Namespace } from "./namespace.ts";
import { containersOf } from "./pod.ts";
import { containerProfile, type Origins } from "./profile.ts";
import type { PodPlace } from "./objects.ts";
import type { KubernetesSettings } from "./settings.ts";

export interface Mapped {
  readonly request: AdmissionRequest;
  /** Where places of the workload lie in the manifest: pointer into the request → path. */
  readonly origins: { readonly [pointer: string]: string };
  readonly faults: readonly ManifestFault[];
}

export interface Mapping {
  readonly pod: PodPlace;
  /** Of the object that brings the pod; the pod's own for a Pod. */
  readonly metadata: ManifestPart;
  readonly workloadId: string;
  readonly tenantId: string;
  readonly namespace: Namespace | null;
}

/** Maps by the policy's settings, which say what pods cannot, and the pattern among them that the pod's namespace fits. */
export type WorkloadMapper = (settings: KubernetesSettings, pattern: string | null) => Mapped;

/** Reads a pod once, whatever settings it is then mapped by. @throws RequestError 422 it is not of the shape that pods have. */
export function workloadMapper(mapping: Mapping): WorkloadMapper {
  const { pod, workloadId, tenantId, namespace } = mapping;
  const own = ownFields(mapping);
  const inherited = namespace === null ? [] : namespaceFields(namespace);
  const said = [...own.values, ...inherited.map((read) => read.values)];
  const containers = containersOf(pod.spec);
  let profiled: ReturnType<typeof containerProfile> | undefined;
  const profile = () => (profiled ??= containerProfile(pod, containers));
  return (settings, pattern) => {
    const given = settingFields((pattern === null ? undefined : settings.namespaces[pattern]?.workload) ?? {});
    const values = firstOf([...said, given.values]);
    const { envelope, origins } = envelopeOf({ pod, containers, profile }, values, settings);
    const { classifying, placement, tokens } = declared(values, pod.spec);
    return {
      request: {
        workload: { workload_id: workloadId, tenant_id: tenantId, ...classifying, envelope },
        ...(placement && { placement }),
        ...tokens,
      } as AdmissionRequest,
      origins,
      // What is wrong with the namespace was told when it was reviewed.
      faults: [...own.faults, ...given.faults.map((fault) => ({ ...fault, at: pod.spec.at }))],
    };
  };
}

function ownFields({ pod, metadata }: Pick<Mapping, "pod" | "metadata">): {
  values: FieldValues[];
  faults: ManifestFault[];
} {
  const places = metadata.at === pod.metadata.at ? [metadata] : [pod.metadata, metadata];
  const read = places.flatMap((place) =>
    ["annotations", "labels"].map((map) => readFields(place.labels(map), place.within(map))),
  );
  return { values: read.map(({ values }) => values), faults: read.flatMap(({ faults }) => [...faults]) };
}

const CLASSIFYING = [
  "tenant_tier",
  "classification",
  "risk",
  "governance_profile",
  "jurisdictions",
  "residency",
  "dependencies",
  "attributes",
];
const TOKENS = ["authority", "exceptions", "attestation", "correlation_id"];

/** What is written down in the request as it is. */
function declared(values: FieldValues, spec: ManifestPart) {
  const nodeName = spec.text("nodeName");
  const placement = group("placement", values);
  return {
    classifying: { ...pick(CLASSIFYING, values), ...grouped("crp", values), ...grouped("network", values) },
    placement: nodeName === undefined ? placement : { node_id: nodeName, ...placement },
    tokens: pick(TOKENS, values) as Pick<
      AdmissionRequest,
      "authority" | "exceptions" | "attestation" | "correlation_id"
    >,
  };
}

const pick = (names: readonly string[], values: FieldValues): { [name: string]: unknown } =>
  Object.fromEntries(names.filter((name) => values.has(name)).map((name) => [name, values.get(name)]));

function group(name: string, values: FieldValues): object | undefined {
  const members = [...values].filter(([field]) => field.startsWith(`${name}.`));
  return members.length === 0
    ? undefined
    : Object.fromEntries(members.map(([field, value]) => [field.slice(name.length + 1), value]));
}

function grouped(name: string, values: FieldValues): object {
  const members = group(name, values);
  return members === undefined ? {} : { [name]: members };
}

interface Enveloped {
  readonly envelope: object;
  readonly origins: Origins;
}

interface ReadPod {
  readonly pod: PodPlace;
  readonly containers: readonly ManifestPart[];
  readonly profile: () => ReturnType<typeof containerProfile>;
}

function envelopeOf(
  { pod: { spec }, containers, profile }: ReadPod,
  values: FieldValues,
  { runtime_classes }: KubernetesSettings,
): Enveloped {
  const name = spec.text("runtimeClassName") ?? "";
  const known = Object.hasOwn(runtime_classes, name) ? runtime_classes[name]! : undefined;
  const kind = known && ENVELOPE_KINDS.includes(known.kind) ? known.kind : "container";
  const images = containers.map((container) => imageOf(container, values));
  const origins: Origins = { "/workload/envelope": spec.within("runtimeClassName") };
  for (const [i, container] of containers.entries())
    origins[`/workload/envelope/${kind}/images/${i}`] = container.within("image");
  if (kind === "container") {
    const runtime = known?.runtime ?? (name === "" ? undefined : name);
    const container = {
      ...(runtime !== undefined && { runtime }),
      images,
      ...profile().declared,
      ...pick(["selinux"], values),
      ...justification(values),
    };
    return { envelope: { kind, container }, origins: { ...origins, ...profile().origins } };
  }
  const members = pick(
    kind === "vm" ? ["hypervisor", "boot", "vtpm", "firmware", "drivers"] : ["platform", "reattestation_interval"],
    values,
  );
  return { envelope: { kind, [kind]: { ...known?.[kind], ...members, images } }, origins };
}

const justification = (values: FieldValues): object => pick(["writable_justification"], values);

function imageOf(container: ManifestPart, values: FieldValues): object {
  const [name, reference] = [container.text("name"), container.text("image")];
  const vouched = values.get("provenance") as { readonly [container: string]: object } | undefined;
  const provenance = vouched && (Object.hasOwn(vouched, name ?? "") ? vouched[name!] : vouched["*"]);
  return {
    ...(name && { name }),
    ...(reference !== undefined && { reference }),
    ...(provenance && { provenance }),
  };
}
