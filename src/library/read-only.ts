// The evidence and state of a data directory, or of a database that nodes share, read beside whoever writes it: nothing is locked, and nothing is recorded.
import { hostCaller } from "../core/caller.ts";
import { RailgateError } from "../core/errors.ts";
import { publicKeys, type PublicKeys } from "../evidence/keys/jwks.ts";
import { TransparencyLog } from "../evidence/log/log.ts";
import { logsIn } from "../node/restore.ts";
import { readHolder, type LockHolder } from "../store/lock.ts";
import { holdsStore, isShared, openReader, placeName, type StoreAt } from "../store/open.ts";
import { readableAt, type SharedStore } from "../store/shared.ts";
import { socketFile } from "../store/socket.ts";
import type { StoreReader } from "../store/store.ts";
import { LocalReader } from "./reader.ts";

/** Where evidence is read: by a node's settings. */
export interface ReadFrom {
  readonly dataDir: string;
  readonly store?: SharedStore | undefined;
}

/** Whether anything is there to be read. @throws Error a server cannot be asked. */
export const holdsEvidence = ({ dataDir, store }: ReadFrom): Promise<boolean> => holdsStore(readableAt(dataDir, store));

/** There is nothing to read there, or it cannot be read. */
export class NothingToReadError extends RailgateError {
  static override code = "data_dir_unreadable";
}

/**
 * @param logOrigin as the node's settings name it; default: as the node itself would.
 * @throws NothingToReadError
 */
export async function readRailgate({ dataDir, store }: ReadFrom, logOrigin?: string): Promise<LocalReader> {
  const at = readableAt(dataDir, store);
  let opened: Promise<StoreReader> | undefined = open(at);
  await opened;
  const parts = {
    // Whoever waits for more lets go of the database meanwhile, or no node could start.
    get store() {
      return (opened ??= open(at));
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

async function open(at: StoreAt): Promise<StoreReader> {
  try {
    if (await holdsStore(at)) return await openReader(at);
  } catch (cause) {
    const place = isShared(at) ? `railgate.store.url (${placeName(at)})` : placeName(at);
    throw new NothingToReadError(`the evidence in ${place} can't be read: ${(cause as Error).message}`, { cause });
  }
  throw new NothingToReadError(`${placeName(at)} holds no evidence yet`);
}

/** A node's own exports are known by its own keys; undefined where they are not at hand (`doctor` says why). */
export async function ownKeys({ dataDir, store: shared }: ReadFrom): Promise<PublicKeys | undefined> {
  const at = readableAt(dataDir, shared);
  try {
    if (!(await holdsStore(at))) return undefined;
    await using store = await openReader(at);
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
