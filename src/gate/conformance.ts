// What no policy may admit, as cases: an envelope weaker than the policy itself requires, an enclave that is not proven, another tenant's
// workload, and a mesh command that breaks an invariant (spec law §3, §5). A policy fails by admitting one, never by refusing more.
import { SAYS_NO_MORE } from "../core/attestation.ts";
import { EMPTY_SNAPSHOT } from "../core/digest.ts";
import { buildInput } from "../core/facts.ts";
import type { MeshCommand, MeshFacts } from "../core/mesh.ts";
import { ENVELOPE_KINDS } from "../core/schema/base.ts";
import type { AttestationFact, Context } from "../core/schema/input.ts";
import type { ElevationPolicy } from "../core/schema/mesh.ts";
import type { AdmissionRequest } from "../core/schema/request.ts";
import type { Policy } from "../policy/policy.ts";
import type { Violation } from "../core/schema/policies.ts";
import { ADMISSION } from "./commands/admission.ts";
import { MESH } from "./commands/mesh.ts";

/** One case: what must not be admitted. */
export interface ConformanceCase {
  readonly name: string;
  /** The rule or invariant that an admission would break. */
  readonly breaks: string;
  readonly entrypoint: string;
  readonly input: unknown;
  /** Whether an accepted decision breaks it; default: any does. */
  readonly broken?: (decision: Decided) => boolean;
}

/** A decision as far as it is looked at. */
interface Decided {
  readonly outcome?: unknown;
  readonly envelope?: { readonly required?: unknown } | null;
}

const NOW_MS = Date.UTC(2026, 0, 1);
const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;
const CONTEXT: Context = {
  partition: { state: "connected", since: null },
  policy: { age_s: null, snapshot_id: EMPTY_SNAPSHOT },
  authority: { age_s: null, snapshot_id: EMPTY_SNAPSHOT },
};
const TENANT = "acme";

type Workload = AdmissionRequest["workload"];

const image = {
  name: "api",
  reference: `registry.example/api@${DIGEST}`,
  provenance: { verified: true, issuer: "https://ci.example", attestation: DIGEST },
};
const component = { name: "ovmf", digest: DIGEST, provenance: image.provenance };
const ENVELOPES = {
  container: {
    kind: "container",
    container: {
      runtime: "gvisor",
      images: [image],
      seccomp: "RuntimeDefault",
      apparmor: "runtime/default",
      read_only_root_filesystem: true,
      privileged: false,
      allow_privilege_escalation: false,
      run_as_non_root: true,
      host_namespaces: [],
      host_paths: [],
      added_capabilities: [],
    },
  },
  vm: {
    kind: "vm",
    vm: {
      hypervisor: { type: "kvm", version: "6.12", dedicated: true },
      boot: { secure_boot: true, measured_boot: true, verified: true },
      vtpm: { present: false },
      firmware: [component],
      drivers: [component],
      images: [image],
    },
  },
  tee: { kind: "tee", tee: { platform: "amd-sev-snp", reattestation_interval: "PT15M", images: [image] } },
} as const;

const DEPENDENCIES = ["runtime", "image_registry", "hypervisor", "firmware", "attestation_service", "key_service"];

const PROVEN: AttestationFact = {
  form: "token",
  status: "verified",
  error: null,
  issuer: "https://as.example",
  format: "railgate",
  report_ref: "report-1",
  platform_type: "amd-sev-snp",
  result: "pass",
  measured_at_ms: NOW_MS - 1000,
  debuggable: false,
  ...SAYS_NO_MORE,
  nonce: { form: "correlation", ok: true },
  token_digest: DIGEST,
};

interface Asked {
  readonly kind: keyof typeof ENVELOPES;
  readonly workload?: Partial<Workload>;
  readonly attestation?: AttestationFact;
  /** Null: whoever may act for any. */
  readonly callerTenant?: string | null;
}

/** The input of an admission against which nothing else speaks. */
export function admissionInput({ kind, workload = {}, attestation = PROVEN, callerTenant = null }: Asked): unknown {
  const request = {
    workload: {
      workload_id: "conformance",
      tenant_id: TENANT,
      tenant_tier: "standard",
      classification: "internal",
      risk: "low",
      governance_profile: "baseline",
      crp: { designated: true, tier: 1 },
      jurisdictions: ["DE"],
      residency: ["EU"],
      envelope: ENVELOPES[kind],
      network: { policy_id: "np", default_deny: true, tenant_isolated: true },
      dependencies: DEPENDENCIES.map((kind) => ({
        dependency_id: kind,
        kind,
        available: true,
        local: true,
        jurisdiction: "DE",
      })),
      ...workload,
    },
    placement: { node_id: "node-1", jurisdiction: "DE", tenancy: "dedicated", tenants_on_host: [TENANT] },
    ...(kind === "tee" && { attestation: { token: "a.b.c" } }),
    correlation_id: "conformance",
  } as unknown as AdmissionRequest;
  return buildInput({
    request,
    nowMs: NOW_MS,
    caller: callerTenant === null ? null : { tenant_id: callerTenant },
    trust: { authority: null, attestation: kind === "tee" ? attestation : null, exceptions: [] },
    workload: null,
    context: CONTEXT,
  });
}

const CLASSIFYING = {
  risk: ["low", "medium", "high"],
  classification: ["public", "internal", "confidential", "restricted", "secret"],
  governance_profile: ["baseline", "admissible", "ncp", "regulated-ml"],
  tenant_tier: ["standard", "regulated", "sovereign"],
} as const;

/** Each value that can require an envelope, alone and with every other of another field, under the weaker envelopes. */
function* weakEnvelopes(): Generator<ConformanceCase> {
  const values = Object.entries(CLASSIFYING).flatMap(([field, all]) => all.map((value) => [field, value] as const));
  for (const kind of ["container", "vm"] as const)
    for (const [i, [field, value]] of values.entries())
      for (const [other, another] of values.slice(i + 1)) {
        if (field === other) continue;
        yield {
          name: `${kind} with ${field} ${value} and ${other} ${another}`,
          breaks: "ENV-03",
          entrypoint: ADMISSION,
          input: admissionInput({ kind, workload: { [field]: value, [other]: another } }),
          broken: ({ envelope }) => rankOf(envelope?.required) > rankOf(kind),
        };
      }
}

const rankOf = (kind: unknown): number => (ENVELOPE_KINDS as readonly unknown[]).indexOf(kind);

const UNPROVEN: readonly [name: string, change: Partial<AttestationFact>][] = [
  ["whose result is a failure", { result: "fail" }],
  ["that can be debugged", { debuggable: true }],
  ["whose token's signature does not hold", { status: "rejected", error: "signature" }],
  ["whose token's issuer is not trusted", { status: "rejected", error: "issuer" }],
  ["whose nonce is another", { status: "rejected", error: "nonce" }],
];

const notMine: ConformanceCase = {
  name: "a caller of another tenant",
  breaks: "TEN-01",
  entrypoint: ADMISSION,
  input: admissionInput({ kind: "container", callerTenant: "other" }),
};

const FREE: ElevationPolicy = {
  elevation_allowed: true,
  max_target_level: "hardware_isolated",
  preserve_latency_budget: false,
  latency_budget_us: 0,
};
const TIGHT: ElevationPolicy = { ...FREE, preserve_latency_budget: true, latency_budget_us: 10 };
const RAIL = {
  rail_id: "r",
  level: "sandbox_isolated",
  latency_overhead_us: 20,
  capacity: 2,
  active_count: 0,
} as const;
const PLACED = { workload_id: "w", rail_id: "before", level: "process_isolated", policy: FREE } as const;

const PLACE: MeshCommand = { command: "place", mesh_id: "m", workload_id: "w", rail_id: "r", policy: FREE };
const ELEVATE: MeshCommand = { command: "elevate", mesh_id: "m", workload_id: "w", target_rail_id: "r" };
const REMOVE: MeshCommand = { command: "remove", mesh_id: "m", workload_id: "w" };
const reload = (rail: object): MeshCommand => ({
  command: "reload",
  mesh_id: "m",
  rails: [{ rail_id: "r", level: "sandbox_isolated", latency_overhead_us: 20, capacity: 2, ...rail }],
});
const OCCUPIED = { rail_id: "r", level: "sandbox_isolated", active_count: 2, least_budget_us: 50 } as const;

export const PLACE_FACTS = { rail: RAIL, placement: null, departed_level: null, admission: null } as const;
export const ELEVATE_FACTS = { rail: RAIL, placement: PLACED, admission: null } as const;

const MESH_CASES: readonly [name: string, breaks: string, request: MeshCommand, facts: MeshFacts][] = [
  ["a placement on no rail", "INV-MESH-FAIL-CLOSED", PLACE, { ...PLACE_FACTS, rail: null }],
  ["a second placement", "INV-MESH-FAIL-CLOSED", PLACE, { ...PLACE_FACTS, placement: PLACED }],
  [
    "a return to a weaker rail",
    "INV-MESH-MONOTONIC-ELEVATION",
    PLACE,
    { ...PLACE_FACTS, departed_level: "hardware_isolated" },
  ],
  [
    "a placement below what the admission requires",
    "INV-MESH-MONOTONIC-ELEVATION",
    PLACE,
    { ...PLACE_FACTS, admission: { least_level: "hardware_isolated", crp: true, governance_profile: "baseline" } },
  ],
  ["a placement over its budget", "INV-MESH-LATENCY-BUDGET", { ...PLACE, policy: TIGHT }, PLACE_FACTS],
  ["a placement on a full rail", "capacity", PLACE, { ...PLACE_FACTS, rail: { ...RAIL, active_count: 2 } }],
  ["an elevation to no rail", "INV-MESH-FAIL-CLOSED", ELEVATE, { ...ELEVATE_FACTS, rail: null }],
  ["an elevation of nothing", "INV-MESH-FAIL-CLOSED", ELEVATE, { ...ELEVATE_FACTS, placement: null }],
  [
    "an elevation to a weaker rail",
    "INV-MESH-MONOTONIC-ELEVATION",
    ELEVATE,
    { ...ELEVATE_FACTS, placement: { ...PLACED, level: "hardware_isolated" } },
  ],
  [
    "an elevation over its budget",
    "INV-MESH-LATENCY-BUDGET",
    ELEVATE,
    { ...ELEVATE_FACTS, placement: { ...PLACED, policy: TIGHT } },
  ],
  ["an elevation to a full rail", "capacity", ELEVATE, { ...ELEVATE_FACTS, rail: { ...RAIL, active_count: 2 } }],
  ["a removal of nothing", "INV-MESH-FAIL-CLOSED", REMOVE, { placement: null }],
  [
    "a topology without an occupied rail",
    "INV-MESH-FAIL-CLOSED",
    reload({ rail_id: "other" }),
    { occupied: [OCCUPIED] },
  ],
  [
    "a topology that weakens an occupied rail",
    "INV-MESH-MONOTONIC-ELEVATION",
    reload({ level: "shared" }),
    { occupied: [OCCUPIED] },
  ],
  ["a topology with less room than is taken", "capacity", reload({ capacity: 1 }), { occupied: [OCCUPIED] }],
  [
    "a topology that exceeds a budget",
    "INV-MESH-LATENCY-BUDGET",
    reload({ latency_overhead_us: 51 }),
    { occupied: [OCCUPIED] },
  ],
  ["a topology of no rails", "INV-MESH-FAIL-CLOSED", { command: "reload", mesh_id: "m", rails: [] }, { occupied: [] }],
];

/** The corpus, made when it is first asked for. */
let corpus: readonly ConformanceCase[] | undefined;

export function conformanceCases(): readonly ConformanceCase[] {
  return (corpus ??= [
    ...weakEnvelopes(),
    ...UNPROVEN.map(([name, change]) => ({
      name: `an enclave ${name}`,
      breaks: "TEE-02",
      entrypoint: ADMISSION,
      input: admissionInput({ kind: "tee", attestation: { ...PROVEN, ...change } }),
    })),
    notMine,
    ...MESH_CASES.map(([name, breaks, request, facts]) => ({
      name,
      breaks,
      entrypoint: MESH,
      input: { request, facts, context: CONTEXT },
    })),
  ]);
}

/** What a case finds; undefined where the policy does not admit it. A policy that cannot answer admits nothing. */
export function violationOf(
  { name, breaks, entrypoint, input, broken }: ConformanceCase,
  policy: Policy,
): Violation | undefined {
  let decision: Decided;
  try {
    decision = (policy.evaluate(entrypoint, input) ?? {}) as Decided;
  } catch {
    return undefined;
  }
  if (decision.outcome !== "accepted" || broken?.(decision) === false) return undefined;
  return { case: name, breaks, message: `${name} is accepted` };
}
