// State as decisions see it and state as readers may: what is decided, and what of it is durable.
import test from "ava";
import { meshChanges, step, type Mesh } from "../../src/core/mesh.ts";
import { StateView } from "../../src/evidence/ledger/state.ts";
import type { StoreReader } from "../../src/store/store.ts";

const EMPTY = { states: () => [], state: () => undefined } as unknown as StoreReader;
const rails = [{ rail_id: "a", level: "shared", latency_overhead_us: 0, capacity: 1 }] as const;
const reload = (mesh: Mesh | null, mesh_id = "m") => ({
  event_type: "mesh.reload",
  outcome: "accepted",
  occurred_at: "",
  details: {
    mesh_id,
    mesh_event: "MESH_006",
    error_code: null,
    revision: (mesh?.revision ?? 0) + 1,
    topology: { rails },
  },
});

function define(states: StateView, tenant: string, ticket: number, id = "m"): Mesh {
  const before = states.meshes(tenant).get(id) ?? null;
  const event = reload(before, id);
  const after = step(before, event)!;
  states.setMesh(tenant, after, meshChanges(before, after, event), ticket);
  return after;
}

test("readers see a mesh once it is durable, in the order in which commands become so", (t) => {
  const states = new StateView(EMPTY);
  const first = define(states, "acme", 1);
  const second = define(states, "acme", 2);
  const other = define(states, "other", 3);
  t.is(states.meshes("acme").get("m"), second);
  t.is(states.durableMeshes("acme").get("m"), undefined);
  states.trim(1);
  t.is(states.durableMeshes("acme").get("m"), first);
  t.is(states.durableMeshes("other").get("m"), undefined);
  states.trim(3);
  t.is(states.durableMeshes("acme").get("m"), second);
  t.is(states.durableMeshes("other").get("m"), other);
});

test("what an attempt set is taken back when it fails", (t) => {
  const states = new StateView(EMPTY);
  const first = define(states, "acme", 1);
  t.throws(() =>
    states.attempt(() => {
      define(states, "acme", 2);
      define(states, "acme", 2, "new");
      throw new Error("no");
    }),
  );
  t.deepEqual([...states.meshes("acme")], [["m", first]]);
  states.trim(2);
  t.deepEqual([...states.durableMeshes("acme")], [["m", first]]);
});

test("after a reset nothing is believed that was not read", (t) => {
  const states = new StateView(EMPTY);
  define(states, "acme", 1);
  states.reset();
  states.trim(1);
  t.is(states.meshes("acme").size, 0);
  t.is(states.durableMeshes("acme").size, 0);
});

test("however many tenants are asked about, what waits to be durable is kept", (t) => {
  let reads = 0;
  const counting = { ...EMPTY, states: () => (reads++, []) } as unknown as StoreReader;
  const states = new StateView(counting);
  const mesh = define(states, "acme", 1);
  for (let n = 0; n < 5000; n++) states.meshes(`t-${n}`);
  t.is(states.meshes("acme").get("m"), mesh);
  t.is(reads, 5001);
  states.trim(1);
  for (let n = 0; n < 5000; n++) states.durableMeshes(`u-${n}`);
  reads = 0;
  states.meshes("acme");
  t.is(reads, 1);
});
