// What traceability cannot read off the rules: which sentences something else fulfils, and the cases that show it.

/** A sentence that rules alone do not fulfil. */
interface Elsewhere {
  /** How the sentence begins. */
  readonly sentence: string;
  /** What fulfils it; where nothing does yet, `not fulfilled yet: …`. */
  readonly by: string;
  /** `corpus <file>: <name>`, `rego <file>.<test>`, or `<file>: <title>`. */
  readonly cases: readonly string[];
}

const LEDGER_CHAINS = "test/evidence/ledger.test.ts: many entries at once make gapless, signed chains, one per tenant";
const LEDGER_FAILS =
  "test/evidence/ledger.test.ts: a commit that fails refuses all that stood on it, and the next one continues the chain without a gap";
const ALL_RULES = "test/policy/admission.test.ts: the corpus refuses by every rule and accepts every envelope";
const PARTITIONED = "corpus freshness: partitioned, ncp designated goes on";
const NO_POLICY =
  "test/host/policy.test.ts: a bundle that cannot be trusted leaves none: everything is refused with POL-01, on record";
const UNSAFE_PARAMS =
  "test/host/rogue-law.test.ts: POL-03: a refusal whose params cannot be put on record as they are is refused in the law's place, evidenced";
const POD_ALLOWED =
  "test/kubernetes/admission.test.ts: a pod that both laws let pass is allowed, and its event is named";
const POD_REFUSED = "test/kubernetes/admission.test.ts: a refusal names rule, field and cure, and is on record";
const HELD_BACK =
  "test/host/upstream.test.ts: told that it is cut off, a node holds its records back; told that it no longer is, it reconciles";
const UPSTREAM_GONE =
  "test/host/upstream.test.ts: an upstream that is gone is a partition, and one that is back ends it; a restart in between forgets nothing";
const EVERY_STATE = "test/mesh/exhaustive.test.ts: INV-MESH-*: every transition of the world ${name}";
const ROGUE =
  "test/host/rogue-law.test.ts: INV-MESH-*: where law and host disagree the command is refused, evidenced, and changes nothing";
const NEVER_DEFINED = "test/http/mesh.test.ts: a mesh that was never defined: 404 with evidence";
const PLACED = "test/http/mesh.test.ts: a workload is placed: 201, MESH_001, counted";
const ELEVATED = "test/http/mesh.test.ts: elevate: 200, MESH_002, the policy stays and the history grows";
const PLACE_ORDER = "test/http/mesh.test.ts: place: the first check that fails gives the code";
const ELEVATE_ORDER = "test/http/mesh.test.ts: elevate: the first check that fails gives the code";
const KILLED = "test/host/mesh-load.test.ts: ${CLIENTS} clients, and kill -9 under them again and again";
const RELOADED = "test/http/mesh.test.ts: a mesh is defined, then reloaded: 201, 200, MESH_006";
const NO_LAUNDERING = "test/core/mesh.test.ts: INV-MESH-MONOTONIC-ELEVATION: a reload launders no demotion";
const COUNTERS = "test/mesh/exhaustive.test.ts: INV-MESH-*: counters and histories along long random walks";

/** Cases of rules that no case of the corpus and no test in Rego names. */
export const SHOWN: { readonly [rule: string]: readonly string[] } = {
  "RECON-00": ["rego reconciliation_test.test_what_cannot_be_compared_is_refused"],
  "POL-01": [NO_POLICY],
  "POL-03": [UNSAFE_PARAMS],
  "EVI-01": [LEDGER_FAILS],
};

const WS3: readonly Elsewhere[] = [
  {
    sentence: "Define container and VM execution envelope profiles",
    by: "packages `railgate.refusal.container`, `.vm`, `.attestation`",
    cases: [
      "corpus declaration: a low-risk container as declared is accepted",
      "corpus vm: a vm as declared is accepted",
      "corpus tee: a tee as declared is accepted, and must re-attest",
    ],
  },
  { sentence: "EXEC (", by: "ENV, CTR, VM, TEE rules", cases: [ALL_RULES] },
  { sentence: "AUTH/POL", by: "AUT, POL rules; the host's POL-01 and POL-03", cases: [ALL_RULES, NO_POLICY] },
  { sentence: "EVID", by: "the ledger", cases: [LEDGER_CHAINS] },
  {
    sentence: "DEP ",
    by: "DEP rules",
    cases: [
      "corpus dependency: a container without its runtime",
      "corpus dependency: a critical dependency is unavailable",
    ],
  },
  {
    sentence: "PHY",
    by: "CRP-01, DEP-02, POL-02 by `context.partition`",
    cases: ["corpus dependency: while partitioned nothing outside is relied on", PARTITIONED],
  },
  {
    sentence: "CRP ties",
    by: "CRP-01, POL-02, AUT-02",
    cases: [PARTITIONED, "corpus freshness: partitioned, authority a second older"],
  },
  {
    sentence: "execution envelope",
    by: "ENV-01, ENV-02; `workload.envelope` of the request schema",
    cases: [
      "corpus declaration: no envelope at all",
      "test/core/request.test.ts: a declared kind carries the object of its name and no other",
    ],
  },
  { sentence: "admission gate", by: "`railgate/admission/decision` and src/gate", cases: [ALL_RULES] },
  {
    sentence: "attestation evidence",
    by: "TEE and VM rules; `facts.attestation`",
    cases: [
      "corpus tee: an attestation without report_ref",
      "test/http/lifecycle.test.ts: a failed re-attestation is a 409 with evidence, and blocks start until one passes",
    ],
  },
  {
    sentence: "envelope dependency",
    by: "DEP-01, DEP-02",
    cases: [
      "corpus dependency: a vm without its hypervisor",
      "corpus dependency: a container without its runtime",
      "corpus dependency: a tee without its key_service",
    ],
  },
  {
    sentence: "evidence buffer",
    by: "the node's own ledger, which is written first whether connected or not",
    cases: [LEDGER_CHAINS, "test/evidence/log.test.ts: a record that was altered in the database is found out"],
  },
  {
    sentence: "Kubernetes baseline controls",
    by: "`POST /v1/kubernetes/admission`",
    cases: [POD_ALLOWED, POD_REFUSED],
  },
  {
    sentence: "VM envelope profile",
    by: "VM rules, and the triggers of `settings.triggers`",
    cases: ["corpus declaration: high risk requires a vm", "corpus vm: a vm as declared is accepted"],
  },
  {
    sentence: "Attestation, logging",
    by: "VM and TEE rules; the ledger",
    cases: ["corpus tee: no attestation", LEDGER_CHAINS],
  },
  {
    sentence: "Interface points",
    by: "AUT-02, AUT-03; src/trust; the interoperability with others' policy and evidence is the API's",
    cases: [
      "corpus authority: a chain that narrows",
      "test/trust/trust.test.ts: a binding by no root needs a chain from one",
    ],
  },
  {
    sentence: "CRP-specific behavior",
    by: "CRP-01, DEP-02, POL-02",
    cases: [
      PARTITIONED,
      "rego lifecycle_test.test_partitioned_only_the_designated_advance",
      "rego mesh_test.test_partitioned_moves_follow_the_profile_unless_designated",
    ],
  },
  {
    sentence: "Container profile is DEFAULT",
    by: "`railgate.envelope`: `required` is container where no trigger asks for more",
    cases: [
      "corpus declaration: medium risk is still the default",
      "rego envelope_test.test_nothing_is_triggered_by_default",
    ],
  },
  {
    sentence: "Policy MUST explicitly define triggers",
    by: "`settings.triggers`, `railgate.envelope`",
    cases: [
      "corpus declaration: all four triggers are named",
      "rego envelope_test.test_each_table_has_the_kinds_of_the_specification",
    ],
  },
  {
    sentence: "Admission MUST validate",
    by: "every refusal is in the artifact of a `workload.refuse` event",
    cases: [ALL_RULES, "test/http/admissions.test.ts: a refusal is an answer too, with what would cure it"],
  },
  {
    sentence: "Envelope lifecycle events",
    by: "`railgate.lifecycle`; `workload.envelope.*` events",
    cases: ["rego lifecycle_test.test_the_whole_table", "test/http/lifecycle.test.ts: every transition from ${state}"],
  },
  {
    sentence: "Evidence: admission decision",
    by: "the event's `policy_snapshot_id`, `outcome` and artifact; SUP-01, SUP-04",
    cases: [
      "test/http/admissions.test.ts: an admission is answered with its decision, event and receipt",
      "test/evidence/replay.test.ts: every decision is reached again, byte for byte: from the data directory, the database, a folder, an archive",
    ],
  },
  {
    sentence: "Enforced network/policy posture",
    by: "CTR-05, TEN-01: asked of every envelope kind",
    cases: [
      "corpus tenancy: the network is judged for a vm too",
      "corpus tenancy: where isolation is required the network is TEN-01's too",
    ],
  },
  {
    sentence: "Required when policy mandates hardware",
    by: "`settings.triggers` to tee; ENV-03",
    cases: ["corpus declaration: restricted requires a tee", "corpus declaration: secret requires a tee"],
  },
  {
    sentence: "Evidence MUST be recorded",
    by: "TEE-03, TEE-04, the obligation `reattest`; `workload.attestation` events",
    cases: [
      "rego lifecycle_test.test_a_deadline_is_missed_once",
      "test/http/lifecycle.test.ts: the node itself notices a missed deadline; start is refused until a re-attestation passes",
    ],
  },
  {
    sentence: "Envelope events MUST use",
    by: "src/core/event.ts",
    cases: [LEDGER_CHAINS, "test/core/event.test.ts: text and hash are what another RFC 8785 implementation computes"],
  },
  {
    sentence: "Export bundles MUST declare",
    by: "the export's manifest and its profile; an export that lacks what it demands is refused",
    cases: [
      "test/evidence/export.test.ts: an export has the layout of the specification, and says what it must",
      "test/evidence/export.test.ts: profiles: what they demand comes from files that settings name, and what is missing is said",
    ],
  },
  {
    sentence: "Evidence emitted during partitions",
    by: "the node's own stream, written first whether connected or not; upstream takes it in order, and the partition ends once all of it has arrived (`chain.reconciliation`)",
    cases: [LEDGER_CHAINS, HELD_BACK, UPSTREAM_GONE],
  },
  {
    sentence: "CRP-designated envelopes MUST continue",
    by: "decisions need nothing but the node itself",
    cases: [PARTITIONED, "rego lifecycle_test.test_partitioned_only_the_designated_advance"],
  },
  {
    sentence: "Admission decisions during partition",
    by: "CRP-01, DEP-02; EVI-01",
    cases: ["corpus dependency: while partitioned a local substitute will do", LEDGER_FAILS],
  },
  {
    sentence: "If policy cannot be evaluated",
    by: "POL-01, POL-02, POL-03: the host fails closed with evidence",
    cases: [NO_POLICY, UNSAFE_PARAMS, "rego admission_test.test_there_is_a_decision_whatever_the_input"],
  },
];

const MESH: readonly Elsewhere[] = [
  {
    sentence: "A mesh is a set of rails",
    by: "src/core/mesh.ts",
    cases: ["test/core/mesh.test.ts: a life in the mesh, as clients see it"],
  },
  {
    sentence: "Workloads may be promoted",
    by: "ELEVATE rules; INV-MESH-MONOTONIC-ELEVATION, INV-MESH-POLICY-CONTINUITY",
    cases: [ELEVATED, EVERY_STATE],
  },
  {
    sentence: "Latency-sensitive trusted workloads",
    by: "PLACE-05, ELEVATE-07, TOPOLOGY-11",
    cases: [PLACE_ORDER, EVERY_STATE],
  },
  {
    sentence: "Rules decide; the host supplies",
    by: "`railgate/mesh/decision` and src/gate; the ledger commits state with its event",
    cases: [
      "test/host/mesh-model.test.ts: through the node: every answer is the model's, and every state, restarts between",
      KILLED,
    ],
  },
  { sentence: "The host checks monotonicity and capacity again", by: "`step` in src/core/mesh.ts", cases: [ROGUE] },
  {
    sentence: "isolation rail:",
    by: "the schema of a rail; TOPOLOGY-02 to TOPOLOGY-07",
    cases: [RELOADED, "rego mesh_test.test_a_rail_lacks_no_member"],
  },
  {
    sentence: "level, weakest first",
    by: "`lib.level_rank`",
    cases: ["rego lib_test.test_levels_are_ranked_from_the_weakest"],
  },
  {
    sentence: "elevation policy, per workload",
    by: "the schema of a placement's policy; INV-MESH-POLICY-CONTINUITY",
    cases: [ELEVATED, "test/mesh/mutants.test.ts: the policy assertion stops a fold that loses the policy"],
  },
  { sentence: "rail state:", by: "the fold in src/core/mesh.ts", cases: [PLACED, COUNTERS] },
  { sentence: "placement:", by: "the fold in src/core/mesh.ts", cases: [PLACED, ELEVATED] },
  {
    sentence: "Checks in order",
    by: "one chain of checks a command",
    cases: [PLACE_ORDER, ELEVATE_ORDER, "rego mesh_test.test_the_first_failing_check_gives_the_code"],
  },
  { sentence: "MESH_001", by: "`railgate.mesh`", cases: [PLACED] },
  { sentence: "MESH_002", by: "`railgate.mesh`", cases: [ELEVATED] },
  { sentence: "MESH_003", by: "ELEVATE-04 to ELEVATE-06", cases: ["rego mesh_test.test_elevate_checks"] },
  { sentence: "MESH_004", by: "ELEVATE-07", cases: ["rego mesh_test.test_elevate_checks"] },
  {
    sentence: "MESH_005",
    by: "`railgate.mesh`",
    cases: ["test/http/mesh.test.ts: remove: 200, MESH_005, the placement as it was; once"],
  },
  { sentence: "MESH_006", by: "`railgate.mesh`", cases: [RELOADED] },
  {
    sentence: "MESH_007",
    by: "PLACE-03, PLACE-04, ELEVATE-03",
    cases: ["rego mesh_test.test_elevate_checks", "rego mesh_test.test_place_checks"],
  },
  {
    sentence: "Every other refused command leaves an event",
    by: "the gate records each decision; the door refuses what cannot be read",
    cases: [
      PLACE_ORDER,
      "test/http/mesh.test.ts: what cannot be read is the door's 422, with pointers, and leaves no event",
    ],
  },
  {
    sentence: "An event's details hold all",
    by: "`meshDetails`; state is a fold over events",
    cases: [COUNTERS, "test/http/mesh.test.ts: trace ids: the body's, then the query's, then traceparent's"],
  },
  {
    sentence: "The counters reconcile",
    by: "the fold in src/core/mesh.ts",
    cases: [
      COUNTERS,
      "test/core/mesh.test.ts: a dropped rail that is defined again starts from zero; one that stays keeps counting",
    ],
  },
  { sentence: "revision rises", by: "the fold in src/core/mesh.ts", cases: [RELOADED, EVERY_STATE] },
  {
    sentence: "A mesh id is per tenant",
    by: "state is kept by tenant; PLACE-01, ELEVATE-01, REMOVE-01",
    cases: [
      "test/http/mesh.test.ts: tenants have meshes of their own; where nobody logs in the body, the query or `default` says whose",
      NEVER_DEFINED,
    ],
  },
  {
    sentence: "A workload that was never admitted",
    by: "`facts.admission` null",
    cases: ["rego mesh_test.test_place_leaves_what_does_not_matter"],
  },
  {
    sentence: "INV-MESH-MONOTONIC-ELEVATION",
    by: "PLACE-03, PLACE-04, ELEVATE-03, TOPOLOGY-08, TOPOLOGY-09; asserted by the host",
    cases: [EVERY_STATE, ROGUE, NO_LAUNDERING],
  },
  {
    sentence: "INV-MESH-POLICY-CONTINUITY",
    by: "asserted by the host",
    cases: [EVERY_STATE, "test/mesh/mutants.test.ts: the policy assertion stops a fold that loses the policy"],
  },
  {
    sentence: "INV-MESH-ATOMIC-TRANSITION",
    by: "one transaction for state and event",
    cases: [
      KILLED,
      "test/evidence/state.test.ts: two that are decided on the same state: the second finds that it moved",
    ],
  },
  {
    sentence: "INV-MESH-LATENCY-BUDGET",
    by: "PLACE-05, ELEVATE-07, TOPOLOGY-11; asserted by the host",
    cases: [EVERY_STATE, ROGUE],
  },
  {
    sentence: "INV-MESH-DETERMINISTIC-TOPOLOGY",
    by: "the fold in src/core/mesh.ts",
    cases: [
      "test/core/mesh.test.ts: INV-MESH-DETERMINISTIC-TOPOLOGY: the same commands give the same state, and the stored parts the same mesh",
    ],
  },
  {
    sentence: "INV-MESH-FAIL-CLOSED",
    by: "PLACE-01, ELEVATE-01, ELEVATE-02, REMOVE-01; asserted by the host",
    cases: [NEVER_DEFINED, ROGUE, "test/mesh/mutants.test.ts: every check taken out of the law is seen"],
  },
  {
    sentence: "The stronger of an admission's required and declared envelope",
    by: "`railgate.envelope`: `least_level`, by `settings.rails`",
    cases: [
      "rego envelope_test.test_the_rail_follows_the_stronger_envelope",
      "test/http/mesh.test.ts: place: not below the least rail level of the admission",
    ],
  },
];

export const ELSEWHERE: readonly Elsewhere[] = [...WS3, ...MESH];
