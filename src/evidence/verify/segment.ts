// Reads chain-segment.json: what it says of each event is compared with the event as it comes, and hashed.
import { ArchiveError } from "../../archive/tar.ts";
import { DIGEST_BYTES } from "../../core/digest.ts";
import { inOrder } from "./chunks.ts";
import { type ReadingContext, Enough, EXCESS_MAX, jsonChunks, takeFaults } from "./context.ts";
import { parseJson } from "./json-stream.ts";
import { StreamingRoot } from "./merkle.ts";
import type { SegmentRows } from "./segment-rows.ts";

export interface Segment {
  readonly members: ReadonlyMap<string, unknown>;
  readonly rows: number;
  /** Root over the event hashes that it lists. */
  readonly root: Uint8Array;
  /** Hash of all `event_ref`, a line each. */
  readonly refs: Uint8Array;
  /** The one profile that all rows name; null where they name several, or some none. */
  readonly profile: string | null | undefined;
}

export const FILE = "chain-segment.json";
const MEMBER_BYTES_MAX = 64 * 1024;

export async function readSegment(context: ReadingContext, body: AsyncIterable<Uint8Array>): Promise<Segment> {
  const { findings, primitives, limits, eventsAndSegment, checker } = context;
  const members = new Map<string, unknown>();
  const root = new StreamingRoot(primitives.sha256);
  const refs = primitives.sha256Stream();
  let [rows, malformed, memberBytes] = [0, 0, 0];
  let stopped = false;
  let profile: string | null | undefined;
  const take = (chunk: SegmentRows): void => {
    if (stopped) return;
    takeFaults(findings, chunk.faults, FILE);
    if (chunk.problem !== undefined) findings.fault("segment", chunk.problem, { file: FILE });
    for (const { hash, leaves } of chunk.subtrees) root.addSubtree(hash, leaves);
    refs.update(chunk.refs);
    if (chunk.count > 0) profile = rows === 0 || profile === chunk.profile ? chunk.profile : null;
    eventsAndSegment.put(1, chunk.rowDigests.subarray(0, chunk.count * DIGEST_BYTES));
    rows += chunk.count;
    malformed += chunk.malformed;
    if (rows > limits.eventsMax) throw new ArchiveError(`it lists more than ${limits.eventsMax} events`);
    stopped = chunk.problem !== undefined || malformed > EXCESS_MAX;
  };
  const member = ([name]: readonly string[], json: Uint8Array): void => {
    memberBytes += json.length;
    if (memberBytes > MEMBER_BYTES_MAX) {
      findings.fault("segment", `it says more than ${MEMBER_BYTES_MAX} bytes beside its events`, { file: FILE });
      throw new Enough();
    }
    members.set(name!, parseJson(json));
  };
  const chunks = jsonChunks(
    { findings, check: "segment", file: FILE, memory: checker.memory },
    body,
    "events",
    member,
    () => stopped,
  );
  await inOrder(chunks, (chunk) => checker.segment(chunk), take);
  return { members, rows, root: root.root, refs: refs.digest(), profile };
}
