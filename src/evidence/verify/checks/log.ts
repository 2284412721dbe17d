// Checks of the transparency log: a checkpoint of this stream that covers the range, and every record in its tree.
import { counted } from "../../../core/counted.ts";
import { noteKey, SIGNATURE_TYPES, verifyNote } from "../../../core/note.ts";
import { FILE } from "../proofs.ts";
import { firstOf, type JudgedExport } from "./judged.ts";

const CHECKPOINT = "checkpoint";

export async function checkCheckpoint({ findings, facts, members, primitives, isOthers }: JudgedExport): Promise<void> {
  const { note, checkpoint, keys, manifest, events } = facts;
  if (!facts.digests.has(CHECKPOINT)) return findings.unchecked("checkpoint", "there is no checkpoint");
  if (isOthers && keys === undefined) return findings.unchecked("checkpoint", "there is no keys.json");
  if (note === undefined || checkpoint === undefined || keys === undefined || manifest === undefined) return;
  const fault = (message: string, index?: number): void =>
    findings.fault("checkpoint", message, { file: CHECKPOINT, ...(index !== undefined && { index }) });
  const logKeys = keys
    .filter(({ role }) => role === "log")
    .map(({ publicKey }) => noteKey(primitives.sha256, checkpoint.origin, SIGNATURE_TYPES.ed25519, publicKey));
  if ((await verifyNote(note, logKeys, primitives.verifyEd25519)) === undefined)
    fault("it is signed by no log key of keys.json");
  const chain = String(members.get("chain_id"));
  if (checkpoint.origin !== chain && !checkpoint.origin.endsWith(`/${chain}`))
    fault(`it is of the log ${JSON.stringify(checkpoint.origin)}, not of ${chain}`);
  const end = firstOf(facts) + (events?.count ?? 0);
  if (checkpoint.size < end)
    fault(
      `it covers ${counted(checkpoint.size, "record")}, and the range ends at ${end - 1}`,
      Math.max(0, checkpoint.size - firstOf(facts)),
    );
  findings.done("checkpoint", `${checkpoint.origin} had ${counted(checkpoint.size, "record")}, with this root`);
}

export function checkInclusion({ findings, facts, isOthers }: JudgedExport): void {
  const { proofs, checkpoint, records } = facts;
  const events = facts.events?.count ?? 0;
  if (!facts.digests.has(FILE)) return findings.unchecked("inclusion", "there is no proofs.json");
  if (isOthers && !facts.digests.has(CHECKPOINT)) return findings.unchecked("inclusion", "there is no checkpoint");
  if (proofs === undefined || checkpoint === undefined) return;
  const fault = (message: string, index?: number): void =>
    findings.fault("inclusion", message, { file: FILE, ...(index !== undefined && { index }) });
  if (proofs.count !== events)
    return fault(
      `there are ${counted(events, "event")} and ${counted(proofs.count, "proof")}`,
      Math.min(events, proofs.count),
    );
  if (proofs.treeSize !== undefined && proofs.treeSize !== checkpoint.size)
    fault("the proofs are for a tree of another size than the checkpoint's");
  const leaves = records?.leaves;
  if (leaves?.length !== events)
    return fault("there is not one record for each proof", Math.min(leaves?.length ?? 0, events));
  const found = findings.hasFault("inclusion")
    ? undefined
    : proofs.inclusion.finish((index) => leaves.at(index), checkpoint.root);
  if (found !== undefined) fault(found.message, found.index);
  findings.done("inclusion");
}
