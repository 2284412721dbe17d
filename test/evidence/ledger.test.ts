// The ledger over a real store: chains without gaps, one commit for a group, and what happens when a commit fails.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import test, { type ExecutionContext } from "ava";
import { compactVerify, importJWK, type JWK } from "jose";
import canonicalize from "canonicalize";
import { createHash } from "node:crypto";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import { loadEventKey, type SigningKey } from "../../src/evidence/keys/keys.ts";
import type { Entry } from "../../src/evidence/ledger/entry.ts";
import { BasisMovedError } from "../../src/evidence/ledger/basis.ts";
import { DEFAULT_LEDGER_LIMITS, Ledger, type LedgerLimits } from "../../src/evidence/ledger/ledger.ts";
import { openReader, openWriter } from "../../src/store/open.ts";
import type { StoreReader } from "../../src/store/store.ts";
import { until } from "../until.ts";
import { entry } from "./entries.ts";

interface Bench {
  ledger: Ledger;
  reader: StoreReader;
  key: SigningKey;
  path: string;
}

async function withLedger(
  work: (bench: Bench) => Promise<void>,
  limits: LedgerLimits = DEFAULT_LEDGER_LIMITS,
  signAhead = false,
): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "railgate-ledger-"));
  const path = join(dir, "railgate.db");
  await (await openWriter(path)).close();
  const key = await loadEventKey(dir, true);
  const reader = await openReader(path);
  const ledger = new Ledger(
    "node-1",
    { storePath: path, privateJwk: key.privateKey.export({ format: "jwk" }), kid: key.kid, signAhead },
    limits,
  );
  try {
    await work({ ledger, reader, key, path });
  } finally {
    await ledger.close();
    await reader.close();
    rmSync(dir, { recursive: true });
  }
}

/** Signed where it is linked, and on the thread pool while what comes next is linked. */
function inBothWays(work: (t: ExecutionContext, open: typeof withLedger) => Promise<void>) {
  return async (t: ExecutionContext): Promise<void> => {
    await work(t, withLedger);
    await work(t, (bench, limits) => withLedger(bench, limits, true));
  };
}

/** Written without the writer's code: chain, hashes and signatures, from the stored records alone. */
async function assertChains(t: { is: (a: unknown, b: unknown) => unknown }, { reader, key }: Bench): Promise<number> {
  const publicKey = await importJWK(key.publicJwk as unknown as JWK, "EdDSA");
  const heads = new Map<string, { sequence: number; hash: string | null }>();
  const stored = await reader.events({ order: "asc", limit: 100_000 });
  for (const { record } of stored) {
    const { payload, protectedHeader } = await compactVerify(record, publicKey, { algorithms: ["EdDSA"] });
    t.is(protectedHeader["typ"], "railgate-event+jws");
    t.is(protectedHeader.kid, key.kid);
    const { event_hash, ...rest } = JSON.parse(Buffer.from(payload).toString()) as EvidenceEvent;
    const before = heads.get(rest.chain_id) ?? { sequence: -1, hash: null };
    t.is(rest.sequence, before.sequence + 1);
    t.is(rest.prev_hash, before.hash);
    t.is(event_hash, `sha256:${createHash("sha256").update(canonicalize(rest)!).digest("hex")}`);
    t.is(Buffer.from(payload).toString(), canonicalize({ ...rest, event_hash }));
    heads.set(rest.chain_id, { sequence: rest.sequence, hash: event_hash });
  }
  return stored.length;
}

test(
  "many entries at once make gapless, signed chains, one per tenant",
  inBothWays(async (t, withLedger) => {
    await withLedger(async (bench) => {
      const receipts = (
        await Promise.all(
          Array.from({ length: 500 }, (_, i) => bench.ledger.append([entry(i % 3 ? "acme" : "other", `w${i}`)])),
        )
      ).flat();
      t.is(await assertChains(t, bench), 500);
      const { record, eventText } = receipts[0]!;
      t.is(Buffer.from(record.split(".")[1]!, "base64url").toString(), eventText);
      t.is(await bench.reader.state("workload", "acme", "w1"), '{"name":"w1"}');
      t.is(
        Buffer.from(
          (await bench.reader.artifactOf((JSON.parse(receipts[1]!.eventText) as EvidenceEvent).id))!.bytes,
        ).toString(),
        '{"name":"w1"}',
      );
    });
  }),
);

test(
  "entries appended together commit together, whatever the batch size",
  inBothWays(async (t, withLedger) => {
    await withLedger(
      async ({ ledger }) => {
        const sizes: number[] = [];
        ledger.onCommit = (events) => sizes.push(events.length);
        const groups = [
          [entry("a", "1")],
          Array.from({ length: 7 }, (_, i) => entry("a", `2-${i}`)),
          [entry("a", "3")],
          [entry("a", "4")],
        ];
        await Promise.all(groups.map((group) => ledger.append(group)));
        t.deepEqual(sizes, [1, 7, 2]);
      },
      { queueMax: 100, batchMax: 4 },
    );
  }),
);

test(
  "a commit that fails refuses all that stood on it, and the next one continues the chain without a gap",
  inBothWays(async (t, withLedger) => {
    await withLedger(async (bench) => {
      const { ledger, path } = bench;
      await ledger.append([entry("acme", "before")]);
      let resets = 0;
      ledger.onReset = () => resets++;

      const other = new DatabaseSync(path);
      other.exec("BEGIN IMMEDIATE");
      const refused = [ledger.append([entry("acme", "first")])];
      await new Promise((resolve) => setTimeout(resolve, 100));
      refused.push(ledger.append([entry("acme", "second")]), ledger.append([entry("other", "third")]));
      const results = await Promise.allSettled(refused);
      other.close();

      for (const result of results) {
        t.is(result.status, "rejected");
        t.is((result as PromiseRejectedResult).reason.code, "evidence_unavailable");
        t.regex((result as PromiseRejectedResult).reason.message, /locked/);
      }
      t.is(resets, 1);
      t.regex(ledger.failure!, /locked/);
      // Nobody asks for anything, and yet it is noticed that the store can be written again.
      await until(() => ledger.failure === undefined);

      const [after] = await ledger.append([entry("acme", "after")]);
      t.is((JSON.parse(after!.eventText) as EvidenceEvent).sequence, 1);
      t.is(await assertChains(t, bench), 2);
      t.is(await bench.reader.state("workload", "acme", "first"), undefined);
    });
  }),
);

test(
  "what was decided on what has moved is not recorded, nor what stands on it; the rest of its batch is",
  inBothWays(async (t, withLedger) => {
    await withLedger(async (bench) => {
      const { ledger, reader } = bench;
      const on = (version: number, stacked = false) => ({
        reads: [{ kind: "workload", tenant_id: "acme", key: "w", version }] as const,
        stacked,
      });
      const writes = (version: number): Entry => ({
        ...entry("acme", "w"),
        states: [{ kind: "workload", tenant_id: "acme", key: "w", value: `${version}`, version }],
      });
      const results = await Promise.allSettled([
        ledger.append([writes(1), entry("other", "beside")], on(0)),
        ledger.append([writes(1)], on(0)),
        // Its version is right, and is not what it was decided on.
        ledger.append([writes(2)], on(1, true)),
        ledger.append([entry("acme", "reads only")], on(0)),
        ledger.append([writes(2)], on(1)),
        ledger.append(
          [{ ...entry("acme", "w"), states: [{ kind: "workload", tenant_id: "acme", key: "w", value: null }] }],
          on(2),
        ),
        ledger.append([writes(1)], on(0)),
      ]);
      const moved = results.map((result) => result.status === "rejected" && result.reason instanceof BasisMovedError);
      t.deepEqual(moved, [false, true, true, true, false, false, false]);
      t.is(await assertChains(t, bench), 5);
      t.is(await reader.state("workload", "acme", "w"), "1");
      // Told of it, it may stand on its own again.
      await ledger.append([writes(2)], on(1, true));
      t.is(ledger.waiting, 0);
    });
  }),
);

test(
  "what is linked before is decided on before it is durable, batch by batch",
  inBothWays(async (t, withLedger) => {
    await withLedger(
      async (bench) => {
        const { ledger, reader } = bench;
        const change = (key: string, version: number, value: string | null = `${version}`): Promise<unknown> =>
          ledger.append(
            [entry("acme", "a"), entry("other", "b")].map((each, i) => ({
              ...each,
              states: i > 0 ? [] : [{ kind: "workload", tenant_id: "acme", key, value, ...(value && { version }) }],
            })),
            { reads: [{ kind: "workload", tenant_id: "acme", key, version: version - 1 }], stacked: false },
          );
        const asked = Array.from({ length: 30 }, (_, i) => {
          // Every third has read what the one before it is about to change.
          const done = i - Math.ceil(i / 3);
          return change("w", (i % 3 === 1 ? done : done + 1) || 1);
        });
        // What counts by itself is known once it is durable, and so to the batch behind.
        asked.push(ledger.append([entry("acme", "counted"), entry("acme", "counted")]), change("w", 21, null));
        asked.push(change("counted", 3), change("w", 1));
        const results = await Promise.allSettled(asked);
        const moved = results.flatMap(({ status }, i) => (status === "rejected" ? [i] : []));
        t.deepEqual(
          moved,
          Array.from({ length: 10 }, (_, i) => 3 * i + 1),
        );
        t.is(await reader.state("workload", "acme", "w"), "1");
        t.is(await reader.state("workload", "acme", "counted"), "3");
        t.is(await assertChains(t, bench), 2 * (results.length - moved.length));
      },
      { queueMax: 1000, batchMax: 4 },
    );
  }),
);

test(
  "state that was deleted since it was due has no version any more, whatever deleted it",
  inBothWays(async (t, withLedger) => {
    await withLedger(async ({ ledger }) => {
      const put = (key: string, nowMs: number) => {
        const write = {
          kind: "challenge",
          tenant_id: "acme",
          key,
          value: "{}",
          version: 1,
          due_ms: nowMs + 10,
        } as const;
        return ledger.put({ nowMs, write, most: { ofRef: 9, ofTenant: 9 } });
      };
      const reading = async (key: string, version: number): Promise<boolean> => {
        const reads = [{ kind: "challenge", tenant_id: "acme", key, version }] as const;
        const asked = ledger.append([entry("acme", "w")], { reads, stacked: false });
        return asked.then(
          () => true,
          (error: unknown) => !(error instanceof BasisMovedError),
        );
      };
      await put("a", 0);
      t.true(await reading("a", 1));
      await ledger.put({ nowMs: 10, due: ["token"] });
      t.true(await reading("a", 1), "of another kind nothing goes");
      await ledger.put({ nowMs: 10, due: ["token", "challenge"] });
      t.false(await reading("a", 1));
      t.true(await reading("a", 0));
      await put("b", 20);
      await put("c", 30);
      t.true(await reading("b", 0), "what is put makes room");
      t.true(await reading("c", 1));
    });
  }),
);

test(
  "what is recorded everywhere is in each stream once, behind all that was appended before",
  inBothWays(async (t, withLedger) => {
    await withLedger(async (bench) => {
      const { ledger } = bench;
      const before = ["acme", "other", "third"].map((tenant) => ledger.append([entry(tenant, "first")]));
      const everywhere = ledger.appendEverywhere({ ...entry("default", "all"), states: [] });
      const after = ledger.append([entry("fourth", "first")]);
      const chains = (await everywhere).map(({ eventText }) => JSON.parse(eventText) as EvidenceEvent);
      t.deepEqual(
        chains.map(({ chain_id, tenant_id, sequence }) => [chain_id, tenant_id, sequence]),
        ["acme", "other", "third"].map((tenant) => [`${tenant}/node-1`, tenant, 1]),
      );
      await Promise.all([...before, after]);
      t.is(await assertChains(t, bench), 7);
    });
  }),
);

test("beyond the queue's bound entries are turned away, and nothing of them is recorded", async (t) => {
  await withLedger(
    async ({ ledger, reader }) => {
      const accepted = ledger.append([entry("a", "1"), entry("a", "2")]);
      const error = t.throws(() => ledger.append([entry("a", "3")]));
      t.is((error as { code?: string }).code, "evidence_unavailable");
      await accepted;
      t.is((await reader.events({ order: "asc", limit: 10 })).length, 2);
    },
    { queueMax: 2, batchMax: 4 },
  );
});

test("closing waits for what was appended", async (t) => {
  await withLedger(async ({ ledger, reader }) => {
    const receipts = ledger.append([entry("a", "1"), entry("a", "2")]);
    await ledger.close();
    t.is((await receipts).length, 2);
    t.is((await reader.events({ order: "asc", limit: 10 })).length, 2);
    t.throws(() => ledger.append([entry("a", "3")]), { message: /shutting down/ });
  });
});

test("a committer that cannot start is told of as a failed commit, and may be closed while it dies", async (t) => {
  await withLedger(async ({ path }) => {
    const ledger = new Ledger("node-1", { storePath: path, privateJwk: { kty: "none" }, kid: "none" });
    const refused = ledger.append([entry("acme", "first")]);
    const { code } = (await t.throwsAsync(refused)) as Error & { code: string };
    t.is(code, "evidence_unavailable");
    // The thread that this starts has not begun when it is told to end.
    const asked = t.throwsAsync(ledger.checkpoint(), { message: /no checkpoint could be made/ });
    await ledger.close();
    await asked;
  });
});
