// The witness of a node, and the forks that it finds: where one is proven it goes on record, and the proof lies in the data directory.
import type { KeyObject } from "node:crypto";
import { join } from "node:path";
import { digestOf } from "../core/event.ts";
import { noteKey, SIGNATURE_TYPES } from "../core/note.ts";
import { sha256 } from "../core/sha256.ts";
import type { Recorder } from "../evidence/ledger/recorder.ts";
import { ed25519Sign, rawPublicKey } from "../evidence/log/note-signing.ts";
import { Witness, type Fork } from "../evidence/log/witness.ts";
import type { NodeOptions } from "./options.ts";

export interface WitnessingParts {
  readonly options: NodeOptions;
  readonly nodeId: string;
  readonly key: KeyObject | undefined;
  readonly recorder: Recorder;
  readonly now: () => number;
}

/** undefined where the options name no logs to witness. */
export function makeWitness({ options, nodeId, key, recorder, now }: WitnessingParts): Witness | undefined {
  if (!options.witness || !key) return undefined;
  const { name = `railgate.local/${nodeId}/witness`, logs } = options.witness;
  return new Witness({
    dir: join(options.dataDir, "witness"),
    key: noteKey(sha256, name, SIGNATURE_TYPES.cosignature, rawPublicKey(key)),
    sign: ed25519Sign(key),
    logs,
    now,
    onFork: (fork) =>
      void recordFork(recorder, fork).catch((error: Error) => options.observe?.evidenceFailed?.(error.message)),
  });
}

async function recordFork(recorder: Recorder, { origin, vkey, evidence, first, second }: Fork): Promise<void> {
  if (evidence === "unproven") return;
  const checkpoints = [digestOf(first), digestOf(second)];
  await recorder.record("node.equivocation", { origin, vkey, evidence, checkpoints });
}
