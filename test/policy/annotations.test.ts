// Lints the METADATA and the shape of the policies: what the catalogue, the reference and the fast path rely on.
import { globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { readAnnotations, type Rule } from "../../src/workshop/annotations.ts";
import { catalogueOf } from "../../src/workshop/catalogue.ts";
import { extensionFindings } from "../../src/workshop/extensions.ts";
import { REFUSAL_CLASSES } from "../../src/core/schema/base.ts";
import { generated, outdated, specifications } from "../../scripts/generate.ts";
import { inDirectory } from "./law.ts";
import { findCase } from "../../scripts/cases.ts";
import { normal, sentencesOf, traceabilityDoc } from "../../scripts/traceability.ts";

const { rules, entrypoints } = await readAnnotations();
const admissionRules = rules.filter((rule) => rule.package.startsWith("railgate.refusal."));
const where = ({ file, row, rule }: Rule) => `${file}:${row} ${rule}`;

test("every rule has every annotation, and one of the six classes", (t) => {
  for (const rule of rules) {
    for (const field of [
      "rule",
      "code",
      "title",
      "description",
      "shortName",
      "message",
      "solution",
      "source",
    ] as const) {
      t.not(rule[field], "", `${where(rule)} has no ${field}`);
    }
    t.true((REFUSAL_CLASSES as readonly string[]).includes(rule.class), `${where(rule)}: ${rule.class} is no class`);
  }
});

test("admission has every rule of the law once, with its code and class", (t) => {
  const table = admissionRules.map((rule) => `${rule.rule} ${rule.code} ${rule.class}`).sort();
  t.deepEqual(table, [
    "AUT-01 authority_missing authority_missing_or_invalid",
    "AUT-02 authority_invalid authority_missing_or_invalid",
    "AUT-03 delegation_invalid delegation_invalid",
    "CRP-01 partition_not_designated dependency_unavailable_fail_closed",
    "CTR-01 runtime_not_hardened policy_denied",
    "CTR-02 confinement_missing policy_denied",
    "CTR-03 root_filesystem_writable policy_denied",
    "CTR-04 privilege_excessive policy_denied",
    "CTR-05 network_not_isolated policy_denied",
    "DEP-01 dependency_undeclared evidence_precondition_failed",
    "DEP-02 dependency_unavailable dependency_unavailable_fail_closed",
    "ENV-01 envelope_undeclared policy_denied",
    "ENV-02 envelope_unknown policy_denied",
    "ENV-03 envelope_insufficient policy_denied",
    "ENV-04 workload_unclassified policy_denied",
    "EVI-01 evidence_unavailable dependency_unavailable_fail_closed",
    "JUR-01 jurisdiction_denied jurisdiction_denied",
    "JUR-02 residency_violated jurisdiction_denied",
    "POL-01 policy_unavailable dependency_unavailable_fail_closed",
    "POL-02 policy_stale dependency_unavailable_fail_closed",
    "POL-03 policy_error dependency_unavailable_fail_closed",
    "SUP-01 artifact_unpinned evidence_precondition_failed",
    "SUP-04 artifact_unverified evidence_precondition_failed",
    "TEE-01 attestation_incomplete evidence_precondition_failed",
    "TEE-02 attestation_failed evidence_precondition_failed",
    "TEE-03 attestation_stale evidence_precondition_failed",
    "TEE-04 reattestation_interval_invalid policy_denied",
    "TEN-01 tenant_isolation_violated policy_denied",
    "VM-01 hypervisor_not_allowed policy_denied",
    "VM-02 boot_unverified evidence_precondition_failed",
    "VM-03 attestation_missing evidence_precondition_failed",
    "VM-04 attestation_incomplete evidence_precondition_failed",
  ]);
});

test("rules that share a code share its words, and a collision is caught", (t) => {
  t.notThrows(() => catalogueOf(rules));
  const hardened = rules.find(({ rule }) => rule === "CTR-01")!;
  t.throws(() => catalogueOf([...rules, { ...hardened, rule: "CTR-99", message: "Something else." }]), {
    message: /CTR-99 shares the code runtime_not_hardened with CTR-01/,
  });
  t.throws(() => catalogueOf([...rules, { ...hardened, rule: "ACME-01", package: "railgate.extensions.acme" }]), {
    message: /runtime_not_hardened of ACME-01 is taken/,
  });
});

test("what a rule is, is written in its METADATA alone", (t) => {
  for (const file of rulesOfTheLaw()) {
    const code = readFileSync(file, "utf8").replaceAll(/^\s*#.*$/gm, "");
    for (const { rule, code: name } of rules) {
      if (file.endsWith("exception/exception.rego")) continue; // Names the rules that nothing lifts.
      t.false(code.includes(`"${rule}"`), `${file} writes ${rule} outside METADATA`);
      if (name !== "jurisdiction_denied" && name !== "delegation_invalid")
        t.false(code.includes(`"${name}"`), `${file} writes ${name} outside METADATA`);
    }
    for (const name of REFUSAL_CLASSES)
      t.false(code.includes(`"${name}"`), `${file} writes the class ${name} outside METADATA`);
  }
});

const rulesOfTheLaw = () =>
  globSync("policy/railgate/{admission,envelope,exception,lib,refusal,lifecycle,mesh,reconciliation}/**/*.rego").filter(
    (file) => !file.endsWith("_test.rego") && !file.endsWith("lib/deprecated.rego"),
  );

test("METADATA is built only where an admission is refused", (t) => {
  for (const rule of admissionRules)
    t.notRegex(readFileSync(rule.file, "utf8"), /^(?:refusals contains|\t).*rego\.metadata/m, where(rule));
});

test("every rule of admission asks, first of all, the predicate that its METADATA names", (t) => {
  for (const rule of admissionRules.filter(({ package: name }) => name !== "railgate.refusal.host")) {
    const source = readFileSync(rule.file, "utf8");
    t.regex(
      source,
      new RegExp(`\\nrefusals contains [^\\n]+ if \\{\\n\\tnot ${rule.shortName}\\(`),
      `${where(rule)} does not begin with its predicate`,
    );
  }
});

test("every status is one that a refused command is answered with", (t) => {
  for (const rule of rules)
    t.true([404, 409, 422, 503].includes(rule.httpStatus), `${where(rule)}: ${rule.httpStatus}`);
});

test("METADATA of a wider scope counts where the rule says nothing", (t) => {
  const by = Object.fromEntries(rules.map((rule) => [rule.rule, rule]));
  t.is(by["CTR-01"]!.httpStatus, 409, "of the package above");
  t.like(
    by["TOPOLOGY-02"],
    { code: "ERR_MESH_INVALID_TOPOLOGY", class: "policy_denied", httpStatus: 422 },
    "of its package",
  );
  t.is(by["LIFE-01"]!.httpStatus, 404, "its own");
});

test("where an extension still writes rule, code and class a second time is named, with what to write", async (t) => {
  await inDirectory(async (directory) => {
    mkdirSync(join(directory, "railgate/extensions/old"), { recursive: true });
    writeFileSync(
      join(directory, "railgate/extensions/old/old.rego"),
      `package railgate.extensions.old

import data.railgate.lib

# lib.policy_denied("…") was the way.
# METADATA
# title: Old
# custom:
#   rule: A-1
#   code: a
#   class: policy_denied
#   message: No.
#   solution: None.
refusals contains lib.policy_denied("A-1", "a", "", {})
`,
    );
    t.deepEqual(await extensionFindings(await readAnnotations(directory)), {
      faults: [],
      deprecations: [
        {
          file: `${directory}/railgate/extensions/old/old.rego`,
          line: 14,
          message:
            "lib.policy_denied writes rule, code and class a second time; write lib.refuse(rego.metadata.rule(), pointer, params)",
        },
      ],
    });
  });
  t.deepEqual(await extensionFindings(await readAnnotations()), { faults: [], deprecations: [] });
});

test("`sound` of each subject asks every predicate of its rules", (t) => {
  for (const rule of admissionRules.filter(({ package: name }) => name !== "railgate.refusal.host")) {
    const sound = /^sound\([\s\S]*?\n\}\n\n/m.exec(readFileSync(rule.file, "utf8"))?.[0] ?? "";
    t.true(sound.includes(`\t${rule.shortName}(`), `${where(rule)}: sound does not ask ${rule.shortName}`);
  }
});

test("a negation is never of a lookup, which would pass in silence where its key is missing", (t) => {
  for (const file of lawFiles()) {
    for (const [i, line] of readFileSync(file, "utf8").split("\n").entries()) {
      t.notRegex(line, /^\s*not [\w.]+\[(?:lib|input|data)\b/, `${file}:${i + 1}`);
    }
  }
});

test("nothing on the way of a decision formats, matches or walks", (t) => {
  for (const file of lawFiles()) t.notRegex(readFileSync(file, "utf8"), /\b(?:sprintf|regex\.|walk\(|glob\.)/, file);
});

function lawFiles(): string[] {
  return globSync("policy/railgate/{admission,envelope,exception,lib,refusal}/**/*.rego").filter(
    (file) => !file.endsWith("_test.rego"),
  );
}

test("every policy file says on its first line what it is for", (t) => {
  for (const file of globSync("policy/railgate/**/*.rego")) t.regex(readFileSync(file, "utf8"), /^# \S/, file);
});

test("there is one entrypoint for each kind of decision", (t) => {
  t.true(entrypoints.includes("railgate/admission/decision"));
  t.deepEqual(
    entrypoints,
    entrypoints.filter((name) => name.endsWith("/decision")),
  );
});

test("every sentence of both specifications is traced to rules or to what else fulfils it, and to cases that exist", (t) => {
  t.notThrows(() => traceabilityDoc(specifications(), rules));
  const [first, ...others] = specifications();
  const longer = { ...first!, text: `${first!.text}\n- Nobody has thought of this.\n` };
  t.throws(() => traceabilityDoc([longer, ...others], rules), { message: /nothing stands for: Nobody/ });
  t.throws(() => traceabilityDoc(others, rules), { message: /no sentence begins with: Define container/ });
  t.throws(() => findCase("corpus exception: one that is not there"), { message: /there is no case/ });
  t.throws(() => findCase("test/policy/annotations.test.ts: no such title"), { message: /there is no case/ });
});

test("every rule names the sentence it implements, word for word", (t) => {
  const sentences = specifications().flatMap(({ text }) => sentencesOf(text).map(({ sentence }) => normal(sentence)));
  for (const rule of rules)
    t.true(
      sentences.some((sentence) => sentence.includes(normal(rule.source))),
      `${where(rule)}: ${rule.source}`,
    );
});

test("generated files are current", async (t) => {
  t.deepEqual(outdated(await generated()), []);
});

test("what is not current is named", (t) => {
  t.deepEqual(
    outdated(
      new Map([
        ["docs/rules.md", "other"],
        ["docs/none.md", ""],
      ]),
    ),
    ["docs/rules.md", "docs/none.md"],
  );
});
