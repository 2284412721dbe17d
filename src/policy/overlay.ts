// An operator's own settings, laid over those of a policy (spec api §4): a JSON or YAML file, or a signed bundle of data alone. In browsers too.
import type { TSchema } from "typebox";
import { digestOfHex } from "../core/digest.ts";
import { BundleError } from "../core/errors.ts";
import { SettingsSchema } from "../core/schema/settings.ts";
import { checkSettings, type SettingPath } from "../core/settings.ts";
import { readDocument, sha256Hex } from "./bundle-documents.ts";
import { readBundleData, readBundleFiles } from "./bundle-files.ts";

type Document = { readonly [name: string]: unknown };

export interface SettingsOverlay {
  /** SHA-256 of the bytes as received: `sha256:<hex>`. */
  readonly digest: string;
  readonly bytes: Uint8Array;
  /** What it changes of `data.railgate.settings`, a JSON Merge Patch (RFC 7396). */
  readonly patch: Document;
}

const GZIP = [0x1f, 0x8b];
/** Beside its settings a bundle of data has these, and nothing else. */
const BESIDE_SETTINGS = /^(?:\.manifest|\.signatures\.json)$/;

/**
 * Reads an overlay and checks it against the schema of settings.
 * @param verify makes sure of the signature, where it comes as a bundle.
 * @throws BundleError `settings` it cannot be read, or says what no setting can be; the message has the pointer. `signature`, `files`: as a bundle's.
 */
export async function readOverlay(
  bytes: Uint8Array,
  verify: (files: ReadonlyMap<string, Uint8Array>) => Promise<void>,
): Promise<SettingsOverlay> {
  const isBundle = GZIP.every((byte, i) => bytes[i] === byte);
  const patch = isBundle ? await ofBundle(bytes, verify) : await ofFile(bytes);
  const fault = overlayFault(patch);
  if (fault !== undefined) throw new BundleError("settings", fault);
  return { digest: digestOfHex(sha256Hex(bytes)), bytes, patch: patch as Document };
}

async function ofFile(bytes: Uint8Array): Promise<unknown> {
  try {
    return await readDocument("data.yaml", bytes);
  } catch (error) {
    if (!(error instanceof BundleError)) throw error;
    throw error.reason === "data"
      ? new BundleError("settings", error.message.replace("data.yaml in the bundle holds", "it holds"), {
          cause: error,
        })
      : new BundleError("settings", "it is neither JSON nor YAML", { cause: error });
  }
}

async function ofBundle(
  bytes: Uint8Array,
  verify: (files: ReadonlyMap<string, Uint8Array>) => Promise<void>,
): Promise<unknown> {
  const files = await readBundleFiles(bytes);
  await verify(files);
  const data = (await readBundleData(files)) as { railgate?: { settings?: unknown } };
  const own = (value: unknown, name: string): boolean =>
    typeof value === "object" && value !== null && Object.keys(value).join() === name;
  const other = [...files.keys()].find(
    (name) => !BESIDE_SETTINGS.test(name) && !/(?:^|\/)data\.(?:json|ya?ml)$/.test(name),
  );
  if (other !== undefined)
    throw new BundleError("settings", `the bundle holds ${other}; a bundle of settings holds data alone`);
  if (!own(data, "railgate") || !own(data.railgate, "settings"))
    throw new BundleError("settings", "the bundle must hold data under railgate/settings, and nowhere else");
  return data.railgate?.settings;
}

/** What is wrong with an overlay, with its pointer (RFC 6901), or undefined. */
function overlayFault(patch: unknown): string | undefined {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch))
    return "it must be a mapping, of what changes under data.railgate.settings";
  const [fault] = [...checkSettings(SettingsSchema, patch).faults, ...nullFaults(SettingsSchema, patch, [])];
  return fault && `${pointerOf(fault.path)} ${fault.message}`;
}

const pointerOf = (path: SettingPath): string =>
  path.map((part) => `/${String(part).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");

type Shape = {
  readonly type?: string;
  readonly properties?: Record<string, Shape>;
  readonly patternProperties?: Record<string, Shape>;
  readonly anyOf?: readonly Shape[];
};

/** Entries of a table can be taken out; a setting that the law asks for by its name cannot. */
function* nullFaults(
  schema: TSchema,
  value: unknown,
  path: SettingPath,
): Generator<{ path: SettingPath; message: string }> {
  const shape = ((schema as Shape).anyOf?.find(({ type }) => type === "object") ?? schema) as Shape;
  const [entry] = Object.values(shape.patternProperties ?? {});
  if (typeof value !== "object" || value === null || Array.isArray(value)) return;
  for (const [name, member] of Object.entries(value)) {
    const below = entry ?? shape.properties?.[name];
    if (below === undefined) continue;
    if (member !== null) yield* nullFaults(below as TSchema, member, [...path, name]);
    else if (entry === undefined)
      yield { path: [...path, name], message: "cannot be taken out, only changed; null takes entries out of a table" };
  }
}

/** The data that policies see, with the settings as the overlay has them. */
export function withOverlay<D extends Document>(data: D, { patch }: SettingsOverlay): D {
  const railgate = (data["railgate"] ?? {}) as Document;
  return having(data, "railgate", having(railgate, "settings", merged(railgate["settings"], patch))) as D;
}

/** RFC 7396, §2: objects are merged member by member, null takes a member out, anything else takes the place of what was there. */
function merged(target: unknown, patch: unknown): unknown {
  if (!isDocument(patch)) return patch;
  let whole: Document = isDocument(target) ? target : {};
  for (const [name, value] of Object.entries(patch))
    whole = value === null ? without(whole, name) : having(whole, name, merged(own(whole, name), value));
  return whole;
}

const isDocument = (value: unknown): value is Document =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const own = (document: Document, name: string): unknown => (Object.hasOwn(document, name) ? document[name] : undefined);

/** By entries, since `__proto__` is a name like any other. */
const having = (document: Document, name: string, value: unknown): Document =>
  Object.fromEntries([...Object.entries(document).filter(([other]) => other !== name), [name, value]]);

const without = (document: Document, name: string): Document =>
  Object.fromEntries(Object.entries(document).filter(([other]) => other !== name));
