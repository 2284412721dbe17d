// Where decisions to replay come from: an export, read without unpacking it to disk, or a data directory.
import { closeSync, existsSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { digestOfHex, digestOfPointer } from "../../core/digest.ts";
import { eventTextOf } from "../../core/event.ts";
import { COMPANION_TYPES, type CompanionType } from "../../core/event-types.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import { settingsOfEvent } from "../../core/snapshots.ts";
import { openReader } from "../../store/open.ts";
import type { StoreReader } from "../../store/store.ts";
import { NoDecisionsError, ReplayError, type ReplayItem } from "./check.ts";
import { lineChunks } from "../verify/chunks.ts";
import { ARTIFACT_BYTES_MAX, ARTIFACT_NAME } from "../verify/files.ts";
import { opened } from "../verify/node.ts";
import { ArchiveError, type ArchiveEntry } from "../../archive/tar.ts";

/** An event that may be a decision; `artifact` undefined where it was erased. */
export type SourceItem = Omit<ReplayItem, "artifact"> & { readonly artifact: Uint8Array | undefined };

export interface ReplaySource extends Disposable {
  items(): AsyncIterable<SourceItem>;
  /** A policy bundle, or settings, by digest; undefined where it is not here. */
  shared(digest: string): Promise<Uint8Array | undefined>;
}

const PAGE = 256;
const SQLITE_MAGIC = "SQLite format 3\0";

/** @throws ReplayError */
export async function openReplaySource(path: string): Promise<ReplaySource> {
  if (!existsSync(path)) throw new ReplayError(`there is no ${path}`);
  const database = statSync(path).isDirectory() ? join(path, "railgate.db") : path;
  if (existsSync(database) && isDatabase(database)) return new DatabaseSource(await openReader(database));
  const open = await opened(path);
  return ExportSource.read(() => open()!);
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
        for (const record of await this.#store.log.records(chain_id, page, Math.min(size, page + PAGE))) {
          const item = itemOf(eventTextOf(record));
          if (!item) continue;
          const artifact = await this.#store.log.artifactAt(chain_id, item.sequence);
          // A shared artifact is a bundle or authority material, and no decision.
          if (artifact || !(await this.#store.artifact(item.pointer))) yield { ...item, artifact };
        }
      }
    }
  }

  async shared(digest: string): Promise<Uint8Array | undefined> {
    return this.#store.artifact(digest);
  }

  async [Symbol.dispose](): Promise<void> {
    await this.#store.close();
  }
}

/** undefined: the event accompanies an admission, and is no decision of its own. */
function itemOf(text: string): Omit<ReplayItem, "artifact"> | undefined {
  const event = JSON.parse(text) as EvidenceEvent;
  const { chain_id, sequence, id, tenant_id, policy_snapshot_id, evidence_pointer, event_type } = event;
  const workload = event.details?.["workload_id"] ?? event.subject;
  if (COMPANION_TYPES.includes(event_type as CompanionType)) return undefined;
  return {
    chain_id,
    sequence,
    event_id: id,
    evaluation: event_type === "policy.evaluate",
    tenant_id,
    workload_id: typeof workload === "string" ? workload : null,
    policy: policy_snapshot_id,
    settings: settingsOfEvent(event),
    pointer: digestOfPointer(evidence_pointer) ?? evidence_pointer,
  };
}

type Pending = Omit<ReplayItem, "artifact">;

/** Read up to three times: for the events, for what decided, for the decisions. */
class ExportSource implements ReplaySource {
  readonly #open: () => AsyncIterable<ArchiveEntry>;
  readonly #byPointer: Map<string, Pending[]>;
  readonly #shared: Map<string, Uint8Array>;

  private constructor(
    open: () => AsyncIterable<ArchiveEntry>,
    byPointer: Map<string, Pending[]>,
    shared: Map<string, Uint8Array>,
  ) {
    this.#open = open;
    this.#byPointer = byPointer;
    this.#shared = shared;
  }

  /** @throws ReplayError what was given is no export. */
  static async read(open: () => AsyncIterable<ArchiveEntry>): Promise<ExportSource> {
    try {
      const byPointer = await readEvents(open());
      const pinned = [...byPointer.values()].flat().flatMap(({ policy, settings }) => [policy, settings ?? policy]);
      return new ExportSource(open, byPointer, await readShared(open(), new Set(pinned)));
    } catch (error) {
      throw replayError(error);
    }
  }

  async *items(): AsyncGenerator<SourceItem> {
    const left = new Map(this.#byPointer);
    try {
      for await (const { name, size, body } of this.#open()) {
        const pointer = pointerOf(name);
        const items = pointer === undefined ? undefined : left.get(pointer);
        if (!items || size > ARTIFACT_BYTES_MAX) continue;
        left.delete(pointer!);
        const artifact = await collect(body);
        for (const item of items) yield { ...item, artifact: artifact.slice() };
      }
    } catch (error) {
      throw replayError(error);
    }
    for (const items of left.values()) for (const item of items) yield { ...item, artifact: undefined };
  }

  async shared(digest: string): Promise<Uint8Array | undefined> {
    return this.#shared.get(digest);
  }

  [Symbol.dispose](): void {}
}

function replayError(error: unknown): unknown {
  return error instanceof ArchiveError
    ? new ReplayError(`the export cannot be read: ${error.message}`, { cause: error })
    : error;
}

async function readEvents(entries: AsyncIterable<ArchiveEntry>): Promise<Map<string, Pending[]>> {
  const byPointer = new Map<string, Pending[]>();
  for await (const { name, body } of entries) {
    if (name !== "events.jsonl") continue;
    for await (const { bytes } of lineChunks(body))
      for (const line of Buffer.from(bytes.buffer).toString("utf8").split("\n"))
        if (line !== "") addEvent(byPointer, line);
    return byPointer;
  }
  throw new NoDecisionsError("it holds no events.jsonl, so it is no export");
}

function addEvent(byPointer: Map<string, Pending[]>, line: string): void {
  let item: Pending | undefined;
  try {
    item = itemOf(line);
  } catch (cause) {
    throw new ReplayError("events.jsonl holds what is no event", { cause });
  }
  if (!item) return;
  const items = byPointer.get(item.pointer);
  if (items) items.push(item);
  else byPointer.set(item.pointer, [item]);
}

async function readShared(
  entries: AsyncIterable<ArchiveEntry>,
  digests: ReadonlySet<string>,
): Promise<Map<string, Uint8Array>> {
  const shared = new Map<string, Uint8Array>();
  for await (const { name, body, size } of entries) {
    const digest = pointerOf(name);
    if (digest !== undefined && digests.has(digest) && size <= ARTIFACT_BYTES_MAX)
      shared.set(digest, await collect(body));
  }
  return shared;
}

const pointerOf = (name: string): string | undefined =>
  ARTIFACT_NAME.test(name) ? digestOfHex(name.slice("artifacts/".length)) : undefined;

async function collect(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part.slice());
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}
