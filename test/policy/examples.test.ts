// The example requests: well-formed, and decided as their names and README say.
import { readdirSync, readFileSync } from "node:fs";
import test from "ava";
import { buildInput, NO_TRUST } from "../../src/core/facts.ts";
import { parseAdmissionRequest } from "../../src/core/request.ts";
import { compileLaw, type Decision } from "./law.ts";

const directory = new URL("../../examples/requests/", import.meta.url);
const SNAPSHOT = `sha256:${"0".repeat(64)}`;
const context = {
  partition: { state: "connected" as const, since: null },
  policy: { age_s: null, snapshot_id: SNAPSHOT },
  authority: { age_s: null, snapshot_id: SNAPSHOT },
};

const DUE: Record<string, string[]> = {
  "container-eu-residency.json": [],
  "container-high-risk-refused.json": ["ENV-03"],
  "container-low-risk.json": [],
  "container-outside-residency-refused.json": ["JUR-01", "JUR-02"],
  "envelope-unknown-refused.json": ["ENV-02"],
  "several-refusals.json": [
    "CTR-01",
    "CTR-02",
    "CTR-03",
    "CTR-04",
    "CTR-05",
    "DEP-01",
    "DEP-02",
    "ENV-03",
    "JUR-01",
    "JUR-02",
    "SUP-01",
    "SUP-04",
  ],
  "tee-restricted-stale-attestation-refused.json": ["TEE-03"],
  "vm-confidential.json": [],
  "vm-ncp-without-authority-refused.json": ["AUT-01"],
  "vm-without-attestation-refused.json": ["VM-03"],
};

const law = await compileLaw();

test("every example is tried here", (t) => {
  t.deepEqual(
    readdirSync(directory)
      .filter((name) => name.endsWith(".json"))
      .sort(),
    Object.keys(DUE),
  );
});

for (const [name, due] of Object.entries(DUE)) {
  test(`${name}: ${due.join(", ") || "accepted"}`, (t) => {
    const request = parseAdmissionRequest(JSON.parse(readFileSync(new URL(name, directory), "utf8")));
    const input = buildInput({
      request,
      nowMs: Date.parse("2026-11-25T08:00:00Z"),
      caller: null,
      trust: NO_TRUST,
      workload: null,
      context,
    });
    const { outcome, refusals } = law(input) as Decision;
    t.deepEqual([...new Set(refusals.map(({ rule }) => rule))], due);
    t.is(outcome, due.length === 0 ? "accepted" : "refused");
  });
}
