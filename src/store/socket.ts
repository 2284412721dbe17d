// Where the holder of a data directory can be asked by whoever owns it: the socket's name, and its address as the system takes it.
import { closeSync, constants, openSync } from "node:fs";
import { basename, dirname, join } from "node:path";

export const socketFile = (dataDir: string): string => join(dataDir, "railgate.sock");

/** What a socket's address has room for, less the zero at its end (`sun_path`). */
const ADDRESS_BYTES_MAX = process.platform === "linux" ? 107 : 103;

/**
 * The path as a socket's address: on Linux one that is too long is named by its folder, opened.
 * @throws Error it is too long for one.
 */
export async function withAddress<T>(path: string, use: (address: string) => Promise<T>): Promise<T> {
  if (Buffer.byteLength(path) <= ADDRESS_BYTES_MAX) return use(path);
  if (process.platform !== "linux") throw new Error(`${path} is too long for the address of a socket`);
  const folder = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return await use(`/proc/self/fd/${folder}/${basename(path)}`);
  } finally {
    closeSync(folder);
  }
}
