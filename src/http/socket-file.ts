// The socket in a data directory as a file: made for its owner alone, in place of what an earlier holder left there, and gone when it closes.
import { chmodSync, mkdtempSync, renameSync, rmdirSync, rmSync, statSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { basename, dirname, join } from "node:path";
import { RailgateError } from "../core/errors.ts";
import { socketFile, withAddress } from "../library/doors.ts";

/** No socket could be made in the data directory; it can be asked by other ways, if there are any. */
class SocketError extends RailgateError {
  static override code: string = "socket_failed";
}

/** Answers that are still under way when it closes have this long. */
const CLOSE_MS_MAX = 10_000;

export class LocalSocket {
  /** Where it is. */
  readonly path: string;
  readonly #server: Server;
  readonly #connections: ReadonlySet<Socket>;
  readonly #inode: bigint;

  private constructor(path: string, server: Server, connections: ReadonlySet<Socket>) {
    this.path = path;
    this.#server = server;
    this.#connections = connections;
    this.#inode = statSync(path, { bigint: true }).ino;
  }

  /**
   * Listens in a data directory, mode 0600, in place of what an earlier holder left there. It keeps no process alive.
   * @param connected takes each connection.
   * @throws SocketError
   */
  static async open(dataDir: string, connected: (socket: Socket) => void): Promise<LocalSocket> {
    const connections = new Set<Socket>();
    const server = createServer((socket) => {
      connections.add(socket);
      socket.on("close", () => connections.delete(socket)).on("error", () => {});
      connected(socket);
    });
    const path = socketFile(dataDir);
    try {
      await listenAt(server, path);
      return new LocalSocket(path, server.unref(), connections);
    } catch (cause) {
      server.close();
      throw new SocketError(`there is no socket in ${dataDir}: ${(cause as Error).message}`, { cause });
    }
  }

  /** Takes no more connections, and waits for those that are open; of what takes too long nothing is left. */
  async close(): Promise<void> {
    const found = statSync(this.path, { bigint: true, throwIfNoEntry: false });
    if (found?.ino === this.#inode) rmSync(this.path, { force: true });
    const late = setTimeout(() => this.#connections.forEach((socket) => socket.destroy()), CLOSE_MS_MAX);
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    clearTimeout(late);
  }
}

/** Made where nobody else can come, for its owner alone, and then put in place: at no moment is it open to others. */
async function listenAt(server: Server, path: string): Promise<void> {
  const room = mkdtempSync(join(dirname(path), ".socket-"));
  const made = join(room, basename(path));
  try {
    await withAddress(made, (address) => bind(server, address));
    chmodSync(made, 0o600);
    renameSync(made, path);
  } finally {
    rmSync(made, { force: true });
    rmdirSync(room);
  }
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ path }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
