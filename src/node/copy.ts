// `railgate store copy`: which two stores, who holds them meanwhile, and what goes with a copy beside its database (spec replicas §9).
import { chmodSync, cpSync, existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ConfigError, DataDirError, StoreLockedError, TargetNotEmptyError } from "../core/errors.ts";
import { DEFAULTS } from "../core/schema/defaults.ts";
import { copyAll, type CopyProgress } from "../evidence/copy/copy.ts";
import { SIDE_META } from "../evidence/copy/rows.ts";
import { CopyThreads } from "../evidence/copy/threads.ts";
import { DataDirLock, isLocked, readHolder } from "../store/lock.ts";
import { openCopySource, openCopyTarget, placeName, storeExists, type StoreAt } from "../store/open.ts";
import { storeAt } from "../store/shared.ts";
import type { CopySource } from "../store/store.ts";

export interface StoreCopyOptions {
  /** A data directory, or the URL of a PostgreSQL. */
  readonly from: string;
  readonly to: string;
  /**
   * Where keys and the file of checkpoints are put; default: beside the target, and where that is a server they stay with the source.
   * Of a server as the source it is the data directory whose keys go along.
   */
  readonly dataDir?: string | undefined;
  /** The source's node is stopped, and does not start there again. Of a data directory only. */
  readonly cutOver?: boolean | undefined;
  readonly nowMs: number;
  readonly progress: (progress: CopyProgress) => void;
}

export interface StoreCopied {
  readonly from: string;
  readonly to: string;
  readonly events: number;
  /** Whether the source stands still, so that the target is all there is; else its nodes run on, and so may the copy. */
  readonly finished: boolean;
}

const STOPS_WITHIN_MS = 60_000;
const LOOKED_FOR_MS = 100;

/** One side of a copy. */
interface Side {
  readonly at: StoreAt;
  /** For people. */
  readonly name: string;
  /** Its data directory; undefined where it is a server. */
  readonly dir: string | undefined;
}

/**
 * Copies a store into an empty one, or goes on with a copy that was interrupted.
 * @throws AlteredRecordError, CopyDiffersError see `copyAll`.
 * @throws TargetNotEmptyError the target holds something else. @throws StoreLockedError a node holds it, or does not stop.
 * @throws DataDirError there is no source.
 */
export async function copyStore(options: StoreCopyOptions): Promise<StoreCopied> {
  const [from, to, keysIn, keysTo] = sidesOf(options);
  if (from.dir !== undefined && !storeExists(from.dir))
    throw new DataDirError(from.dir, new Error("it holds no database"));
  if (from.name === to.name) throw new TargetNotEmptyError(`${to.name} is the source itself`);
  const since = new Date(options.nowMs).toISOString();
  const lock = keysTo === keysIn ? undefined : DataDirLock.acquire(keysTo, since);
  let held: DataDirLock | undefined;
  try {
    let events = await copyOnce(from, to, options.progress);
    if (options.cutOver && from.dir !== undefined) {
      await stopHolder(from.dir);
      held = DataDirLock.acquire(from.dir, since);
      events = await copyOnce(from, to, options.progress);
    }
    const finished = held !== undefined || !(await isRunning(from));
    if (keysTo !== keysIn) copyFiles(keysIn, keysTo);
    if (finished) await finish(from, to, held !== undefined);
    return { from: from.name, to: to.name, events, finished };
  } finally {
    held?.release();
    lock?.release();
  }
}

const isUrl = (place: string): boolean => /^postgres(?:ql)?:\/\//.test(place);

/** The two sides, where the keys are, and where they are put. */
function sidesOf({ from, to, dataDir }: StoreCopyOptions): [Side, Side, string, string] {
  const given = dataDir === undefined ? undefined : resolve(dataDir);
  const keysIn = isUrl(from) ? given : resolve(from);
  if (keysIn === undefined)
    throw new ConfigError("data_dir", "must name the data directory of the node whose keys go along (--data-dir)");
  const keysTo = isUrl(to) ? (given ?? keysIn) : resolve(isUrl(from) ? to : (dataDir ?? to));
  const side = (place: string, keys: string): Side => {
    if (!isUrl(place)) return { at: resolve(place), name: resolve(place), dir: resolve(place) };
    const at = storeAt(keys, { url: place });
    return { at, name: placeName(at), dir: undefined };
  };
  mkdirSync(keysTo, { recursive: true, mode: 0o700 });
  return [side(from, keysIn), side(to, keysTo), keysIn, keysTo];
}

async function copyOnce(from: Side, to: Side, progress: StoreCopyOptions["progress"]): Promise<number> {
  if (to.dir !== undefined && storeExists(to.dir)) await mustBeCopy(to);
  await using target = await openCopyTarget(to.at);
  await mustBeCopy(to);
  await target.putMeta(SIDE_META.unfinished, from.name);
  await using source = await openCopySource(from.at);
  await using copied = await openCopySource(to.at);
  const threads = new CopyThreads();
  try {
    await threads.open(from.at, to.at);
    return await copyAll({ source, target, copied, threads }, progress);
  } finally {
    await threads.close();
  }
}

/** @throws TargetNotEmptyError */
async function mustBeCopy({ at, name }: Side): Promise<void> {
  await using reader = await openCopySource(at);
  if (!(await isEmpty(reader)) && !(await reader.meta(SIDE_META.unfinished)))
    throw new TargetNotEmptyError(`${name} is neither empty nor a copy that was interrupted; name another target`);
}

async function isEmpty(store: CopySource): Promise<boolean> {
  const meta = Object.keys(await store.metaRows());
  return meta.length === 0 && (await store.keys()).length === 0 && (await store.log.streams()).length === 0;
}

async function isRunning({ at, dir }: Side): Promise<boolean> {
  if (dir !== undefined) return isLocked(dir);
  await using source = await openCopySource(at);
  return source.inUse();
}

/** Asks the process that holds a data directory to stop, in order, and waits until it has. @throws StoreLockedError it does not. */
async function stopHolder(dataDir: string): Promise<void> {
  const holder = isLocked(dataDir) ? readHolder(dataDir) : undefined;
  if (holder)
    try {
      process.kill(holder.pid, "SIGTERM");
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "ESRCH")
        throw new StoreLockedError(
          `process ${holder.pid}, which holds ${dataDir}, cannot be stopped: ${(cause as Error).message}`,
          { cause },
        );
    }
  for (let waitedMs = 0; isLocked(dataDir); waitedMs += LOOKED_FOR_MS) {
    if (waitedMs > STOPS_WITHIN_MS)
      throw new StoreLockedError(`${dataDir} is still held; stop its node, and say this again`);
    await sleep(LOOKED_FOR_MS);
  }
}

/** Private keys, and what was signed of the database and is kept outside it. */
function copyFiles(from: string, to: string): void {
  mkdirSync(to, { recursive: true, mode: 0o700 });
  for (const name of ["keys", DEFAULTS.checkpointDir]) {
    const source = join(from, name);
    if (!existsSync(source)) continue;
    cpSync(source, join(to, name), { recursive: true, force: true, preserveTimestamps: true });
    chmodSync(join(to, name), 0o700);
  }
}

async function finish(from: Side, to: Side, moves: boolean): Promise<void> {
  if (moves) {
    await using source = await openCopyTarget(from.at);
    await source.putMeta(SIDE_META.movedTo, to.name);
  }
  await using target = await openCopyTarget(to.at);
  await target.putMeta(SIDE_META.unfinished, "");
}
