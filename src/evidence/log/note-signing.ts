// Signed notes in Node: Ed25519 by node:crypto for what core/note.ts leaves open.
import { createPublicKey, sign, verify, type KeyObject } from "node:crypto";
import { concatBytes } from "../../core/bytes.ts";
import { noteKey, SIGNATURE_TYPES, type Ed25519Sign, type Ed25519Verify, type NoteKey } from "../../core/note.ts";
import { sha256 } from "../../core/sha256.ts";

/** What comes before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410 §4). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/** False, and never an exception, for keys and signatures of the wrong form. */
export const ed25519Verify: Ed25519Verify = (publicKey, message, signature) => {
  try {
    return verify(
      null,
      message,
      createPublicKey({ key: Buffer.from(concatBytes(SPKI_PREFIX, publicKey)), format: "der", type: "spki" }),
      signature,
    );
  } catch {
    return false;
  }
};

export function ed25519Sign(privateKey: KeyObject): Ed25519Sign {
  return (message) => sign(null, message, privateKey);
}

/** The 32 bytes of an Ed25519 public key, of a private key's other half too. */
export function rawPublicKey(key: KeyObject): Uint8Array {
  const spki = (key.type === "private" ? createPublicKey(key) : key).export({ format: "der", type: "spki" });
  return Uint8Array.from(spki.subarray(SPKI_PREFIX.length));
}

/** The origin of a stream's log, which is also the name that its checkpoints are signed with (spec evidence §4). */
export function originOf(logOrigin: string, chainId: string): string {
  return `${logOrigin}/${chainId}`;
}

/** The key that a log with this origin signs its checkpoints with. @throws RangeError the origin is no name for a key. */
export function logNoteKey(origin: string, publicKey: Uint8Array): NoteKey {
  return noteKey(sha256, origin, SIGNATURE_TYPES.ed25519, publicKey);
}
