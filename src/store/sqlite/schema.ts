// The tables, and how a database of an earlier version becomes one of this: in one transaction, before anything else is done with it.
import type { DatabaseSync } from "node:sqlite";
import { LOG_SCHEMA } from "./log.ts";
import { migrateStates } from "./migrate.ts";

/** Raised when tables change in a way that older code cannot read. */
const SCHEMA_VERSION = 2;
/** The oldest that can be read as it is, and brought up to date by whoever may write. */
const OLDEST_VERSION = 1;

/** How long one connection waits for another. */
export const BUSY_TIMEOUT_MS = 5000;

/** Positions are grouped by so many, and of each group the earliest and latest time is known: a search by time leaves out the others. */
export const SPAN_POSITIONS = 1024;

/**
 * Each filter with the tenant beside it, so that a search costs what is found and not what others recorded. Within equal
 * values an index is in order of position, which is the order of every listing.
 */
const SEARCHES = `
CREATE INDEX events_by_tenant ON events (tenant_id);
CREATE INDEX events_by_workload ON events (workload_id, tenant_id) WHERE workload_id IS NOT NULL;
CREATE INDEX events_by_correlation ON events (correlation_id, tenant_id);
CREATE INDEX events_by_type ON events (event_type, tenant_id);
CREATE INDEX events_by_outcome ON events (outcome, tenant_id);
CREATE TABLE spans (span INTEGER PRIMARY KEY, min_ms INTEGER NOT NULL, max_ms INTEGER NOT NULL);
`;

/** By these, events of several streams are listed in order of time. Made with the tables, or by whoever opens those of an earlier program. */
const BY_TIME = `
CREATE INDEX IF NOT EXISTS events_by_tenant_time ON events (tenant_id, occurred_at_ms);
CREATE INDEX IF NOT EXISTS events_by_time ON events (occurred_at_ms);
`;

/** State finds its reference: placements the rail and budget that they hold it to, kept answers the event that they tell of. */
const STATES_BY_REF = "CREATE INDEX states_by_ref ON states (kind, tenant_id, ref, rank) WHERE ref IS NOT NULL;";

const SCHEMA = `
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE keys (kid TEXT PRIMARY KEY, role TEXT NOT NULL, jwk TEXT NOT NULL, created_at_ms INTEGER NOT NULL, retired_at_ms INTEGER) WITHOUT ROWID;
CREATE TABLE streams (stream INTEGER PRIMARY KEY, chain_id TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, head_hash TEXT);
CREATE TABLE events (
  position INTEGER PRIMARY KEY,
  stream INTEGER NOT NULL REFERENCES streams,
  sequence INTEGER NOT NULL,
  id TEXT NOT NULL,
  event_type TEXT NOT NULL,
  outcome TEXT NOT NULL,
  tenant_id TEXT NOT NULL,
  workload_id TEXT,
  correlation_id TEXT NOT NULL,
  occurred_at_ms INTEGER NOT NULL,
  artifact_digest BLOB NOT NULL,
  record TEXT NOT NULL
);
CREATE UNIQUE INDEX events_by_place ON events (stream, sequence);
CREATE UNIQUE INDEX events_by_id ON events (id);
${SEARCHES}
-- An event's own artifact, beside it and not inside, so that it can be erased while the record stands.
CREATE TABLE artifacts (position INTEGER PRIMARY KEY REFERENCES events, bytes TEXT NOT NULL);
-- Artifacts that many events share: policy bundles, authority material.
CREATE TABLE blobs (digest BLOB PRIMARY KEY, bytes BLOB NOT NULL);
CREATE TABLE states (
  kind TEXT NOT NULL,
  tenant_id TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  due_ms INTEGER,
  version INTEGER NOT NULL DEFAULT 1,
  ref TEXT,
  rank INTEGER,
  PRIMARY KEY (kind, tenant_id, key)
) WITHOUT ROWID;
CREATE INDEX states_by_due ON states (kind, due_ms) WHERE due_ms IS NOT NULL;
${STATES_BY_REF}
${LOG_SCHEMA}`;

/** Of version 0.1: other indices, and state without versions and references. */
const TO_2 = `
DROP INDEX events_by_workload;
DROP INDEX events_by_correlation;
${SEARCHES}
INSERT INTO spans SELECT position / ${SPAN_POSITIONS}, min(occurred_at_ms), max(occurred_at_ms) FROM events GROUP BY 1;
ALTER TABLE states ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE states ADD COLUMN ref TEXT;
ALTER TABLE states ADD COLUMN rank INTEGER;
${STATES_BY_REF}`;

/** Makes the tables, or brings them up to date. @throws Error the database is a newer version's. */
export function migrate(db: DatabaseSync): void {
  const version = versionOf(db);
  if (version === SCHEMA_VERSION && isByTime(db)) return;
  checkReadable(version === 0 ? SCHEMA_VERSION : version);
  db.exec("BEGIN IMMEDIATE");
  try {
    if (version === 0) db.exec(SCHEMA);
    if (version === 1) {
      db.exec(TO_2);
      migrateStates(db);
    }
    db.exec(BY_TIME);
    db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
    db.exec("COMMIT");
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

/** @throws Error for a database that is not in a format that this version reads. */
export function checkReadable(version: number): void {
  if (version < OLDEST_VERSION || version > SCHEMA_VERSION)
    throw new Error(
      `the database is of format ${version}, and this version of Railgate reads formats ${OLDEST_VERSION} to ${SCHEMA_VERSION}`,
    );
}

/** Whether events can be listed in order of time. */
export function isByTime(db: DatabaseSync): boolean {
  return db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'events_by_time'").get() !== undefined;
}

export function versionOf(db: DatabaseSync): number {
  return db.prepare("PRAGMA user_version").get()!["user_version"] as number;
}
