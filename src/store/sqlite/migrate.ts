// State as 0.1 kept it, brought into the form of today: versions, references, where each workload is placed, and plain outcomes for retries.
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import { eventTextOf } from "../../core/event.ts";

type Row = { tenant_id: string; key: string; value: string };
// biome-ignore lint/suspicious/noExplicitAny: what older versions wrote has no schema any more
type Stored = { readonly [member: string]: any };

/** A transaction is running. */
export function migrateStates(db: DatabaseSync): void {
  migrateWorkloads(db);
  migrateMeshes(db);
  migrateAnswers(db);
}

function rowsOf(db: DatabaseSync, kind: string): Row[] {
  return db
    .prepare("SELECT tenant_id, key, value FROM states WHERE kind = ? ORDER BY tenant_id, key")
    .all(kind) as unknown as Row[];
}

/** Of each workload: its version, which is how many events changed it (spec replicas §4), read one workload after the other. */
function migrateWorkloads(db: DatabaseSync): void {
  const setVersion = db.prepare("UPDATE states SET version = ? WHERE kind = 'workload' AND tenant_id = ? AND key = ?");
  const events = db.prepare(
    `SELECT tenant_id, workload_id, record FROM events WHERE workload_id IS NOT NULL AND event_type LIKE 'workload.%'
     ORDER BY workload_id, tenant_id, position`,
  );
  let [name, life]: [string, Life] = ["", NO_LIFE];
  for (const { tenant_id, workload_id, record } of events.iterate() as Iterable<Record<string, string>>) {
    if (name !== `${tenant_id} ${workload_id}`) [name, life] = [`${tenant_id} ${workload_id}`, NO_LIFE];
    const before = life.version;
    life = lived(life, JSON.parse(eventTextOf(record!)) as Stored);
    if (life.version !== before) setVersion.run(life.version, tenant_id!, workload_id!);
  }
}

/** As much of a workload's life as tells which events of 0.1 changed it. */
type Life = { readonly version: number; readonly destroyed: boolean; readonly tokens: readonly string[] };
const NO_LIFE: Life = { version: 0, destroyed: false, tokens: [] };
const TOKENS_MAX = 32;

/** What was accepted changes it, as does an attestation that failed or never came, and the first use of a token while it lives. */
function lived({ version, destroyed, tokens }: Life, { event_type, outcome, details = {} }: Stored): Life {
  const token = details.attestation?.token_digest as string | undefined;
  const changes = event_type === "workload.attestation" ? details.standing != null : outcome === "accepted";
  const ends = changes ? event_type === "workload.envelope.destroy" : destroyed;
  const uses = token !== undefined && !tokens.includes(token) && (changes || (version > 0 && !destroyed));
  if (!changes && !uses) return { version, destroyed, tokens };
  return { version: version + 1, destroyed: ends, tokens: uses ? [...tokens, token].slice(-TOKENS_MAX) : tokens };
}

/** Of each part of a mesh: its version; of each placement what it refers to; of each placed workload where it is. */
function migrateMeshes(db: DatabaseSync): void {
  const setVersion = db.prepare("UPDATE states SET version = ? WHERE kind = 'mesh' AND tenant_id = ? AND key = ?");
  const setRef = db.prepare("UPDATE states SET ref = ?, rank = ? WHERE kind = 'mesh' AND tenant_id = ? AND key = ?");
  const placed = new Map<string, { tenant_id: string; workload_id: string; at: object[] }>();
  for (const { tenant_id, key, value } of rowsOf(db, "mesh")) {
    const [mesh_id, part, workload_id] = key.split(" ") as [string, string, string];
    const stored = JSON.parse(value) as Stored;
    if (part === "mesh") setVersion.run(stored["revision"], tenant_id, key);
    if (part !== "placement") continue;
    const { rail_id, level, policy } = stored;
    if (policy.preserve_latency_budget)
      setRef.run(`${mesh_id} ${rail_id}`, policy.latency_budget_us as number, tenant_id, key);
    const name = `${tenant_id} ${workload_id}`;
    const known = placed.get(name) ?? { tenant_id, workload_id, at: [] };
    known.at.push({ mesh_id, rail_id, level });
    placed.set(name, known);
  }
  const put = db.prepare("INSERT INTO states (kind, tenant_id, key, value) VALUES ('placed', ?, ?, ?)");
  for (const { tenant_id, workload_id, at } of placed.values()) put.run(tenant_id, workload_id, JSON.stringify(at));
}

/** What was kept for a retry was an answer's text over HTTP; it becomes the outcome that such an answer is made from. */
function migrateAnswers(db: DatabaseSync): void {
  const put = db.prepare("UPDATE states SET value = ?, ref = ? WHERE kind = 'answer' AND tenant_id = ? AND key = ?");
  for (const { tenant_id, key, value } of rowsOf(db, "answer")) {
    const { kept, ...rest } = JSON.parse(value) as Stored;
    const outcome = outcomeOf(kept as Stored);
    put.run(JSON.stringify({ ...rest, outcome }), rest["event_id"] as SQLInputValue, tenant_id, key);
  }
}

function outcomeOf(kept: Stored): object {
  if (kept["as"] === "refusal") return { refusal: kept["refusal"] };
  if (kept["as"] === "workload") return { workload: kept["workload"] };
  const members = JSON.parse(`{${kept["members"] as string}}`) as Stored;
  return "mesh" in members ? { ...members, created: kept["status"] === 201 } : members;
}
