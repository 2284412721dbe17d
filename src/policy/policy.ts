// A policy that may be used: a bundle whose signature and file set were verified before anything in it was looked at (spec law POL-01).
import { companionsOf, criticalOf, type HostSettings, hostSettingsFault, kubernetesOf } from "./host-settings.ts";
import { compactVerify, decodeJwt, decodeProtectedHeader, importJWK, importSPKI, type CryptoKey, type JWK } from "jose";
import { digestOfHex } from "../core/digest.ts";
import { BundleError } from "../core/errors.ts";
import type { KubernetesSettings } from "../core/kubernetes/settings.ts";
import type { Catalogue } from "../core/outcome.ts";
import { timeMs } from "../core/time.ts";
import { hashBundleFile, readDocument, sha256Hex } from "./bundle-documents.ts";
import { readBundleData, readBundleFiles } from "./bundle-files.ts";
import { callsOf } from "./calls.ts";
import { DEFAULT_LIMITS, Evaluator, MissingBuiltinsError, type EvaluationLimits } from "./evaluator.ts";
import type { SettingsOverlay } from "./overlay.ts";
import type { Value } from "./builtins/value.ts";

/** Keys that may sign bundles: a JWKS, or the `keys` map of OPA's configuration (`{id: {key, algorithm, scope?}}`). */
export type BundleKeys = { readonly keys: readonly JWK[] } | { readonly [keyId: string]: OpaKey };

interface OpaKey {
  readonly key: string;
  readonly algorithm?: string;
  readonly scope?: string;
}

export interface LoadOptions {
  readonly keys: BundleKeys;
  /** Accept only this key's signature (OPA: `bundles.<name>.signing.keyid`). Without it the signature's own word counts, else the only key. */
  readonly keyId?: string;
  /** The `scope` that the signature must carry (OPA: `bundles.<name>.signing.scope`). */
  readonly scope?: string;
  readonly limits?: EvaluationLimits;
  /** Settings of one's own, laid over the bundle's: the bytes of a JSON or YAML file, or of a signed bundle of data. */
  readonly settings?: Uint8Array;
  /** Who may have signed those, where they come as a bundle; default: `keys`. */
  readonly settingsKeys?: BundleKeys;
  /** Largest bundle, unpacked; default 64 MiB. */
  readonly unpackedBytesMax?: number;
}

export interface Policy {
  /** SHA-256 of the bundle's bytes as received: `sha256:<hex>`. */
  readonly digest: string;
  readonly revision: string;
  /** `metadata.railgate.sequence` of the manifest, by which newer and older are told apart; null where it has none. */
  readonly sequence: number | null;
  /** `metadata.railgate.expires` of the manifest, milliseconds since the epoch: from then on the policy is stale whatever its source says; null: it never is. */
  readonly expiresMs: number | null;
  /** What of `data` the bundle is about: paths with no slash around them; `""` is all of it (OPA: `roots`). */
  readonly roots: readonly string[];
  readonly entrypoints: readonly string[];
  /** The settings laid over the bundle's own; null where there are none. With the digest they say what decides. */
  readonly settings: SettingsOverlay | null;
  /** `data.railgate.catalogue` of the bundle: what its refusal codes mean. */
  readonly catalogue: Catalogue;
  /** `settings.evidence.companions`: the evidence profiles, as `ncp`, under which further events accompany an admission. */
  readonly companions: ReadonlySet<string>;
  /** `settings.dependencies.critical`: by kind of envelope, the kinds of dependencies that are critical for it. */
  readonly critical: { readonly [kind: string]: readonly string[] | undefined };
  /** `settings.kubernetes`, as far as the host reads it: what pods cannot say of their workloads. */
  readonly kubernetes: KubernetesSettings;
  /** The bundle as received. */
  readonly bytes: Uint8Array;
  /**
   * Evaluates an entrypoint, e.g. `railgate/admission/decision`, in this thread: no I/O, microseconds.
   * @param input any JSON value.
   * @returns the entrypoint's value, `undefined` where it is undefined.
   * @throws EvaluationError `policy_error` (POL-03).
   */
  evaluate(entrypoint: string, input: unknown): unknown;
  /** As `evaluate`, for an input that is JSON text already, or that in UTF-8. */
  evaluateText(entrypoint: string, input: string | Uint8Array): unknown;
  /** As `evaluateText`, for the value as Rego has it: sets in order, no number rounded. No input is not the same as null. */
  evaluateValue(entrypoint: string, input: string | Uint8Array | undefined, strict?: boolean): Value | undefined;
  /** The functions of builtins that can fail and are compiled in, so that their errors are never heard of; undefined: it cannot be told. */
  readonly compiledBuiltins: readonly string[] | undefined;
  /** Whether its sources are in the bundle and no rule bears `labels`. */
  readonly unlabelled: boolean;
}

/** Algorithms that OPA can sign bundles with and that prove who did; a shared secret (HS*) proves nothing to a third party. */
const ALGORITHMS = ["ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"];

/** A bundle's name in evidence: SHA-256 of its bytes as received. */
export const bundleDigest = (bytes: Uint8Array): string => digestOfHex(sha256Hex(bytes));

/**
 * Verifies a bundle in OPA's format and loads its WASM. Nothing is fetched, and nothing is used before it is verified.
 * @throws BundleError `policy_invalid`, with `reason` `archive`, `signature`, `files`, `manifest`, `data`, `settings` or `wasm`.
 */
export async function loadBundle(bytes: Uint8Array, options: LoadOptions): Promise<Policy> {
  const files = await readBundleFiles(bytes, options.unpackedBytesMax);
  if (files.has(DELTA)) throw new BundleError("delta", "it is a delta bundle, and only whole ones are taken");
  await verifySignature(files, options);
  const manifest = await readManifest(files);
  const { data, bare, settings } = await readData(files, options);
  if (manifest.settingsSchema !== undefined) {
    const { requireSettings } = await import("./settings-checks.ts");
    requireSettings(manifest.settingsSchema, data.railgate?.settings);
  }
  const fault = hostSettingsFault(data.railgate?.settings);
  if (fault !== undefined) throw new BundleError("data", fault);
  const wasm = files.get("policy.wasm");
  if (!wasm) throw new BundleError("wasm", "the bundle has no policy.wasm; build it with `opa build -t wasm`");
  let evaluator: Evaluator;
  try {
    evaluator = await Evaluator.load(wasm, data, options.limits ?? DEFAULT_LIMITS);
  } catch (error) {
    throw new BundleError("wasm", wasmFault(error as Error, files), { cause: error });
  }
  if (settings) {
    const { trySettings } = await import("./settings-checks.ts");
    await trySettings(evaluator, () => Evaluator.load(wasm, bare, options.limits ?? DEFAULT_LIMITS));
  }
  const sources = new Map([...files].filter(([name]) => name.endsWith(".rego") || name === ".manifest"));
  let unlabelled: boolean | undefined;
  return {
    digest: bundleDigest(bytes),
    revision: manifest.revision,
    sequence: manifest.sequence,
    settings,
    expiresMs: manifest.expiresMs,
    roots: manifest.roots,
    entrypoints: evaluator.entrypoints,
    catalogue: data.railgate?.catalogue ?? {},
    companions: companionsOf(data.railgate?.settings),
    critical: criticalOf(data.railgate?.settings),
    kubernetes: kubernetesOf(data.railgate?.settings),
    bytes,
    evaluate: (entrypoint, input) => evaluator.evaluate(entrypoint, JSON.stringify(input)),
    evaluateText: (entrypoint, input) => evaluator.evaluate(entrypoint, input),
    evaluateValue: (entrypoint, input = NO_INPUT, strict) => evaluator.evaluateExactly(entrypoint, input, strict),
    get compiledBuiltins() {
      return evaluator.compiledBuiltins;
    },
    get unlabelled() {
      return (unlabelled ??= isUnlabelled(sources));
    },
  };
}

type LawData = { readonly railgate?: { readonly catalogue?: Catalogue; readonly settings?: HostSettings } };

/** What policies see as `data`. Settings are laid over those of a law that has some, and over nothing else. */
async function readData(
  files: ReadonlyMap<string, Uint8Array>,
  { settings: given, keys, settingsKeys = keys }: LoadOptions,
): Promise<{ data: LawData; bare: LawData; settings: SettingsOverlay | null }> {
  const bare = (await readBundleData(files)) as LawData;
  if (given === undefined || bare.railgate?.settings === undefined) return { data: bare, bare, settings: null };
  const settings = await readSignedOverlay(given, settingsKeys);
  const { withOverlay } = await import("./overlay.ts");
  return { data: withOverlay(bare, settings), bare, settings };
}

/**
 * Reads settings of an operator's own and checks them; where they come as a bundle, one of the keys must have signed it.
 * @throws BundleError `settings`, `signature`, `files` or `archive`.
 */
export async function readSignedOverlay(bytes: Uint8Array, keys: BundleKeys): Promise<SettingsOverlay> {
  const { readOverlay } = await import("./overlay.ts");
  return readOverlay(bytes, (files) => verifySignature(files, { keys }));
}

/** What is wrong with a bundle's WASM; of builtins that the host lacks all names, and where the sources call them. */
function wasmFault(error: Error, files: ReadonlyMap<string, Uint8Array>): string {
  if (!(error instanceof MissingBuiltinsError)) return error.message;
  const named = error.missing.map(({ name, why }) => [`${name} (${why})`, ...callsOf(name, files)].join(" "));
  return `the policy calls builtins that it cannot have here: ${named.join(", ")}`;
}

/** A label stands in a comment of METADATA, or, of an entrypoint, in the manifest, where `opa build` puts it. */
const LABELS = { source: /^\s*#\s*labels\s*:/m, manifest: /"labels"\s*:/ };

function isUnlabelled(files: ReadonlyMap<string, Uint8Array>): boolean {
  const decoder = new TextDecoder();
  const sources = [...files].filter(([name]) => name.endsWith(".rego"));
  return (
    sources.length > 0 &&
    sources.every(([, text]) => !LABELS.source.test(decoder.decode(text))) &&
    !LABELS.manifest.test(decoder.decode(files.get(".manifest")))
  );
}

const NO_INPUT = new Uint8Array(0);

/** What makes a bundle a delta: changes to another one, which OPA takes unsigned. */
const DELTA = "patch.json";
/** The one file that is the signature, by its exact name in whatever folder (OPA, since 1.22). */
const SIGNATURES = /(?:^|\/)\.signatures\.json$/;
/** OPA's own verification; one of another name is a plugin of some build of OPA. */
const DEFAULT_VERIFIER = "_default";

type SignedFile = { readonly name?: unknown; readonly hash?: unknown; readonly algorithm?: unknown };
type Claims = { readonly files?: unknown; readonly scope?: unknown };

/** OPA's bundle signature: a JWT that lists every file with its hash, and nothing may be missing or added. */
async function verifySignature(files: ReadonlyMap<string, Uint8Array>, options: LoadOptions): Promise<void> {
  const [signatureFile, token] = await readSignature(files);
  const { claims, keyScope } = await verifyToken(token, options);
  // As OPA has it: the bundle's own setting, else the key's; and where neither says one, the signature must not either.
  const scope = options.scope ?? keyScope ?? "";
  if ((claims.scope ?? "") !== scope) {
    throw new BundleError(
      "signature",
      `the bundle is signed for scope ${JSON.stringify(claims.scope ?? "")}, not ${JSON.stringify(scope)}`,
    );
  }
  if (!Array.isArray(claims.files)) throw new BundleError("signature", "the bundle's signature lists no files");
  const signed = new Map((claims.files as SignedFile[]).map((file) => [file?.name, file]));
  for (const [name, content] of files) {
    if (name === signatureFile) continue;
    const file = signed.get(name);
    if (file === undefined) throw new BundleError("files", `${name} is in the bundle but not in its signature`);
    if ((await hashBundleFile(name, content, String(file.algorithm))) !== file.hash)
      throw new BundleError("files", `${name} is not what was signed`);
    signed.delete(name);
  }
  const [missing] = signed.keys();
  if (signed.size > 0) throw new BundleError("files", `${String(missing)} was signed but is not in the bundle`);
}

async function readSignature(files: ReadonlyMap<string, Uint8Array>): Promise<[name: string, token: string]> {
  const found = [...files.keys()].filter((name) => SIGNATURES.test(name));
  if (found.length !== 1)
    throw new BundleError(
      "signature",
      found.length === 0
        ? "the bundle has no .signatures.json"
        : `the bundle has ${found.length} files .signatures.json`,
    );
  const { signatures, plugin } = (await readObject(files, found[0]!)) as { signatures?: unknown; plugin?: unknown };
  if (!Array.isArray(signatures) || signatures.length !== 1 || typeof signatures[0] !== "string")
    throw new BundleError("signature", "the bundle's .signatures.json must hold exactly one signature");
  if (plugin !== undefined && plugin !== "" && plugin !== DEFAULT_VERIFIER)
    throw new BundleError(
      "signature",
      `the bundle is signed for the verifier ${JSON.stringify(plugin)}, which is none of ours`,
    );
  return [found[0]!, signatures[0]];
}

async function verifyToken(
  token: string,
  { keys, keyId }: LoadOptions,
): Promise<{ claims: Claims; keyScope: string | undefined }> {
  try {
    const { alg, kid } = decodeProtectedHeader(token);
    if (alg === undefined || !ALGORITHMS.includes(alg)) {
      throw new BundleError(
        "signature",
        `the bundle is signed with ${JSON.stringify(alg ?? "")}; use one of ${ALGORITHMS.join(", ")}`,
      );
    }
    const claimed = decodeJwt<{ keyid?: string }>(token).keyid || kid || undefined;
    const { key, algorithm, scope } = await verificationKey(keys, keyId ?? claimed, alg);
    const { payload } = await compactVerify(token, key, { algorithms: [algorithm] });
    return { claims: JSON.parse(new TextDecoder().decode(payload)) as Claims, keyScope: scope };
  } catch (error) {
    if (error instanceof BundleError) throw error;
    throw new BundleError("signature", `the bundle's signature does not verify: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** @param wanted the key's id; undefined where neither settings nor token name one, so that the only key is meant. */
async function verificationKey(
  keys: BundleKeys,
  wanted: string | undefined,
  alg: string,
): Promise<{ key: CryptoKey; algorithm: string; scope?: string | undefined }> {
  const known = keysById(keys);
  if (wanted === undefined && known.length !== 1)
    throw new BundleError(
      "signature",
      `the bundle's signature names no key, and there are ${known.length} to choose from`,
    );
  const found = wanted === undefined ? known[0] : known.find(([id]) => id === wanted);
  if (found === undefined)
    throw new BundleError(
      "signature",
      `the bundle is signed by key ${JSON.stringify(wanted)}, which is not trusted here`,
    );
  const [, given] = found;
  if ("jwk" in given) {
    const algorithm = given.jwk.alg ?? alg;
    return { key: (await importJWK(given.jwk, algorithm)) as CryptoKey, algorithm };
  }
  const algorithm = given.algorithm ?? OPA_ALGORITHM;
  return { key: await importSPKI(given.key, algorithm), algorithm, scope: given.scope };
}

/** What OPA takes a key for that says nothing of its algorithm. */
const OPA_ALGORITHM = "RS256";

type GivenKey = { readonly jwk: JWK } | OpaKey;

function keysById(keys: BundleKeys): [id: string | undefined, key: GivenKey][] {
  if (Array.isArray((keys as { keys?: unknown }).keys))
    return (keys as { keys: readonly JWK[] }).keys.map((jwk) => [jwk.kid, { jwk }]);
  return Object.entries(keys as { [id: string]: OpaKey });
}

interface Manifest {
  readonly revision: string;
  readonly sequence: number | null;
  readonly expiresMs: number | null;
  readonly roots: readonly string[];
  /** See `requireSettings`; undefined where there is none. */
  readonly settingsSchema: unknown;
}

async function readManifest(files: ReadonlyMap<string, Uint8Array>): Promise<Manifest> {
  const { revision, roots, metadata } = (await readObject(files, ".manifest")) as {
    revision?: unknown;
    roots?: unknown;
    metadata?: { railgate?: { sequence?: unknown; expires?: unknown; settings_schema?: unknown } };
  };
  const { sequence, expires, settings_schema: settingsSchema } = metadata?.railgate ?? {};
  if (sequence !== undefined && !Number.isSafeInteger(sequence)) {
    throw new BundleError("manifest", "metadata.railgate.sequence in the bundle's manifest must be an integer");
  }
  const expiresMs = typeof expires === "string" ? timeMs(expires) : undefined;
  if (expires !== undefined && expiresMs === undefined)
    throw new BundleError("manifest", "metadata.railgate.expires in the bundle's manifest must be an RFC 3339 time");
  return {
    revision: typeof revision === "string" ? revision : "",
    sequence: (sequence as number | undefined) ?? null,
    expiresMs: expiresMs ?? null,
    roots: rootsOf(roots),
    settingsSchema,
  };
}

/** A bundle that names no roots is about everything. */
function rootsOf(roots: unknown): string[] {
  if (roots === undefined || roots === null) return [""];
  if (!Array.isArray(roots) || roots.some((root) => typeof root !== "string"))
    throw new BundleError("manifest", "roots in the bundle's manifest must be a list of paths");
  return (roots as string[]).map((root) => root.replaceAll(/^\/+|\/+$/g, ""));
}

async function readObject(files: ReadonlyMap<string, Uint8Array>, name: string): Promise<object> {
  const content = files.get(name);
  if (content === undefined) throw new BundleError("manifest", `the bundle has no ${name}`);
  const value = await readDocument(name, content);
  if (typeof value === "object" && value !== null) return value;
  throw new BundleError("archive", `${name} in the bundle is not a JSON object`);
}
