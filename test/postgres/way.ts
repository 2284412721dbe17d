// A way to a server that can be cut, or lead nowhere without a word.
import { createServer, connect, type Server, type Socket } from "node:net";
import { once } from "node:events";
import { join } from "node:path";

export class Way {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #target: () => string;
  #cut = false;
  #silent = false;

  private constructor(server: Server, target: () => string) {
    this.#server = server;
    this.#target = target;
  }

  /** @param socketDir the folder of the server's socket, asked for with each connection. */
  static async to(socketDir: string | (() => string)): Promise<Way> {
    const way = new Way(createServer({ pauseOnConnect: true }), () =>
      typeof socketDir === "string" ? socketDir : socketDir(),
    );
    way.#server.on("connection", (near) => way.#lead(near));
    await once(way.#server.listen(0, "127.0.0.1"), "listening");
    return way;
  }

  url(database: string, user = "railgate"): string {
    return `postgres://${user}@127.0.0.1:${(this.#server.address() as { port: number }).port}/${database}`;
  }

  /** Connections break, and none can be made; or they can again. */
  cut(is: boolean): void {
    this.#cut = is;
    if (is) this.#breakAll();
  }

  /** Nothing is carried any more, nothing is said, and connections seem to be made; what was so stays so once it carries again. */
  silence(is: boolean): void {
    this.#silent = is;
    if (is) for (const socket of this.#sockets) socket.pause().unpipe();
    // Whoever still waits on one of them waits for ever.
    else this.#sockets.clear();
  }

  close(): void {
    this.cut(true);
    this.#server.close();
  }

  #breakAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #lead(near: Socket): void {
    if (this.#cut) return void near.destroy();
    near.on("error", () => {});
    near.on("close", () => this.#sockets.delete(near));
    this.#sockets.add(near);
    if (this.#silent) return;
    const far = connect(join(this.#target(), ".s.PGSQL.5432"));
    this.#sockets.add(far);
    far.on("error", () => near.destroy());
    far.on("close", () => {
      this.#sockets.delete(far);
      if (!this.#silent) near.destroy();
    });
    near.on("close", () => far.destroy());
    near.pipe(far).pipe(near);
  }
}
