// A data directory's evidence and state, read beside whoever writes it: nothing is locked, and nothing is recorded.
import { hostCaller } from "../core/caller.ts";
import { RailgateError } from "../core/errors.ts";
import { publicKeys, type PublicKeys } from "../evidence/keys/jwks.ts";
import { TransparencyLog } from "../evidence/log/log.ts";
import { logsIn } from "../node/restore.ts";
import { readHolder, type LockHolder } from "../store/lock.ts";
import { openReader, storeExists } from "../store/open.ts";
import { socketFile } from "../store/socket.ts";
import type { StoreReader } from "../store/store.ts";
import { LocalReader } from "./reader.ts";

export { storeExists };

/** There is nothing to read in the data directory, or it cannot be read. */
export class NothingToReadError extends RailgateError {
  static override code = "data_dir_unreadable";
}

/**
 * @param logOrigin as the node's settings name it; default: as the node itself would.
 * @throws NothingToReadError
 */
export async function readRailgate(dataDir: string, logOrigin?: string): Promise<LocalReader> {
  let opened: Promise<StoreReader> | undefined = open(dataDir);
  await opened;
  const parts = {
    // Whoever waits for more lets go of the database meanwhile, or no node could start.
    get store() {
      return (opened ??= open(dataDir));
    },
    async idle() {
      const idle = opened;
      opened = undefined;
      await (await idle)?.close();
    },
    /** Checkpoints are the writer's to make; what it made is read. */
    get log() {
      return logOf(this.store, logOrigin);
    },
    now: Date.now,
  };
  return new LocalReader(parts, hostCaller("cli"));
}

async function logOf(opened: Promise<StoreReader>, logOrigin: string | undefined): Promise<TransparencyLog> {
  const store = await opened;
  const logs = await logsIn(store, logOrigin);
  return new TransparencyLog({ reader: store.log, logs: () => logs, checkpoint: async () => {} });
}

async function open(dataDir: string): Promise<StoreReader> {
  if (!storeExists(dataDir)) throw new NothingToReadError(`${dataDir} holds no evidence yet`);
  try {
    return await openReader(dataDir);
  } catch (cause) {
    throw new NothingToReadError(`the evidence in ${dataDir} can't be read: ${(cause as Error).message}`, { cause });
  }
}

/** A node's own exports are known by its own keys; undefined where they are not at hand (`doctor` says why). */
export async function ownKeys(dataDir: string): Promise<PublicKeys | undefined> {
  if (!storeExists(dataDir)) return undefined;
  try {
    await using store = await openReader(dataDir);
    const own = publicKeys(await store.keys());
    return own.keys.length === 0 ? undefined : own;
  } catch {
    return undefined;
  }
}

/** Who holds a data directory, and where it can be asked, as it said; undefined: nobody said. */
export function holderOf(dataDir: string): LockHolder | undefined {
  const holder = readHolder(dataDir);
  // The directory may have another path for the holder, as in a container.
  return holder && { ...holder, socket: holder.socket === undefined ? undefined : socketFile(dataDir) };
}
