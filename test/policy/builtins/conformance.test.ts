// OPA's conformance cases: the figures that the documentation tells, and some families run anew where the cases are on the machine.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import {
  type Figures,
  FIGURES,
  figuresOf,
  readCases,
  runCases,
  total,
  withTable,
} from "../../../scripts/conformance.ts";
import { OPA_VERSION } from "../../../src/workshop/opa.ts";

const figures = JSON.parse(readFileSync(FIGURES, "utf8")) as Figures;

test("no case is answered otherwise than by OPA, and of those that build 95 % agree", (t) => {
  t.is(total(figures, "wrong"), 0);
  const [agreed, beyond] = [total(figures, "agreed"), total(figures, "beyond")];
  t.true(agreed / (agreed + beyond) >= 0.95);
});

test("the documentation tells these figures", (t) => {
  const doc = readFileSync("docs/opa.md", "utf8");
  t.is(doc, withTable(doc, figures), "npm run conformance -- --write");
});

const FAMILIES = [
  ...["dataderef", "globsmatch", "jsonpatch", "jwtdecodeverify", "netcidrmerge", "reachable", "regexreplace"],
  ...["regexsplit", "semvercompare", "sprintf", "stringinterpolation", "subset", "time", "urlbuiltins", "uuid"],
];

test("some families, run anew", async (t) => {
  t.timeout(10 * 60_000);
  const cache = spawnSync("go", ["env", "GOMODCACHE"], { encoding: "utf8" }).stdout?.trim() ?? "";
  const directory = join(cache, `github.com/open-policy-agent/opa@v${OPA_VERSION}`, "v1/test/cases/testdata/v1");
  if (cache === "" || !existsSync(directory)) {
    t.log("OPA's cases are not on this machine; npm run conformance fetches them");
    t.pass();
    return;
  }
  const cases = readCases(directory, FAMILIES);
  const got = figuresOf(cases, await runCases(cases, "policy/capabilities.json"));
  t.deepEqual(got, Object.fromEntries(FAMILIES.map((family) => [family, figures[family]!])));
});
