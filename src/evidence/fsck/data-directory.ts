// What can be wrong with a data directory and what it holds, check by check, in the order in which one rests on another; each finding with its cure.
import { counted } from "../../core/counted.ts";
import { accessSync, constants, existsSync, readdirSync, statfsSync, statSync } from "node:fs";
import { join } from "node:path";
import { eventTextOf } from "../../core/event.ts";
import { DEFAULTS } from "../../core/schema/defaults.ts";
import { isLocked, readHolder } from "../../store/lock.ts";
import { checkStore, holdsStore, isShared, openReader, placeName, storeBytes, type StoreAt } from "../../store/open.ts";
import type { StoreReader } from "../../store/store.ts";
import { CheckpointFile, checkpointFile, checkStreams } from "../log/checkpoints.ts";
import { verifyStore } from "./streams.ts";

export type Finding = { readonly status: "ok" | "warn" | "fail"; readonly message: string; readonly cure?: string };

/** The directory that is looked at. */
export interface DataDirectory {
  readonly dataDir: string;
  /** Where its evidence and state are: in it, or in a database that nodes share. */
  readonly at: StoreAt;
  /** Where checkpoints are kept outside the database; in the directory itself where undefined. */
  readonly checkpointDir: string | undefined;
  /** Under which name the node that owns it writes; undefined where it has none yet. */
  nodeIdIn(store: StoreReader): Promise<string | undefined>;
  /** Called now and then with how many events were verified. */
  progress(events: number): void;
}

const SHARED_BITS = 0o077;
const CLOCK_AHEAD_MS_MAX = 60_000;
/** Nothing was decided by this software before it existed. */
const CLOCK_EARLIEST_MS = Date.UTC(2025, 0, 1);
const DISK_BYTES = { warn: 1024 ** 3, fail: 64 * 1024 ** 2 };

export const ok = (message: string): Finding => ({ status: "ok", message });
export const warn = (message: string, cure: string): Finding => ({ status: "warn", message, cure });
export const fail = (message: string, cure: string): Finding => ({ status: "fail", message, cure });

function directory({ dataDir }: DataDirectory): Finding {
  if (!existsSync(dataDir)) return ok(`${dataDir} doesn't exist yet; it is made at first start`);
  const shared = sharedBits(dataDir);
  try {
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch {
    return fail(
      `${dataDir} can't be written by this user`,
      `chown it to the user that runs Railgate, or set railgate.data_dir`,
    );
  }
  return shared === 0
    ? ok(dataDir)
    : warn(`${dataDir} is open to other users (mode ${mode(dataDir)})`, `chmod 700 ${dataDir}`);
}

const mode = (path: string) => (statSync(path).mode & 0o777).toString(8).padStart(3, "0");
const sharedBits = (path: string) => (process.platform === "win32" ? 0 : statSync(path).mode & SHARED_BITS);

function lock({ dataDir }: DataDirectory): Finding {
  if (!isLocked(dataDir)) return ok("free");
  const holder = readHolder(dataDir);
  return ok(
    holder
      ? `held by process ${holder.pid} since ${holder.since}${holder.url ? `, listening on ${holder.url}` : ""}`
      : "held by another process",
  );
}

function privateKeys({ dataDir }: DataDirectory): Finding[] {
  const dir = join(dataDir, "keys");
  const files = existsSync(dir) ? readdirSync(dir).map((name) => join(dir, name)) : [];
  if (files.length === 0) return [ok("none yet; made at first start")];
  const open = files.filter((file) => sharedBits(file) !== 0);
  if (open.length === 0) return [ok(`${files.length} in ${dir}, for their owner alone`)];
  return open.map((file) =>
    fail(
      `${file} is open to other users (mode ${mode(file)})`,
      `chmod 600 ${file}; if others could read it, rotate the key`,
    ),
  );
}

async function database({ at }: DataDirectory): Promise<Finding> {
  const problem = await checkStore(at);
  if (problem === null) return ok("none yet; made at first start");
  if (isShared(at))
    return problem === undefined
      ? ok(`${placeName(at)}: it can be written, and what it commits is durable`)
      : fail(problem, "set it right on the server; until then no node starts on it");
  return problem === undefined
    ? ok("sound (quick_check)")
    : fail(problem, "stop the node and restore the data directory from its backup; keep the damaged one as evidence");
}

const RESTORE = "keep a copy of the data directory as evidence, find out who changed it, and restore it from a backup";

async function evidence({ at, progress }: DataDirectory): Promise<Finding[]> {
  if (!(await holdsStore(at))) return [ok("none yet")];
  await using store = await openReader(at);
  const { streams, states, order } = await verifyStore(store, progress);
  return [
    ...streams.map(({ chain_id, events, erased, fault }) =>
      fault === undefined
        ? ok(
            `${chain_id}: ${counted(events, "event")}, signatures, hashes, chain and tree verified${erased === 0 ? "" : `, ${counted(erased, "artifact")} erased`}`,
          )
        : fail(`${chain_id}, event ${fault.sequence}: ${fault.message}`, RESTORE),
    ),
    ...order.map((message) => fail(message, RESTORE)),
    ...stateFindings(states),
  ];
}

function stateFindings(states: string[] | null): Finding[] {
  if (states === null)
    return [
      warn(
        "states weren't compared with their events: too many are recorded just now",
        "look again when it is quieter",
      ),
    ];
  if (states.length === 0) return [ok("the state of every workload and mesh is what its events say")];
  return states.map((name) => fail(`the state of ${name} is not what its events say`, RESTORE));
}

/** What was signed of the database, and kept outside it, must still be true of it (evidence.md §4). */
async function checkpoints({ dataDir, at, checkpointDir, nodeIdIn }: DataDirectory): Promise<Finding> {
  if (!(await holdsStore(at))) return ok("none yet");
  await using store = await openReader(at);
  const key = (await store.keys()).find(
    ({ role, node_id, retired_at_ms }) => role === "log" && node_id === undefined && retired_at_ms === null,
  );
  const file = checkpointFile(checkpointDir ?? join(dataDir, DEFAULTS.checkpointDir), (await nodeIdIn(store)) ?? "");
  if (key === undefined) return warn("there is no log key", "start the node once; it makes one");
  try {
    const signed = new CheckpointFile(file).latest();
    if (signed.size === 0)
      return warn(`none in ${file}`, "start the node once; if it was removed, bring back its newest copy");
    await checkStreams(store.log, signed.values(), Buffer.from(String(key.jwk["x"]), "base64url"), file);
    return ok(`of ${counted(signed.size, "stream")}, and the database agrees`);
  } catch (error) {
    return fail((error as Error).message, "find out who put another database in place; docs/log.md says how to go on");
  }
}

async function clock({ at }: DataDirectory): Promise<Finding> {
  const nowMs = Date.now();
  if (nowMs < CLOCK_EARLIEST_MS)
    return fail(`it says ${new Date(nowMs).toISOString()}`, "set the clock; time is part of every decision");
  const aheadMs = ((await lastEventMs(at)) ?? nowMs) - nowMs;
  if (aheadMs > CLOCK_AHEAD_MS_MAX)
    return fail(
      `the last event was recorded ${Math.round(aheadMs / 1000)} s in the future`,
      "the clock was set back, or was wrong then; set it right (NTP) before going on",
    );
  return ok(`${new Date(nowMs).toISOString()}`);
}

/** When the newest event was recorded, milliseconds since the epoch; undefined if there is none. */
async function lastEventMs(at: StoreAt): Promise<number | undefined> {
  if (!(await holdsStore(at))) return undefined;
  await using store = await openReader(at);
  const [newest] = await store.events({ order: "desc", limit: 1 });
  return newest && Date.parse((JSON.parse(eventTextOf(newest.record)) as { occurred_at: string }).occurred_at);
}

const TENANTS_SHOWN = 20;
const mib = (bytes: number): string => `${(bytes / 1024 ** 2).toFixed(1)} MiB`;

/** What fills the disk, and whose it is: the largest tenants. */
async function size({ dataDir, at }: DataDirectory): Promise<Finding[]> {
  if (!(await holdsStore(at))) return [ok("none yet")];
  await using store = await openReader(at);
  const tenants = await store.sizes();
  const shown = tenants
    .slice(0, TENANTS_SHOWN)
    .map(({ tenant_id, events, record_bytes, artifact_bytes }) =>
      ok(
        `${tenant_id}: ${events} events, ${mib(record_bytes)} of records, ${mib(artifact_bytes)} of inputs and decisions`,
      ),
    );
  const more =
    tenants.length > TENANTS_SHOWN ? [ok(`and ${tenants.length - TENANTS_SHOWN} tenants that take less`)] : [];
  const bytes = (await store.bytes?.()) ?? storeBytes(dataDir);
  return [ok(isShared(at) ? `${mib(bytes)} in ${placeName(at)}` : `${mib(bytes)} on the disk`), ...shown, ...more];
}

function disk({ dataDir }: DataDirectory): Finding {
  let dir = dataDir;
  while (!existsSync(dir)) dir = join(dir, "..");
  const { bavail, bsize } = statfsSync(dir);
  const free = bavail * bsize;
  const message = `${(free / 1024 ** 3).toFixed(1)} GiB free`;
  if (free < DISK_BYTES.fail)
    return fail(message, "make room: without it nothing can be recorded, so nothing is admitted (EVI-01)");
  return free < DISK_BYTES.warn
    ? warn(message, "make room before it runs out; without it nothing is admitted (EVI-01)")
    : ok(message);
}

/** By name. They throw only what is itself a failure. */
export const DIRECTORY_CHECKS = {
  directory: (at: DataDirectory) => [directory(at)],
  lock: (at: DataDirectory) => [lock(at)],
  "private keys": privateKeys,
  database: async (at: DataDirectory) => [await database(at)],
  evidence,
  checkpoints: async (at: DataDirectory) => [await checkpoints(at)],
  clock: async (at: DataDirectory) => [await clock(at)],
  size,
  disk: (at: DataDirectory) => [disk(at)],
} as const;
