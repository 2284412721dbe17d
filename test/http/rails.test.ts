// Place first, admit after: what lies on a rail under its least level does not start, and everyone is told where to elevate (spec law §4).
import test from "ava";
import { admissible, start, type Started } from "./support.ts";

let served: Started;
test.before(async () => {
  served = await start();
});
test.after.always(() => served?.close());

const POLICY = {
  elevation_allowed: true,
  max_target_level: "hardware_isolated",
  preserve_latency_budget: false,
  latency_budget_us: 0,
};
const RAILS = [
  { rail_id: "fast", level: "shared", latency_overhead_us: 0, capacity: 9 },
  { rail_id: "box", level: "sandbox_isolated", latency_overhead_us: 5, capacity: 9 },
];

test("a workload that lies under its least level is obliged to be elevated, and starts when it was", async (t) => {
  const call = async (method: string, path: string, body?: object) =>
    (await served.call(method, `${path}?tenant_id=acme`, body && { body })).json;
  for (const id of ["m", "n"]) {
    await call("PUT", `/v1/meshes/${id}/topology`, { rails: RAILS });
    await call("POST", `/v1/meshes/${id}/placements`, { workload_id: "w", rail_id: "fast", policy: POLICY });
  }
  const body = admissible("w", "acme");
  const elevations = ["m", "n"].map((mesh_id) => ({
    obligation: "elevate",
    mesh_id,
    least_level: "sandbox_isolated",
  }));
  const dry = await served.call("POST", "/v1/admissions?dry_run=true", { body });
  t.deepEqual(dry.json.decision.obligations, elevations);
  const batch = await served.call("POST", "/v1/admissions/batch", { body: { items: [body] } });
  t.deepEqual(batch.json.items[0].decision.obligations, elevations);
  t.deepEqual(batch.json.items[0].event.details.obligations, [], "it is known from the meshes");
  t.deepEqual((await call("GET", "/v1/workloads/w")).obligations, elevations);
  const created = await call("POST", "/v1/workloads/w/lifecycle", { transition: "create" });
  t.deepEqual(created.workload.obligations, elevations);
  t.like(await call("POST", "/v1/workloads/w/lifecycle", { transition: "start" }), {
    status: 409,
    code: "rail_insufficient",
  });
  await call("POST", "/v1/meshes/m/placements/w/elevation", { target_rail_id: "box" });
  t.deepEqual((await call("GET", "/v1/workloads/w")).obligations, elevations.slice(1));
  t.like(await call("POST", "/v1/workloads/w/lifecycle", { transition: "start" }), { code: "rail_insufficient" });
  await call("POST", "/v1/meshes/n/placements/w/elevation", { target_rail_id: "box" });
  t.is((await call("POST", "/v1/workloads/w/lifecycle", { transition: "start" })).workload.state, "running");
  t.deepEqual((await call("GET", "/v1/workloads/w")).obligations, []);
});
