// Verifies what a data directory holds from its stored bytes, independently of what wrote it: signatures, chains, artifacts, state.
import { setTimeout as sleep } from "node:timers/promises";
import { equalBytes } from "../../core/bytes.ts";
import { digestOfPointer } from "../../core/digest.ts";
import { ArtifactAlteredError } from "../../core/errors.ts";
import { EMPTY_STREAM, type Head } from "../../core/event.ts";
import { appendLeaf, EMPTY_FRONTIER, rootAt, rootOf, type Frontier } from "../../core/merkle.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import { TREE_HASHER } from "../../core/sha256.ts";
import { nodesOfTiles, overTiles } from "../../core/tiles.ts";
import type { StoredEvent, StoreReader } from "../../store/store.ts";
import { isOwnStream, ownIds } from "../upstream/own.ts";
import { FoldedStates } from "./folded-states.ts";
import { placeProblem, readKeys, readRecord, type Keys } from "./record.ts";

const PAGE = 500;
const ROUNDS_MAX = 10;
/** Others may be about to record something before what is there already. */
const ROUND_MS = 300;

/** The first thing wrong with a stream. */
export type StreamFault = { readonly sequence: number; readonly message: string };
export type StreamReport = { chain_id: string; events: number; erased: number; fault: StreamFault | undefined };
export type StoreReport = {
  readonly streams: StreamReport[];
  /** Workloads and meshes whose state isn't the fold of their events; null where a server recorded too fast to compare. */
  readonly states: string[] | null;
  /** What is wrong with the order of the events on a workload or mesh, over all streams; empty where nothing is. */
  readonly order: string[];
  readonly events: number;
};

/** How far a stream was read, and the Merkle tree of it (evidence.md §4). */
type End = Head & { readonly tree: Frontier };
const START: End = { ...EMPTY_STREAM, tree: EMPTY_FRONTIER };
type Walk = {
  readonly store: StoreReader;
  readonly keys: Keys;
  readonly ownIds: readonly string[];
  readonly ends: Map<string, End>;
  readonly reports: Map<string, StreamReport>;
  readonly folded: FoldedStates;
  position: number;
  events: number;
};

/**
 * Walks every event in order of commit.
 * @param progress called now and then with how many events were read.
 */
export async function verifyStore(store: StoreReader, progress: (events: number) => void): Promise<StoreReport> {
  using folded = new FoldedStates();
  const walk: Walk = {
    store,
    keys: await readKeys(store),
    ownIds: await ownIds(store),
    ends: new Map(),
    reports: new Map(),
    folded,
    position: 0,
    events: 0,
  };
  let states: string[] | null = null;
  // A running server appends while we read; state and events are compared at a moment when there is nothing newer.
  for (let round = 0; round < ROUNDS_MAX && states === null; round++) {
    await readOn(walk, progress);
    await compareEnds(walk);
    const differing = await folded.differing(store);
    const [newest] = await store.events({ order: "desc", limit: 1 });
    if ((newest?.position ?? 0) <= walk.position) states = differing;
    else if (store.shared) await sleep(ROUND_MS);
  }
  await compareTrees(walk);
  return { streams: [...walk.reports.values()], states, order: folded.faults(), events: walk.events };
}

async function readOn(walk: Walk, progress: (events: number) => void): Promise<void> {
  for (;;) {
    const page = await walk.store.events({ order: "asc", limit: PAGE, after: walk.position });
    for (const stored of page) await readEvent(walk, stored);
    if (page.length < PAGE) return;
    progress(walk.events);
  }
}

async function readEvent(walk: Walk, { position, record }: StoredEvent): Promise<void> {
  walk.position = position;
  walk.events++;
  const read = readRecord(record, walk.keys);
  const event = read.event;
  if (event === undefined)
    return void faulted(reportOf(walk, `(event at position ${position})`), -1, read.problem ?? "");
  const report = reportOf(walk, event.chain_id);
  const end = walk.ends.get(event.chain_id) ?? START;
  const tree = appendLeaf(TREE_HASHER, end.tree, TREE_HASHER.leaf(Buffer.from(record, "ascii")));
  walk.ends.set(event.chain_id, { size: event.sequence + 1, hash: event.event_hash, tree });
  report.events++;
  const problem = read.problem ?? placeProblem(event, end) ?? (await artifactProblem(walk, event, report));
  if (problem !== undefined) faulted(report, event.sequence, problem);
  // What other nodes have decided is evidence here, and no state (docs/decisions/0130).
  if (isOwnStream(walk.ownIds, event.tenant_id, event.chain_id)) walk.folded.fold(event);
}

function reportOf(walk: Walk, chain: string): StreamReport {
  let report = walk.reports.get(chain);
  if (report === undefined)
    walk.reports.set(chain, (report = { chain_id: chain, events: 0, erased: 0, fault: undefined }));
  return report;
}

function faulted(report: StreamReport, sequence: number, message: string): void {
  report.fault ??= { sequence, message };
}

async function artifactProblem(
  { store }: Walk,
  event: EvidenceEvent,
  report: StreamReport,
): Promise<string | undefined> {
  if (digestOfPointer(event.evidence_pointer) === undefined) return "it points to no artifact";
  try {
    if ((await store.artifactOf(event.id)) === undefined) report.erased++;
    return undefined;
  } catch (error) {
    if (error instanceof ArtifactAlteredError) return "its artifact is not the one it points to";
    throw error;
  }
}

/** Where each stream ends, as the store keeps it for the next append, must be where its events end. */
async function compareEnds(walk: Walk): Promise<void> {
  const heads = await walk.store.heads();
  for (const [chain, head] of heads) {
    const end = walk.ends.get(chain) ?? START;
    if (head.size > end.size) {
      // Newer than what was read, if events go on; else events are missing at the end.
      const newer = await walk.store.events({ order: "asc", limit: 1, after: walk.position, chain_id: chain });
      if (newer.length === 0)
        faulted(reportOf(walk, chain), end.size, `events ${end.size} to ${head.size - 1} are missing`);
    } else if (head.size < end.size || head.hash !== end.hash)
      faulted(reportOf(walk, chain), end.size - 1, "the stream's head is not its last event");
  }
  for (const chain of walk.ends.keys())
    if (!heads.has(chain)) faulted(reportOf(walk, chain), 0, "the stream has no head");
}

/** The stored tree must be the tree of the records, or proofs would be of something else. */
async function compareTrees({ store, ends, reports }: Walk): Promise<void> {
  for (const [chain, { size, tree }] of ends) {
    const report = reports.get(chain)!;
    if (report.fault !== undefined) continue;
    const stored = await overTiles(
      (level, n) => store.log.tile(chain, level, n),
      (tile) => rootAt(TREE_HASHER, nodesOfTiles(TREE_HASHER, tile), size),
    );
    if (!equalBytes(stored, rootOf(TREE_HASHER, tree)))
      faulted(report, size - 1, "the stored Merkle tree is not that of the records");
  }
}
