// Turns as a thread has them that decides beside the main one: over when it says so, when it is told so, and when what was not durable is lost.
import test from "ava";
import { LedgerRelay } from "../../src/node/threads/relay.ts";
import type { FromThread } from "../../src/node/threads/messages.ts";
import type { Turn } from "../../src/evidence/ledger/turn.ts";

const HOT = { kind: "workload", tenant_id: "acme", key: "hot" } as const;

async function turnOf(relay: LedgerRelay, said: FromThread[]): Promise<{ readonly id: number; readonly turn: Turn }> {
  const given = relay.turn(() => [HOT]);
  await new Promise((resolve) => setImmediate(resolve));
  const { turn: id } = said.at(-1) as Extract<FromThread, { kind: "turn" }>;
  relay.given(id, [{ version: 7, value: "7" }]);
  return { id, turn: await given };
}

test("a turn is over when the thread ends it, when it took too long, and when what was not durable is lost", async (t) => {
  const said: FromThread[] = [];
  const relay = new LedgerRelay("n1", (message) => said.push(message));
  const [own, late, lost] = [await turnOf(relay, said), await turnOf(relay, said), await turnOf(relay, said)];
  t.deepEqual(
    [own, late, lost].map(({ turn }) => turn.over),
    [false, false, false],
  );
  own.turn.end();
  t.deepEqual(said.at(-1), { kind: "turn ends", turn: own.id });
  relay.turnOver(late.id);
  t.deepEqual([own.turn.over, late.turn.over, lost.turn.over], [true, true, false]);
  relay.reset();
  await Promise.all([own, late, lost].map(({ turn }) => turn.ended));
  t.true(lost.turn.over);
  t.is((await turnOf(relay, said)).turn.over, false);
  // Of one that is over the main thread is told nothing that it could take for another.
  late.turn.end();
  t.deepEqual(said.at(-1), { kind: "turn ends", turn: late.id });
});
