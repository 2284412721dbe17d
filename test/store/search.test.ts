// Listings find what is asked, page by page, by an index: none of them scans the history.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import test from "ava";
import fc from "fast-check";
import { openReader, openWriter } from "../../src/store/open.ts";
import type { Append, EventQuery, ListingQuery } from "../../src/store/store.ts";
import { overAll, type Place } from "./engines.ts";

const EVENTS = 9000;
const TENANTS = ["a", "b", "c"];
const TYPES = ["workload.admit", "mesh.place", "key.rotate"];
const DIGEST = `sha256:${"0".repeat(64)}`;

/** Times go back now and then; the third type and the third outcome are rare. */
function eventAt(n: number, sizes: Map<string, number>): Append {
  const tenant_id = TENANTS[n % 7 === 0 ? 2 : n % 2]!;
  const chain_id = `${tenant_id}/n`;
  const sequence = sizes.get(chain_id) ?? 0;
  sizes.set(chain_id, sequence + 1);
  return {
    chain_id,
    sequence,
    id: `id-${n}`,
    event_type: n % 4000 === 1 ? TYPES[2]! : TYPES[n % 2]!,
    outcome: n % 3000 === 2 ? "failed" : n % 3 === 0 ? "refused" : "accepted",
    tenant_id,
    workload_id: n % 5 === 0 ? null : `w-${n % 50}`,
    correlation_id: `c-${n % 300}`,
    occurred_at_ms: n * 10 - (n % 1000 === 999 ? 20_000 : 0),
    event_hash: "",
    artifact_digest: DIGEST,
    artifact: null,
    blobs: [],
    states: [],
    record: `r.${n}.s`,
  };
}

const sizes = new Map<string, number>();
const events = Array.from({ length: EVENTS }, (_, n) => eventAt(n, sizes));

async function fill(place: Pick<Place, "writer">): Promise<void> {
  await using writer = await place.writer();
  for (let n = 0; n < EVENTS; n += 1000) await writer.append(events.slice(n, n + 1000));
}

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 });
const queries = fc.record({
  tenant_id: maybe(fc.constantFrom(...TENANTS, "nobody")),
  chain_id: fc.option(fc.constantFrom("a/n", "c/n", "x/n"), { nil: undefined, freq: 5 }),
  event_type: maybe(fc.constantFrom(...TYPES)),
  outcome: maybe(fc.constantFrom("accepted", "refused", "failed")),
  workload_id: maybe(fc.constantFrom("w-1", "w-13", "w-none")),
  correlation_id: maybe(fc.constantFrom("c-2", "c-17")),
  since_ms: maybe(fc.nat(EVENTS * 10)),
  until_ms: maybe(fc.nat(EVENTS * 10)),
  order: fc.constantFrom("asc" as const, "desc" as const),
  limit: fc.constantFrom(1, 7, 1000),
});

function expected(query: EventQuery, among: readonly Append[] = events): string[] {
  const { since_ms = -Infinity, until_ms = Infinity } = query;
  const found = among.filter(
    (event) =>
      (["tenant_id", "chain_id", "event_type", "outcome", "workload_id", "correlation_id"] as const).every(
        (name) => query[name] === undefined || query[name] === event[name],
      ) &&
      event.occurred_at_ms >= since_ms &&
      event.occurred_at_ms < until_ms,
  );
  const records = found.map(({ record }) => record);
  return query.order === "asc" ? records : records.reverse();
}

overAll(
  "page after page has everything that is asked for, in order, and nothing twice; a rare filter ends a page early",
  async (t, place) => {
    await fill(place);
    await using reader = await place.reader();
    await fc.assert(
      fc.asyncProperty(queries, async (query) => {
        const all = expected(query).slice(0, 40 * query.limit);
        const found: string[] = [];
        for (let after: number | undefined; found.length < all.length; ) {
          const page = await reader.page({ ...query, after });
          found.push(...page.events.map(({ record }) => record));
          if (page.events.length > query.limit) return false;
          if (page.next === null) break;
          after = page.next;
        }
        return JSON.stringify(found.slice(0, all.length)) === JSON.stringify(all);
      }),
      { numRuns: place.isFar ? 100 : 300 },
    );
    const rare: EventQuery = { event_type: "workload.admit", outcome: "failed", order: "asc", limit: 5 };
    const page = await reader.page(rare);
    t.deepEqual(
      page.events.map(({ record }) => record),
      ["r.2.s"],
    );
    t.true(page.next !== null && page.next < EVENTS / 3, "it looked at no more than a thousand or so");
    t.deepEqual(
      (await reader.events(rare)).map(({ record }) => record),
      ["r.2.s", "r.3002.s", "r.6002.s"],
    );
    t.deepEqual(await reader.page({ tenant_id: "a", since_ms: EVENTS * 10 + 1, order: "asc", limit: 5 }), {
      events: [],
      next: null,
    });
  },
);

/** Late ones as an edge's: they occurred long before their neighbours. A chain id has two streams a tenant. */
function mixed(tenant: string, n: number, sizes: Map<string, number>): Append {
  const chain_id = `${tenant}/${n % 3 === 0 ? "b" : "a"}`;
  const sequence = sizes.get(chain_id) ?? 0;
  sizes.set(chain_id, sequence + 1);
  const late = n >= 2000 && n < 2600;
  return {
    ...eventAt(n, new Map()),
    chain_id,
    sequence,
    tenant_id: tenant,
    id: `${tenant}-${n}`,
    record: `r.${tenant}-${n}.s`,
    outcome: n % 800 === 2 ? "failed" : n % 3 === 0 ? "refused" : "accepted",
    // Commits overtake each other by some, and several have one time.
    occurred_at_ms: Math.floor((late ? n - 1900 : n + ((n * 7) % 20)) / 4) * 4,
  };
}

overAll(
  "of several streams a listing is in order of time, chain and sequence, page after page, whatever came late; of one by sequence",
  async (t, place) => {
    const counts = new Map<string, number>();
    const all = Array.from({ length: 4000 }, (_, n) => mixed(n % 5 === 0 ? "b" : "a", n, counts));
    // One stream whose clock was set back.
    const alone = all.slice(0, 50).map((event, n) => ({
      ...event,
      tenant_id: "c",
      chain_id: "c/n",
      sequence: n,
      id: `c-${n}`,
      record: `r.c-${n}.s`,
      occurred_at_ms: 9000 - n,
    }));
    await using writer = await place.writer();
    for (let n = 0; n < all.length; n += 1000) await writer.append(all.slice(n, n + 1000));
    await writer.append(alone);
    const inOrder = [...all, ...alone].sort(
      (a, b) =>
        a.occurred_at_ms - b.occurred_at_ms ||
        (a.chain_id < b.chain_id ? -1 : Number(a.chain_id > b.chain_id)) ||
        a.sequence - b.sequence,
    );
    await using reader = await place.reader();
    const listed = async ({ chain_id: _, ...query }: EventQuery, most: number) => {
      const found: string[] = [];
      for (let after: ListingQuery["after"]; found.length < most; ) {
        const page = await reader.list({ ...query, after });
        t.true(page.events.length <= query.limit);
        found.push(...page.events.map(({ record }) => record));
        if (page.next === null) break;
        after = page.next;
      }
      return found.slice(0, most);
    };
    await fc.assert(
      fc.asyncProperty(queries, async (query) => {
        if (query.tenant_id === "c") return;
        const all = expected({ ...query, chain_id: undefined }, inOrder).slice(0, 30 * query.limit);
        t.deepEqual(await listed(query, all.length), all, JSON.stringify(query));
      }),
      { numRuns: place.isFar ? 40 : 100 },
    );
    t.deepEqual(
      await listed({ tenant_id: "c", order: "asc", limit: 7 }, 50),
      alone.map(({ record }) => record),
    );
    t.deepEqual(await listed({ tenant_id: "nobody", order: "desc", limit: 7 }, 50), []);
    // What comes meanwhile takes nothing away from who is at it.
    const first = await reader.list({ tenant_id: "a", order: "desc", limit: 9 });
    await writer.append([{ ...mixed("a", 5000, counts), occurred_at_ms: 1 }]);
    const second = await reader.list({ tenant_id: "a", order: "desc", limit: 9, after: first.next! });
    t.deepEqual(
      [...first.events, ...second.events].map(({ record }) => record),
      expected({ tenant_id: "a", order: "desc", limit: 9 }, inOrder).slice(0, 18),
    );
  },
);

test("SQLite: every read is a search: no statement scans events, state or artifacts", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "railgate-search-"));
  t.teardown(() => rmSync(dir, { recursive: true }));
  await fill({ writer: () => openWriter(dir) });
  const statements = new Set<string>();
  const { prepare } = DatabaseSync.prototype;
  DatabaseSync.prototype.prepare = function (this: DatabaseSync, sql: string) {
    statements.add(sql);
    return prepare.call(this, sql);
  };
  try {
    await using fresh = await openReader(dir);
    const named: Partial<EventQuery>[] = [
      { event_type: "mesh.place" },
      { outcome: "failed" },
      { workload_id: "w-1" },
      { correlation_id: "c-2" },
      { since_ms: 5000, until_ms: 6000 },
      { chain_id: "a/n" },
      { chain_id: "a/n", event_type: "key.rotate" },
      { workload_id: "w-1", outcome: "refused", event_type: "mesh.place", since_ms: 1 },
    ];
    for (const order of ["asc", "desc"] as const)
      for (const query of named)
        for (const after of [undefined, 4000])
          for (const tenant_id of [undefined, "a"]) {
            await fresh.page({ ...query, tenant_id, after, order, limit: 5 });
            const { chain_id: _, ...listed } = query;
            const place = after && { ms: after, chain_id: "a/n", sequence: 3 };
            await fresh.list({ ...listed, tenant_id, after: place, order, limit: 5 });
          }
    await fresh.page({ tenant_id: "a", order: "desc", limit: 5 });
    await fresh.event("id-1");
    await t.throwsAsync(() => fresh.artifactOf("id-1"), undefined, "these records say nothing");
    await fresh.artifact(DIGEST);
    await fresh.read("workload", "a", "w-1");
    await fresh.states("workload", "a", 10, { tenant_id: "a", key: "w" });
    await fresh.states("workload", undefined, 10, { tenant_id: "a", key: "w" });
    await fresh.within("mesh", "a", "m rail ");
    await fresh.referring("answer", "a", "id-1");
    await fresh.due("workload", 5, 10);
    await fresh.log.records("a/n", 3, 5);
    await fresh.log.artifactAt("a/n", 3);
    await fresh.log.tile("a/n", 0, 0);
  } finally {
    DatabaseSync.prototype.prepare = prepare;
  }
  using db = new DatabaseSync(join(dir, "railgate.db"), { readOnly: true });
  const scans: string[] = [];
  for (const sql of statements) {
    if (!sql.includes("WHERE")) continue;
    for (const { detail } of db
      .prepare(`EXPLAIN QUERY PLAN ${sql}`)
      .all(...Array(sql.split("?").length - 1).fill(null)))
      if (
        /^SCAN (?!spans|sqlite_schema|CONSTANT|events USING INDEX events_by_time)|TEMP B-TREE(?! FOR LAST)/.test(
          String(detail),
        )
      )
        scans.push(`${detail}: ${sql}`);
  }
  t.true(statements.size > 30);
  t.deepEqual(scans, []);
});
