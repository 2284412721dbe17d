// What a Pod cannot state of a workload, and who says it in its place: annotations and labels that begin with `railgate.dev/`, then the policy's settings.
import type { TSchema } from "typebox";
import { Compile, type Validator } from "typebox/compile";
import { nearest } from "../nearest.ts";
import { AdmissionRequestSchema } from "../schema/request.ts";
import type { ManifestFault } from "../schema/kubernetes.ts";

export const PREFIX = "railgate.dev/";
/** The label of a namespace that says in which mode Railgate's own law holds there, and the one that says whose it is. */
export const LAW_LABEL = `${PREFIX}law`;
export const TENANT_LABEL = `${PREFIX}tenant`;

/** What one annotation may hold. */
const TEXT_CHARS_MAX = 256 * 1024;

const request = AdmissionRequestSchema.properties;
const workload = request.workload.properties;

/** How the text of an annotation becomes a value; undefined where it is none. */
type Reading = (text: string) => unknown;

const asText: Reading = (text) => text;
const asFlag: Reading = (text) => (text === "true" ? true : text === "false" ? false : undefined);
const asNumber: Reading = (text) => (/^\d{1,15}$/.test(text) ? Number(text) : undefined);
/** Separated by commas or blanks; values of labels can have neither, and so hold one. */
const asList: Reading = (text) => text.split(/[\s,]+/).filter((item) => item !== "");
const asJson: Reading = (text) => {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
};
/** A token, or a verifier's report. */
const asAttestation: Reading = (text) => (text.trimStart().startsWith("{") ? asJson(text) : { token: text });

interface Field {
  readonly read: Reading;
  readonly schema: TSchema;
  readonly must: string;
}

const field = (read: Reading, schema: TSchema, must: string): Field => ({ read, schema, must });
const text = (schema: TSchema) => field(asText, schema, "text as the field of an admission request has it");
const flag = (schema: TSchema) => field(asFlag, schema, "true or false");
const list = (schema: TSchema, of: string) => field(asList, schema, `${of}, separated by commas`);
const json = (schema: TSchema) => field(asJson, schema, "JSON, as the field of an admission request has it");

type Members = { readonly [name: string]: TSchema };
const members = (schema: TSchema): Members => (schema as unknown as { properties: Members }).properties;
const { designated, tier } = members(workload.crp) as { designated: TSchema; tier: TSchema };
const network = members(workload.network);
const placement = members(request.placement);
const kinds = (workload.envelope as unknown as { anyOf: TSchema[] }).anyOf;
const profileOf = (branch: number, kind: string): Members => members(members(kinds[branch]!)[kind]!);
const [container, vm, tee] = [profileOf(0, "container"), profileOf(1, "vm"), profileOf(2, "tee")];
const images = (container["images"] as unknown as { items: TSchema }).items;

/** By the name behind the prefix, with a point where a member of a member is meant. */
const FIELDS: { readonly [name: string]: Field } = {
  tenant_tier: text(workload.tenant_tier),
  classification: text(workload.classification),
  risk: text(workload.risk),
  governance_profile: text(workload.governance_profile),
  crp: json(workload.crp),
  "crp.designated": flag(designated),
  "crp.tier": field(asNumber, tier, "a whole number"),
  jurisdictions: list(workload.jurisdictions, "ISO 3166-1 alpha-2 codes, EU or EEA"),
  residency: list(workload.residency, "ISO 3166-1 alpha-2 codes, EU or EEA"),
  network: json(workload.network),
  "network.policy_id": text(network["policy_id"]!),
  "network.default_deny": flag(network["default_deny"]!),
  "network.tenant_isolated": flag(network["tenant_isolated"]!),
  dependencies: json(workload.dependencies),
  attributes: json(workload.attributes),
  placement: json(request.placement),
  "placement.node_id": text(placement["node_id"]!),
  "placement.jurisdiction": text(placement["jurisdiction"]!),
  "placement.tenancy": text(placement["tenancy"]!),
  "placement.tenants_on_host": list(placement["tenants_on_host"]!, "tenants"),
  authority: text(request.authority),
  exceptions: list(request.exceptions, "compact JWS"),
  attestation: field(asAttestation, request.attestation, "a token, or a report as JSON"),
  correlation_id: text(request.correlation_id),
  writable_justification: text(container["writable_justification"]!),
  selinux: text(container["selinux"]!),
  /** By container, or `*` for all. */
  provenance: field(
    asJson,
    provenanceSchema(),
    'JSON: {"<container>": {"verified": true, "issuer": "…"}}, or * for all',
  ),
  hypervisor: json(vm["hypervisor"]!),
  boot: json(vm["boot"]!),
  vtpm: json(vm["vtpm"]!),
  firmware: json(vm["firmware"]!),
  drivers: json(vm["drivers"]!),
  platform: text(tee["platform"]!),
  reattestation_interval: text(tee["reattestation_interval"]!),
};

function provenanceSchema(): TSchema {
  const each = members(images)["provenance"]!;
  return { type: "object", additionalProperties: each, maxProperties: 64 } as unknown as TSchema;
}

/** Fields whose members are fields of their own. */
const GROUPS = ["crp", "network", "placement"];

/** Values by field; of a group by its members. */
export type FieldValues = ReadonlyMap<string, unknown>;

export interface ReadFields {
  readonly values: FieldValues;
  readonly faults: readonly ManifestFault[];
}

/**
 * Reads annotations or labels.
 * @param at of the map in the manifest: `metadata.annotations`.
 * @param besides names that mean something else here.
 */
export function readFields(
  named: Iterable<readonly [string, string]>,
  at: string,
  besides: readonly string[] = [],
): ReadFields {
  const values = new Map<string, unknown>();
  const faults: ManifestFault[] = [];
  for (const [name, text] of named) {
    if (!name.startsWith(PREFIX) || besides.includes(name)) continue;
    const read = readField(name.slice(PREFIX.length), text);
    if ("fault" in read) faults.push({ at: `${at}[${name}]`, message: `${name} ${read.fault}` });
    else for (const [field, value] of read.values) if (!values.has(field)) values.set(field, value);
  }
  return { values, faults };
}

function readField(name: string, text: string): { values: [string, unknown][] } | { fault: string } {
  if (!Object.hasOwn(FIELDS, name)) {
    const meant = nearest(name, Object.keys(FIELDS));
    return { fault: `is none of Railgate's${meant === undefined ? "" : `; did you mean ${PREFIX}${meant}?`}` };
  }
  const { read, must } = FIELDS[name]!;
  const value = text.length > TEXT_CHARS_MAX ? undefined : read(text);
  return value !== undefined && fits(name, value) ? { values: expanded(name, value) } : { fault: `must be ${must}` };
}

const validators = new Map<string, Validator>();

/** Compiled when it is first asked for. */
function fits(name: string, value: unknown): boolean {
  let validator = validators.get(name);
  if (validator === undefined) validators.set(name, (validator = Compile(FIELDS[name]!.schema) as Validator));
  return validator.Check(value);
}

function expanded(name: string, value: unknown): [string, unknown][] {
  if (!GROUPS.includes(name)) return [[name, value]];
  return Object.entries(value as object).map(([member, each]) => [`${name}.${member}`, each]);
}

/** Fields as the policy's settings give them, in the request's own shape. Values that do not fit are faults. */
export function settingFields(given: { readonly [name: string]: unknown }): ReadFields {
  const values = new Map<string, unknown>();
  const faults: ManifestFault[] = [];
  for (const [name, value] of Object.entries(given)) {
    if (Object.hasOwn(FIELDS, name) && fits(name, value))
      for (const [field, each] of expanded(name, value)) values.set(field, each);
    else
      faults.push({
        at: "",
        message: `settings.kubernetes.namespaces: workload.${name} must be ${FIELDS[name]?.must ?? "a field that there is"}`,
      });
  }
  return { values, faults };
}

/** Each field from the first that has it. */
export function firstOf(sources: readonly FieldValues[]): Map<string, unknown> {
  const values = new Map<string, unknown>();
  for (const source of sources) for (const [name, value] of source) if (!values.has(name)) values.set(name, value);
  return values;
}
