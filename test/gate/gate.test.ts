// The gate: commit if nothing moved, state by key and never a mesh whole, and plain outcomes for whoever asks again.
import { join } from "node:path";
import test from "ava";
import { hostCaller } from "../../src/core/caller.ts";
import { one } from "../../src/core/state.ts";
import type { LifecycleCommand } from "../../src/core/workload.ts";
import type { StateSource } from "../../src/evidence/ledger/draft.ts";
import { StateView } from "../../src/evidence/ledger/state.ts";
import { admission } from "../../src/gate/commands/admission.ts";
import { lifecycleCommand } from "../../src/gate/commands/lifecycle.ts";
import { meshCommand } from "../../src/gate/commands/mesh.ts";
import { Gate } from "../../src/gate/gate.ts";
import type { GateParts } from "../../src/gate/parts.ts";
import { RailgateNode } from "../../src/node/open.ts";
import { admissible, emptyDir } from "../http/support.ts";
import { admit, lifecycle, mesh } from "./commands.ts";

const CALLER = hostCaller("test");
const RAILS = [
  { rail_id: "fast", level: "shared", latency_overhead_us: 1, capacity: 1 },
  { rail_id: "hw", level: "hardware_isolated", latency_overhead_us: 9, capacity: 20_000 },
] as const;
const FREE = {
  elevation_allowed: true,
  max_target_level: "hardware_isolated",
  preserve_latency_budget: false,
  latency_budget_us: 0,
} as const;

const place = (workload_id: string, rail_id: string, policy: object = FREE) =>
  ({ command: "place", mesh_id: "m", workload_id, rail_id, policy: policy as typeof FREE }) as const;

/** A gate over the node's own parts, whose reads take their time: what it decided on may have moved when it commits. */
function slowGate(node: RailgateNode): { gate: Gate; reads: () => number } {
  const parts = (node.gate as unknown as { parts: GateParts }).parts;
  let reads = 0;
  const source: StateSource = {
    read: async (need) => {
      reads++;
      const found = parts.states.read(need);
      await new Promise((resolve) => setTimeout(resolve, 5));
      return found;
    },
    version: (need) => parts.states.version(need),
    get epoch() {
      return parts.states.epoch;
    },
  };
  return { gate: new Gate({ ...parts, source }), reads: () => reads };
}

test("a run is decided by one law: where that changes while it is decided, all of it is decided again", async (t) => {
  await using node = await RailgateNode.open({ dataDir: join(emptyDir(), "data") });
  const parts = (node.gate as unknown as { parts: GateParts }).parts;
  let [law, evaluated] = [0, 0];
  const source: StateSource = {
    read: async (need) => {
      // Once the first command is decided.
      if (evaluated === 1) law = 1;
      return parts.states.read(need);
    },
    version: (need) => parts.states.version(need),
    epoch: 0,
  };
  const observe = { evaluated: () => void evaluated++ };
  const gate = new Gate({ ...parts, source, observe, law: () => law });
  const done = await gate.run(
    ["a", "b"].map((id) => admission(admissible(id), CALLER)),
    { caller: CALLER },
  );
  t.deepEqual(
    done.map(({ event }) => [event.subject, event.outcome]),
    [
      ["a", "accepted"],
      ["b", "accepted"],
    ],
  );
  t.is(evaluated, 4);
});

test("commands that race on one key: each is decided on what the one before left", async (t) => {
  await using node = await RailgateNode.open({ dataDir: join(emptyDir(), "data") });
  await mesh(node, { command: "reload", mesh_id: "m", rails: RAILS }, "acme");
  const { gate, reads } = slowGate(node);
  const racing = ["a", "b", "c"].map((id) => gate.run([meshCommand(place(id, "fast"), "acme")], { caller: CALLER }));
  const codes = (await Promise.all(racing)).map(([done]) => done!.outcome.refusal?.code ?? "placed");
  t.deepEqual(codes.sort(), ["ERR_MESH_RAIL_AT_CAPACITY", "ERR_MESH_RAIL_AT_CAPACITY", "placed"]);
  t.true(reads() > 3 * 6, "what moved was read again");
  const revisions = (
    await node.store.events({ event_type: "mesh.place", outcome: "accepted", order: "asc", limit: 10 })
  ).map(({ record }) => JSON.parse(Buffer.from(record.split(".")[1]!, "base64url").toString()).details.revision);
  t.deepEqual(revisions, [2]);
});

test("what changed while it was read may need more, and that is read as well", async (t) => {
  await using node = await RailgateNode.open({ dataDir: join(emptyDir(), "data") });
  const between = { ...RAILS[1], rail_id: "between", level: "sandbox_isolated" } as const;
  await mesh(node, { command: "reload", mesh_id: "m", rails: [...RAILS, between] }, "acme");
  await mesh(node, place("a", "fast"), "acme");
  const elevate = (rail: string) =>
    ({ command: "elevate", mesh_id: "m", workload_id: "a", target_rail_id: rail, policy: FREE }) as const;
  const parts = (node.gate as unknown as { parts: GateParts }).parts;
  let changing: Promise<unknown> | undefined;
  const source: StateSource = {
    read: (need) => {
      if (!need.name.includes(" rail ")) return parts.states.read(need);
      changing ??= mesh(node, elevate("between"), "acme");
      return changing.then(() => parts.states.read(need));
    },
    version: (need) => parts.states.version(need),
    epoch: 0,
  };
  const gate = new Gate({ ...parts, source });
  const [done] = await gate.run([meshCommand(elevate("hw"), "acme")], { caller: CALLER });
  t.like(done!.event, { outcome: "accepted", details: { from_rail_id: "between" } });
});

test("what moves again and again is given up, and nothing of it is on record", async (t) => {
  await using node = await RailgateNode.open({ dataDir: join(emptyDir(), "data") });
  const parts = (node.gate as unknown as { parts: GateParts }).parts;
  let moves = 0;
  const source: StateSource = { read: (need) => parts.states.read(need), version: () => ++moves + 100, epoch: 0 };
  const gate = new Gate({ ...parts, source });
  const trying = gate.run(
    [lifecycleCommand({ command: "transition", workload_id: "w", transition: "create" }, "acme")],
    {
      caller: CALLER,
    },
  );
  await t.throwsAsync(trying, { code: "evidence_unavailable" });
  t.is(moves, 8);
  t.deepEqual(await node.store.events({ tenant_id: "acme", order: "asc", limit: 10 }), []);
});

test("no command reads a mesh whole: at 10,000 placements each reads a handful of keys", async (t) => {
  t.timeout(120_000);
  await using node = await RailgateNode.open({ dataDir: join(emptyDir(), "data") });
  await mesh(node, { command: "reload", mesh_id: "m", rails: RAILS }, "acme");
  const budget = { ...FREE, preserve_latency_budget: true };
  for (let n = 0; n < 10_000; n += 500)
    await node.gate.run(
      Array.from({ length: 500 }, (_, i) =>
        meshCommand(place(`w-${n + i}`, "hw", { ...budget, latency_budget_us: 20 + n + i }), "acme"),
      ),
      { caller: CALLER },
    );
  const parts = (node.gate as unknown as { parts: GateParts }).parts;
  parts.states.reset();
  let rows = 0;
  function* counted(found: Iterable<unknown>) {
    for (const row of found) {
      rows++;
      yield row;
    }
  }
  const store = new Proxy(node.store, {
    get(target, name) {
      const member = Reflect.get(target, name, target) as unknown;
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => {
        const found = (member as (...given: unknown[]) => unknown).apply(target, args);
        if (name === "read") rows++;
        else if (name === "within") rows += (found as unknown[]).length;
        else if (name === "referring") return counted(found as Iterable<unknown>);
        else throw new Error(`${String(name)} is read by no command`);
        return found;
      };
    },
  });
  const states = new StateView(store);
  const gate = new Gate({ ...parts, states });
  const run = async (request: Parameters<typeof meshCommand>[0]) => {
    rows = 0;
    const [done] = await gate.run([meshCommand(request, "acme")], { caller: CALLER });
    return { code: done!.outcome.refusal?.code, rows };
  };
  t.deepEqual(await run(place("new", "hw")), { code: undefined, rows: 6 });
  t.true((await run({ command: "remove", mesh_id: "m", workload_id: "w-7" })).rows <= 6);
  t.true((await run({ command: "elevate", mesh_id: "m", workload_id: "w-8", target_rail_id: "hw" })).rows <= 6);
  const slower = (us: number) => [RAILS[0], { ...RAILS[1], latency_overhead_us: us }];
  t.like(await run({ command: "reload", mesh_id: "m", rails: slower(21) }), { code: "ERR_MESH_INVALID_TOPOLOGY" });
  const reloaded = await run({ command: "reload", mesh_id: "m", rails: slower(20) });
  t.is(reloaded.code, undefined);
  t.true(reloaded.rows < 20, `${reloaded.rows} rows`);
});

test("a workload that is destroyed leaves its meshes by key, and no other is looked at", async (t) => {
  await using node = await RailgateNode.open({ dataDir: join(emptyDir(), "data") });
  for (const mesh_id of ["m", "n", "o"]) await mesh(node, { command: "reload", mesh_id, rails: RAILS }, "acme");
  await admit(node, admissible("w", "acme"));
  await mesh(node, place("w", "hw"), "acme");
  await mesh(node, { ...place("w", "hw"), mesh_id: "o" }, "acme");
  const placed = one("placed", "acme", "w");
  const states = () => (node.gate as unknown as { parts: GateParts }).parts.states;
  t.deepEqual((await states().read(placed)).value, [
    { mesh_id: "m", rail_id: "hw", level: "hardware_isolated" },
    { mesh_id: "o", rail_id: "hw", level: "hardware_isolated" },
  ]);
  await lifecycle(node, { command: "transition", workload_id: "w", transition: "destroy" }, "acme");
  t.is((await states().read(placed)).value, null);
  t.is(await node.store.read("placed", "acme", "w"), undefined);
  const removals = await node.store.events({ event_type: "mesh.remove", order: "asc", limit: 10 });
  t.is(removals.length, 2);
});

test("what is decided on stale state is not recorded, whether it changes that or only read it", async (t) => {
  await using node = await RailgateNode.open({ dataDir: join(emptyDir(), "data") });
  await admit(node, admissible("w", "acme"));
  const parts = (node.gate as unknown as { parts: GateParts }).parts;
  // As if this process had missed what another one wrote.
  const blind = new StateView({ ...node.store, read: () => undefined } as never);
  const gate = new Gate({ ...parts, states: blind });
  const create: LifecycleCommand = { command: "transition", workload_id: "w", transition: "create" };
  const unavailable = { code: "evidence_unavailable", message: /changed again and again/ };
  // It would be refused, as the command of a workload that nobody knows.
  await t.throwsAsync(gate.run([lifecycleCommand(create, "acme")], { caller: CALLER }), unavailable);
  await t.throwsAsync(gate.run([admission(admissible("w", "acme"), CALLER)], { caller: CALLER }), unavailable);
  t.is((await node.store.events({ tenant_id: "acme", order: "asc", limit: 10 })).length, 1);
  // It spoils nothing that is committed with it.
  const beside = gate.run([admission(admissible("w", "acme"), CALLER)], { caller: CALLER });
  const seeing = node.gate.run([lifecycleCommand(create, "acme")], { caller: CALLER });
  await t.throwsAsync(beside, unavailable);
  t.is((await seeing)[0]!.outcome.refusal, undefined);
});
