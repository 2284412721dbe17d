// A cluster's namespaces as they are now, kept by a watch; while the API server is away, as they were last, and since when is told.
import type { IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { ManifestPart } from "../core/kubernetes/manifest.ts";
import { namespaceIn, type Namespace } from "../core/kubernetes/namespace.ts";
import type { NamespaceSource } from "../library/doors.ts";
import { ClusterError, type Cluster } from "./cluster.ts";
import { pagesOf } from "./listing.ts";

const PATH = "/api/v1/namespaces";
/** The API server ends a watch after so long, and another one goes on where it ended. */
const WATCH_S = 290;
const RETRY_MS = { least: 500, most: 30_000 };
const GONE = 410;

/** What is told of the watch. */
export interface WatchObserver {
  /** Once when it is lost, and once when it is there again. */
  changed(connected: boolean, problem: string | undefined): void;
}

type Seen = Omit<Namespace, "seen_ms">;

export class NamespaceWatch implements NamespaceSource, AsyncDisposable {
  readonly #cluster: Cluster;
  readonly #now: () => number;
  readonly #observe: WatchObserver;
  readonly #stop = new AbortController();
  #known = new Map<string, Seen>();
  #connected = false;
  /** When what is known was last known to be current; undefined: never. */
  #currentMs: number | undefined;
  #told: boolean | undefined;
  #running: Promise<void> | undefined;

  /** @param now milliseconds since the epoch. */
  constructor(cluster: Cluster, now: () => number, observe: WatchObserver) {
    this.#cluster = cluster;
    this.#now = now;
    this.#observe = observe;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  namespace(name: string): Namespace | null {
    const seen = this.#known.get(name);
    return seen === undefined || this.#currentMs === undefined ? null : { ...seen, seen_ms: this.#seenMs! };
  }

  /** For how long it has been without the API server, in seconds; 0 while it has it, null: it never had. */
  get ageS(): number | null {
    const seenMs = this.#seenMs;
    return seenMs === undefined ? null : Math.max(0, (this.#now() - seenMs) / 1000);
  }

  get #seenMs(): number | undefined {
    return this.#connected ? this.#now() : this.#currentMs;
  }

  async #run(): Promise<void> {
    let waitMs = RETRY_MS.least;
    while (!this.#stop.signal.aborted) {
      try {
        let version = await this.#list();
        this.#turn(true);
        waitMs = RETRY_MS.least;
        while (!this.#stop.signal.aborted) version = await this.#watch(version);
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        // What it asked for is too old: it is listed anew, at once.
        if (error instanceof ClusterError && error.status === GONE) continue;
        this.#turn(false, (error as Error).message);
        await sleep(waitMs, undefined, { signal: this.#stop.signal }).catch(() => {});
        waitMs = Math.min(2 * waitMs, RETRY_MS.most);
      }
    }
  }

  async #list(): Promise<string> {
    const known = new Map<string, Seen>();
    let version = "";
    for await (const { items, resourceVersion } of pagesOf(this.#cluster, PATH)) {
      version = resourceVersion;
      for (const item of items) put(known, item);
    }
    this.#known = known;
    return version;
  }

  /** @returns the version to go on from, when the API server ends it. */
  async #watch(from: string): Promise<string> {
    const query = new URLSearchParams({
      watch: "true",
      allowWatchBookmarks: "true",
      resourceVersion: from,
      timeoutSeconds: String(WATCH_S),
    });
    const answer = await this.#cluster.get(`${PATH}?${query}`, this.#stop.signal);
    let version = from;
    for await (const line of linesOf(answer)) {
      const { type, object } = JSON.parse(line) as { type: string; object: WatchedObject };
      if (type === "ERROR") throw new ClusterError(object.message ?? "the watch failed", object.code);
      version = object.metadata?.resourceVersion ?? version;
      if (type === "DELETED") this.#known.delete(object.metadata?.name ?? "");
      else if (type !== "BOOKMARK") put(this.#known, object);
      this.#currentMs = this.#now();
    }
    return version;
  }

  #turn(connected: boolean, problem?: string): void {
    if (connected || this.#connected) this.#currentMs = this.#now();
    this.#connected = connected;
    if (connected === this.#told) return;
    this.#told = connected;
    this.#observe.changed(connected, problem);
  }
}

/** @throws Error the connection broke. */
async function* linesOf(answer: IncomingMessage): AsyncGenerator<string> {
  let rest = "";
  for await (const part of answer.setEncoding("utf8")) {
    const lines = (rest + (part as string)).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}

interface WatchedObject {
  readonly metadata?: { readonly name?: string; readonly resourceVersion?: string };
  readonly message?: string;
  readonly code?: number;
}

function put(known: Map<string, Seen>, object: unknown): void {
  const { seen_ms: _, ...seen } = namespaceIn(ManifestPart.of(object), "cluster", 0);
  known.set(seen.name, seen);
}
