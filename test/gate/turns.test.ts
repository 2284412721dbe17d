// Turns of a gate: all runs that wait for what is locked decide one after the other, each on what those before changed.
import test from "ava";
import { one, type Need } from "../../src/core/state.ts";
import { BasisMovedError } from "../../src/evidence/ledger/basis.ts";
import type { Receipt } from "../../src/evidence/ledger/entry.ts";
import { foundAt, type Places, type Turn } from "../../src/evidence/ledger/turn.ts";
import { RunTurns, type RunTurn } from "../../src/gate/turns.ts";
import { stateName, type StateAt, type StateRead, type StoreReader } from "../../src/store/store.ts";

const HOT = one("workload", "acme", "hot");
const OTHER = one("workload", "acme", "other");

/** What is asked for is given by hand. */
function byHand(commandsMax?: number, observe: ConstructorParameters<typeof RunTurns>[3] = {}) {
  const asked: { places: Places; given: PromiseWithResolvers<Turn> }[] = [];
  const ask = (places: Places): Promise<Turn> => {
    const given = Promise.withResolvers<Turn>();
    asked.push({ places, given });
    return given.promise;
  };
  const turns = new RunTurns({ shared: true } as StoreReader, ask, commandsMax, observe);
  const taken: string[] = [];
  const take = (name: string, needs: readonly Need[], basis: readonly StateRead[] = []): Promise<RunTurn> =>
    turns.take({ needs, basis, commands: 1 }).then((turn) => {
      taken.push(name);
      return turn;
    });
  return { turns, asked, taken, take };
}

type Given = Turn & { over: boolean; end(): void; appended: readonly StateRead[][]; stacked: boolean[] };

function turnAt(places: readonly StateAt[], refused: readonly string[] = []): Given {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const turn = {
    found: foundAt(
      places,
      places.map(() => ({ version: 7, value: "7" })),
    ),
    over: false,
    ended,
    appended: [] as StateRead[][],
    stacked: [] as boolean[],
    append: (_entries: unknown, basis: { reads: readonly StateRead[]; stacked: boolean }): Promise<Receipt[]> => {
      turn.appended.push([...basis.reads]);
      turn.stacked.push(basis.stacked);
      return refused.length > 0 ? Promise.reject(new BasisMovedError(refused)) : Promise.resolve([]);
    },
    end: () => {
      turn.over = true;
      resolve();
    },
  };
  return turn;
}

/** A run that makes one more of what it needs. */
async function count(turn: RunTurn, need: Need): Promise<readonly Receipt[] | undefined> {
  await turn.draft.load([need]);
  turn.draft.set([{ at: need, value: turn.draft.get<number>(need)! + 1 }]);
  const receipts = turn.append([], turn.draft.reads, undefined);
  turn.done();
  return receipts;
}

const soon = () => new Promise<void>((resolve) => setImmediate(resolve));

test("who waits for what is locked comes along, each on what the one before left; who needs more is next", async (t) => {
  const { asked, taken, take } = byHand();
  const [first, second] = [take("first", [HOT]), take("second", [HOT])];
  t.is(asked.length, 1);
  const places = asked[0]!.places();
  t.deepEqual(places, [{ kind: "workload", tenant_id: "acme", key: "hot" }], "each place once");
  const [other, late] = [take("other", [HOT, OTHER]), take("late", [HOT])];
  const turn = turnAt(places);
  asked[0]!.given.resolve(turn);
  await count(await first, HOT);
  t.false(turn.over);
  await count(await second, HOT);
  await count(await late, HOT);
  await soon();
  t.true(turn.over);
  t.deepEqual(
    turn.appended.map(([read]) => read!.version),
    [7, 8, 9],
  );
  t.deepEqual(turn.stacked, [false, true, true]);
  t.deepEqual(taken, ["first", "second", "late"]);
  const next = asked[1]!.places();
  t.deepEqual(next.map(stateName), ["workload acme hot", "workload acme other"]);
  asked[1]!.given.resolve(turnAt(next));
  (await other).done();
});

test("what turns out to need more than is locked, or takes too long, is told; who did not come to it waits for the next", async (t) => {
  const { asked, take } = byHand();
  const [first, second] = [take("first", [HOT]), take("second", [HOT])];
  const turn = turnAt(asked[0]!.places());
  asked[0]!.given.resolve(turn);
  const run = await first;
  t.false(run.isOver);
  turn.over = true;
  t.true(run.isOver);
  run.done();
  await soon();
  t.is(asked.length, 2);
  const again = turnAt(asked[1]!.places());
  asked[1]!.given.resolve(again);
  const later = await second;
  await later.draft.load([HOT]);
  t.false(later.isOver);
  t.is(later.draft.load([HOT]), undefined, "what is locked is at hand");
  later.done();
});

test("a request that another replica has carried out is not decided again, and what fails is told to all", async (t) => {
  const { turns, asked, take } = byHand();
  const answer: StateRead = { kind: "answer", tenant_id: "acme", key: "k", version: 6 };
  const told = t.throwsAsync(take("told", [HOT], [answer]), { code: "evidence_unavailable" });
  const turn = turnAt(asked[0]!.places(), [stateName(HOT)]);
  asked[0]!.given.resolve(turn);
  await told;
  await soon();
  t.true(turn.over);
  t.false(turns.areWanted(() => [HOT]));
  const moved = take("moved", [HOT]);
  await soon();
  asked[1]!.given.resolve(turnAt(asked[1]!.places(), [stateName(HOT)]));
  t.is(await count(await moved, HOT), undefined);
  t.true(turns.areWanted(() => [OTHER, HOT]));
  t.false(turns.areWanted(() => [OTHER]));
  const failing = ["a", "b"].map((name) => t.throwsAsync(take(name, [HOT]), { message: "away" }));
  await soon();
  asked[2]!.given.reject(new Error("away"));
  await Promise.all(failing);
});

test("where too many wait, who comes next is told at once; there is room again when one has had its turn", async (t) => {
  const { asked, take } = byHand(2);
  const [first, second] = [take("first", [HOT]), take("second", [HOT])];
  const full = { code: "evidence_unavailable", message: /2 commands already wait for a turn/ };
  await t.throwsAsync(take("third", [HOT]), full);
  asked[0]!.given.resolve(turnAt(asked[0]!.places()));
  const run = await first;
  const third = take("third", [HOT]);
  run.done();
  (await second).done();
  (await third).done();
});

test("a run that hangs within a turn holds nobody up once that is over, and is told so when it goes on", async (t) => {
  const waiting: number[] = [];
  let waited = 0;
  const { asked, take } = byHand(undefined, {
    turnsWaiting: (commands) => waiting.push(commands),
    turnWaited: (ms) => (waited += Number(ms >= 0)),
  });
  const [hangs, second] = [take("hangs", [HOT]), take("second", [HOT])];
  const turn = turnAt(asked[0]!.places());
  asked[0]!.given.resolve(turn);
  const hanging = await hangs;
  t.is(asked.length, 1, "what it has not appended yet may still come");
  turn.end();
  await soon();
  asked[1]!.given.resolve(turnAt(asked[1]!.places()));
  t.deepEqual(await count(await second, HOT), []);
  t.true(hanging.isOver);
  hanging.done();
  t.deepEqual([waiting, waited], [[1, 2, 1, 0], 2]);
});
