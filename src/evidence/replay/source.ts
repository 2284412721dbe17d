// Where decisions to replay come from: an export, read without unpacking it to disk, or a data directory.
import { closeSync, existsSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { eventTextOf } from "../../core/event.ts";
import { openReader } from "../../store/open.ts";
import type { StoreReader } from "../../store/store.ts";
import { DiskPages } from "../verify/disk-pages.ts";
import { opened } from "../verify/node.ts";
import { ReplayError } from "./check.ts";
import { ExportDecisions } from "./export-decisions.ts";
import { type DecisionPlace, itemOf, type ReplaySource, type SourceItem } from "./items.ts";

const PAGE = 256;
const SQLITE_MAGIC = "SQLite format 3\0";

/** @throws ReplayError */
export async function openReplaySource(path: string): Promise<ReplaySource> {
  if (!existsSync(path)) throw new ReplayError(`there is no ${path}`);
  const database = statSync(path).isDirectory() ? join(path, "railgate.db") : path;
  if (existsSync(database) && isDatabase(database)) return new DatabaseSource(await openReader(database));
  const open = await opened(path);
  return ExportDecisions.read(() => open()!, new DiskPages());
}

function isDatabase(path: string): boolean {
  const head = Buffer.alloc(SQLITE_MAGIC.length);
  const fd = openSync(path, "r");
  try {
    readSync(fd, head);
  } finally {
    closeSync(fd);
  }
  return head.toString("latin1") === SQLITE_MAGIC;
}

class DatabaseSource implements ReplaySource {
  readonly #store: StoreReader;

  constructor(store: StoreReader) {
    this.#store = store;
  }

  async *items(): AsyncGenerator<SourceItem> {
    for (const { chain_id, size } of await this.#store.log.streams()) {
      for (let page = 0; page < size; page += PAGE) {
        const end = Math.min(size, page + PAGE);
        const artifacts = await this.#store.log.artifacts(chain_id, page, end);
        for (const record of await this.#store.log.records(chain_id, page, end)) {
          const item = itemOf(eventTextOf(record));
          if (!item) continue;
          const { sequence } = item.place;
          // Nearly always it lies with the event.
          const artifact = artifacts.get(sequence) ?? (await this.#store.log.artifactAt(chain_id, sequence));
          // A shared artifact is a bundle or authority material, and no decision.
          if (artifact || !(await this.#store.artifact(item.pointer))) yield { ...item, artifact };
        }
      }
    }
  }

  /** Its items say themselves which they are. */
  async places(): Promise<ReadonlyMap<number, DecisionPlace>> {
    return new Map();
  }

  async shared(digest: string): Promise<Uint8Array | undefined> {
    return this.#store.artifact(digest);
  }

  async [Symbol.dispose](): Promise<void> {
    await this.#store.close();
  }
}
