// The tables of docs/mesh.md and docs/lifecycle.md name what there is. What they tell people to type is typed by pages.test.ts.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { LIFECYCLE_INVARIANTS, MESH_INVARIANTS } from "../../src/core/invariant.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const page = (name: string) => readFileSync(join(ROOT, name), "utf8");

test("every code of the law's commands is explained, and every invariant named", (t) => {
  const [mesh, lifecycle] = [page("docs/mesh.md"), page("docs/lifecycle.md")];
  const catalogue = Object.keys(JSON.parse(page("policy/railgate/catalogue/data.json")));
  for (const code of catalogue.filter((each) => each.startsWith("ERR_MESH_"))) t.true(mesh.includes(code), code);
  for (const code of [
    "workload_unknown",
    "lifecycle_transition_invalid",
    "admission_expired",
    "attestation_failed",
    "attestation_stale",
    "attestation_incomplete",
  ])
    t.true(lifecycle.includes(code), code);
  for (const id of MESH_INVARIANTS) t.true(mesh.includes(id), id);
  t.is(LIFECYCLE_INVARIANTS.length, 3);
});
