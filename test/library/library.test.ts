// The library's meshes and workloads: what they resolve with, what they reject with, and that nothing is left of what was refused at the door.
import test from "ava";
import { openRailgate, RefusedError, RequestError, RevisionError, type Railgate } from "../../src/library/index.ts";
import { compactVerify, createLocalJWKSet } from "jose";
import { admissible, emptyDir } from "../http/support.ts";

const RAILS = [
  { rail_id: "fast", level: "shared", latency_overhead_us: 0, capacity: 2 },
  { rail_id: "sandbox", level: "sandbox_isolated", latency_overhead_us: 50, capacity: 2 },
] as const;
const POLICY = {
  elevation_allowed: true,
  max_target_level: "hardware_isolated",
  preserve_latency_budget: false,
  latency_budget_us: 0,
} as const;

async function withGate(work: (gate: Railgate) => Promise<void>): Promise<void> {
  await using gate = await openRailgate({ dataDir: emptyDir() });
  await work(gate);
}

test("a mesh is defined, used and shown, each command with its proof", async (t) => {
  await withGate(async (gate) => {
    const mesh = gate.mesh("edge-1", "acme");
    t.is(await mesh.show(), null);
    t.is((await mesh.define({ rails: RAILS })).mesh.revision, 1);
    t.is((await mesh.place("w", "fast", POLICY)).placement.rail_id, "fast");
    const { placement, event, receipt } = await mesh.elevate("w", "sandbox", { traceId: "tr-1" });
    t.like(placement, { level: "sandbox_isolated", policy: POLICY });
    t.like(event, { event_type: "mesh.elevate", tenant_id: "acme", actor: "library", details: { trace_id: "tr-1" } });
    const { payload } = await compactVerify(receipt, createLocalJWKSet((await gate.jwks()) as never));
    t.deepEqual(JSON.parse(new TextDecoder().decode(payload)), event);
    t.like(await mesh.show(), { revision: 3, placements: { w: { rail_id: "sandbox" } } });
    t.is((await mesh.remove("w")).placement.rail_id, "sandbox");
    t.is(await gate.mesh("edge-1").show(), null, "meshes are their tenant's own");
  });
});

test("a refusal rejects with its code, its cure and its proof", async (t) => {
  await withGate(async (gate) => {
    const mesh = gate.mesh("edge-1");
    await mesh.define({ rails: RAILS });
    await mesh.place("w", "sandbox", POLICY);
    const error = await t.throwsAsync(mesh.elevate("w", "fast"), { instanceOf: RefusedError });
    t.like(error, {
      name: "RefusedError",
      code: "ERR_MESH_DEMOTION_FORBIDDEN",
      status: 409,
      pointer: "/target_rail_id",
      event: { outcome: "refused", details: { mesh_event: "MESH_007" } },
    });
    t.truthy(error!.title && error!.solution && error!.receipt);
    await t.throwsAsync(gate.mesh("never").remove("w"), { code: "ERR_MESH_UNKNOWN_WORKLOAD" });
    await t.throwsAsync(gate.workload("never").start(), { code: "workload_unknown" });
  });
});

test("what cannot be read is a RequestError, and a mesh that moved on a RevisionError", async (t) => {
  await withGate(async (gate) => {
    const mesh = gate.mesh("edge-1");
    const { event: first } = await mesh.define({ rails: RAILS });
    for (const sending of [
      () => mesh.place("w x", "fast", POLICY),
      () => mesh.place("w", "fast", { ...POLICY, max_target_level: "enclave" as never }),
      () => mesh.elevate("..", "fast"),
      () => mesh.elevate("w", ""),
      () => mesh.remove("w", { traceId: "a b" }),
      () => mesh.define({} as never),
      () => mesh.define({ rails: RAILS, tenant: "x" } as never),
      () => gate.workload("w").transition("melt" as never),
      () => gate.workload("w").attest({ token: "a", tenant_id: "other" } as never),
    ])
      await t.throwsAsync(sending, { instanceOf: RequestError });
    t.throws(() => gate.mesh("a b"), { instanceOf: RequestError });
    t.throws(() => gate.workload("w", "a b"), { instanceOf: RequestError });
    await t.throwsAsync(mesh.place("w", "fast", POLICY, { revision: 2 }), {
      instanceOf: RevisionError,
      code: "revision_conflict",
    });
    const { event } = await mesh.place("w", "fast", POLICY, { revision: 1 });
    t.is(event.sequence, first.sequence + 1, "nothing else was recorded");
  });
});

test("a workload lives, and leaves its rail when it is destroyed", async (t) => {
  await withGate(async (gate) => {
    await gate.admit(admissible("w", "acme"));
    const [mesh, workload] = [gate.mesh("edge-1", "acme"), gate.workload("w", "acme")];
    await mesh.define({ rails: RAILS });
    await t.throwsAsync(mesh.place("w", "fast", POLICY), { code: "ERR_MESH_DEMOTION_FORBIDDEN" });
    await mesh.place("w", "sandbox", POLICY);
    t.is((await workload.create()).workload.state, "created");
    t.is((await workload.start()).workload.state, "running");
    t.is((await workload.stop()).workload.state, "stopped");
    t.like(await workload.destroy({ traceId: "tr" }), {
      workload: { state: "destroyed" },
      event: { event_type: "workload.envelope.destroy", details: { trace_id: "tr" } },
    });
    t.deepEqual({ ...(await mesh.show())!.placements }, {});
  });
});
