// A real PostgreSQL in whose place a simulated one can stand: what its tables held can be put back at once, and its clock says what it is told.
import { join } from "node:path";
import pg from "pg";
// Loaded before anything is simulated: to load them takes real time.
import "../../src/store/postgres/lease.ts";
import "../../src/store/postgres/reader.ts";
import "../../src/store/postgres/writer.ts";
import { openReader, openWriter } from "../../src/store/open.ts";
import type { StoreReader } from "../../src/store/store.ts";
import { ownServer, type OwnServer } from "../postgres/server.ts";
import { Backend } from "./backend.ts";
import { SCRATCH } from "./scratch.ts";

const SETTINGS = [
  // Whoever waits in a circle is told at once.
  "deadlock_timeout=1ms",
  "autovacuum=off",
  "jit=off",
  "wal_level=minimal",
  "max_wal_senders=0",
  "checkpoint_timeout=1h",
];

/** Tables are emptied row by row, which is quick as long as what is left of them is cleared away now and then. */
const RESETS_PER_VACUUM = 25;

/** `clock_timestamp()` and `now()` are found here before the server's own. */
const PREPARATIONS = `
CREATE SCHEMA sim;
CREATE SEQUENCE sim.clock;
CREATE FUNCTION sim.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT to_timestamp(last_value / 1000.0) FROM sim.clock';
CREATE FUNCTION sim.now() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT to_timestamp(last_value / 1000.0) FROM sim.clock';
CREATE FUNCTION sim.keep(what text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE name text;
BEGIN
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'railgate' LOOP
    EXECUTE format('CREATE TABLE IF NOT EXISTS sim.%I (LIKE railgate.%I)', what || '_' || name, name);
    EXECUTE format('DELETE FROM sim.%I', what || '_' || name);
    EXECUTE format('INSERT INTO sim.%I SELECT * FROM railgate.%I', what || '_' || name, name);
  END LOOP;
END $$;
CREATE FUNCTION sim.put_back(what text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE name text;
BEGIN
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'railgate' LOOP
    EXECUTE format('DELETE FROM railgate.%I', name);
    EXECUTE format('INSERT INTO railgate.%I SELECT * FROM sim.%I', name, what || '_' || name);
  END LOOP;
END $$;`;

/** What all tables held at some time. */
export type Kept = "empty" | "standby";

export class Server {
  /** Of its database, for whoever is not simulated. */
  readonly url: string;
  /** Of the streams that the standby has. */
  standbySizes: ReadonlyMap<string, number> = new Map();
  /** Told when a session has answered. */
  onAnswer: () => void = () => {};
  readonly #server: OwnServer;
  readonly #admin: pg.Client;
  readonly #free: Backend[] = [];
  readonly #all: Backend[] = [];
  #reader: StoreReader | undefined;
  #resets = 0;

  private constructor(server: OwnServer, url: string, admin: pg.Client) {
    this.#server = server;
    this.url = url;
    this.#admin = admin;
  }

  /** One with the tables of this version, and nothing in them. */
  static async start(): Promise<Server> {
    const own = await ownServer(SETTINGS, () => {}, SCRATCH);
    const url = await own.url();
    await (await openWriter({ url, poolMax: 1, scope: "" })).close();
    const admin = new pg.Client({ connectionString: url });
    await admin.connect();
    await admin.query(PREPARATIONS);
    const server = new Server(own, url, admin);
    await server.keep("empty");
    return server;
  }

  async keep(what: Kept): Promise<void> {
    if (what === "standby") this.standbySizes = await this.sizes();
    await this.#admin.query("SELECT sim.keep($1)", [what]);
  }

  async putBack(what: Kept): Promise<void> {
    await this.#admin.query("SELECT sim.put_back($1)", [what]);
  }

  /** As it was when it was started; nobody may have a session. */
  async reset(): Promise<void> {
    await this.putBack("empty");
    if (++this.#resets % RESETS_PER_VACUUM === 0) await this.#admin.query("VACUUM");
  }

  async setClock(ms: number): Promise<void> {
    await this.#admin.query("SELECT setval('sim.clock', $1)", [Math.floor(ms)]);
  }

  /** What it holds, as whoever is not simulated reads it. */
  async reader(): Promise<StoreReader> {
    return (this.#reader ??= await openReader({ url: this.url, poolMax: 1, scope: "" }));
  }

  async records(): Promise<ReadonlySet<string>> {
    const { rows } = await this.#admin.query("SELECT record FROM railgate.events");
    return new Set(rows.map(({ record }: { record: string }) => record));
  }

  /** Of all streams. */
  async sizes(): Promise<ReadonlyMap<string, number>> {
    const { rows } = await this.#admin.query("SELECT chain_id, size::integer FROM railgate.streams");
    return new Map(rows.map(({ chain_id, size }: { chain_id: string; size: number }) => [chain_id, size]));
  }

  /** Sessions that wait for a lock, by the process that serves them. */
  async waiting(): Promise<ReadonlySet<number>> {
    const { rows } = await this.#admin.query("SELECT pid FROM pg_locks WHERE NOT granted");
    return new Set(rows.map(({ pid }: { pid: number }) => pid));
  }

  /** What a session is at ends with an error. */
  async cancel({ pid }: Backend): Promise<void> {
    await this.#admin.query("SELECT pg_cancel_backend($1)", [pid]);
  }

  take(): Backend {
    const free = this.#free.pop();
    if (free) return free;
    const { pathname } = new URL(this.url);
    const socket = join(this.#server.socketDir, ".s.PGSQL.5432");
    const backend = new Backend(socket, "railgate", pathname.slice(1), () => this.onAnswer());
    this.#all.push(backend);
    return backend;
  }

  giveBack(backend: Backend): void {
    this.#free.push(backend);
  }

  async stop(): Promise<void> {
    for (const backend of this.#all) backend.end();
    await this.#reader?.close();
    await this.#admin.end();
    this.#server.stop();
  }
}
