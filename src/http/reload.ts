// Files that are read while the node runs, and taken anew when they change or SIGHUP asks for it: all of what belongs together, or what was there before.
import { statSync } from "node:fs";
import type { Logger } from "pino";
import type { Metrics } from "./metrics.ts";

/** What is read from files together, and used together. */
export interface Reloadable {
  /** One word, for log and metrics. */
  readonly what: string;
  readonly files: readonly string[];
  /** Takes what the files hold now, or rejects, having changed nothing. */
  reload(): Promise<void>;
}

export interface ReloaderParts {
  /** As the files were before they were read, by `noteFiles`: what has changed since is taken. */
  readonly before: ReadonlyMap<string, string>;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** How often files are looked at; default: `LOOKED_AT_MS`. */
  readonly everyMs?: number | undefined;
}

/**
 * Looked at, not watched: a look follows a link that was swapped (as Kubernetes does with secrets), sees files on any file system, and
 * takes a file only when it has been the same twice, so hardly ever one that is half written.
 */
const LOOKED_AT_MS = 1000;

interface Watched {
  readonly reloadable: Reloadable;
  /** As the files were when they were last taken, or refused. */
  seen: string;
  /** As they were at the last look, where that was another. */
  found: string | undefined;
}

export class Reloader {
  readonly #parts: ReloaderParts;
  readonly #watched: readonly Watched[];
  #timer: NodeJS.Timeout | undefined;
  /** One after the other. */
  #reloading: Promise<void> = Promise.resolve();

  constructor(reloadables: readonly Reloadable[], parts: ReloaderParts) {
    this.#parts = parts;
    this.#watched = reloadables
      .filter(({ files }) => files.length > 0)
      .map((reloadable) => {
        const seen = reloadable.files.map((file) => parts.before.get(file) ?? stateOf([file])).join(" ");
        return { reloadable, seen, found: undefined };
      });
  }

  start(): void {
    if (this.#watched.length === 0) return;
    const { everyMs = LOOKED_AT_MS } = this.#parts;
    this.#timer = setInterval(() => this.#look(), everyMs).unref();
  }

  /** Takes everything anew, changed or not. Never rejects. */
  async all(): Promise<void> {
    await Promise.all(this.#watched.map((watched) => this.#take(watched)));
  }

  /** Resolves when nothing is being taken any more. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#reloading;
  }

  #look(): void {
    for (const watched of this.#watched) {
      const state = stateOf(watched.reloadable.files);
      const settled = state === watched.found;
      watched.found = state === watched.seen ? undefined : state;
      if (settled && watched.found !== undefined) void this.#take(watched);
    }
  }

  #take(watched: Watched): Promise<void> {
    const { what, files } = watched.reloadable;
    const { log, metrics } = this.#parts;
    this.#reloading = this.#reloading.then(async () => {
      // Before they are read: what changes meanwhile is another change.
      watched.seen = stateOf(files);
      watched.found = undefined;
      try {
        await watched.reloadable.reload();
        metrics.reloaded(what, true);
        log.info({ what, files }, "files were taken anew");
      } catch (error) {
        metrics.reloaded(what, false);
        log.error(
          { what, files, problem: (error as Error).message },
          "changed files were not taken; what was in use before stays in use",
        );
      }
    });
    return this.#reloading;
  }
}

/** How files are now. */
export const noteFiles = (files: readonly string[]): Map<string, string> =>
  new Map(files.map((file) => [file, stateOf([file])]));

/** Changes with whatever is written or put in a file's place. */
function stateOf(files: readonly string[]): string {
  return files
    .map((file) => {
      const found = statSync(file, { bigint: true, throwIfNoEntry: false });
      return found ? `${found.dev}:${found.ino}:${found.size}:${found.mtimeNs}:${found.ctimeNs}` : "none";
    })
    .join(" ");
}
