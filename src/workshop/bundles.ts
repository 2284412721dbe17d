// What is done with a bundle once it is built: signed, verified, looked into, held against another.
import { Buffer } from "node:buffer";
import { decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair } from "jose";
import { digestOf } from "../core/event.ts";
import { BundleError } from "../core/errors.ts";
import type { Catalogue } from "../core/outcome.ts";
import type { Violation } from "../core/schema/policies.ts";
import { conformanceCases, violationOf } from "../gate/conformance.ts";
import { readBundleData, readBundleFiles } from "../policy/bundle-files.ts";
import { loadBundle, type BundleKeys, type Policy } from "../policy/policy.ts";
import { signBundleFiles, writeBundleFiles, type BundleSigner } from "../policy/sign.ts";
import { DEFAULT_KEY_ID } from "./keys.ts";

const SIGNATURES = ".signatures.json";

/** @throws BundleError `archive` */
export async function signBundle(bytes: Uint8Array, signer: BundleSigner): Promise<Uint8Array> {
  return signed(await readBundleFiles(bytes), signer);
}

/** A bundle's archive, signed where there is a signer. */
export async function signed(files: ReadonlyMap<string, Uint8Array>, signer?: BundleSigner): Promise<Uint8Array> {
  return writeBundleFiles(signer ? await signBundleFiles(files, signer) : files);
}

/**
 * Verifies a bundle as a node does before it uses it: signature, files, manifest, data, WASM.
 * @param keyId accept this key's signature alone. @throws BundleError
 */
export async function verifyBundle(
  bytes: Uint8Array,
  keys: BundleKeys,
  { keyId, scope }: { readonly keyId?: string | undefined; readonly scope?: string | undefined },
): Promise<Policy> {
  // One key without a name is meant whatever the signature calls it, as in OPA.
  const only = "keys" in keys ? undefined : DEFAULT_KEY_ID in keys ? DEFAULT_KEY_ID : undefined;
  const wanted = keyId ?? only;
  return loadBundle(bytes, {
    keys,
    ...(wanted !== undefined && { keyId: wanted }),
    ...(scope !== undefined && { scope }),
  });
}

/**
 * Loads what was built as a node does, and finds what would keep one from taking it: what no policy may admit (spec law §3, §5).
 * @param files unsigned. @throws BundleError it cannot be loaded.
 */
export async function tryBuilt(files: ReadonlyMap<string, Uint8Array>): Promise<Violation[]> {
  const { privateKey, publicKey } = await generateKeyPair("ES256");
  const signer = { privateKey, algorithm: "ES256", keyId: "tried" };
  const keys = { keys: [{ ...(await exportJWK(publicKey)), kid: signer.keyId, alg: signer.algorithm }] };
  const policy = await loadBundle(await signed(files, signer), { keys });
  return conformanceCases()
    .filter(({ entrypoint }) => policy.entrypoints.includes(entrypoint))
    .flatMap((each) => violationOf(each, policy) ?? []);
}

export interface Inspected {
  readonly digest: string;
  readonly revision: string | null;
  readonly sequence: number | null;
  readonly expires: string | null;
  readonly roots: readonly string[];
  readonly entrypoints: readonly string[];
  /** Read, and not verified; null: there is none. */
  readonly signature: {
    readonly algorithm: string | null;
    readonly key_id: string | null;
    readonly scope: string | null;
  } | null;
  readonly rules: readonly InspectedRule[];
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly digest: string }[];
}

export interface InspectedRule {
  readonly rule: string;
  readonly code: string;
  readonly class: string;
  readonly title: string;
  /** `file:line`, of each place where it stands; empty in bundles of 0.1. */
  readonly places: readonly string[];
}

type Manifest = {
  readonly revision?: unknown;
  readonly roots?: unknown;
  readonly wasm?: readonly { readonly entrypoint?: unknown }[];
  readonly metadata?: { readonly railgate?: { readonly sequence?: unknown; readonly expires?: unknown } };
};
type Entry = Catalogue[string] & {
  readonly rules?: readonly string[];
  readonly places?: { readonly [rule: string]: readonly string[] };
};

/** What a bundle says of itself. Nothing of it is verified. @throws BundleError it cannot be read. */
export async function inspectBundle(bytes: Uint8Array): Promise<Inspected> {
  const files = await readBundleFiles(bytes);
  const { revision, roots, wasm = [], metadata } = (jsonOf(files, ".manifest") ?? {}) as Manifest;
  const { sequence, expires } = metadata?.railgate ?? {};
  return {
    digest: digestOf(bytes),
    revision: typeof revision === "string" ? revision : null,
    sequence: typeof sequence === "number" ? sequence : null,
    expires: typeof expires === "string" ? expires : null,
    roots: Array.isArray(roots) ? roots.map(String) : [""],
    entrypoints: wasm.map(({ entrypoint }) => String(entrypoint)).sort(),
    signature: signatureOf(files),
    rules: await rulesOf(files),
    files: [...files]
      .filter(([name]) => name !== SIGNATURES)
      .map(([name, content]) => ({ name, bytes: content.length, digest: digestOf(content) }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

function jsonOf(files: ReadonlyMap<string, Uint8Array>, name: string): unknown {
  const content = files.get(name);
  if (content === undefined) return undefined;
  try {
    return JSON.parse(Buffer.from(content).toString("utf8"));
  } catch (cause) {
    throw new BundleError("archive", `the bundle cannot be read: ${name} is not JSON`, { cause });
  }
}

function signatureOf(files: ReadonlyMap<string, Uint8Array>): Inspected["signature"] {
  const { signatures } = (jsonOf(files, SIGNATURES) ?? {}) as { signatures?: readonly unknown[] };
  const [token] = Array.isArray(signatures) ? signatures : [];
  if (typeof token !== "string") return null;
  try {
    const { alg, kid } = decodeProtectedHeader(token);
    const { keyid, scope } = decodeJwt<{ keyid?: string; scope?: string }>(token);
    return { algorithm: alg ?? null, key_id: keyid || kid || null, scope: scope || null };
  } catch {
    return { algorithm: null, key_id: null, scope: null };
  }
}

async function rulesOf(files: ReadonlyMap<string, Uint8Array>): Promise<InspectedRule[]> {
  const data = (await readBundleData(files)) as { railgate?: { catalogue?: { [code: string]: Entry } } };
  return Object.entries(data.railgate?.catalogue ?? {})
    .flatMap(([code, { rules = [], places = {}, class: refusalClass, title }]) =>
      rules.map((rule) => ({ rule, code, class: refusalClass, title, places: places[rule] ?? [] })),
    )
    .sort((a, b) => (a.rule < b.rule ? -1 : a.rule > b.rule ? 1 : a.code < b.code ? -1 : 1));
}

type Change = { readonly kind: "added" | "removed" | "changed" };

export interface BundleDifference {
  /** Signatures aside. */
  readonly alike: boolean;
  readonly files: readonly (Change & { readonly name: string })[];
  readonly rules: readonly (Change & { readonly rule: string; readonly code: string })[];
  /** Of the manifest and of data, settings among them; the catalogue's are among the rules. */
  readonly values: readonly (Change & {
    readonly pointer: string;
    readonly before?: unknown;
    readonly after?: unknown;
  })[];
}

/** What is not the same in two bundles. @throws BundleError one cannot be read. */
export async function diffBundles(before: Uint8Array, after: Uint8Array): Promise<BundleDifference> {
  const [a, b] = await Promise.all([readBundleFiles(before), readBundleFiles(after)]);
  const names = [...new Set([...a.keys(), ...b.keys()])].filter((name) => name !== SIGNATURES).sort();
  const files = names.flatMap((name) => {
    const kind = changeOf(a.get(name), b.get(name), (x, y) => Buffer.compare(x, y) === 0);
    return kind ? [{ kind, name }] : [];
  });
  const [rulesA, rulesB] = [await ruleTexts(a), await ruleTexts(b)];
  const rules = [...new Set([...rulesA.keys(), ...rulesB.keys()])].sort().flatMap((key) => {
    const kind = changeOf(rulesA.get(key), rulesB.get(key), (x, y) => x === y);
    const [rule, code] = key.split(" ") as [string, string];
    return kind ? [{ kind, rule, code }] : [];
  });
  const [documentA, documentB] = await Promise.all([documentsOf(a), documentsOf(b)]);
  return { alike: files.length === 0, files, rules, values: [...valueChanges(documentA, documentB, "")] };
}

function changeOf<T>(
  before: T | undefined,
  after: T | undefined,
  same: (a: T, b: T) => boolean,
): Change["kind"] | undefined {
  if (before === undefined) return after === undefined ? undefined : "added";
  if (after === undefined) return "removed";
  return same(before, after) ? undefined : "changed";
}

/** By rule and code: all that the catalogue says of it but the line, which moves with every edit above it. */
async function ruleTexts(files: ReadonlyMap<string, Uint8Array>): Promise<Map<string, string>> {
  const data = (await readBundleData(files)) as { railgate?: { catalogue?: { [code: string]: Entry } } };
  return new Map(
    Object.entries(data.railgate?.catalogue ?? {}).flatMap(([code, { rules = [], places: _, ...words }]) =>
      rules.map((rule) => [`${rule} ${code}`, JSON.stringify(words)] as const),
    ),
  );
}

async function documentsOf(files: ReadonlyMap<string, Uint8Array>): Promise<object> {
  const data = (await readBundleData(files)) as { railgate?: { catalogue?: unknown } };
  const { catalogue: _, ...railgate } = data.railgate ?? {};
  return { manifest: jsonOf(files, ".manifest") ?? {}, data: data.railgate ? { ...data, railgate } : data };
}

function* valueChanges(
  before: unknown,
  after: unknown,
  pointer: string,
): Generator<BundleDifference["values"][number]> {
  if (isObject(before) && isObject(after)) {
    for (const name of [...new Set([...Object.keys(before), ...Object.keys(after)])].sort())
      yield* valueChanges(before[name], after[name], `${pointer}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`);
    return;
  }
  const kind = changeOf(before, after, (a, b) => JSON.stringify(a) === JSON.stringify(b));
  if (kind) yield { kind, pointer, ...(before !== undefined && { before }), ...(after !== undefined && { after }) };
}

const isObject = (value: unknown): value is { [name: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value);
