// A policy that may be used: a bundle whose signature and file set were verified before anything in it was looked at (spec law POL-01).
import { compactVerify, decodeJwt, decodeProtectedHeader, importJWK, importSPKI, type CryptoKey, type JWK } from "jose";
import { digestOfHex } from "../core/digest.ts";
import { BundleError } from "../core/errors.ts";
import type { Catalogue } from "../core/outcome.ts";
import { hashBundleFile, readBundleFiles, sha256Hex } from "./bundle-files.ts";
import { DEFAULT_LIMITS, Evaluator, type EvaluationLimits } from "./evaluator.ts";

/** Keys that may sign bundles: a JWKS, or the `keys` map of OPA's configuration (`{id: {key, algorithm}}`). */
export type BundleKeys =
  | { readonly keys: readonly JWK[] }
  | { readonly [keyId: string]: { readonly key: string; readonly algorithm?: string } };

export interface LoadOptions {
  readonly keys: BundleKeys;
  /** Accept only this key's signature (OPA: `bundles.<name>.signing.keyid`). */
  readonly keyId?: string;
  /** The `scope` that the signature must carry (OPA: `bundles.<name>.signing.scope`). */
  readonly scope?: string;
  readonly limits?: EvaluationLimits;
}

export interface Policy {
  /** SHA-256 of the bundle's bytes as received: `sha256:<hex>`. */
  readonly digest: string;
  readonly revision: string;
  /** `metadata.railgate.sequence` of the manifest, by which newer and older are told apart; null where it has none. */
  readonly sequence: number | null;
  readonly entrypoints: readonly string[];
  /** `data.railgate.catalogue` of the bundle: what its refusal codes mean. */
  readonly catalogue: Catalogue;
  /** The bundle as received. */
  readonly bytes: Uint8Array;
  /**
   * Evaluates an entrypoint, e.g. `railgate/admission/decision`, in this thread: no I/O, microseconds.
   * @param input any JSON value.
   * @returns the entrypoint's value, `undefined` where it is undefined.
   * @throws EvaluationError `policy_error` (POL-03).
   */
  evaluate(entrypoint: string, input: unknown): unknown;
  /** As `evaluate`, for an input that is JSON text in UTF-8 already. */
  evaluateText(entrypoint: string, input: Uint8Array): unknown;
}

/** Algorithms that OPA can sign bundles with and that prove who did; a shared secret (HS*) proves nothing to a third party. */
const ALGORITHMS = ["ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"];

/**
 * Verifies a bundle in OPA's format and loads its WASM. Nothing is fetched, and nothing is used before it is verified.
 * @throws BundleError `policy_invalid`, with `reason` `archive`, `signature`, `files`, `manifest` or `wasm`.
 */
export async function loadBundle(bytes: Uint8Array, options: LoadOptions): Promise<Policy> {
  const files = await readBundleFiles(bytes);
  await verifySignature(files, options);
  const manifest = readManifest(files);
  const data = readJson(files, "data.json") as { railgate?: { catalogue?: Catalogue } };
  const wasm = files.get("policy.wasm");
  if (!wasm) throw new BundleError("wasm", "the bundle has no policy.wasm; build it with `opa build -t wasm`");
  let evaluator: Evaluator;
  try {
    evaluator = await Evaluator.load(wasm, data, options.limits ?? DEFAULT_LIMITS);
  } catch (error) {
    throw new BundleError("wasm", (error as Error).message, { cause: error });
  }
  const encoder = new TextEncoder();
  return {
    digest: digestOfHex(sha256Hex(bytes)),
    revision: manifest.revision,
    sequence: manifest.sequence,
    entrypoints: evaluator.entrypoints,
    catalogue: data.railgate?.catalogue ?? {},
    bytes,
    evaluate: (entrypoint, input) => evaluator.evaluate(entrypoint, encoder.encode(JSON.stringify(input))),
    evaluateText: (entrypoint, input) => evaluator.evaluate(entrypoint, input),
  };
}

/** OPA's bundle signature: a JWT that lists every file with its hash, and nothing may be missing or added. */
async function verifySignature(files: Map<string, Uint8Array>, options: LoadOptions): Promise<void> {
  const signatures = (readJson(files, ".signatures.json") as { signatures?: unknown }).signatures;
  if (!Array.isArray(signatures) || signatures.length !== 1 || typeof signatures[0] !== "string") {
    throw new BundleError("signature", "the bundle's .signatures.json must hold exactly one signature");
  }
  const payload = await verifyToken(signatures[0], options);
  if (options.scope !== undefined && payload.scope !== options.scope) {
    throw new BundleError(
      "signature",
      `the bundle is signed for scope ${JSON.stringify(payload.scope ?? "")}, not ${JSON.stringify(options.scope)}`,
    );
  }
  if (!Array.isArray(payload.files)) throw new BundleError("signature", "the bundle's signature lists no files");
  const expected = new Map((payload.files as { name: string; hash: string }[]).map((file) => [file.name, file]));
  for (const [name, content] of files) {
    if (name === ".signatures.json") continue;
    const file = expected.get(name);
    if (!file) throw new BundleError("files", `${name} is in the bundle but not in its signature`);
    if (hashBundleFile(name, content) !== file.hash) throw new BundleError("files", `${name} is not what was signed`);
    expected.delete(name);
  }
  const [missing] = expected.keys();
  if (missing !== undefined) throw new BundleError("files", `${missing} was signed but is not in the bundle`);
}

async function verifyToken(token: string, { keys, keyId }: LoadOptions): Promise<{ files?: unknown; scope?: unknown }> {
  try {
    const { alg, kid } = decodeProtectedHeader(token);
    const claimed = decodeJwt<{ keyid?: string }>(token).keyid ?? kid;
    const wanted = keyId ?? claimed;
    const key = await verificationKey(keys, wanted, alg);
    const { payload } = await compactVerify(token, key.key, { algorithms: key.algorithms });
    return JSON.parse(new TextDecoder().decode(payload)) as { files?: unknown; scope?: unknown };
  } catch (error) {
    if (error instanceof BundleError) throw error;
    throw new BundleError("signature", `the bundle's signature does not verify: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

async function verificationKey(
  keys: BundleKeys,
  wanted: string | undefined,
  alg: string | undefined,
): Promise<{ key: CryptoKey; algorithms: string[] }> {
  const unknown = new BundleError(
    "signature",
    `the bundle is signed by key ${JSON.stringify(wanted ?? "")}, which is not trusted here`,
  );
  if (alg === undefined || !ALGORITHMS.includes(alg)) {
    throw new BundleError(
      "signature",
      `the bundle is signed with ${JSON.stringify(alg ?? "")}; use one of ${ALGORITHMS.join(", ")}`,
    );
  }
  if (Array.isArray((keys as { keys?: unknown }).keys)) {
    const jwk = (keys as { keys: readonly JWK[] }).keys.find((candidate) => candidate.kid === wanted);
    if (!jwk) throw unknown;
    return { key: (await importJWK(jwk, jwk.alg ?? alg)) as CryptoKey, algorithms: [jwk.alg ?? alg] };
  }
  const entry =
    wanted !== undefined && Object.hasOwn(keys, wanted)
      ? (keys as { [id: string]: { key: string; algorithm?: string } })[wanted]
      : undefined;
  if (!entry) throw unknown;
  const algorithm = entry.algorithm ?? "RS256";
  return { key: await importSPKI(entry.key, algorithm), algorithms: [algorithm] };
}

function readManifest(files: Map<string, Uint8Array>): { revision: string; sequence: number | null } {
  const manifest = readJson(files, ".manifest") as {
    revision?: unknown;
    metadata?: { railgate?: { sequence?: unknown } };
  };
  const sequence = manifest.metadata?.railgate?.sequence;
  if (sequence !== undefined && !Number.isSafeInteger(sequence)) {
    throw new BundleError("manifest", "metadata.railgate.sequence in the bundle's manifest must be an integer");
  }
  return {
    revision: typeof manifest.revision === "string" ? manifest.revision : "",
    sequence: (sequence as number | undefined) ?? null,
  };
}

function readJson(files: Map<string, Uint8Array>, name: string): object {
  const content = files.get(name);
  if (!content)
    throw new BundleError(name === ".signatures.json" ? "signature" : "manifest", `the bundle has no ${name}`);
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(content));
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // Said below.
  }
  throw new BundleError("archive", `${name} in the bundle is not a JSON object`);
}
