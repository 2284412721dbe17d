// Checks of a chain segment's rows, a chunk at a time: what each says of its event.
import { DIGEST_BYTES, hexBytes, isDigest } from "../../core/digest.ts";
import { rowDigest } from "./event-rows.ts";
import { type ElementChunk, JsonStreamError, parseRun } from "./json-stream.ts";
import { StreamingRoot, type Subtrees } from "./merkle.ts";
import type { Primitives } from "./primitives.ts";
import { Faults, MALFORMED_MAX, type RowFault } from "./rows.ts";

/** What is kept of some of the rows in chain-segment.json. */
export interface SegmentRows {
  readonly count: number;
  /** Digests over what each says, see {@link rowDigest}. */
  readonly rowDigests: Uint8Array;
  /** Of the tree over the event hashes: the subtrees that these rows are. */
  readonly subtrees: Subtrees;
  /** All `event_ref`, a line each. */
  readonly refs: Uint8Array;
  /** The one profile that all rows name; null where they name several, or some none. */
  readonly profile: string | null;
  readonly malformed: number;
  readonly faults: readonly RowFault[];
  /** What is behind those that were read is no JSON. */
  readonly problem: string | undefined;
}

const DIGEST_START = "sha256:".length;
const encoder = new TextEncoder();

export function checkSegmentRows(chunk: ElementChunk, primitives: Primitives): SegmentRows {
  const rowDigests = new Uint8Array((chunk.bounds.length / 2) * DIGEST_BYTES);
  const root = new StreamingRoot(primitives.sha256, [], chunk.first);
  const faults = new Faults();
  const refs: string[] = [];
  const hash = new Uint8Array(DIGEST_BYTES);
  let profile: string | null = null;
  let problem: string | undefined;
  try {
    for (const value of parseRun(chunk)) {
      const row = (value ?? {}) as Record<string, unknown>;
      const { id, sequence, prev_hash, event_hash, event_ref, evidence_profile_id } = row;
      if (!isDigest(event_hash) || typeof event_ref !== "string")
        faults.add("segment", chunk.first + refs.length, "an event has no event_hash or event_ref");
      root.add(isDigest(event_hash) ? hexBytes(event_hash, hash, 0, DIGEST_START) : hash.fill(0));
      rowDigests.set(rowDigest(primitives, id, sequence, prev_hash, event_hash), refs.length * DIGEST_BYTES);
      const named = typeof evidence_profile_id === "string" ? evidence_profile_id : null;
      profile = refs.length === 0 || profile === named ? named : null;
      refs.push(`${String(event_ref)}\n`);
      if (faults.count("segment") > MALFORMED_MAX) break;
    }
  } catch (error) {
    if (!(error instanceof JsonStreamError)) throw error;
    problem = error.message;
  }
  return {
    count: refs.length,
    rowDigests,
    subtrees: root.subtrees,
    refs: encoder.encode(refs.join("")),
    profile,
    malformed: faults.count("segment"),
    faults: faults.list,
    problem,
  };
}
