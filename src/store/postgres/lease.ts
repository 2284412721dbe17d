// A node id has one holder: a row with an epoch, which every transaction of the holder moves on or finds moved (spec replicas §2).
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { StoreLockedError } from "../../core/errors.ts";
import { shownAddress, type DatabaseAt, type Lease } from "./address.ts";
import { commit, connectForWriting, ended } from "./connect.ts";
import { migrate } from "./schema.ts";

/** From the last renewal until somebody else may take over. */
export const LEASE_S = 10;
/** How often a holder that commits nothing renews it. */
export const RENEWED_MS = 3000;
/** Of `wait`: longer than a lease. */
const WAITED_MS = 12_000;
const LOOKED_MS = 300;
/** Whoever stops does not wait for a database that is away. */
const ENDED_WITHIN_MS = 3000;

export interface LeaseHolder {
  readonly host: string;
  readonly pid: number;
  /** When the process started, as its system counts; empty where that cannot be told. */
  readonly started: string;
}

interface HeldRow extends LeaseHolder {
  readonly scope: string;
  readonly since: Date;
  readonly live: boolean;
}

/**
 * Takes a node id for this process.
 * @param wait for a lease to end, once, where another process holds it.
 * @throws StoreLockedError naming who holds it. @throws ServerRefusedError see there.
 */
export async function takeLease(
  at: Pick<DatabaseAt, "url" | "scope">,
  nodeId: string,
  { wait = false, self = thisProcess() }: { readonly wait?: boolean; readonly self?: LeaseHolder } = {},
): Promise<Lease> {
  const token = randomUUID();
  const client = await connectForWriting(at);
  try {
    await migrate(client);
    for (const untilMs = performance.now() + WAITED_MS; ; ) {
      await client.query("BEGIN");
      await client.query(
        `INSERT INTO nodes (node_id, scope, token, epoch, host, pid, started, since, expires_at)
         VALUES ($1, $2, '', 0, '', 0, '', now(), now()) ON CONFLICT DO NOTHING`,
        [nodeId, at.scope],
      );
      const { rows } = await client.query(
        "SELECT scope, host, pid, started, since, expires_at > clock_timestamp() AS live FROM nodes WHERE node_id = $1 FOR UPDATE",
        [nodeId],
      );
      const held = rows[0] as HeldRow;
      if (!held.live || (held.scope === at.scope && isGone(held, self))) {
        await client.query(
          `UPDATE nodes SET scope = $2, token = $3, epoch = epoch + 1, host = $4, pid = $5, started = $6, since = now(),
             expires_at = clock_timestamp() + interval '${LEASE_S} seconds' WHERE node_id = $1`,
          [nodeId, at.scope, token, self.host, self.pid, self.started],
        );
        await commit(client);
        return { nodeId, token };
      }
      await client.query("ROLLBACK");
      if (!wait || performance.now() > untilMs) throw heldBy(at.url, nodeId, held);
      await sleep(LOOKED_MS);
    }
  } finally {
    await ended(client);
  }
}

/** Whoever comes next need not wait. */
export async function endLease({ url }: Pick<DatabaseAt, "url">, { nodeId, token }: Lease): Promise<void> {
  const end = async (client: pg.Client): Promise<void> => {
    await client.query("UPDATE nodes SET expires_at = now() WHERE node_id = $1 AND token = $2", [nodeId, token]);
  };
  await ended(await connectForWriting({ url }, end, ENDED_WITHIN_MS));
}

/** Nobody is left who could come back: the row names this very host, and that process is not there any more. */
function isGone(held: LeaseHolder, self: LeaseHolder): boolean {
  if (held.host !== self.host || held.started === "") return false;
  return startOf(held.pid) !== held.started;
}

function heldBy(url: string, nodeId: string, { host, pid, since }: HeldRow): StoreLockedError {
  return new StoreLockedError(
    `the node id ${nodeId} is held by process ${pid} on ${host} since ${since.toISOString()} (${shownAddress(url)}); ` +
      "stop it, give this node an id of its own (railgate.node_id), or wait for its lease to end (--wait)",
  );
}

export function thisProcess(): LeaseHolder {
  return { host: `${hostname()}${bootId()}`, pid: process.pid, started: startOf(process.pid) ?? "" };
}

/** Linux counts pids anew with each boot. */
function bootId(): string {
  const id = read("/proc/sys/kernel/random/boot_id");
  return id === undefined ? "" : ` (boot ${id.trim().slice(0, 8)})`;
}

/** When a process started, in ticks since boot: proc_pid_stat(5), field 22. */
function startOf(pid: number): string | undefined {
  const stat = read(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
