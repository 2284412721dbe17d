// What counts as a decision: one corrupted member at a time must not be recognised, least of all as an acceptance.
import { readFileSync } from "node:fs";
import test from "ava";
import { explain, HOST_REFUSALS, hostRefusal, recognise, type Catalogue } from "../../src/core/outcome.ts";
import type { PolicyDecision, Refusal } from "../../src/core/schema/decision.ts";

const catalogue: Catalogue = {
  envelope_insufficient: {
    class: "policy_denied",
    title: "Too weak",
    message: "{declared} is declared, {required} is required; {missing} {list}",
    solution: "Declare {required}.",
  },
};
const refusal: Refusal = {
  code: "envelope_insufficient",
  class: "policy_denied",
  rule: "ENV-03",
  pointer: "/workload/envelope/kind",
  params: { declared: "vm", required: "tee", list: [1] },
};
const accepted: PolicyDecision = {
  outcome: "accepted",
  envelope: { declared: "vm", required: "vm", triggers: [{ trigger: "risk", requires: "vm", because: "high" }] },
  refusals: [],
  obligations: [{ obligation: "reattest", by: "2026-01-02T03:04:05Z" }],
  rail: { least_level: "sandbox_isolated" },
};
const refused: PolicyDecision = { ...accepted, outcome: "refused", refusals: [refusal], obligations: [] };

test("a decision is recognised, accepted or refused", (t) => {
  t.deepEqual(recognise(accepted, catalogue), { decision: accepted });
  t.deepEqual(recognise(refused, catalogue), { decision: refused });
});

const corruptions: { [what: string]: unknown } = {
  undefined: undefined,
  null: null,
  true: true,
  "a list": [accepted],
  "an unknown outcome": { ...accepted, outcome: "allow" },
  "an outcome of another type": { ...accepted, outcome: true },
  "accepted with a refusal": { ...accepted, refusals: [refusal] },
  "refused with none": { ...accepted, outcome: "refused" },
  "refusals that are no list": { ...accepted, refusals: {} },
  "a refusal with an unknown code": { ...refused, refusals: [{ ...refusal, code: "__proto__" }] },
  "a refusal of an unknown class": { ...refused, refusals: [{ ...refusal, class: "whim" }] },
  "a refusal with no pointer": { ...refused, refusals: [{ ...refusal, pointer: undefined }] },
  "a refusal with params that are no object": { ...refused, refusals: [{ ...refusal, params: null }] },
  "no required envelope": { ...accepted, envelope: { ...accepted.envelope, required: null } },
  "an unknown required envelope": { ...accepted, envelope: { ...accepted.envelope, required: "enclave" } },
  "accepted without a declared envelope": { ...accepted, envelope: { ...accepted.envelope, declared: null } },
  "accepted with an unknown declared envelope": {
    ...accepted,
    envelope: { ...accepted.envelope, declared: "enclave" },
  },
  "no rail": { ...accepted, rail: undefined },
  "an unknown rail level": { ...accepted, rail: { least_level: "none" } },
  "a null rail level": { ...accepted, rail: { least_level: null } },
  "obligations that are no list": { ...accepted, obligations: null },
  "an unknown member": { ...accepted, allow: true },
};
for (const [what, output] of Object.entries(corruptions)) {
  test(`not recognised: ${what}`, (t) => {
    const result = recognise(output, catalogue);
    t.true("problem" in result && result.problem.length > 0);
  });
}

test("a fault of a refusal names its rule and code", (t) => {
  const other = { ...refusal, rule: "ACME-01", code: "acme_quota_exceeded" };
  const of = (...refusals: unknown[]) => {
    const recognised = recognise({ ...refused, refusals }, catalogue);
    return "problem" in recognised ? recognised.problem : "";
  };
  t.is(of(refusal, other), "rule ACME-01 refuses with code acme_quota_exceeded, which its catalogue does not have");
  t.regex(
    of(refusal, { ...other, params: "a text" }),
    /^\/refusals\/1\/params .+, in the refusal of rule ACME-01 with code acme_quota_exceeded$/,
  );
  t.regex(of("acme"), /^\/refusals\/0 (?!.*refusal of)/);
  t.regex(of({ ...other, rule: "x".repeat(9999), params: 1 }), /^.{1,600}$/);
});

test("explaining fills placeholders from params, and says nothing is missing where it is", (t) => {
  const [explained] = explain(refused, catalogue).refusals;
  t.is(explained!.message, "vm is declared, tee is required; nothing [1]");
  t.is(explained!.solution, "Declare tee.");
  t.is(explained!.title, "Too weak");
});

test("the host's own refusals are explained without a catalogue", (t) => {
  for (const code of ["policy_unavailable", "policy_error"] as const) {
    const decision = explain(hostRefusal(code, "vm"), {});
    t.is(decision.outcome, "refused");
    t.is(decision.envelope.declared, "vm");
    t.is(decision.refusals[0]!.title, HOST_REFUSALS[code].title);
  }
  t.is(hostRefusal("policy_error", { toString: 1 }).envelope.declared, null);
});

test("the host's words are the catalogue's", (t) => {
  const written = JSON.parse(
    readFileSync(new URL("../../policy/railgate/catalogue/data.json", import.meta.url), "utf8"),
  );
  for (const [code, { rule, ...entry }] of Object.entries(HOST_REFUSALS)) {
    t.like(written[code], entry);
    t.true(written[code].rules.includes(rule));
  }
});
