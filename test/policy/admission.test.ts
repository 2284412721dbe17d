// The corpus: every admission case through OPA and through WASM, both equal to each other and to what is expected.
import test from "ava";
import { admissionCases, type Expectation } from "./corpus.ts";
import { compileLaw, decideByOpa, type Decision } from "./law.ts";

const cases = admissionCases();
const [byOpa, law] = await Promise.all([decideByOpa(cases.map(({ input }) => input)), compileLaw()]);

/** The decision cut down to what the case speaks of. */
function comparable(decision: Decision, expect: Expectation): unknown {
  const { declared, required, triggers } = decision.envelope;
  return {
    outcome: decision.outcome,
    envelope: { declared, required },
    refusals: decision.refusals.map(({ rule, code, pointer }) => ({ rule, code, pointer })),
    ...("triggers" in expect && { triggers }),
    ...("obligations" in expect && { obligations: decision.obligations }),
    ...("rail" in expect && { rail: decision.rail }),
    ...(("exceptions" in expect || decision.exceptions !== undefined) && { exceptions: decision.exceptions }),
  };
}

for (const [i, { name, input, expect }] of cases.entries()) {
  test(name, (t) => {
    const decision = law(input) as Decision;
    t.deepEqual(decision, byOpa[i], "WASM and OPA differ");
    t.deepEqual(comparable(decision, expect), expect);
  });
}

test("the corpus refuses by every rule and accepts every envelope", (t) => {
  const rules = new Set(cases.flatMap(({ expect }) => expect.refusals.map(({ rule }) => rule)));
  t.deepEqual([...rules].sort(), [
    "AUT-01",
    "AUT-02",
    "AUT-03",
    "CRP-01",
    "CTR-01",
    "CTR-02",
    "CTR-03",
    "CTR-04",
    "CTR-05",
    "DEP-01",
    "DEP-02",
    "ENV-01",
    "ENV-02",
    "ENV-03",
    "ENV-04",
    "JUR-01",
    "JUR-02",
    "POL-02",
    "SUP-01",
    "SUP-04",
    "TEE-01",
    "TEE-02",
    "TEE-03",
    "TEE-04",
    "TEN-01",
    "VM-01",
    "VM-02",
    "VM-03",
    "VM-04",
  ]);
  const accepted = cases
    .filter(({ expect }) => expect.outcome === "accepted")
    .map(({ expect }) => expect.envelope.declared);
  t.deepEqual([...new Set(accepted)].sort(), ["container", "tee", "vm"]);
});

test("refusals are sorted by rule, then pointer, and one for each rule and location", (t) => {
  for (const { refusals } of byOpa) {
    const places = refusals.map(({ rule, pointer }) => `${rule} ${pointer}`);
    t.deepEqual(places, [...new Set(places)].sort());
  }
});
