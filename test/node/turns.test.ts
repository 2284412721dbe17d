// What can go wrong while a node has its turn at what others command as well: over a real PostgreSQL, by two nodes that command the same. Whatever it is, others go on, and nothing is lost or comes twice.
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { hostCaller } from "../../src/core/caller.ts";
import { eventTextOf } from "../../src/core/event.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import { verifyStore } from "../../src/evidence/fsck/streams.ts";
import type { Turn } from "../../src/evidence/ledger/turn.ts";
import { admission } from "../../src/gate/commands/admission.ts";
import type { GateParts } from "../../src/gate/parts.ts";
import { RailgateNode } from "../../src/node/open.ts";
import { openReader } from "../../src/store/open.ts";
import { stateName, type StateAt } from "../../src/store/store.ts";
import { admit, mesh } from "../gate/commands.ts";
import { admissible, emptyDir } from "../http/support.ts";
import { noPostgres, testServer } from "../postgres/server.ts";
import { Way } from "../postgres/way.ts";
import { comes } from "../until.ts";

const missing = noPostgres();
if (missing !== undefined) console.warn(missing);
const run = missing === undefined ? test.serial : test.serial.skip;
const CALLER = hostCaller("test");
const ROUNDS_MAX = 200;

interface Pair {
  /** Whose turns are watched. */
  readonly one: RailgateNode;
  readonly two: RailgateNode;
  /** Between `one` and the database. */
  readonly way: Way;
  readonly turns: Turns;
}

/** Turns of a node: what was locked for each, and one that can be held up. */
class Turns {
  readonly places: (readonly StateAt[])[] = [];
  #hold: { readonly begun: PromiseWithResolvers<Turn>; readonly goes: PromiseWithResolvers<void> } | undefined;
  #held: Promise<void> | undefined;

  constructor({ gate }: RailgateNode) {
    const parts = (gate as unknown as { parts: { -readonly [P in keyof GateParts]: GateParts[P] } }).parts;
    const { ledger } = parts;
    const ask = ledger.turn.bind(ledger);
    ledger.turn = async (places) => {
      const turn = await ask(() => {
        this.places.push(places());
        return this.places.at(-1)!;
      });
      const hold = this.#hold;
      this.#hold = undefined;
      if (hold) {
        this.#held = hold.goes.promise;
        hold.begun.resolve(turn);
      }
      return turn;
    };
    parts.changing = () => {
      const held = this.#held;
      this.#held = undefined;
      return held;
    };
  }

  /** The first run of the next turn hangs in it. */
  hold(): { readonly begun: Promise<Turn>; go(): void } {
    const [begun, goes] = [Promise.withResolvers<Turn>(), Promise.withResolvers<void>()];
    this.#hold = { begun, goes };
    return { begun: begun.promise, go: goes.resolve };
  }
}

/** What it says is on record has come, or why it is not. */
type Told = { readonly eventId: string } | { readonly code: string };

const told = (asked: Promise<{ readonly eventId: string }>): Promise<Told> =>
  asked.then(
    ({ eventId }) => ({ eventId }),
    ({ code }: { code: string }) => ({ code }),
  );

/** Fewer than are asked at once below, and more than one run has. */
const QUEUE_MAX = 140;
let url: string;
let pair: Pair;

test.before(async () => {
  if (missing !== undefined) return;
  const server = await testServer();
  url = await server.url();
  const way = await Way.to(server.socketDir);
  const open = (nodeId: string, at: string) =>
    RailgateNode.open({
      dataDir: join(emptyDir(), "data"),
      nodeId,
      store: { url: at, poolMax: 3 },
      queueMax: QUEUE_MAX,
    });
  const [one, two] = await Promise.all([open("one", way.url(new URL(url).pathname.slice(1))), open("two", url)]);
  pair = { one, two, way, turns: new Turns(one) };
});
test.after.always(async () => {
  await Promise.all([pair?.one.close(), pair?.two.close()]);
  pair?.way.close();
});

function withPair(work: (t: ExecutionContext, pair: Pair) => Promise<readonly Told[]>) {
  return async (t: ExecutionContext): Promise<void> => {
    t.timeout(300_000);
    await mustHold(t, await work(t, pair));
  };
}

/** All that was told is on record, no version twice, every stream whole. */
async function mustHold(t: ExecutionContext, all: readonly Told[]): Promise<void> {
  await using store = await openReader({ url, poolMax: 2, scope: "none" });
  const found = await store.events({ tenant_id: "acme", order: "asc", limit: 10_000 });
  const events = found.map(({ record }) => JSON.parse(eventTextOf(record)) as EvidenceEvent);
  const ids = new Set(events.map(({ id }) => id));
  t.is(ids.size, events.length);
  for (const each of all) if ("eventId" in each) t.true(ids.has(each.eventId));
  const { streams, states, order } = await verifyStore(store, () => {});
  t.deepEqual(
    streams.flatMap(({ fault }) => fault ?? []),
    [],
  );
  t.deepEqual([states, order], [[], []]);
  const versions = events
    .filter(({ event_type, subject }) => event_type === "workload.admit" && subject === "hot")
    .map(({ details }) => (details as { state_revision: number }).state_revision);
  t.deepEqual(
    versions.toSorted((a, b) => a - b),
    versions.map((_, i) => i + 1),
  );
}

const hot = (node: RailgateNode): Promise<Told> => told(admit(node, admissible("hot")));

/** Both command the same until one has lost, and hangs in its turn. @returns what they were told, and will be. */
async function untilHeld({ one, two }: Pair, begun: Promise<Turn>): Promise<Promise<Told>[]> {
  const all: Promise<Told>[] = [];
  let held = false;
  void begun.then(() => (held = true));
  for (let round = 0; !held; round++) {
    if (round === ROUNDS_MAX) throw new Error("no turn was asked for");
    all.push(hot(one), hot(two));
    await Promise.race([begun, Promise.all(all)]);
  }
  return all;
}

run(
  "a run that hangs in it: when it is over others go on, the same node too, and it is decided anew",
  withPair(async (t, pair) => {
    const { begun, go } = pair.turns.hold();
    const all = await untilHeld(pair, begun);
    const { one, two } = pair;
    const meanwhile = [hot(one), hot(two), told(admit(one, admissible("cold")))];
    for (const each of await comes("answers while a run hangs", Promise.all(meanwhile))) t.true("eventId" in each);
    t.true((await begun).over);
    go();
    const answered = await comes("all answers", Promise.all([...all, ...meanwhile]));
    t.true(answered.every((each) => "eventId" in each));
    return answered;
  }),
);

run(
  "its connection is cut: nothing of it is recorded, others go on, and so does it when it is back",
  withPair(async (t, pair) => {
    const { begun, go } = pair.turns.hold();
    const all = await untilHeld(pair, begun);
    const { one, two, way } = pair;
    all.push(hot(one));
    way.cut(true);
    go();
    const other = await comes("an answer of the other", hot(two));
    t.true("eventId" in other);
    const answered = await comes("all answers", Promise.all(all));
    for (const each of answered) if ("code" in each) t.is(each.code, "evidence_unavailable");
    way.cut(false);
    let back: Told = { code: "" };
    for (let tries = 0; tries < ROUNDS_MAX && "code" in back; tries++) {
      back = await hot(one);
      if ("code" in back) await new Promise((resolve) => setTimeout(resolve, 100));
    }
    t.true("eventId" in back);
    return [...answered, other, back];
  }),
);

run(
  "a run of more commands than are decided together: it has a turn of its own, and all of it commits at once",
  withPair(async (t, { one, two, turns }) => {
    const requests = Array.from({ length: 130 }, (_, i) => admissible(`many-${i}`));
    const many = async (node: RailgateNode): Promise<Told[]> => {
      const done = await node.gate.run(
        requests.map((request) => admission(request, CALLER)),
        { caller: CALLER },
      );
      const positions = done.map(({ position }) => position);
      t.deepEqual(
        positions,
        positions.map((_, i) => positions[0]! + i),
      );
      return done.map(({ eventId }) => ({ eventId }));
    };
    const all: Told[] = [];
    const locked = () => turns.places.some((places) => places.length >= requests.length);
    for (let round = 0; !locked() && round < ROUNDS_MAX; round++)
      all.push(...(await Promise.all([many(one), many(two)])).flat());
    t.true(locked());
    return all;
  }),
);

run(
  "what turns out to need more than is locked has it locked the next time",
  withPair(async (t, { one, two, turns }) => {
    const rails = (["a", "b", "hw"] as const).map((rail_id) => ({
      rail_id,
      level: rail_id === "hw" ? ("hardware_isolated" as const) : ("sandbox_isolated" as const),
      latency_overhead_us: 0,
      capacity: 9,
    }));
    const policy = {
      elevation_allowed: true,
      max_target_level: "hardware_isolated",
      preserve_latency_budget: false,
      latency_budget_us: 0,
    } as const;
    await mesh(one, { command: "reload", mesh_id: "m", rails }, "acme");
    const moves = async (node: RailgateNode, workload_id: string, from: string): Promise<Told[]> => {
      const at = { mesh_id: "m", workload_id } as const;
      await admit(node, admissible(workload_id));
      const done: Told[] = [];
      for (const command of [
        { command: "place", ...at, rail_id: from, policy },
        { command: "elevate", ...at, target_rail_id: "hw" },
        { command: "remove", ...at },
      ] as const) {
        const { eventId, refusal } = (await mesh(node, command, "acme")) as { eventId: string; refusal?: object };
        t.is(refusal, undefined);
        done.push({ eventId });
      }
      return done;
    };
    const rail = (id: string) => stateName({ kind: "mesh", tenant_id: "acme", key: `m rail ${id}` });
    // To be elevated, it must leave a rail that its command does not name: that is known once its placement is read.
    const left = (id: string) =>
      turns.places
        .map((places) => places.map(stateName))
        .some((names) => names.includes(rail(id)) && names.includes(rail("hw")));
    const all: Told[] = [];
    for (let round = 0; !left("a") && round < ROUNDS_MAX; round++)
      all.push(...(await Promise.all([moves(one, `one-${round}`, "a"), moves(two, `two-${round}`, "b")])).flat());
    return all;
  }),
);

run(
  "too many wait for it: who comes next is told at once, and those that wait are answered",
  withPair(async (t, pair) => {
    const { begun, go } = pair.turns.hold();
    const all = await untilHeld(pair, begun);
    const more = Array.from({ length: QUEUE_MAX + 8 }, () => hot(pair.one));
    go();
    const answered = await comes("all answers", Promise.all(more));
    t.is(answered.filter((each) => "eventId" in each).length, QUEUE_MAX);
    return [...(await Promise.all(all)), ...answered];
  }),
);

run(
  "a node stops while one hangs in it, and others wait for the next: all are told, and the other node goes on",
  withPair(async (t, pair) => {
    const { begun, go } = pair.turns.hold();
    const all = await untilHeld(pair, begun);
    all.push(hot(pair.one), hot(pair.one));
    await comes("the end of the node", pair.one.close());
    const other = await hot(pair.two);
    t.true("eventId" in other);
    go();
    const answered = await comes("all answers", Promise.all(all));
    for (const each of answered) if ("code" in each) t.is(each.code, "evidence_unavailable");
    return [...answered, other];
  }),
);
