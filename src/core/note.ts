// Signed notes (https://c2sp.org/signed-note), checkpoints (c2sp.org/tlog-checkpoint) and cosignatures (c2sp.org/tlog-cosignature).
import { concatBytes, equalBytes, fromBase64, fromHex, toBase64, toHex } from "./bytes.ts";
import { HASH_BYTES, type Sha256 } from "./merkle.ts";

/** What a key's signatures are over: the note itself, or a cosignature's statement about it. */
export const SIGNATURE_TYPES = { ed25519: 0x01, cosignature: 0x04 } as const;
export type SignatureType = (typeof SIGNATURE_TYPES)[keyof typeof SIGNATURE_TYPES];

/** A public key, with the name that signs with it. */
export interface NoteKey {
  readonly name: string;
  /** Four bytes, lowercase hex. */
  readonly keyId: string;
  readonly type: SignatureType;
  /** Ed25519, 32 bytes (RFC 8032). */
  readonly publicKey: Uint8Array;
}

export interface NoteSignature {
  readonly name: string;
  readonly keyId: string;
  readonly signature: Uint8Array;
}

export interface Note {
  /** What is signed, its last newline included. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** The head of a log. */
export interface Checkpoint {
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
  /** Opaque further lines; we write none. */
  readonly extensions: readonly string[];
}

/** A cosignature that verified: when it was made, in seconds since the epoch. */
export interface VerifiedSignature {
  readonly key: NoteKey;
  readonly timestampS?: number;
}

/** Checks an Ed25519 signature; brought by the caller, since browsers do it asynchronously. */
export type Ed25519Verify = (
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
) => boolean | Promise<boolean>;
/** Makes one. */
export type Ed25519Sign = (message: Uint8Array) => Uint8Array;

const PUBLIC_KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const TIMESTAMP_BYTES = 8;
const KEY_ID_BYTES = 4;
/** The specification wants at least 16. */
const SIGNATURES_MAX = 64;
const NOTE_LENGTH_MAX = 64 * 1024;
/** Control characters other than newline, and what UTF-8 cannot say. */
const NOT_IN_NOTES = /[\u0000-\u0009\u000b-\u001f]|\p{Surrogate}/u;
const NAME = /^[^\p{White_Space}+]+$/u;
const utf8 = new TextEncoder();

/** Whether this may be the name of a key, and so the origin of our logs. */
export function isKeyName(name: string): boolean {
  return NAME.test(name) && !NOT_IN_NOTES.test(name);
}

/** A key by its name, type and public half; its id is the first four bytes of SHA-256(name, newline, type, key). @throws RangeError */
export function noteKey(sha256: Sha256, name: string, type: SignatureType, publicKey: Uint8Array): NoteKey {
  if (!isKeyName(name))
    throw new RangeError(`${JSON.stringify(name)} is no name for a key: it must have no spaces and no +`);
  if (publicKey.length !== PUBLIC_KEY_BYTES) throw new RangeError("the key is no Ed25519 public key");
  const id = sha256(concatBytes(utf8.encode(`${name}\n`), Uint8Array.of(type), publicKey)).subarray(0, KEY_ID_BYTES);
  return { name, keyId: toHex(id), type, publicKey };
}

/** `<name>+<key id>+<base64 of type and key>`. */
export function formatVkey({ name, keyId, type, publicKey }: NoteKey): string {
  return `${name}+${keyId}+${toBase64(concatBytes(Uint8Array.of(type), publicKey))}`;
}

/** @returns undefined unless it is an Ed25519 verifier key or cosigner key whose id is right. */
export function parseVkey(sha256: Sha256, vkey: string): NoteKey | undefined {
  const parts = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/u.exec(vkey);
  const material = fromBase64(parts?.[3] ?? "");
  const type = Object.values(SIGNATURE_TYPES).find((known) => known === material?.[0]);
  if (!parts || !material || type === undefined || material.length !== 1 + PUBLIC_KEY_BYTES || !isKeyName(parts[1]!))
    return undefined;
  const key = noteKey(sha256, parts[1]!, type, material.slice(1));
  return key.keyId === parts[2] ? key : undefined;
}

/** @returns undefined unless it is a well-formed note; nothing in it is verified. */
export function parseNote(note: string): Note | undefined {
  if (note.length > NOTE_LENGTH_MAX || NOT_IN_NOTES.test(note)) return undefined;
  const split = note.lastIndexOf("\n\n");
  if (split === -1 || !note.endsWith("\n")) return undefined;
  const lines = note.slice(split + 2, -1).split("\n");
  if (lines.length > SIGNATURES_MAX) return undefined;
  const signatures = lines.map(parseSignatureLine);
  if (signatures.includes(undefined)) return undefined;
  return { text: note.slice(0, split + 1), signatures: signatures as NoteSignature[] };
}

function parseSignatureLine(line: string): NoteSignature | undefined {
  const parts = /^\u2014 ([^ ]+) ([^ ]+)$/u.exec(line);
  const bytes = fromBase64(parts?.[2] ?? "");
  if (!parts || !isKeyName(parts[1]!) || !bytes || bytes.length <= KEY_ID_BYTES) return undefined;
  return { name: parts[1]!, keyId: toHex(bytes.subarray(0, KEY_ID_BYTES)), signature: bytes.subarray(KEY_ID_BYTES) };
}

export function formatSignature({ name, keyId, signature }: NoteSignature): string {
  return `\u2014 ${name} ${toBase64(concatBytes(fromHex(keyId)!, signature))}\n`;
}

export function formatNote({ text, signatures }: Note): string {
  return `${text}\n${signatures.map(formatSignature).join("")}`;
}

/** Signs a note's text. */
export function signNote(text: string, { name, keyId }: NoteKey, sign: Ed25519Sign): NoteSignature {
  return { name, keyId, signature: sign(utf8.encode(text)) };
}

/** States, as of this time, that the checkpoint is consistent with all that the cosigner saw of its log. */
export function cosign(text: string, { name, keyId }: NoteKey, timestampS: number, sign: Ed25519Sign): NoteSignature {
  const timestamp = new Uint8Array(TIMESTAMP_BYTES);
  new DataView(timestamp.buffer).setBigUint64(0, BigInt(timestampS));
  return { name, keyId, signature: concatBytes(timestamp, sign(cosignedMessage(text, timestampS))) };
}

function cosignedMessage(text: string, timestampS: number | bigint): Uint8Array {
  return utf8.encode(`cosignature/v1\ntime ${timestampS}\n${text}`);
}

/**
 * The signatures by known keys. Unknown ones are ignored; one of a known key that fails makes the whole note worthless.
 * @returns undefined where one fails, or there is none.
 */
export async function verifyNote(
  note: Note,
  keys: readonly NoteKey[],
  verify: Ed25519Verify,
): Promise<VerifiedSignature[] | undefined> {
  const verified: VerifiedSignature[] = [];
  for (const signature of note.signatures) {
    const key = keys.find(({ name, keyId }) => name === signature.name && keyId === signature.keyId);
    if (!key) continue;
    const good =
      key.type === SIGNATURE_TYPES.ed25519
        ? await verifyPlain(note.text, key, signature, verify)
        : await verifyCosignature(note.text, key, signature, verify);
    if (!good) return undefined;
    if (!verified.some((other) => other.key === key)) verified.push(good);
  }
  return verified.length > 0 ? verified : undefined;
}

async function verifyPlain(
  text: string,
  key: NoteKey,
  { signature }: NoteSignature,
  verify: Ed25519Verify,
): Promise<VerifiedSignature | undefined> {
  if (signature.length !== SIGNATURE_BYTES) return undefined;
  return (await verify(key.publicKey, utf8.encode(text), signature)) ? { key } : undefined;
}

async function verifyCosignature(
  text: string,
  key: NoteKey,
  { signature }: NoteSignature,
  verify: Ed25519Verify,
): Promise<VerifiedSignature | undefined> {
  if (signature.length !== TIMESTAMP_BYTES + SIGNATURE_BYTES) return undefined;
  const timestamp = new DataView(signature.buffer, signature.byteOffset, TIMESTAMP_BYTES).getBigUint64(0);
  if (timestamp > BigInt(Number.MAX_SAFE_INTEGER)) return undefined;
  const good = await verify(key.publicKey, cosignedMessage(text, timestamp), signature.slice(TIMESTAMP_BYTES));
  return good ? { key, timestampS: Number(timestamp) } : undefined;
}

/** A checkpoint's text: origin, size, root, each on its line. @throws RangeError where it would be none. */
export function formatCheckpoint({ origin, size, root, extensions }: Checkpoint): string {
  const text = `${[origin, size, toBase64(root), ...extensions].join("\n")}\n`;
  const read = parseCheckpoint(text);
  if (read?.origin !== origin || read.size !== size || !equalBytes(read.root, root))
    throw new RangeError("that is no checkpoint");
  return text;
}

/** @returns undefined unless the text is a checkpoint in the one form that it has. */
export function parseCheckpoint(text: string): Checkpoint | undefined {
  if (!text.endsWith("\n") || NOT_IN_NOTES.test(text)) return undefined;
  const [origin, size, hash, ...extensions] = text.slice(0, -1).split("\n");
  const root = fromBase64(hash ?? "");
  if (!origin || !/^(?:0|[1-9]\d{0,15})$/.test(size ?? "") || !Number.isSafeInteger(Number(size))) return undefined;
  if (root?.length !== HASH_BYTES || extensions.includes("")) return undefined;
  return { origin, size: Number(size), root, extensions };
}
