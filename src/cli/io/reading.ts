// Opens a data directory's evidence for reading, whether or not a server is writing to it.
import { CannotRunError } from "./command.ts";
import { openReader, storeExists } from "../../store/open.ts";
import type { StoreReader } from "../../store/store.ts";

/** @throws CannotRunError when there is nothing there, or it can't be read. */
export function openForReading(dataDir: string): StoreReader {
  if (!storeExists(dataDir))
    throw new CannotRunError(
      `${dataDir} holds no evidence yet; name the data directory with --data-dir or RAILGATE_DATA_DIR`,
    );
  try {
    return openReader(dataDir);
  } catch (cause) {
    throw new CannotRunError(`the evidence in ${dataDir} can't be read: ${(cause as Error).message}`, { cause });
  }
}
