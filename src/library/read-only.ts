// A data directory's evidence and state, read beside whoever writes it: nothing is locked, and nothing is recorded.
import { hostCaller } from "../core/caller.ts";
import { RailgateError } from "../core/errors.ts";
import { TransparencyLog } from "../evidence/log/log.ts";
import { logsIn } from "../node/restore.ts";
import { openReader, storeExists } from "../store/open.ts";
import type { StoreReader } from "../store/store.ts";
import { LocalReader } from "./reader.ts";

/** There is nothing to read in the data directory, or it cannot be read. */
export class NothingToReadError extends RailgateError {
  static override code = "data_dir_unreadable";
}

/**
 * @param logOrigin as the node's settings name it; default: as the node itself would.
 * @throws NothingToReadError
 */
export function readRailgate(dataDir: string, logOrigin?: string): LocalReader {
  if (!storeExists(dataDir)) throw new NothingToReadError(`${dataDir} holds no evidence yet`);
  let store: StoreReader;
  try {
    store = openReader(dataDir);
  } catch (cause) {
    throw new NothingToReadError(`the evidence in ${dataDir} can't be read: ${(cause as Error).message}`, { cause });
  }
  return new LocalReader({ store, log: logOf(store, logOrigin), now: Date.now }, hostCaller("cli"));
}

/** Checkpoints are the writer's to make; what it made is read. */
function logOf(store: StoreReader, logOrigin: string | undefined): TransparencyLog {
  return new TransparencyLog({
    reader: store.log,
    logs: logsIn(store, logOrigin),
    checkpoint: async () => {},
  });
}
