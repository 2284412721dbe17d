// Reads a manifest as its bytes stand: what it lists goes into the tables one by one, the rest is kept, and so is what is signed.
import { canonicalText } from "./canonical.ts";
import { digestBytes, hexBytes, isDigest } from "../../core/digest.ts";
import { JsonStream, JsonStreamError, parseJson, parseRun } from "./json-stream.ts";
import type { ReadingContext } from "./context.ts";
import { Spool } from "./pages.ts";
import { type SignedBytes, wholeOf } from "./primitives.ts";
import type { Findings } from "./report.ts";
import { ARTIFACT_NAME, ARTIFACT_PREFIX, checkedName } from "./files.ts";
import { AUTHORITY_DOCUMENT, KIND, LISTED, POLICY_DOCUMENT, type DigestMarks } from "./digest-marks.ts";

export interface Manifest {
  readonly members: ReadonlyMap<string, unknown>;
  /** Digests of the files outside `artifacts/`, by path. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** How many artifacts are listed under each kind. */
  readonly kinds: ReadonlyMap<string, number>;
  /** The first of them that is named by no digest, and how many are named by their paths. */
  readonly unaddressed: string | undefined;
  readonly byPath: number;
  /** Records of events outside the range that say an artifact was erased. */
  readonly erasures: readonly string[];
  /** Records of key rotations behind the range: they tie the key that signed the manifest to those that signed the records. */
  readonly rotations: readonly string[];
  readonly signatures: readonly ManifestSignature[] | undefined;
  /** What was signed: the bytes as they stand without `signatures`, or the canonical form of that; undefined where neither can be had. */
  readonly signed: SignedBytes | undefined;
}

export interface ManifestSignature {
  readonly key_id: string;
  readonly signature: string;
}

export const FILE = "manifest.json";
/** Pointers to artifacts; the second form is what other producers write. */
const POINTER = /^eosc:\/\/(?:evidence|artifact)\//;
const PATH_LENGTH = ARTIFACT_PREFIX.length;
const FILES_MAX = 1000;
const KINDS_MAX = 1000;
/** Kinds whose artifacts are documents about what snapshot ids stand for. */
const DOCUMENT_KINDS: ReadonlyMap<string, number> = new Map([
  ["policy_snapshots", POLICY_DOCUMENT],
  ["authority_bindings", AUTHORITY_DOCUMENT],
]);
/** Members that must be texts. */
export const TEXTS = [
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
] as const;
/** All that is looked at; of others there may be any number, and they are not kept. */
const MEMBERS: ReadonlySet<string> = new Set([...TEXTS, "producer_identity", "scope", "signatures"]);
const SIGNATURES_MAX = 16;
const CANONICALISED_BYTES_MAX = 64 * 1024 * 1024;
const SIGNATURES_NAME = new TextEncoder().encode(',"signatures":');

/** Reads it as it streams by. @returns undefined when it cannot be read at all. */
export async function readManifest(
  { artifacts, findings, scratch }: ReadingContext,
  body: AsyncIterable<Uint8Array>,
): Promise<Manifest | undefined> {
  const members = new Map<string, unknown>();
  const lists = new Lists(artifacts, findings);
  const spool = new Spool(scratch);
  let signatures: Span | undefined;
  const stream = new JsonStream(
    { files: "object", artifacts: "lists", erasures: "array", rotations: "array" },
    (path, json, offset) => {
      const [name, second] = path as [string, string?];
      if (name === "files") lists.file(second!, parseJson(json));
      else {
        const value = parseJson(json);
        if (MEMBERS.has(name)) members.set(name, value);
      }
      if (name === "signatures") signatures = { from: offset, to: offset + json.length };
    },
    (path, run) => {
      const [name, kind] = path as ["artifacts", string] | ["erasures" | "rotations"];
      for (const value of parseRun(run))
        if (name === "artifacts") lists.artifact(kind, value);
        else lists.record(name, value);
    },
  );
  let problem: JsonStreamError | undefined;
  const attempt = (work: () => void): void => {
    try {
      if (problem === undefined) work();
    } catch (error) {
      if (!(error instanceof JsonStreamError)) throw error;
      problem = error;
    }
  };
  for await (const part of body) {
    spool.append(part);
    attempt(() => stream.write(part));
  }
  attempt(() => stream.end());
  if (problem !== undefined) {
    findings.fault("manifest", problem.message, { file: FILE });
    return undefined;
  }
  return {
    members,
    ...lists.result(),
    signatures: readSignatures(members.get("signatures"), findings),
    signed: signatures && signedBytes(spool, signatures),
  };
}

class Lists {
  readonly #artifacts: DigestMarks;
  readonly #findings: Findings;
  readonly #files = new Map<string, Uint8Array>();
  readonly #kinds = new Map<string, number>();
  #unaddressed: string | undefined;
  #byPath = 0;
  readonly #records = { erasures: [] as string[], rotations: [] as string[] };

  constructor(artifacts: DigestMarks, findings: Findings) {
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
    const named = hexBytes(path, undefined, 0, PATH_LENGTH);
    if (named.some((byte, at) => byte !== bytes[at])) return this.#fault(`files lists ${path} with another digest`);
    this.#artifacts.mark(named, LISTED);
  }

  artifact(kind: string, ref: unknown): void {
    if (!this.#kinds.has(kind) && this.#kinds.size >= KINDS_MAX)
      return this.#fault(`artifacts has more than ${KINDS_MAX} kinds`);
    this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0) + 1);
    const digest = this.#digestOf(ref);
    if (digest !== undefined) this.#artifacts.mark(digest, KIND | (DOCUMENT_KINDS.get(kind) ?? 0));
    else this.#unaddressed ??= `artifacts.${kind} refers to no file under artifacts/`;
  }

  #digestOf(ref: unknown): Uint8Array | undefined {
    if (typeof ref !== "string") return undefined;
    if (ARTIFACT_NAME.test(ref)) {
      this.#byPath++;
      return hexBytes(ref, undefined, 0, PATH_LENGTH);
    }
    const digest = ref.replace(POINTER, "");
    return digest !== ref && isDigest(digest) ? digestBytes(digest) : undefined;
  }

  record(list: "erasures" | "rotations", record: unknown): void {
    if (typeof record === "string") this.#records[list].push(record);
    else this.#fault(`${list} holds what is no record`);
  }

  result() {
    return {
      files: this.#files,
      kinds: this.#kinds,
      unaddressed: this.#unaddressed,
      byPath: this.#byPath,
      ...this.#records,
    };
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

/** Bytes of the manifest's text, the end not included. */
interface Span {
  readonly from: number;
  readonly to: number;
}

function signedBytes(spool: Spool, signatures: Span): SignedBytes | undefined {
  const start = signatures.from - SIGNATURES_NAME.length;
  const name = start > 0 ? wholeOf(spool.pieces(start, signatures.from), SIGNATURES_NAME.length) : undefined;
  if (name !== undefined && SIGNATURES_NAME.every((byte, at) => name[at] === byte))
    return {
      length: spool.length - (signatures.to - start),
      *pieces() {
        yield* spool.pieces(0, start);
        yield* spool.pieces(signatures.to, spool.length);
      },
    };
  if (spool.length > CANONICALISED_BYTES_MAX) return undefined;
  const { signatures: _, ...rest } = parseJson(wholeOf(spool.pieces(0, spool.length), spool.length)) as Record<
    string,
    unknown
  >;
  const text = canonicalText(rest);
  if (text === undefined) return undefined;
  const bytes = new TextEncoder().encode(text);
  return { length: bytes.length, pieces: () => [bytes] };
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
