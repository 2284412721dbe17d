// Where settings come from: the file, the environment, flags; and what a setting is called when something is wrong with it.
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { LineCounter, parseDocument, type Document } from "yaml";
import { ConfigError } from "../../core/errors.ts";
import { ConfigFile } from "../../core/schema/config.ts";
import { WITHOUT_EFFECT_YET } from "../../core/schema/without-effect.ts";
import { checkSettings, didYouMean, formatPath, placesOf, type SettingPath } from "../../core/settings.ts";
import { SERVER_VARIABLES } from "./server.ts";
import type { Environment, Flags, SettingFlag } from "./types.ts";

type Overridable = {
  /** Absent: what is secret is no argument. */
  flag?: SettingFlag;
  env: string;
  path: SettingPath;
};

const CONFIG_VARIABLE = "RAILGATE_CONFIG";
/** What the environment and flags can override. */
const OVERRIDES: readonly Overridable[] = [
  { flag: "dataDir", env: "RAILGATE_DATA_DIR", path: ["railgate", "data_dir"] },
  { env: "RAILGATE_STORE_URL", path: ["railgate", "store", "url"] },
  { flag: "listen", env: "RAILGATE_LISTEN", path: ["railgate", "listen"] },
  { flag: "logLevel", env: "RAILGATE_LOG_LEVEL", path: ["railgate", "log_level"] },
  { flag: "nodeId", env: "RAILGATE_NODE_ID", path: ["railgate", "node_id"] },
  { flag: "settings", env: "RAILGATE_SETTINGS", path: ["railgate", "settings"] },
  { flag: "upstreamUrl", env: "RAILGATE_UPSTREAM_URL", path: ["railgate", "upstream", "url"] },
  { flag: "tlsCert", env: "RAILGATE_TLS_CERT", path: ["railgate", "tls", "cert"] },
  { flag: "tlsKey", env: "RAILGATE_TLS_KEY", path: ["railgate", "tls", "key"] },
];

const DEFAULT_FILE = "opa.yaml";

/** Where each setting that isn't in the file came from, and where in the file the others are. */
export type Source = {
  env: Environment;
  file: string | null;
  lineOf: (path: SettingPath) => number | undefined;
  origin: Map<string, string>;
  cwd: string;
  /** What was accepted and does nothing, a line each. */
  notes: string[];
};

/** A Service called `railgate` makes Kubernetes set variables in our name; they are not settings. */
const SERVICE_LINK =
  /^RAILGATE(?:_[A-Z0-9_]+)?_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)$/;
const SERVICE_LINK_URL = /^(?:tcp|udp|sctp):\/\//;

export function checkVariables(env: Environment): void {
  const known = [CONFIG_VARIABLE, ...OVERRIDES.map((setting) => setting.env), ...Object.values(SERVER_VARIABLES)];
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith("RAILGATE_") || value === undefined) continue;
    if (SERVICE_LINK.test(name) || (name.endsWith("_PORT") && SERVICE_LINK_URL.test(value))) continue;
    if (!known.includes(name))
      throw new ConfigError(
        name,
        `unknown environment variable${didYouMean(name, known) || `; known are ${known.join(", ")}`}`,
      );
    if (value === "") throw new ConfigError(name, "is set and empty; unset it, or give it a value");
  }
}

export function findFile(env: Environment, flags: Flags, cwd: string): string | null {
  const named = flags.configFile ?? env[CONFIG_VARIABLE];
  if (named === undefined) return existsSync(resolve(cwd, DEFAULT_FILE)) ? resolve(cwd, DEFAULT_FILE) : null;
  const setting = flags.configFile === undefined ? CONFIG_VARIABLE : "--config-file";
  if (named === "" || !existsSync(resolve(cwd, named)))
    throw new ConfigError(setting, `there is no file ${named || '""'}`);
  return resolve(cwd, named);
}

export function readSettings(
  file: string | null,
  env: Environment,
  cwd: string,
): { settings: Record<string, unknown>; source: Source } {
  const source: Source = { env, file, lineOf: () => undefined, origin: new Map(), cwd, notes: [] };
  if (file === null) return { settings: {}, source };
  const lines = new LineCounter();
  const document = parseDocument(
    substitute(
      readText(file, (message, cause) => new ConfigError("--config-file", message, { cause })),
      env,
    ),
    {
      lineCounter: lines,
      prettyErrors: false,
      uniqueKeys: true,
      merge: true,
      stringKeys: true,
    },
  );
  const [error] = document.errors;
  if (error !== undefined)
    throw new ConfigError(file, `${yamlFault(error.code)} (line ${lines.linePos(error.pos[0]).line})`);
  const settings: unknown = toPlain(document, file) ?? {};
  source.lineOf = (path) => lineOf(document, lines, path);
  return { settings: settings as Record<string, unknown>, source };
}

function toPlain(document: Document, file: string): unknown {
  try {
    return document.toJS();
  } catch (cause) {
    throw new ConfigError(file, "has an alias without its anchor, or more aliases than can be followed", { cause });
  }
}

/** The parser's own words quote the file, which may hold secrets. */
function yamlFault(code: string): string {
  if (code === "DUPLICATE_KEY") return "a key appears twice";
  if (code === "MULTIPLE_DOCS") return "holds more than one document";
  return `is not YAML: ${code.toLowerCase().replaceAll("_", " ")}`;
}

/** `${NAME}` becomes the variable's value; one that isn't set stays as it is, as in OPA, and is refused where it matters. */
function substitute(text: string, env: Environment): string {
  return text.replaceAll(/\$\{([^\n]*?)\}/g, (whole, name: string) => (name === "" ? "" : (env[name] ?? whole)));
}

function lineOf(document: Document, lines: LineCounter, path: SettingPath): number | undefined {
  for (let depth = path.length; depth > 0; depth--) {
    const parent: unknown = document.getIn(path.slice(0, depth - 1), true);
    const items = (parent as { items?: unknown[] } | undefined)?.items ?? [];
    const found = items.find((item, index) => index === path[depth - 1] || keyOf(item) === path[depth - 1]);
    const node = (found as { key?: unknown } | undefined)?.key ?? found;
    const offset = (node as { range?: [number] } | undefined)?.range?.[0];
    if (offset !== undefined) return lines.linePos(offset).line;
  }
  return undefined;
}

const keyOf = (item: unknown): unknown => (item as { key?: { value?: unknown } }).key?.value;

/** @returns a line for each setting that is accepted and without effect. */
export function checkAll(settings: unknown, source: Source): string[] {
  const { faults, unused } = checkSettings(ConfigFile, settings);
  const [first] = faults;
  if (first !== undefined) throw fault(source, first.path, first.message);
  const unset = unsetVariable(settings, []);
  if (unset !== undefined) throw fault(source, unset.path, `the environment variable ${unset.name} is not set`);
  const yet = Object.entries(WITHOUT_EFFECT_YET).flatMap(([pattern, message]) =>
    placesOf(settings, pattern).map((path) => ({ path, message })),
  );
  return [...yet, ...unused].map(({ path, message }) => `${formatPath(path)} has no effect: ${message}`);
}

function unsetVariable(value: unknown, path: SettingPath): { path: SettingPath; name: string } | undefined {
  if (typeof value === "string") {
    const name = /\$\{([^\n]+?)\}/.exec(value)?.[1];
    return name === undefined ? undefined : { path, name };
  }
  if (typeof value !== "object" || value === null) return undefined;
  for (const [key, member] of Object.entries(value)) {
    const found = unsetVariable(member, [...path, Array.isArray(value) ? Number(key) : key]);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The error about a setting, called what the person who wrote it called it. */
export function fault(source: Source, path: SettingPath, message: string, cause?: unknown): ConfigError {
  const origin = source.origin.get(formatPath(path));
  const line = source.lineOf(path);
  if (origin !== undefined) return new ConfigError(origin, message, { cause });
  const place = source.file === null || line === undefined ? "" : ` (${source.file}, line ${line})`;
  return new ConfigError(path.length === 0 ? (source.file ?? "settings") : formatPath(path), message + place, {
    cause,
  });
}

export function override(settings: Record<string, unknown>, source: Source, env: Environment, flags: Flags): void {
  for (const { flag, env: variable, path } of OVERRIDES) {
    const given = flag && flags[flag];
    const value = given ?? env[variable];
    if (value === undefined) continue;
    setIn(settings, path, value);
    source.origin.set(formatPath(path), given === undefined ? variable : flagName(flag!));
  }
}

const flagName = (flag: string) => `--${flag.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

function setIn(settings: Record<string, unknown>, path: SettingPath, value: unknown): void {
  let at = settings;
  for (const part of path.slice(0, -1)) at = (at[part] ??= {}) as Record<string, unknown>;
  at[path.at(-1)!] = value;
}

/** A member that is absent rather than undefined. */
export function given<N extends string, V>(name: N, value: V | undefined): { [K in N]?: V } {
  return (value === undefined ? {} : { [name]: value }) as { [K in N]?: V };
}

export const absolute = (path: string | undefined, source: Source) => (path ? resolve(source.cwd, path) : undefined);

export function readUrl(text: string, path: SettingPath, source: Source): string {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) throw fault(source, path, "must be an http or https URL");
  return text;
}

/** The file that a setting names, where it names one. */
export function fileNamed(given: unknown, { cwd }: Pick<Source, "cwd">): string | undefined {
  if (typeof given !== "string") return undefined;
  return given.startsWith("file:") ? fileURLToPath(given) : resolve(cwd, given);
}

export function readFileOf(name: string, path: SettingPath, source: Source): string {
  const file = fileNamed(name, source)!;
  return readText(file, (message, cause) => fault(source, path, message, cause));
}

/** Text in UTF-8, less the mark that some editors put before it. */
function readText(file: string, failed: (message: string, cause: unknown) => ConfigError): string {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (cause) {
    throw failed(`can't read ${file} (${(cause as NodeJS.ErrnoException).code})`, cause);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    const utf16 = /^(?:fffe|feff)/.test(Buffer.from(bytes.subarray(0, 2)).toString("hex"));
    throw failed(`${file} is ${utf16 ? "UTF-16" : "not UTF-8"}; save it as UTF-8`, cause);
  }
}
