// A store that several nodes share, as each of them names and claims it.
import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writeDurably } from "./files.ts";
import { isShared, type StoreAt } from "./open.ts";

/** A database that is not in the data directory. */
export interface SharedStore {
  /** `postgres://…`, with the password if there is one: it is never shown. */
  readonly url: string;
  /** Connections for reading; default 8. */
  readonly poolMax?: number | undefined;
  /** Whether to wait for the lease of a node id that another process holds, once. */
  readonly wait?: boolean | undefined;
}

const POOL_MAX = 8;
const READ_POOL_MAX = 2;

/** Where a data directory's evidence and state are. What names the directory in a shared store is made where it is missing. */
export function storeAt(dataDir: string, shared: SharedStore | undefined): StoreAt {
  if (!shared) return dataDir;
  return { url: shared.url, poolMax: shared.poolMax ?? POOL_MAX, scope: scopeOf(dataDir) };
}

/** As `storeAt`, for reading alone: nothing is made, and a directory that was never opened has no name there yet. */
export function readableAt(dataDir: string, shared: SharedStore | undefined): StoreAt {
  if (!shared) return dataDir;
  return { url: shared.url, poolMax: READ_POOL_MAX, scope: scopeIn(dataDir) ?? "" };
}

/**
 * Takes a node id for this process, where others could take it as well.
 * @returns by which its events are written. @throws StoreLockedError naming who holds it.
 */
export async function claim(at: StoreAt, nodeId: string, wait: boolean | undefined): Promise<StoreAt> {
  if (!isShared(at)) return at;
  const { takeLease } = await import("./postgres/lease.ts");
  return { ...at, lease: await takeLease(at, nodeId, { wait: wait ?? false }) };
}

/** Lets go of it; a lease that cannot be ended now ends by itself. */
export async function letGo(at: StoreAt | undefined): Promise<void> {
  if (at === undefined || !isShared(at) || !at.lease) return;
  const { endLease } = await import("./postgres/lease.ts");
  await endLease(at, at.lease).catch(() => {});
}

/** @param sslMode where the URL names none. @returns whose host a way leads to that is neither encrypted nor this machine's own; undefined where it is one of them. */
export function openWayTo(url: string, sslMode = "disable"): string | undefined {
  const [, name = ""] = /^[a-z]+:\/\/(?:[^@/]*@)?(\[[^\]]*\]|[^:/?]*)/i.exec(url) ?? [];
  const given = new URLSearchParams(url.split("?")[1] ?? "");
  const host = given.get("host") ?? name;
  if (host === "" || host.startsWith("/") || /^(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)$/i.test(host)) return undefined;
  const mode = given.get("sslmode") ?? given.get("ssl") ?? sslMode;
  return ["disable", "0", "false"].includes(mode) ? host : undefined;
}

const scopeFile = (dataDir: string): string => join(dataDir, "store.json");

function scopeIn(dataDir: string): string | undefined {
  try {
    return (JSON.parse(readFileSync(scopeFile(dataDir), "utf8")) as { scope: string }).scope;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return undefined;
  }
}

function scopeOf(dataDir: string): string {
  const known = scopeIn(dataDir);
  if (known !== undefined) return known;
  const scope = randomUUID();
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  writeDurably(scopeFile(dataDir), `${JSON.stringify({ scope })}\n`, 0o600);
  return scope;
}
