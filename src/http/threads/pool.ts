// The threads that listen and decide: started, told what changes, measured, replaced when one dies, stopped. To the rest of the server they are one listener.
import { createServer, type AddressInfo } from "node:net";
import { MessageChannel, type Worker } from "node:worker_threads";
import type { Logger } from "pino";
import type { Config, Jwks } from "../../node/config/config.ts";
import type { LocalRailgate, SeatHandle } from "../../library/deciding.ts";
import { startThread } from "../../library/doors.ts";
import { makeApp } from "../app.ts";
import { makeDoorkeeper, type Doorkeeper } from "../call/caller.ts";
import { Door } from "../call/door.ts";
import { securityHeaders } from "../call/headers.ts";
import { heldBytesMax } from "../call/peer.ts";
import { ReplyWriter } from "../call/reply.ts";
import type { Route } from "../call/route.ts";
import { bind, checkCertificates, CLOSE_MS_MAX, urlOf, type ServedListener, type Shared } from "../listener.ts";
import { Inner, provenIn } from "./inner.ts";
import type { SharedClock } from "./shared-clock.ts";
import type { FromListener, ThreadConfig, ThreadData, ToListener } from "./messages.ts";

export interface PoolParts {
  readonly config: Config;
  readonly railgate: LocalRailgate;
  readonly shared: Shared;
  /** Where a line of the log goes. */
  readonly write: (line: string) => void;
  readonly routesFor: (strangers: boolean) => readonly Route[];
  readonly clock: SharedClock | undefined;
}

/** A thread that dies again and again must not keep the processor busy with starting. */
const RESTART_MS = 250;
/** One that does not answer how it is doing is not waited for. */
const METRICS_MS_MAX = 2000;

interface Thread {
  readonly worker: Worker;
  readonly seat: SeatHandle;
  readonly asked: Map<number, (figures: readonly object[]) => void>;
  readonly closed: PromiseWithResolvers<void>;
}

export class DecidingThreads implements ServedListener {
  readonly url: string;
  readonly #parts: PoolParts;
  readonly #data: Omit<ThreadData, "beginning" | "port">;
  readonly #inner: Inner;
  readonly #replies: ReplyWriter;
  readonly #doorkeeper: Doorkeeper;
  readonly #threads = new Set<Thread>();
  #lastRequest = 0;
  #closing = false;

  private constructor(
    url: string,
    parts: PoolParts,
    data: Omit<ThreadData, "beginning" | "port">,
    inner: Inner,
    { replies, doorkeeper }: { readonly replies: ReplyWriter; readonly doorkeeper: Doorkeeper },
  ) {
    this.url = url;
    this.#parts = parts;
    this.#data = data;
    this.#inner = inner;
    this.#replies = replies;
    this.#doorkeeper = doorkeeper;
    parts.shared.metrics.others = () => this.#figures();
  }

  /** @returns when all of them listen. @throws ListenError; ConfigError for a certificate or key that cannot be used. */
  static async open(parts: PoolParts): Promise<DecidingThreads> {
    const { config, shared, routesFor } = parts;
    const { tls, threads, limits } = config;
    checkCertificates(config);
    const listen = { ...config.listen, port: await freePort(config.listen) };
    const here = { port: listen.port, tls: tls !== undefined };
    const doorkeeper = makeDoorkeeper(config, here, provenIn);
    const replies = new ReplyWriter(securityHeaders(here.tls));
    const app = makeApp(new Door({ doorkeeper, replies, ...shared }), routesFor(doorkeeper.authenticates));
    const inner = await Inner.open(app);
    const data = {
      config: { ...threadConfig(config), listen },
      inner: inner.address,
      peers: {
        ...shared.peers.limits,
        heldBytesMax: Math.ceil(heldBytesMax(shared.peers.limits, limits.bodyBytesMax) / threads),
      },
      clustered: config.kubernetes !== undefined,
      clock: parts.clock,
    };
    const pool = new DecidingThreads(urlOf(here, listen), parts, data, inner, { replies, doorkeeper });
    try {
      await Promise.all(Array.from({ length: threads }, () => pool.#start()));
    } catch (error) {
      await pool.close();
      throw error;
    }
    return pool;
  }

  renewCertificates(): void {
    checkCertificates(this.#parts.config);
    this.#tell({ kind: "certificates" });
  }

  renewCallers(jwks: Jwks): void {
    this.#doorkeeper.renew?.(jwks);
    this.#tell({ kind: "callers", jwks });
  }

  startClosing(): void {
    this.#closing = true;
    this.#replies.startClosing();
    this.#tell({ kind: "close" });
  }

  /** Lets answers finish on every thread, then ends them. */
  async close(): Promise<void> {
    if (!this.#closing) this.startClosing();
    const late = setTimeout(() => this.#threads.forEach(({ closed }) => closed.resolve()), 2 * CLOSE_MS_MAX);
    await Promise.all([...this.#threads].map((thread) => this.#end(thread)));
    clearTimeout(late);
    await this.#inner.close();
  }

  async #end({ worker, seat, closed }: Thread): Promise<void> {
    await closed.promise;
    await worker.terminate();
    seat.leave();
  }

  #tell(message: ToListener): void {
    for (const { worker } of this.#threads) worker.postMessage(message);
  }

  /** @returns when it listens. */
  async #start(): Promise<void> {
    const { port1, port2 } = new MessageChannel();
    const seat = this.#parts.railgate.attach(port1, this.#parts.config.threads);
    const data: ThreadData = { ...this.#data, beginning: seat.beginning, port: port2 };
    const worker = startThread("./worker", import.meta.url, {
      name: "deciding",
      workerData: data,
      transferList: [port2],
    });
    const thread: Thread = { worker, seat, asked: new Map(), closed: Promise.withResolvers() };
    this.#threads.add(thread);
    const listening = Promise.withResolvers<void>();
    let problem: Error | undefined;
    worker.on("message", (message: FromListener) => {
      if (message.kind === "listening") listening.resolve();
      else if (message.kind === "log") message.lines.forEach(this.#parts.write);
      else if (message.kind === "closed") thread.closed.resolve();
      else thread.asked.get(message.request)?.(message.figures);
    });
    worker.on("error", (error) => (problem = error as Error));
    worker.on("exit", (code) => {
      problem ??= new Error(`a thread that decides ended with ${code}`);
      listening.reject(problem);
      this.#gone(thread, problem);
    });
    await listening.promise;
  }

  /** Its connections are gone with it, and what it had handed over is recorded all the same. */
  #gone(thread: Thread, problem: Error): void {
    this.#threads.delete(thread);
    thread.seat.leave();
    thread.closed.resolve();
    for (const answered of thread.asked.values()) answered([]);
    if (this.#closing) return;
    const { log, metrics } = this.#parts.shared;
    metrics.threadDied();
    log.error({ err: problem }, "a thread that decides has died; another one takes its place");
    setTimeout(() => this.#again(log), RESTART_MS).unref();
  }

  #again(log: Logger): void {
    if (this.#closing) return;
    this.#start().catch((error: Error) => log.error({ err: error }, "a thread that decides could not be started"));
  }

  #figures(): Promise<(readonly object[])[]> {
    return Promise.all(
      [...this.#threads].map(({ worker, asked }) => {
        const request = ++this.#lastRequest;
        const { promise, resolve } = Promise.withResolvers<readonly object[]>();
        const late = setTimeout(() => resolve([]), METRICS_MS_MAX).unref();
        asked.set(request, resolve);
        worker.postMessage({ kind: "metrics", request } satisfies ToListener);
        return promise.finally(() => {
          clearTimeout(late);
          asked.delete(request);
        });
      }),
    );
  }
}

/** Whether the address can be had: threads that share a port would share it with a stranger, too. @throws ListenError */
async function freePort(listen: Config["listen"]): Promise<number> {
  const server = createServer();
  await bind(server, listen);
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function threadConfig(config: Config): ThreadConfig {
  const { listen, tls, behindProxy, authentication, limits, authzen, defaultDecision, logLevel } = config;
  return {
    listen,
    behindProxy,
    limits,
    defaultDecision,
    logLevel,
    ...(tls && { tls }),
    ...(authentication && { authentication }),
    ...(authzen && { authzen }),
  };
}
