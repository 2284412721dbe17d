// Reads chain-segment.json: what it says of each event is compared with the event as it comes, and hashed.
import { ArchiveError } from "../../archive/tar.ts";
import { DIGEST_BYTES, digestBytes } from "../../core/digest.ts";
import { type ReadingContext, Enough, EXCESS_MAX, streamJson } from "./context.ts";
import { parseJson } from "./json-stream.ts";
import { StreamingRoot } from "./merkle.ts";
import { rowDigest } from "./rows.ts";

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
const encoder = new TextEncoder();
const MEMBER_BYTES_MAX = 64 * 1024;
const NO_HASH = new Uint8Array(DIGEST_BYTES);

export async function readSegment(context: ReadingContext, body: AsyncIterable<Uint8Array>): Promise<Segment> {
  const { findings, primitives, limits, eventsAndSegment } = context;
  const members = new Map<string, unknown>();
  const root = new StreamingRoot(primitives.sha256);
  const refs = primitives.sha256Stream();
  let [rows, malformed, memberBytes] = [0, 0, 0];
  let profile: string | null | undefined;
  const takeRow = (json: Uint8Array): void => {
    const row = (parseJson(json) ?? {}) as Record<string, unknown>;
    const hash = digestBytes(row["event_hash"]);
    if (hash === undefined || typeof row["event_ref"] !== "string") {
      malformed++;
      findings.fault("segment", "an event has no event_hash or event_ref", { file: FILE, index: rows });
    }
    root.add(hash ?? NO_HASH);
    refs.update(encoder.encode(`${String(row["event_ref"])}\n`));
    const named = typeof row["evidence_profile_id"] === "string" ? row["evidence_profile_id"] : null;
    profile = rows === 0 || profile === named ? named : null;
    eventsAndSegment.put(1, rowDigest(primitives, row["id"], row["sequence"], row["prev_hash"], row["event_hash"]));
    rows++;
    if (rows > limits.eventsMax) throw new ArchiveError(`it lists more than ${limits.eventsMax} events`);
    if (malformed > EXCESS_MAX) throw new Enough();
  };
  await streamJson(findings, "segment", FILE, body, { events: "array" }, ([name], json) => {
    if (name === "events") takeRow(json);
    else {
      memberBytes += json.length;
      if (memberBytes > MEMBER_BYTES_MAX) {
        findings.fault("segment", `it says more than ${MEMBER_BYTES_MAX} bytes beside its events`, { file: FILE });
        throw new Enough();
      }
      members.set(name!, parseJson(json));
    }
  });
  return { members, rows, root: root.root, refs: refs.digest(), profile };
}
