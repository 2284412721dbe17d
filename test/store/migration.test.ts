// What version 0.1 wrote is opened, verified, replayed byte for byte, and gone on with.
import { cpSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import test from "ava";
import { eventTextOf } from "../../src/core/event.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import { verifyStore } from "../../src/evidence/fsck/streams.ts";
import { replay } from "../../src/evidence/replay/replay.ts";
import { verifyExport } from "../../src/evidence/verify/node.ts";
import { openReader, openWriter } from "../../src/store/open.ts";
import { Clock, emptyDir, start } from "../http/support.ts";

const FIXTURE = join(import.meta.dirname, "../fixtures/v0.1");
const NOW = Date.parse("2026-11-26T13:00:00Z");

interface Kept {
  method: string;
  path: string;
  body: object | null;
  key: string;
  status: number;
  etag: string | null;
  text: string;
}

/** A copy of the data directory, since it is written. */
function copied(): string {
  const dir = emptyDir();
  mkdirSync(join(dir, "data"), { mode: 0o700 });
  cpSync(join(FIXTURE, "store"), join(dir, "data"), { recursive: true });
  return dir;
}

function rowsOf(dir: string, sql: string): unknown[] {
  using db = new DatabaseSync(join(dir, "data/railgate.db"), { readOnly: true });
  return db.prepare(sql).all();
}

const RECORDS = "SELECT position, record FROM events ORDER BY position";
const ARTIFACTS = "SELECT position, bytes FROM artifacts ORDER BY position";

test("its records and artifacts stay byte for byte, its state is what its events say, and it is gone on with", async (t) => {
  const dir = copied();
  const [records, artifacts] = [rowsOf(dir, RECORDS), rowsOf(dir, ARTIFACTS)];
  const served = await start({ data_dir: join(dir, "data"), node_id: "n01" }, { clock: new Clock(NOW).shared });
  const call = (method: string, path: string, body?: object) =>
    served.call(method, `${path}${path.includes("?") ? "&" : "?"}tenant_id=acme`, body && { body });
  const { json: mesh } = await call("GET", "/v1/meshes/edge-1");
  t.deepEqual([mesh.revision, Object.keys(mesh.placements)], [7, ["a", "payments"]]);
  const rails = mesh.topology.rails.map((rail: object & { rail_id: string }) =>
    rail.rail_id === "box" ? { ...rail, latency_overhead_us: 26 } : rail,
  );
  t.like((await call("PUT", "/v1/meshes/edge-1/topology", { rails })).json, { code: "ERR_MESH_INVALID_TOPOLOGY" });
  t.is((await call("POST", "/v1/workloads/payments/lifecycle", { transition: "start" })).status, 200);
  t.is((await call("POST", "/v1/workloads/payments/lifecycle", { transition: "destroy" })).status, 200);
  const left = ["edge-1", "edge-2"].map(async (id) =>
    Object.keys((await call("GET", `/v1/meshes/${id}`)).json.placements),
  );
  t.deepEqual(await Promise.all(left), [["a"], []]);
  await served.close();
  t.deepEqual(rowsOf(dir, RECORDS).slice(0, records.length), records);
  t.deepEqual(rowsOf(dir, ARTIFACTS).slice(0, artifacts.length), artifacts);
  await using store = await openReader(join(dir, "data"));
  const { streams, states, order } = await verifyStore(store, () => {});
  t.deepEqual([states, order], [[], []]);
  const counted = (await store.events({ tenant_id: "acme", workload_id: "payments", order: "asc", limit: 1000 }))
    .map(({ record }) => JSON.parse(eventTextOf(record)) as EvidenceEvent)
    .filter(({ event_type, outcome }) => event_type.startsWith("workload.") && outcome === "accepted");
  t.true(counted.length > 3);
  t.deepEqual(
    counted.slice(-2).map(({ details }) => details!["state_revision"]),
    [counted.length - 1, counted.length],
    "events of 0.1 count in sequence order",
  );
  t.is((await store.read("workload", "acme", "payments"))?.version, counted.length);
  t.deepEqual(
    streams.map(({ fault }) => fault),
    streams.map(() => undefined),
  );
  const { ok, mismatches, decisions } = await replay(join(dir, "data"));
  t.deepEqual([ok, mismatches], [true, []]);
  t.true(decisions > 20);
  using db = new DatabaseSync(join(dir, "data/railgate.db"));
  db.exec("UPDATE states SET value = replace(value, 'box', 'hw') WHERE kind = 'placed' AND key = 'a'");
  t.deepEqual((await verifyStore(store, () => {})).states, ["the placements of a of acme"]);
});

test("what it answered under a key is answered again after the upgrade", async (t) => {
  const dir = copied();
  const served = await start({ data_dir: join(dir, "data"), node_id: "n01" }, { clock: new Clock(NOW).shared });
  await using reader = await served.store();
  const events = async () => (await reader.events({ tenant_id: "acme", order: "asc", limit: 1000 })).length;
  const before = await events();
  const kept = JSON.parse(readFileSync(join(FIXTURE, "answers.json"), "utf8")) as Kept[];
  t.true(kept.length >= 9);
  for (const { method, path, body, key, status, etag, text } of kept) {
    const headers = { "idempotency-key": key };
    const again = await served.call(method, path, { headers, ...(body && { body }) });
    t.is(again.status, status, key);
    t.is(again.headers.etag ?? null, etag, key);
    if (status >= 400) {
      const { instance: _, ...first } = JSON.parse(text);
      t.like(again.json, first, key);
    } else if (key === "create-1") {
      // Since then a workload's page tells more.
      const { workload, ...proof } = JSON.parse(text);
      t.like(again.json, proof, key);
      t.like(again.json.workload, workload, key);
    } else t.is(again.text, text, key);
  }
  t.is(await events(), before, "nothing was carried out twice");
  await served.close();
});

test("its export verifies and replays", async (t) => {
  const path = join(FIXTURE, "export.tar.gz");
  const report = await verifyExport(readFileSync(path));
  t.deepEqual(
    report.checks.filter(({ status }) => status === "failed"),
    [],
  );
  const { ok, decisions, reproduced } = await replay(path);
  t.true(ok);
  t.is(reproduced, decisions);
});

test("whoever only reads may read it as it is, and a newer format is refused by all", async (t) => {
  const dir = copied();
  {
    await using reader = await openReader(join(dir, "data"));
    t.is((await reader.events({ tenant_id: "acme", workload_id: "payments", order: "asc", limit: 1 })).length, 1);
    t.is((await reader.events({ event_type: "mesh.place", since_ms: 0, order: "desc", limit: 100 })).length, 5);
    t.is((await reader.read("workload", "acme", "payments"))?.version, 1);
  }
  await (await openWriter(join(dir, "data"))).close();
  t.like(rowsOf(dir, "PRAGMA user_version")[0], { user_version: 2 });
  t.like(rowsOf(dir, "SELECT version FROM states WHERE kind = 'mesh' AND key = 'edge-1 mesh '")[0], { version: 7 });
  {
    using db = new DatabaseSync(join(dir, "data/railgate.db"));
    db.exec("PRAGMA user_version = 3");
  }
  await t.throwsAsync(() => openWriter(join(dir, "data")), { message: /format 3/ });
  await t.throwsAsync(() => openReader(join(dir, "data")), { message: /format 3/ });
});

test("a migration that fails leaves everything as it was", async (t) => {
  const dir = copied();
  {
    using db = new DatabaseSync(join(dir, "data/railgate.db"));
    db.exec("UPDATE states SET value = '{' WHERE kind = 'answer'");
  }
  await t.throwsAsync(() => openWriter(join(dir, "data")));
  t.like(rowsOf(dir, "PRAGMA user_version")[0], { user_version: 1 });
  t.is(rowsOf(dir, "SELECT name FROM sqlite_master WHERE name = 'events_by_tenant'").length, 0);
});
