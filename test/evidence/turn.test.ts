// Turns of a ledger on a store that others share: what is locked stays as it was found until what is decided on it is recorded, or the turn is over.
import { randomUUID } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { loadEventKey } from "../../src/evidence/keys/keys.ts";
import { BasisMovedError } from "../../src/evidence/ledger/basis.ts";
import type { Entry } from "../../src/evidence/ledger/entry.ts";
import { Ledger } from "../../src/evidence/ledger/ledger.ts";
import { openReader, openWriter } from "../../src/store/open.ts";
import { endLease, takeLease } from "../../src/store/postgres/lease.ts";
import type { StoreReader, StoreWriter } from "../../src/store/store.ts";
import { noPostgres, testServer } from "../postgres/server.ts";
import { entry } from "./entries.ts";

const missing = noPostgres();
if (missing !== undefined) console.warn(missing);
const run = missing === undefined ? test : test.skip;

const HOT = { kind: "workload", tenant_id: "acme", key: "hot" } as const;

interface Bench {
  readonly ledger: Ledger;
  readonly reader: StoreReader;
  /** Of another node. */
  readonly other: StoreWriter;
}

function withLedger(work: (t: ExecutionContext, bench: Bench) => Promise<void>) {
  return async (t: ExecutionContext): Promise<void> => {
    t.timeout(300_000);
    const url = await (await testServer()).url();
    const [at, beside] = [1, 2].map(() => ({ url, poolMax: 2, scope: randomUUID() })) as [Place, Place];
    const [lease, otherLease] = [await takeLease(at, "n1"), await takeLease(beside, "n2")];
    const key = await loadEventKey(mkdtempSync(join(tmpdir(), "railgate-turn-")), true);
    const privateJwk = key.privateKey.export({ format: "jwk" });
    const ledger = new Ledger("n1", { storePath: { ...at, lease }, privateJwk, kid: key.kid });
    await using reader = await openReader(at);
    await using other = await openWriter({ ...beside, lease: otherLease });
    try {
      await work(t, { ledger, reader, other });
    } finally {
      await ledger.close();
      await Promise.all([endLease(at, lease), endLease(beside, otherLease)]);
    }
  };
}

type Place = { readonly url: string; readonly poolMax: number; readonly scope: string };

const on = (version: number, stacked = false) => ({ reads: [{ ...HOT, version }], stacked });
const counts = (version: number): Entry => ({
  ...entry("acme", "hot"),
  states: [{ ...HOT, value: `${version}`, version }],
});

run(
  "what is locked stays as it was found until what is decided on it is recorded, before what waits",
  withLedger(async (t, { ledger, reader, other }) => {
    await ledger.append([counts(1)], on(0));
    const turn = await ledger.turn(() => [HOT, { ...HOT, key: "none" }]);
    t.deepEqual([...turn.found.values()], [{ version: 1, value: "1" }, undefined]);
    // Nothing is waited for before the turn ends: it is behind it.
    const waits = ledger.append([entry("acme", "waits")]);
    let locked = false;
    const elsewhere = other.versions([HOT]).then((versions) => {
      locked = true;
      return versions;
    });
    const decided = [turn.append([counts(2)], on(1)), turn.append([counts(3), entry("acme", "beside")], on(2, true))];
    t.is(ledger.waiting, 4);
    t.false(locked);
    turn.end();
    t.throws(() => turn.append([counts(4)], on(3, true)), { instanceOf: BasisMovedError });
    const receipts = (await Promise.all([...decided, waits])).flat();
    const positions = receipts.map(({ position }) => position);
    t.deepEqual(
      positions,
      positions.toSorted((a, b) => a - b),
    );
    t.is(ledger.waiting, 0);
    t.deepEqual(await elsewhere, [3]);
    await other.release();
    t.is(await reader.state("workload", "acme", "hot"), "3");
  }),
);

run(
  "one that takes too long is over, and so is one of whose commit nothing is heard; others go on",
  withLedger(async (t, { ledger, reader, other }) => {
    await ledger.append([counts(1)], on(0));
    const turn = await ledger.turn(() => [HOT]);
    // Whoever else wants it waits for that.
    t.deepEqual(await other.versions([HOT]), [1]);
    await other.release();
    t.true(turn.over);
    t.throws(() => turn.append([counts(2)], on(1)), { instanceOf: BasisMovedError });
    await ledger.append([counts(2)], on(1));
    t.is(await reader.state("workload", "acme", "hot"), "2");
    // Nothing is decided in it; the next one waits for its end.
    const [empty, next] = [ledger.turn(() => [HOT]), ledger.turn(() => [{ ...HOT, key: "none" }])];
    (await empty).end();
    const moved = (await next).append([entry("acme", "moved")], {
      reads: [{ ...HOT, key: "none", version: 4 }],
      stacked: false,
    });
    const stacked = (await next).append([entry("acme", "stacked")], { reads: [], stacked: true });
    (await next).end();
    t.deepEqual((await t.throwsAsync(moved, { instanceOf: BasisMovedError }))?.moved, ["workload acme none"]);
    await t.throwsAsync(stacked, { instanceOf: BasisMovedError });
    // Whoever stops waits for it.
    const last = await ledger.turn(() => [HOT]);
    const closing = ledger.close();
    await t.throwsAsync(
      ledger.turn(() => [HOT]),
      { code: "evidence_unavailable" },
    );
    last.end();
    await closing;
  }),
);

run(
  "what changes by what is decided is recorded before all that is decided then, turns or not",
  withLedger(async (t, { ledger }) => {
    const turn = await ledger.turn(() => [HOT]);
    const before = turn.append([counts(1)], on(0));
    const law = ledger.appendAhead([entry("acme", "law")]);
    t.true(turn.over);
    const next = ledger.turn(() => [HOT]);
    const waits = ledger.append([entry("acme", "waits")]);
    const behind = (await next).append([counts(2)], on(1));
    (await next).end();
    await Promise.all([law, waits, behind]);
    // One that is only about to be locked is over when it is.
    const begun = ledger.turn(() => [HOT]);
    await new Promise((resolve) => setImmediate(resolve));
    const again = ledger.appendAhead([entry("acme", "law again")]);
    t.true((await begun).over);
    const last = await ledger.turn(() => [HOT]);
    const then = last.append([counts(3)], on(2));
    last.end();
    const positions = (await Promise.all([before, law, waits, behind, again, then]))
      .flat()
      .map(({ position }) => position);
    const [first, changed, , second, changedAgain, third] = positions as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    t.true(first < changed && changed < second && second < changedAgain && changedAgain < third, String(positions));
  }),
);
