// State as decisions see it: what is stored, under what was decided and is not durable yet; and when a run must be decided anew.
import test from "ava";
import { all, least, one } from "../../src/core/state.ts";
import { Draft, type StateSource } from "../../src/evidence/ledger/draft.ts";
import { StateView } from "../../src/evidence/ledger/state.ts";
import type { StoreReader } from "../../src/store/store.ts";

type Row = { key: string; version: number; value: string; ref?: string; rank: number };

/** A store of these rows, which counts how often it is read. */
function storeOf(rows: Row[] = []) {
  const reads: string[] = [];
  const reader = {
    read: (_kind: string, _tenant: string, key: string) => (reads.push(key), rows.find((row) => row.key === key)),
    within: (_kind: string, _tenant: string, prefix: string) => (
      reads.push(`${prefix}*`), rows.filter(({ key }) => key.startsWith(prefix))
    ),
    referring(_kind: string, _tenant: string, ref: string, limit: number) {
      const found = rows.filter((each) => each.ref === ref).sort((a, b) => a.rank - b.rank);
      for (const row of found.slice(0, limit)) reads.push(`→ ${row.key}`);
      return found.slice(0, limit);
    },
  };
  return { reads, rows, reader: reader as unknown as StoreReader };
}

const row = (key: string, value: unknown, more: Partial<Row> = {}): Row => ({
  key,
  version: 1,
  value: JSON.stringify(value),
  rank: 0,
  ...more,
});
const at = (key: string) => one("mesh", "acme", key);

/** Of a store at hand. */
function atOnce(found: ReturnType<StateView["read"]>) {
  if (found instanceof Promise) throw new Error("it was not at hand");
  return found;
}

function change(
  states: StateView,
  key: string,
  value: unknown,
  ticket: number,
  more: { ref?: string; rank?: number } = {},
) {
  const draft = new Draft(states);
  void draft.load([at(key)]);
  const writes = draft.set([{ at: at(key), value, ...more }]);
  states.apply(draft, ticket);
  return writes[0]!;
}

test("what was decided lies over what is stored, and counts its versions on", (t) => {
  const { reader } = storeOf([row("a", 1, { version: 4 })]);
  const states = new StateView(reader);
  t.like(states.read(at("a")), { value: 1, version: 4 });
  t.like(states.read(at("b")), { value: null, version: 0 });
  t.like(change(states, "a", 2, 1), { key: "a", value: "2", version: 5 });
  t.like(change(states, "b", 3, 2), { key: "b", version: 1 });
  t.like(states.read(at("a")), { value: 2, version: 5 });
  t.is(change(states, "a", null, 3).value, null);
  t.like(states.read(at("a")), { value: null, version: 0 }, "what is absent has version 0");
});

test("all, and the least, of what is stored and what was decided together", (t) => {
  const { reader, reads } = storeOf([
    row("p a", 1, { ref: "r", rank: 3 }),
    row("p b", 2, { ref: "r", rank: 5 }),
    row("p c", 3, { ref: "r", rank: 9 }),
    row("q a", 4),
  ]);
  const states = new StateView(reader);
  const first = () => atOnce(states.read(least("mesh", "acme", "r"))).value;
  t.is(first(), 1);
  t.deepEqual(reads, ["→ p a"], "no further than to the first");
  change(states, "p a", null, 1);
  t.is(first(), 2);
  change(states, "p d", 7, 2, { ref: "r", rank: 4 });
  t.is(first(), 7);
  change(states, "p d", 7, 3);
  t.is(first(), 2, "it refers to nothing now");
  t.deepEqual(atOnce(states.read(all("mesh", "acme", "p "))).value, [2, 3, 7]);
});

test("after a reset nothing is believed that was not read", (t) => {
  const states = new StateView(storeOf().reader);
  const draft = new Draft(states);
  void draft.load([at("a")]);
  change(states, "b", 1, 1);
  states.reset();
  t.like(states.read(at("b")), { value: null, version: 0 });
  t.true(draft.moved, "what it read may never have been");
});

test("however much is asked about, what waits to be durable is kept, and the rest let go", (t) => {
  const { reader, reads } = storeOf();
  const states = new StateView(reader);
  change(states, "kept", 1, 2);
  for (let n = 0; n < 25_000; n++) void states.read(at(`k-${n}`));
  states.trim(1);
  reads.length = 0;
  t.is(atOnce(states.read(at("kept"))).value, 1);
  t.deepEqual(reads, []);
  states.trim(2);
  void states.read(at("kept"));
  void states.read(at("k-0"));
  t.deepEqual(reads, ["kept", "k-0"]);
});

test("two that are decided on the same state: the second finds that it moved", async (t) => {
  const states = new StateView(storeOf([row("a", 1)]).reader);
  const slow: StateSource = {
    read: async (need) => states.read(need),
    version: (need) => states.version(need),
    get epoch() {
      return states.epoch;
    },
  };
  const [first, second] = [new Draft(slow), new Draft(slow)];
  await Promise.all([first.load([at("a"), at("b")]), second.load([at("a")])]);
  first.set([{ at: at("a"), value: 2 }]);
  t.false(first.moved);
  states.apply(first, 1);
  t.true(second.moved);
  const anew = new Draft(slow);
  await anew.load([at("a")]);
  t.is(anew.get(at("a")), 2);
  t.false(anew.moved);
});

test("only what was said to be needed can be asked for", (t) => {
  const draft = new Draft(new StateView(storeOf().reader));
  t.throws(() => draft.get(at("a")), { message: /needed/ });
  t.false(draft.has(at("a")));
  void draft.load([at("a")]);
  t.is(draft.get(at("a")), null);
});
