// The mesh as state: its fold, its stored parts, its wire shape, and what a step costs.
import test from "ava";
import fc from "fast-check";
import { InvariantError } from "../../src/core/invariant.ts";
import {
  type MeshState,
  meshChanges,
  meshDetails,
  meshFacts,
  meshOf,
  type MeshCommand,
  type MeshDecision,
  type MeshEvent,
  MESH_EVENT_TYPES,
  type MeshPart,
  recogniseMesh,
  step,
  wireMesh,
} from "../../src/core/mesh.ts";
import { get, set, sizeOf, type Tree, values, without } from "../../src/core/tree.ts";
import { NARROW } from "../mesh/worlds.ts";
import { apply, type Model, moves, UNDEFINED_MESH, verdict } from "../mesh/model.ts";

const AT = "2026-01-01T00:00:00.000Z";
const policy = {
  elevation_allowed: true,
  max_target_level: "hardware_isolated",
  preserve_latency_budget: false,
  latency_budget_us: 0,
} as const;
const rail = (rail_id: string, level = "shared", capacity = 100_000) => ({
  rail_id,
  level,
  latency_overhead_us: 0,
  capacity,
});
const ACCEPTED = { place: "MESH_001", elevate: "MESH_002", remove: "MESH_005", reload: "MESH_006" };
const accepted = (command: MeshCommand): MeshDecision => ({
  outcome: "accepted",
  error_code: null,
  mesh_event: ACCEPTED[command.command],
  class: null,
  rule: null,
  pointer: null,
  params: {},
});

const eventOf = (mesh: MeshState | null, command: MeshCommand): MeshEvent => ({
  event_type: MESH_EVENT_TYPES[command.command],
  outcome: "accepted",
  occurred_at: AT,
  details: meshDetails(mesh, command, accepted(command)),
});

const run = (mesh: MeshState | null, command: MeshCommand): MeshState => step(mesh, eventOf(mesh, command))!;
const reload = (rails: readonly unknown[]): MeshCommand => ({ command: "reload", mesh_id: "m", rails });
const place = (workload_id: string, rail_id: string): MeshCommand => ({
  command: "place",
  mesh_id: "m",
  workload_id,
  rail_id,
  policy,
});
const elevate = (workload_id: string, target_rail_id: string): MeshCommand => ({
  command: "elevate",
  mesh_id: "m",
  workload_id,
  target_rail_id,
});
const remove = (workload_id: string): MeshCommand => ({ command: "remove", mesh_id: "m", workload_id });

/** Commands that the contract accepts, each with the state before it. */
const acceptedRuns = fc.array(fc.nat(), { maxLength: 60 }).map((choices) => {
  const all = moves(NARROW);
  let model: Model = UNDEFINED_MESH;
  const commands: MeshCommand[] = [];
  for (const choice of choices) {
    const possible = all.filter((move) => verdict(model, move)[0] === null);
    const move = possible[choice % possible.length]!;
    commands.push(move.command);
    model = apply(model, move);
  }
  return { commands, model };
});

test("a life in the mesh, as clients see it", (t) => {
  const rails = [rail("h", "hardware_isolated"), rail("a"), rail("s", "sandbox_isolated")];
  const commands = [reload(rails), place("w", "a"), elevate("w", "s"), elevate("w", "h"), place("v", "a"), remove("v")];
  const mesh = commands.reduce<MeshState | null>(run, null)!;
  const none = { active_count: 0, total_placed: 0, total_elevated_in: 0, total_elevated_out: 0, total_removed: 0 };
  t.deepEqual(JSON.parse(JSON.stringify(wireMesh(mesh))), {
    mesh_id: "m",
    revision: 6,
    topology: { rails: [rails[1], rails[0], rails[2]] },
    rail_states: {
      a: { ...none, total_placed: 2, total_elevated_out: 1, total_removed: 1 },
      h: { ...none, active_count: 1, total_elevated_in: 1 },
      s: { ...none, total_elevated_in: 1, total_elevated_out: 1 },
    },
    placements: {
      w: {
        workload_id: "w",
        rail_id: "h",
        level: "hardware_isolated",
        policy,
        placed_at: AT,
        elevations: [
          { from_rail_id: "a", from_level: "shared", to_rail_id: "s", to_level: "sandbox_isolated", at: AT },
          { from_rail_id: "s", from_level: "sandbox_isolated", to_rail_id: "h", to_level: "hardware_isolated", at: AT },
        ],
      },
    },
  });
});

test("INV-MESH-MONOTONIC-ELEVATION: a reload launders no demotion", (t) => {
  const strict = [
    reload([rail("a"), rail("h", "hardware_isolated")]),
    place("w", "h"),
    remove("w"),
  ].reduce<MeshState | null>(run, null);
  const turned = [reload([rail("a")]), reload([rail("a"), rail("h", "shared")])].reduce(run, strict!);
  const command = place("w", "h");
  t.is((meshFacts(turned, command, null) as { departed_level: string }).departed_level, "hardware_isolated");
  t.throws(() => run(turned, command), { instanceOf: InvariantError, message: /^INV-MESH-MONOTONIC-ELEVATION/ });
});

test("a dropped rail that is defined again starts from zero; one that stays keeps counting", (t) => {
  const used = [
    reload([rail("a"), rail("b")]),
    place("v", "a"),
    remove("v"),
    place("w", "b"),
    remove("w"),
  ].reduce<MeshState | null>(run, null)!;
  const again = [reload([rail("a")]), reload([rail("a"), rail("b")])].reduce(run, used);
  t.is(wireMesh(again).rail_states["a"]!.total_placed, 1);
  t.is(wireMesh(again).rail_states["b"]!.total_placed, 0);
});

test("rails and workloads are sorted by code unit, whatever they are called", (t) => {
  const names = ["__proto__", "constructor", "Z", "a", "10", "9"];
  const mesh = [
    reload(names.map((name) => rail(name))),
    ...names.map((name) => place(name, "__proto__")),
  ].reduce<MeshState | null>(run, null)!;
  const wire = wireMesh(mesh);
  t.deepEqual(
    wire.topology.rails.map(({ rail_id }) => rail_id),
    [...names].sort(),
  );
  t.deepEqual(
    [...values(mesh.placements)].map(({ workload_id }) => workload_id),
    [...names].sort(),
  );
  t.is(wire.rail_states["__proto__"]!.active_count, names.length);
  t.deepEqual(Object.keys(wire.placements).sort(), [...names].sort());
  t.is(({} as { active_count?: number }).active_count, undefined);
});

test("a refused event changes nothing, not even a mesh that is not there", (t) => {
  const mesh = run(null, reload([rail("a")]));
  const refused = { ...eventOf(mesh, place("w", "no-such-rail")), outcome: "refused" };
  t.is(step(mesh, refused), mesh);
  t.is(step(null, refused), null);
});

test("an event that breaks an invariant leaves the state that it was given", (t) => {
  const mesh = [reload([rail("a", "shared", 1)]), place("v", "a")].reduce<MeshState | null>(run, null)!;
  const before = JSON.stringify(mesh);
  const error = t.throws(() => run(mesh, place("w", "a")), { instanceOf: InvariantError });
  t.is(error.code, "invariant_violated");
  t.is(error.invariant, "INV-MESH-ATOMIC-TRANSITION");
  t.is(JSON.stringify(mesh), before);
});

test("an acceptance is recognised only with the event of its command, a refusal only when it says why", (t) => {
  const yes = accepted(place("w", "a"));
  const no = {
    ...yes,
    outcome: "refused",
    error_code: "ERR_MESH_RAIL_AT_CAPACITY",
    mesh_event: null,
    class: "policy_denied",
    rule: "PLACE-06",
    pointer: "/rail_id",
  };
  t.deepEqual(recogniseMesh(yes, "place"), { decision: yes });
  t.deepEqual(recogniseMesh(no, "place") as unknown, { decision: no });
  t.true("problem" in recogniseMesh(yes, "elevate"));
  for (const wrong of [
    undefined,
    null,
    "accepted",
    [],
    {},
    { ...yes, outcome: "allowed" },
    { ...yes, error_code: "ERR" },
    { ...yes, params: null },
  ])
    t.true("problem" in recogniseMesh(wrong, "place"));
  for (const wrong of [
    { error_code: null },
    { class: "whim" },
    { rule: null },
    { pointer: null },
    { mesh_event: "MESH_001" },
  ])
    t.true("problem" in recogniseMesh({ ...no, ...wrong }, "place"));
});

test("INV-MESH-DETERMINISTIC-TOPOLOGY: the same commands give the same state, and the stored parts the same mesh", (t) => {
  fc.assert(
    fc.property(acceptedRuns, ({ commands }) => {
      const stored = new Map<string, MeshPart>();
      let mesh: MeshState | null = null;
      const events: MeshEvent[] = [];
      for (const command of commands) {
        const event = eventOf(mesh, command);
        const after: MeshState = step(mesh, event)!;
        for (const change of meshChanges(mesh, after, event)) stored.set(`${change.part} ${change.key}`, change);
        events.push(JSON.parse(JSON.stringify(event)));
        mesh = after;
      }
      const replayed = events.reduce<MeshState | null>(step, null);
      t.deepEqual(contentOf(replayed), contentOf(mesh));
      t.deepEqual(contentOf(meshOf([...stored.values()].reverse())), contentOf(mesh));
    }),
    { numRuns: 300, verbose: true },
  );
});

/** All of a mesh but how its trees are balanced. */
function contentOf(mesh: MeshState | null) {
  return mesh && { ...wireMesh(mesh), departed: [...values(mesh.departed)], rails: [...values(mesh.rails)] };
}

test("a sorted map is what an object of its entries is, and what it was before a change it stays", (t) => {
  const change = fc.record({ key: fc.string({ maxLength: 2 }), value: fc.option(fc.nat()) });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 200 }), (changes) => {
      const model = new Map<string, number>();
      let tree: Tree<number> = null;
      for (const { key, value } of changes) {
        const [before, entries] = [tree, [...values(tree)]];
        tree = value === null ? without(tree, key) : set(tree, key, value);
        if (value === null) model.delete(key);
        else model.set(key, value);
        t.deepEqual([...values(before)], entries);
        t.true(isBalanced(tree));
      }
      t.is(sizeOf(tree), model.size);
      t.deepEqual(
        [...values(tree)],
        [...model].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value),
      );
      for (const [key, value] of model) t.is(get(tree, key), value);
    }),
    { numRuns: 300, verbose: true },
  );
});

function isBalanced(tree: Tree<unknown>): boolean {
  if (tree === null) return true;
  const [left, right] = [sizeOf(tree.left), sizeOf(tree.right)];
  return (
    (left + right <= 1 || (left <= 3 * right && right <= 3 * left)) &&
    tree.size === left + right + 1 &&
    isBalanced(tree.left) &&
    isBalanced(tree.right)
  );
}

test("a step makes new what it touches, and shares the rest however large the mesh is", (t) => {
  const names = Array.from({ length: 10_000 }, (_, index) => `w${index}`);
  const mesh = [
    reload([rail("a"), rail("b", "sandbox_isolated")]),
    ...names.map((name) => place(name, "a")),
  ].reduce<MeshState | null>(run, null)!;
  for (const command of [place("new", "a"), elevate("w5000", "b"), remove("w5000")]) {
    const shared = nodesOf(mesh.placements);
    const fresh = [...nodesOf(run(mesh, command).placements)].filter((node) => !shared.has(node));
    t.true(fresh.length < 60, `${command.command}: ${fresh.length} new nodes`);
  }
});

function nodesOf(tree: Tree<unknown>, found = new Set<object>()): Set<object> {
  if (tree === null) return found;
  nodesOf(tree.left, found.add(tree));
  return nodesOf(tree.right, found);
}
