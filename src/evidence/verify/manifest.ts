// Reads a manifest as its bytes stand: what it lists goes into the tables one by one, the rest is kept, and so is what is signed.
import { canonicalText } from "./canonical.ts";
import { digestBytes, hexBytes } from "../../core/digest.ts";
import { JsonStream, JsonStreamError, parseJson } from "./json-stream.ts";
import { SCHEMA_VERSION } from "./profiles.ts";
import type { Findings } from "./report.ts";
import { ARTIFACT_NAME, checkedName } from "./files.ts";
import { KIND, LISTED, type DigestSet } from "./tables.ts";

export interface Manifest {
  readonly members: ReadonlyMap<string, unknown>;
  /** Digests of the files outside `artifacts/`, by path. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** How many artifacts are listed under each kind. */
  readonly kinds: ReadonlyMap<string, number>;
  /** Records of events outside the range that say an artifact was erased. */
  readonly erasures: readonly string[];
  /** Records of key rotations behind the range: they tie the key that signed the manifest to those that signed the records. */
  readonly rotations: readonly string[];
  readonly signatures: readonly ManifestSignature[] | undefined;
  /** What may have been signed: the bytes as they stand without `signatures`, or the canonical form of that. */
  readonly signed: readonly Uint8Array[];
}

export interface ManifestSignature {
  readonly key_id: string;
  readonly signature: string;
}

const FILE = "manifest.json";
const ARTIFACT_PREFIX = "artifacts/".length;
const FILES_MAX = 1000;
const SIGNATURES_MAX = 16;
const CANONICALISED_BYTES_MAX = 64 * 1024 * 1024;
const SIGNATURES_NAME = new TextEncoder().encode(',"signatures":');
const TEXTS = [
  "schema_version",
  "export_id",
  "created_at",
  "provider_id",
  "tenant_id",
  "evidence_profile_id",
  "profile_version",
  "hash_profile_id",
  "verifier_expectations_ref",
  "chain_id",
  "chain_segment_ref",
  "bundle_hash",
];

/** @returns undefined when it cannot be read at all. */
export function readManifest(bytes: Uint8Array, artifacts: DigestSet, findings: Findings): Manifest | undefined {
  const members = new Map<string, unknown>();
  const lists = new Lists(artifacts, findings);
  let signatures: Uint8Array | undefined;
  const stream = new JsonStream(
    { files: "object", artifacts: "lists", erasures: "array", rotations: "array" },
    (path, json) => {
      const [name, second] = path as [string, string?];
      if (name === "files") lists.file(second!, parseJson(json));
      else if (name === "artifacts") lists.artifact(second!, parseJson(json));
      else if (name === "erasures" || name === "rotations") lists.record(name, parseJson(json));
      else members.set(name, parseJson(json));
      if (name === "signatures") signatures = json;
    },
  );
  try {
    stream.write(bytes);
    stream.end();
  } catch (error) {
    if (!(error instanceof JsonStreamError)) throw error;
    findings.fault("manifest", error.message, { file: FILE });
    return undefined;
  }
  const manifest = {
    members,
    ...lists.result(),
    signatures: readSignatures(members.get("signatures"), findings),
    signed: signedBytes(bytes, signatures),
  };
  checkMembers(manifest, findings);
  return manifest;
}

class Lists {
  readonly #artifacts: DigestSet;
  readonly #findings: Findings;
  readonly #files = new Map<string, Uint8Array>();
  readonly #kinds = new Map<string, number>();
  readonly #records = { erasures: [] as string[], rotations: [] as string[] };

  constructor(artifacts: DigestSet, findings: Findings) {
    this.#artifacts = artifacts;
    this.#findings = findings;
  }

  file(path: string, digest: unknown): void {
    const bytes = digestBytes(digest);
    if (bytes === undefined || !isName(path))
      return this.#fault(`files lists ${JSON.stringify(path.slice(0, 100))} without a digest, or by no name`);
    if (!ARTIFACT_NAME.test(path)) {
      if (this.#files.has(path)) this.#fault(`files lists ${path} twice`);
      if (this.#files.size >= FILES_MAX)
        return this.#fault(`files lists more than ${FILES_MAX} files beside artifacts`);
      this.#files.set(path, bytes);
      return;
    }
    const named = hexBytes(path, undefined, 0, ARTIFACT_PREFIX);
    if (named.some((byte, at) => byte !== bytes[at])) return this.#fault(`files lists ${path} with another digest`);
    if ((this.#artifacts.mark(named, LISTED) & LISTED) !== 0) this.#fault(`files lists ${path} twice`);
  }

  artifact(kind: string, ref: unknown): void {
    this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0) + 1);
    if (typeof ref === "string" && ARTIFACT_NAME.test(ref))
      this.#artifacts.mark(hexBytes(ref, undefined, 0, ARTIFACT_PREFIX), KIND);
    else this.#fault(`artifacts.${kind} refers to no file under artifacts/`);
  }

  record(list: "erasures" | "rotations", record: unknown): void {
    if (typeof record === "string") this.#records[list].push(record);
    else this.#fault(`${list} holds what is no record`);
  }

  result() {
    return { files: this.#files, kinds: this.#kinds, ...this.#records };
  }

  #fault(message: string): void {
    this.#findings.fault("manifest", message, { file: FILE });
  }
}

function isName(path: string): boolean {
  try {
    return checkedName(path) === path;
  } catch {
    return false;
  }
}

function readSignatures(value: unknown, findings: Findings): ManifestSignature[] | undefined {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return undefined;
  const good =
    Array.isArray(value) &&
    value.length <= SIGNATURES_MAX &&
    value.every(
      (entry: unknown) =>
        typeof (entry as ManifestSignature | null)?.key_id === "string" &&
        typeof (entry as ManifestSignature).signature === "string",
    );
  if (good) return value as ManifestSignature[];
  findings.fault("manifest_signature", "signatures is no list of {key_id, signature}", { file: FILE });
  return [];
}

function signedBytes(bytes: Uint8Array, signatures: Uint8Array | undefined): Uint8Array[] {
  if (signatures === undefined) return [];
  const start = signatures.byteOffset - bytes.byteOffset - SIGNATURES_NAME.length;
  if (start > 0 && SIGNATURES_NAME.every((byte, at) => bytes[start + at] === byte)) {
    const end = signatures.byteOffset - bytes.byteOffset + signatures.length;
    // In place, since a manifest can be large and nothing else is read from it any more.
    bytes.copyWithin(start, end);
    return [bytes.subarray(0, bytes.length - (end - start))];
  }
  if (bytes.length > CANONICALISED_BYTES_MAX) return [];
  const { signatures: _, ...rest } = parseJson(bytes) as Record<string, unknown>;
  const text = canonicalText(rest);
  return text === undefined ? [] : [new TextEncoder().encode(text)];
}

function checkMembers({ members, signatures, files }: Manifest, findings: Findings): void {
  const fault = (message: string): void => findings.fault("manifest", message, { file: FILE });
  for (const name of TEXTS)
    if (typeof members.get(name) !== "string" || members.get(name) === "") fault(`it has no ${name}`);
  const identity = members.get("producer_identity") as { issuer_id?: unknown; producer_id?: unknown } | undefined;
  if (typeof identity?.issuer_id !== "string" || typeof identity.producer_id !== "string")
    fault("it has no producer_identity {issuer_id, producer_id}");
  const scope = scopeOf(members);
  if (scope === undefined) fault("it has no scope {from_sequence, to_sequence}");
  if (Number.isNaN(Date.parse(String(members.get("created_at"))))) fault("created_at is no time");
  if (files.size === 0) fault("it lists no files");
  const schema = members.get("schema_version");
  if (signatures !== undefined && schema !== SCHEMA_VERSION)
    fault(`schema_version is ${JSON.stringify(schema)}, and this verifier knows ${SCHEMA_VERSION}`);
}

/** The range that the manifest claims; undefined where it claims none. */
export function scopeOf(members: ReadonlyMap<string, unknown>): { from: number; to: number } | undefined {
  const scope = members.get("scope") as { from_sequence?: unknown; to_sequence?: unknown } | null | undefined;
  const { from_sequence: from, to_sequence: to } = scope ?? {};
  const whole =
    Number.isSafeInteger(from) &&
    Number.isSafeInteger(to) &&
    (from as number) >= 0 &&
    (from as number) <= (to as number);
  return whole ? { from: from as number, to: to as number } : undefined;
}
