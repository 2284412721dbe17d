// An audit that goes on from an earlier one: the log must begin with all that was verified then, and the export take up where that ended.
import { counted } from "../../../core/counted.ts";
import {
  type Checkpoint,
  formatCheckpoint,
  formatNote,
  noteKey,
  parseCheckpoint,
  parseNote,
  SIGNATURE_TYPES,
  verifyNote,
} from "../../../core/note.ts";
import { StreamingRoot } from "../merkle.ts";
import type { Primitives } from "../primitives.ts";
import { sameDigest } from "../tables.ts";
import { firstOf, type JudgedExport } from "./judged.ts";

const PROOFS = "proofs.json";
const CHECKPOINT = "checkpoint";

/** Where an earlier audit ended: a signed checkpoint, or the same without signatures as the auditor wrote it down. */
export interface EarlierHead {
  readonly checkpoint: Checkpoint;
  /** The text with its signatures; undefined where it has none. */
  readonly note: ReturnType<typeof parseNote>;
}

/** How many records a checkpoint is over; undefined where the text is none. */
export const checkpointSize = (text: string): number | undefined =>
  parseCheckpoint(parseNote(text)?.text ?? text)?.size;

/** @throws TypeError it is no checkpoint. */
export function readEarlierHead(text: string): EarlierHead {
  const note = parseNote(text);
  const checkpoint = parseCheckpoint(note?.text ?? text);
  if (checkpoint === undefined) throw new TypeError("it is no checkpoint: origin, size and root, a line each");
  return { checkpoint, note };
}

/**
 * The inclusion proof of the range's first record holds all that lies before it, as subtrees: with the leaves of the range they give
 * the root at every size up to its end (RFC 6962 §2.1), and so at the one that was verified before.
 */
export async function checkSince(judged: JudgedExport, earlier: EarlierHead): Promise<void> {
  const { findings, facts } = judged;
  const fault = (message: string, file = CHECKPOINT): void => findings.fault("since", message, { file });
  const { checkpoint } = facts;
  if (checkpoint === undefined || !isIncluded(judged)) return;
  const { origin, size, root } = earlier.checkpoint;
  if (checkpoint.origin !== origin)
    return fault(
      `it is of the log ${JSON.stringify(checkpoint.origin)}, and ${JSON.stringify(origin)} was verified before`,
    );
  if (earlier.note !== undefined && !(await isSigned(judged, earlier, origin)))
    return fault("the checkpoint that was verified before is signed by no log key of this export");
  const [first, end] = [firstOf(facts), endOf(judged)];
  if (size < first)
    return fault(
      `${counted(size, "record")} were verified before, and the export begins with ${first}: those between are missing`,
      PROOFS,
    );
  if (size > end)
    return fault(
      `${counted(size, "record")} were verified before, and the export ends with ${end - 1}: it was rolled back, or is an older one`,
    );
  if (!sameDigest(rootAt(judged, size), root))
    return fault(`the log does not begin with the ${counted(size, "record")} that were verified before`);
  findings.done(
    "since",
    `the log begins with the ${counted(size, "record")} that were verified before, which were not looked at again`,
  );
}

/** What a later audit can go on from: the export's checkpoint where it ends with the range; else the root at the range's end, unsigned. */
export function headOf(judged: JudgedExport): string | undefined {
  const { checkpoint, note } = judged.facts;
  if (checkpoint === undefined || !isIncluded(judged)) return undefined;
  const end = endOf(judged);
  if (checkpoint.size === end && note !== undefined) return formatNote(note);
  return formatCheckpoint({ origin: checkpoint.origin, size: end, root: rootAt(judged, end), extensions: [] });
}

const endOf = ({ facts }: JudgedExport): number => firstOf(facts) + (facts.events?.count ?? 0);

/** Whether the records were shown to be in the tree of the checkpoint; without that nothing follows from their proofs. */
const isIncluded = ({ findings, facts }: JudgedExport): boolean =>
  facts.proofs !== undefined && facts.records !== undefined && !findings.hasFault("inclusion");

function rootAt({ facts, primitives }: JudgedExport, size: number): Uint8Array {
  const [first, { inclusion }, { leaves }] = [firstOf(facts), facts.proofs!, facts.records!];
  const root = new StreamingRoot(primitives.sha256, inclusion.before());
  for (let leaf = first; leaf < size; leaf++) root.addSubtree(leaves.at(leaf - first).slice(), 1);
  return root.root;
}

async function isSigned(
  { facts, primitives }: { facts: JudgedExport["facts"]; primitives: Primitives },
  { note }: EarlierHead,
  origin: string,
): Promise<boolean> {
  const keys = (facts.keys ?? [])
    .filter(({ role }) => role === "log")
    .map(({ publicKey }) => noteKey(primitives.sha256, origin, SIGNATURE_TYPES.ed25519, publicKey));
  return (await verifyNote(note!, keys, primitives.verifyEd25519)) !== undefined;
}
