// `railgate store copy`: which two stores, who holds them meanwhile, and what goes with a copy beside its database (spec replicas §9).
import { chmodSync, cpSync, existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DataDirError, StoreLockedError, TargetNotEmptyError } from "../core/errors.ts";
import { DEFAULTS } from "../core/schema/defaults.ts";
import { copyAll, type CopyProgress } from "../evidence/copy/copy.ts";
import { SIDE_META } from "../evidence/copy/rows.ts";
import { DataDirLock, isLocked, readHolder } from "../store/lock.ts";
import { openCopySource, openCopyTarget, storeExists } from "../store/open.ts";
import type { CopySource } from "../store/store.ts";

export interface StoreCopyOptions {
  /** A data directory. */
  readonly from: string;
  readonly to: string;
  /** Where keys and the file of checkpoints are put; default: beside the target. */
  readonly dataDir?: string | undefined;
  /** The source's node is stopped, and does not start there again. */
  readonly cutOver?: boolean | undefined;
  readonly nowMs: number;
  readonly progress: (progress: CopyProgress) => void;
}

export interface StoreCopied {
  readonly from: string;
  readonly to: string;
  readonly events: number;
  /** Whether the source stands still, so that the target is all there is; else its node runs on, and so may the copy. */
  readonly finished: boolean;
}

const STOPS_WITHIN_MS = 60_000;
const LOOKED_FOR_MS = 100;

/**
 * Copies a store into an empty one, or goes on with a copy that was interrupted.
 * @throws AlteredRecordError, CopyDiffersError see `copyAll`.
 * @throws TargetNotEmptyError the target holds something else. @throws StoreLockedError a node holds it, or does not stop.
 * @throws DataDirError there is no source.
 */
export async function copyStore(options: StoreCopyOptions): Promise<StoreCopied> {
  const [from, to] = [resolve(options.from), resolve(options.to)];
  if (!storeExists(from)) throw new DataDirError(from, new Error("it holds no database"));
  if (from === to) throw new TargetNotEmptyError(`${to} is the source itself`);
  const since = new Date(options.nowMs).toISOString();
  const lock = DataDirLock.acquire(to, since);
  let held: DataDirLock | undefined;
  try {
    const copy = (): Promise<number> => copyOnce(from, to, options.progress);
    let events = await copy();
    if (options.cutOver) {
      await stopHolder(from);
      held = DataDirLock.acquire(from, since);
      events = await copy();
    }
    const finished = held !== undefined || !isLocked(from);
    copyFiles(from, resolve(options.dataDir ?? to));
    if (finished) await finish(from, to, held !== undefined);
    return { from, to, events, finished };
  } finally {
    held?.release();
    lock.release();
  }
}

async function copyOnce(from: string, to: string, progress: StoreCopyOptions["progress"]): Promise<number> {
  if (storeExists(to)) await mustBeCopy(to);
  await using target = await openCopyTarget(to);
  await target.putMeta(SIDE_META.unfinished, from);
  await using source = await openCopySource(from);
  await using copied = await openCopySource(to);
  return await copyAll({ source, target, copied }, progress);
}

/** @throws TargetNotEmptyError */
async function mustBeCopy(to: string): Promise<void> {
  await using reader = await openCopySource(to);
  if (!(await isEmpty(reader)) && !(await reader.meta(SIDE_META.unfinished)))
    throw new TargetNotEmptyError(`${to} is neither empty nor a copy that was interrupted; name another target`);
}

async function isEmpty(store: CopySource): Promise<boolean> {
  const meta = Object.keys(await store.metaRows());
  return meta.length === 0 && (await store.keys()).length === 0 && (await store.log.streams()).length === 0;
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

async function finish(from: string, to: string, moves: boolean): Promise<void> {
  if (moves) {
    await using source = await openCopyTarget(from);
    await source.putMeta(SIDE_META.movedTo, to);
  }
  await using target = await openCopyTarget(to);
  await target.putMeta(SIDE_META.unfinished, "");
}
