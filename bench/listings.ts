// `node bench/listings.ts [events]`: what a page of a listing costs with a long history behind it, by each filter.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openReader, openWriter } from "../src/store/open.ts";
import type { Append, EventQuery } from "../src/store/store.ts";

const EVENTS = Number(process.argv[2] ?? 300_000);
const BATCH = 5000;
const TENANTS = 20;
const ROUNDS = 20;
const RECORD = "r".repeat(1700);

/** One tenant has nearly all of it; two have a workload of the same name. */
function eventAt(n: number, sizes: Map<string, number>): Append {
  const tenant_id = n % 100 === 0 ? `t-${(n / 100) % TENANTS}` : "big";
  const chain_id = `${tenant_id}/n`;
  const sequence = sizes.get(chain_id) ?? 0;
  sizes.set(chain_id, sequence + 1);
  return {
    chain_id,
    sequence,
    id: `id-${n}`,
    event_type: n % 50_000 === 7 ? "key.rotate" : n % 3 === 0 ? "mesh.place" : "workload.admit",
    outcome: n % 20_000 === 9 ? "failed" : n % 10 === 0 ? "refused" : "accepted",
    tenant_id,
    workload_id: n % 4 === 0 ? "shared-name" : `w-${n % 5000}`,
    correlation_id: `c-${n}`,
    occurred_at_ms: n * 100,
    event_hash: "",
    artifact_digest: `sha256:${"0".repeat(64)}`,
    artifact: null,
    blobs: [],
    states: [],
    record: `h.${RECORD}.${n}`,
  };
}

const QUERIES: Record<string, Partial<EventQuery>> = {
  "all of a large tenant": { tenant_id: "big" },
  "all of a small tenant": { tenant_id: "t-3" },
  "by type, rare": { tenant_id: "big", event_type: "key.rotate" },
  "by type, any tenant": { event_type: "key.rotate" },
  "by outcome, rare": { tenant_id: "big", outcome: "failed" },
  "by workload": { tenant_id: "big", workload_id: "w-77" },
  "by a workload's name that others have": { tenant_id: "t-3", workload_id: "shared-name" },
  "by correlation": { tenant_id: "big", correlation_id: "c-123401" },
  "by correlation, any tenant": { correlation_id: "c-123401" },
  "by time, in the middle": { tenant_id: "big", since_ms: EVENTS * 50, until_ms: EVENTS * 50 + 60_000 },
  "by type and outcome, never both": { tenant_id: "big", event_type: "mesh.place", outcome: "failed" },
};

const dir = mkdtempSync(join(tmpdir(), "railgate-bench-listings-"));
try {
  {
    await using writer = await openWriter(dir);
    const sizes = new Map<string, number>();
    for (let n = 0; n < EVENTS; n += BATCH)
      await writer.append(Array.from({ length: Math.min(BATCH, EVENTS - n) }, (_, i) => eventAt(n + i, sizes)));
  }
  await using reader = await openReader(dir);
  console.log(`${EVENTS} events; a page of 100, milliseconds: median, most of ${ROUNDS}`);
  for (const [what, query] of Object.entries(QUERIES)) {
    const took: number[] = [];
    let found = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const started = performance.now();
      found = (await reader.page({ order: round % 2 === 0 ? "desc" : "asc", limit: 100, ...query })).events.length;
      took.push(performance.now() - started);
    }
    took.sort((a, b) => a - b);
    console.log(
      `  ${what.padEnd(40)} ${took[ROUNDS / 2]!.toFixed(1).padStart(7)} ${took.at(-1)!.toFixed(1).padStart(7)}   ${found} events`,
    );
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}
