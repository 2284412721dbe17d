// Writes docs/traceability.md: each sentence of the source specification, the rules that implement it, and the tests that show it.
import type { Rule } from "./annotations.ts";

/** A sentence that rules alone do not fulfil: what in the host does, and the tests that show it. */
interface Elsewhere {
  /** How the sentence begins. */
  readonly sentence: string;
  readonly by: string;
  readonly tests: readonly string[];
}

const ADMISSION = "test/policy/admission.test.ts";

/** What cannot be read off the rules. A test asserts that every test named here exists. */
export const ELSEWHERE: readonly Elsewhere[] = [
  {
    sentence: "Define container and VM execution envelope profiles",
    by: "packages `railgate.refusal.container`, `.vm`, `.attestation`",
    tests: [ADMISSION],
  },
  { sentence: "EXEC (", by: "ENV, CTR, VM, TEE rules", tests: [ADMISSION] },
  {
    sentence: "AUTH/POL",
    by: "AUT, POL rules; the host's POL-01 and POL-03",
    tests: [ADMISSION, "test/core/outcome.test.ts"],
  },
  { sentence: "EVID", by: "the ledger", tests: ["test/evidence/ledger.test.ts"] },
  { sentence: "DEP ", by: "DEP rules", tests: [ADMISSION] },
  { sentence: "PHY", by: "CRP-01, DEP-02, POL-02 by `context.partition`", tests: [ADMISSION] },
  { sentence: "CRP ties", by: "CRP-01, POL-02, AUT-02", tests: [ADMISSION] },
  {
    sentence: "execution envelope",
    by: "ENV-01, ENV-02; `workload.envelope` of the request schema",
    tests: [ADMISSION, "test/core/request.test.ts"],
  },
  { sentence: "admission gate", by: "`railgate/admission/decision` and src/gate/gate.ts", tests: [ADMISSION] },
  {
    sentence: "attestation evidence",
    by: "TEE and VM rules; `facts.attestation`",
    tests: [ADMISSION, "test/core/facts.test.ts"],
  },
  { sentence: "envelope dependency", by: "DEP-01, DEP-02", tests: [ADMISSION] },
  {
    sentence: "evidence buffer",
    by: "the node's own ledger, which is written first whether connected or not",
    tests: ["test/evidence/ledger.test.ts"],
  },
  { sentence: "Kubernetes baseline controls", by: "not fulfilled yet: there is no Kubernetes door", tests: [] },
  { sentence: "VM envelope profile", by: "VM rules, and the triggers of `settings.triggers`", tests: [ADMISSION] },
  {
    sentence: "Attestation, logging",
    by: "VM and TEE rules; the ledger",
    tests: [ADMISSION, "test/evidence/ledger.test.ts"],
  },
  { sentence: "Interface points", by: "AUT-02, AUT-03; src/trust", tests: [ADMISSION, "test/trust/trust.test.ts"] },
  { sentence: "CRP-specific behavior", by: "CRP-01, DEP-02, POL-02", tests: [ADMISSION] },
  {
    sentence: "Container profile is DEFAULT",
    by: "`railgate.envelope`: `required` is container where no trigger asks for more",
    tests: [ADMISSION, "policy/railgate/envelope/envelope_test.rego"],
  },
  {
    sentence: "Policy MUST explicitly define triggers",
    by: "`settings.triggers`, `railgate.envelope`",
    tests: [ADMISSION, "policy/railgate/envelope/envelope_test.rego"],
  },
  {
    sentence: "Admission MUST validate",
    by: "every refusal is in the artifact of a `workload.refuse` event",
    tests: [ADMISSION],
  },
  {
    sentence: "Envelope lifecycle events",
    by: "`railgate.lifecycle`; `workload.envelope.*` events",
    tests: ["policy/railgate/lifecycle/lifecycle_test.rego", "test/http/lifecycle.test.ts"],
  },
  {
    sentence: "Evidence: admission decision",
    by: "the event's `policy_snapshot_id`, `outcome` and artifact; SUP-01, SUP-04",
    tests: ["test/evidence/ledger.test.ts"],
  },
  {
    sentence: "Enforced network/policy posture",
    by: "CTR-05, TEN-01: asked of every envelope kind",
    tests: [ADMISSION],
  },
  { sentence: "Required when policy mandates hardware", by: "`settings.triggers` to tee; ENV-03", tests: [ADMISSION] },
  {
    sentence: "Evidence MUST be recorded",
    by: "TEE-03, TEE-04, the obligation `reattest`; `workload.attestation` events",
    tests: [ADMISSION, "policy/railgate/lifecycle/lifecycle_test.rego"],
  },
  { sentence: "Envelope events MUST use", by: "src/core/event.ts", tests: ["test/evidence/ledger.test.ts"] },
  {
    sentence: "Export bundles MUST declare",
    by: "the export's manifest and its profile; an export that lacks what it demands is refused",
    tests: ["test/evidence/export.test.ts"],
  },
  {
    sentence: "Evidence emitted during partitions",
    by: "the node's own stream, written first whether connected or not; not fulfilled yet: replication when the partition heals",
    tests: ["test/evidence/ledger.test.ts"],
  },
  {
    sentence: "CRP-designated envelopes MUST continue",
    by: "decisions need nothing but the node itself",
    tests: [ADMISSION],
  },
  {
    sentence: "Admission decisions during partition",
    by: "CRP-01, DEP-02; EVI-01",
    tests: [ADMISSION, "test/evidence/ledger.test.ts"],
  },
  {
    sentence: "If policy cannot be evaluated",
    by: "POL-01, POL-02, POL-03: the host fails closed with evidence",
    tests: [ADMISSION, "test/core/outcome.test.ts", "test/host/policy.test.ts"],
  },
];

/** The specification's sentences: its list items, under the heading they stand below. */
export function sentencesOf(specification: string): { heading: string; sentence: string }[] {
  let heading = "";
  return specification.split("\n").flatMap((line) => {
    if (line.startsWith("#")) heading = line.replace(/^#+ /, "");
    return line.startsWith("- ") ? [{ heading, sentence: line.slice(2).trim() }] : [];
  });
}

/** One spelling for what is written with other hyphens, emphasis or case. */
export const normal = (text: string) =>
  text
    .replaceAll(/[\u2010-\u2015]/g, "-")
    .replaceAll("**", "")
    .replace(/\.$/, "")
    .toLowerCase();

export function rulesOf(sentence: string, rules: readonly Rule[]): Rule[] {
  return rules.filter(({ source }) => source !== "" && normal(sentence).includes(normal(source)));
}

export function traceabilityDoc(specification: string, rules: readonly Rule[]): string {
  let last = "";
  const rows = sentencesOf(specification).flatMap(({ heading, sentence }) => {
    const implementing = rulesOf(sentence, rules);
    const elsewhere = ELSEWHERE.filter((entry) => normal(sentence).startsWith(normal(entry.sentence)));
    const by = [...new Set(implementing.map(({ rule }) => rule))].sort().concat(elsewhere.map((entry) => entry.by));
    const tests = [...new Set([...implementing.map(testOf), ...elsewhere.flatMap((entry) => entry.tests)])].sort();
    const row = `| ${cell(sentence)} | ${by.map(cell).join(" · ")} | ${tests.map((test) => `[${test}](../${test})`).join(" · ")} |`;
    const table =
      heading === last
        ? [row]
        : ["", `## ${heading}`, "", "| sentence | fulfilled by | shown by |", "| --- | --- | --- |", row];
    last = heading;
    return table;
  });
  return [
    "<!-- Which rules and tests stand for each sentence of the specification. Written by `npm run generate`. -->",
    "# Traceability",
    "",
    "Each sentence of [the source specification](spec/ws3-execution-envelopes.md), what fulfils it, and where that is shown. What a rule says is in [rules.md](rules.md).",
    ...rows,
    "",
  ].join("\n");
}

/** The test beside a rule: `container.rego` → `container_test.rego`; other files of a package share their folder's. */
function testOf(rule: Rule): string {
  const folder = rule.file.slice(0, rule.file.lastIndexOf("/"));
  return `${folder}/${folder.slice(folder.lastIndexOf("/") + 1)}_test.rego`;
}

const cell = (text: string) => text.replaceAll("|", "\\|");
