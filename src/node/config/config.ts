// Settings, from `opa.yaml`, then the environment, then flags. The only reader of the environment.
import { createPublicKey, type KeyObject } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { LineCounter, parseDocument, type Document } from "yaml";
import { ConfigError } from "../../core/errors.ts";
import { parseVkey, SIGNATURE_TYPES } from "../../core/note.ts";
import { sha256 } from "../../core/sha256.ts";
import {
  ConfigFile,
  type EVIDENCE_PROFILES,
  type LOG_LEVELS,
  type KEY_ALGORITHMS,
  type SUBJECT_FIELDS,
} from "../../core/schema/config.ts";
import { checkSettings, didYouMean, formatPath, type SettingPath } from "../../core/settings.ts";

export type Environment = Readonly<Record<string, string | undefined>>;
/** Flags by their name in camelCase, as the command line hands them over: `listen`, `dataDir`, … */
export type Flags = { readonly [name in Overridable["flag"] | "configFile"]?: string | undefined };
export type LogLevel = (typeof LOG_LEVELS)[number];
export type EvidenceProfileId = (typeof EVIDENCE_PROFILES)[number];
/** Public keys, checked: no private and no symmetric ones, each usable. */
export type Jwks = { readonly keys: readonly Readonly<Record<string, unknown>>[] };

export type Service = {
  readonly name: string;
  /** Without a slash at its end. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly allowInsecureTls: boolean;
  readonly responseHeaderTimeoutS: number;
  readonly tls: { readonly caCert?: string; readonly systemCaRequired: boolean };
  readonly bearer?: { readonly token?: string; readonly tokenPath?: string; readonly scheme: string };
  readonly clientTls?: { readonly cert: string; readonly privateKey: string; readonly passphrase?: string };
};

export type BundleSource = {
  readonly name: string;
  readonly from:
    | { readonly kind: "file"; readonly path: string }
    | { readonly kind: "service"; readonly service: string; readonly resource: string };
  /** What the signature must satisfy; there is no turning it off. */
  readonly signing: { readonly keyid?: string; readonly scope?: string; readonly excludeFiles: readonly string[] };
  readonly persist: boolean;
  readonly sizeLimitBytes: number;
  readonly polling: { readonly minDelayS: number; readonly maxDelayS: number; readonly longPollingTimeoutS?: number };
};

/** A public key that bundles are verified with: SPKI in PEM. Keys for HS algorithms are left out. */
export type BundleKey = {
  readonly key: string;
  readonly algorithm: (typeof KEY_ALGORITHMS)[number];
  readonly scope?: string;
};

export type Reporting = {
  readonly service?: string;
  readonly resource: string;
  readonly console: boolean;
  readonly minDelayS: number;
  readonly maxDelayS: number;
  readonly uploadSizeLimitBytes: number;
};

export type Config = {
  /** The file that was read, or null: defaults alone. */
  readonly file: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly services: Readonly<Record<string, Service>>;
  /** At most one. With none, the bundle that comes with Railgate is used. */
  readonly bundles: Readonly<Record<string, BundleSource>>;
  readonly keys: Readonly<Record<string, BundleKey>>;
  readonly decisionLogs?: Reporting;
  readonly status?: Omit<Reporting, "minDelayS" | "maxDelayS" | "uploadSizeLimitBytes">;
  readonly defaultDecision: string;
  readonly dataDir: string;
  readonly listen: Address;
  readonly logLevel: LogLevel;
  /** Undefined: made at first start and kept in the data directory. */
  readonly nodeId?: string;
  readonly upstream?: { readonly url: string };
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa?: string };
  readonly behindProxy: boolean;
  readonly authentication?: {
    readonly jwt?: {
      readonly jwks: Jwks;
      readonly issuer: string;
      readonly audience: string;
      readonly tenantClaim: string;
    };
    readonly mtls?: { readonly tenantFrom: (typeof SUBJECT_FIELDS)[number] };
  };
  readonly trust: {
    readonly authorities: readonly { readonly issuer: string; readonly jwks: Jwks; readonly root: boolean }[];
    readonly attesters: readonly { readonly issuer: string; readonly jwks: Jwks }[];
  };
  readonly evidence: {
    readonly profile: EvidenceProfileId;
    /** Undefined: named after the node. */
    readonly logOrigin?: string;
    /** Undefined: inside the data directory. */
    readonly checkpointDir?: string;
    /** Where the event key comes from; undefined: the node makes its own. `read` gives the key's text, and is no data, so that it is never written anywhere. */
    readonly eventKey?: EventKeySource;
    /** Files by kind of artifact, which exports bring along. */
    readonly artifacts: Readonly<Record<string, readonly string[]>>;
  };
  /** Logs that are witnessed; undefined: none, and there is no witness. */
  readonly witness?: {
    readonly name?: string;
    readonly logs: readonly { readonly origin: string; readonly vkey: string }[];
  };
  readonly limits: {
    readonly bodyBytesMax: number;
    readonly batchItemsMax: number;
    readonly queueMax: number;
    readonly evaluationMsMax: number;
  };
  /** Settings of OPA's that were accepted and do nothing here, one line each. */
  readonly warnings: readonly string[];
};

/** Exactly one place; `name` says which, for messages. */
export type EventKeySource = { readonly name: string } & (
  | { readonly directory: string }
  | { readonly read: () => string }
);

export type Address = { readonly host: string; readonly port: number; readonly loopback: boolean };

type Overridable = {
  flag: "dataDir" | "listen" | "logLevel" | "nodeId" | "upstreamUrl" | "tlsCert" | "tlsKey";
  env: string;
  path: SettingPath;
};

const CONFIG_VARIABLE = "RAILGATE_CONFIG";
/** What the environment and flags can override. */
export const OVERRIDES: readonly Overridable[] = [
  { flag: "dataDir", env: "RAILGATE_DATA_DIR", path: ["railgate", "data_dir"] },
  { flag: "listen", env: "RAILGATE_LISTEN", path: ["railgate", "listen"] },
  { flag: "logLevel", env: "RAILGATE_LOG_LEVEL", path: ["railgate", "log_level"] },
  { flag: "nodeId", env: "RAILGATE_NODE_ID", path: ["railgate", "node_id"] },
  { flag: "upstreamUrl", env: "RAILGATE_UPSTREAM_URL", path: ["railgate", "upstream", "url"] },
  { flag: "tlsCert", env: "RAILGATE_TLS_CERT", path: ["railgate", "tls", "cert"] },
  { flag: "tlsKey", env: "RAILGATE_TLS_KEY", path: ["railgate", "tls", "key"] },
];

const DEFAULT_FILE = "opa.yaml";
const DEFAULT_LISTEN = "127.0.0.1:8181";
// OPA's defaults: v1/download/config.go, v1/bundle, v1/plugins/logs, v1/plugins/rest.
const POLL_S = { min: 60, max: 120 };
const REPORT_S = { min: 300, max: 600 };
const REPORT_BYTES_MAX = 32_768;
const BUNDLE_BYTES_MAX = 1024 ** 3;
const HEADER_TIMEOUT_S = 10;
const LIMITS = { bodyBytesMax: 1024 * 1024, batchItemsMax: 1000, queueMax: 20_000, evaluationMsMax: 1000 };

/** Where each setting that isn't in the file came from, and where in the file the others are. */
type Source = {
  env: Environment;
  file: string | null;
  lineOf: (path: SettingPath) => number | undefined;
  origin: Map<string, string>;
  cwd: string;
};

/**
 * All settings, checked and frozen. Paths in it are absolute; like OPA's, they count from the working directory.
 * @throws ConfigError naming the setting (and file and line) that is unknown, mistyped or contradicts another.
 */
export function loadConfig({
  env = process.env,
  flags = {},
  cwd = process.cwd(),
}: {
  env?: Environment;
  flags?: Flags;
  cwd?: string;
} = {}): Config {
  checkVariables(env);
  const file = findFile(env, flags, cwd);
  const { settings, source } = readSettings(file, env, cwd);
  const warnings = checkAll(settings, source);
  override(settings, source, env, flags);
  checkAll(settings, source);
  return freeze(assemble(settings as ConfigFile, source, warnings));
}

/** Whether a stack trace is wanted, before settings could be read. */
export const debugWanted = (env: Environment = process.env): boolean =>
  env["RAILGATE_LOG_LEVEL"] === "debug" || env["RAILGATE_LOG_LEVEL"] === "trace";

/** Whether to write colour to this stream: a terminal, and no word against it (https://no-color.org). */
export const colourWanted = (stream: { isTTY?: boolean }, env: Environment = process.env): boolean =>
  stream.isTTY === true && !env["NO_COLOR"] && env["TERM"] !== "dumb";

/** A Service called `railgate` makes Kubernetes set variables in our name; they are not settings. */
const SERVICE_LINK =
  /^RAILGATE(?:_[A-Z0-9_]+)?_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)$/;
const SERVICE_LINK_URL = /^(?:tcp|udp|sctp):\/\//;

function checkVariables(env: Environment): void {
  const known = [CONFIG_VARIABLE, ...OVERRIDES.map((setting) => setting.env)];
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

function findFile(env: Environment, flags: Flags, cwd: string): string | null {
  const named = flags.configFile ?? env[CONFIG_VARIABLE];
  if (named === undefined) return existsSync(resolve(cwd, DEFAULT_FILE)) ? resolve(cwd, DEFAULT_FILE) : null;
  const setting = flags.configFile === undefined ? CONFIG_VARIABLE : "--config-file";
  if (named === "" || !existsSync(resolve(cwd, named)))
    throw new ConfigError(setting, `there is no file ${named || '""'}`);
  return resolve(cwd, named);
}

function readSettings(
  file: string | null,
  env: Environment,
  cwd: string,
): { settings: Record<string, unknown>; source: Source } {
  const source: Source = { env, file, lineOf: () => undefined, origin: new Map(), cwd };
  if (file === null) return { settings: {}, source };
  const lines = new LineCounter();
  const document = parseDocument(substitute(readText(file, "--config-file"), env), {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    stringKeys: true,
  });
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
function checkAll(settings: unknown, source: Source): string[] {
  const { faults, unused } = checkSettings(ConfigFile, settings);
  const [first] = faults;
  if (first !== undefined) throw fault(source, first.path, first.message);
  const unset = unsetVariable(settings, []);
  if (unset !== undefined) throw fault(source, unset.path, `the environment variable ${unset.name} is not set`);
  return unused.map(({ path, message }) => `${formatPath(path)} has no effect: ${message}`);
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
function fault(source: Source, path: SettingPath, message: string, cause?: unknown): ConfigError {
  const origin = source.origin.get(formatPath(path));
  const line = source.lineOf(path);
  if (origin !== undefined) return new ConfigError(origin, message, { cause });
  const place = source.file === null || line === undefined ? "" : ` (${source.file}, line ${line})`;
  return new ConfigError(path.length === 0 ? (source.file ?? "settings") : formatPath(path), message + place, {
    cause,
  });
}

function override(settings: Record<string, unknown>, source: Source, env: Environment, flags: Flags): void {
  for (const { flag, env: variable, path } of OVERRIDES) {
    const value = flags[flag] ?? env[variable];
    if (value === undefined) continue;
    setIn(settings, path, value);
    source.origin.set(formatPath(path), flags[flag] === undefined ? variable : flagName(flag));
  }
}

const flagName = (flag: string) => `--${flag.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

function setIn(settings: Record<string, unknown>, path: SettingPath, value: unknown): void {
  let at = settings;
  for (const part of path.slice(0, -1)) at = (at[part] ??= {}) as Record<string, unknown>;
  at[path.at(-1)!] = value;
}

function assemble(file: ConfigFile, source: Source, warnings: string[]): Config {
  const own = file.railgate ?? {};
  const services = readServices(file, source);
  const keys = readKeys(file, source);
  const config: Config = {
    file: source.file,
    labels: file.labels ?? {},
    services,
    bundles: readBundles(file, services, keys, source),
    keys,
    ...given("decisionLogs", readDecisionLogs(file, services, source)),
    ...given("status", readStatus(file, services, source)),
    defaultDecision: file.default_decision ?? "/system/main",
    dataDir: resolve(source.cwd, own.data_dir ?? "data"),
    listen: readListen(own.listen ?? DEFAULT_LISTEN, source),
    logLevel: own.log_level ?? "info",
    ...given("nodeId", own.node_id ?? undefined),
    ...given(
      "upstream",
      own.upstream ? { url: readUrl(own.upstream.url, ["railgate", "upstream", "url"], source) } : undefined,
    ),
    ...given("tls", readTls(file, source)),
    behindProxy: own.behind_proxy ?? false,
    ...given("authentication", readAuthentication(file, source)),
    trust: readTrust(file, source),
    evidence: {
      profile: own.evidence?.profile ?? "ecs-evidence-admissible",
      ...given("logOrigin", own.evidence?.log_origin ?? undefined),
      ...given("checkpointDir", absolute(own.evidence?.checkpoint_dir, source)),
      ...given("eventKey", readEventKey(own.evidence?.event_key, source)),
      artifacts: Object.fromEntries(
        Object.entries(own.evidence?.artifacts ?? {}).map(([kind, files]) => [
          kind,
          files.map((file) => resolve(source.cwd, file)),
        ]),
      ),
    },
    ...given("witness", readWitness(file, source)),
    limits: readLimits(file),
    warnings,
  };
  checkListen(config, source);
  return config;
}

/** A member that is absent rather than undefined. */
function given<N extends string, V>(name: N, value: V | undefined): { [K in N]?: V } {
  return (value === undefined ? {} : { [name]: value }) as { [K in N]?: V };
}

type ServiceSettings = Exclude<NonNullable<ConfigFile["services"]>, readonly unknown[]>[string];

function readServices(file: ConfigFile, source: Source): Record<string, Service> {
  const listed = Array.isArray(file.services)
    ? file.services.map((service, index) => ({
        name: service.name!,
        service,
        path: ["services", index] as SettingPath,
      }))
    : Object.entries(file.services ?? {})
        .filter(([, service]) => service)
        .map(([name, service]) => ({ name, service, path: ["services", name] as SettingPath }));
  const twice = listed.find(({ name }, index) => listed.findIndex((other) => other.name === name) < index);
  if (twice) throw fault(source, twice.path, `there are two services called "${twice.name}"`);
  return Object.fromEntries(listed.map(({ name, service, path }) => [name, readService(name, service, path, source)]));
}

function readService(name: string, service: ServiceSettings, path: SettingPath, source: Source): Service {
  const { bearer, client_tls: clientTls } = service.credentials ?? {};
  const credentials: SettingPath = [...path, "credentials"];
  if (bearer && clientTls) throw fault(source, credentials, "holds more than one way; keep one");
  if (bearer && !bearer.token === !bearer.token_path)
    throw fault(source, [...credentials, "bearer"], "needs token or token_path, and not both");
  return {
    name,
    url: readUrl(service.url, [...path, "url"], source).replace(/\/+$/, ""),
    headers: service.headers ?? {},
    allowInsecureTls: service.allow_insecure_tls ?? false,
    responseHeaderTimeoutS: service.response_header_timeout_seconds ?? HEADER_TIMEOUT_S,
    tls: {
      ...given("caCert", absolute(service.tls?.ca_cert, source)),
      systemCaRequired: service.tls?.system_ca_required ?? false,
    },
    ...given(
      "bearer",
      bearer
        ? {
            ...given("token", bearer.token),
            ...given("tokenPath", absolute(bearer.token_path, source)),
            scheme: bearer.scheme ?? "Bearer",
          }
        : undefined,
    ),
    ...given(
      "clientTls",
      clientTls
        ? {
            cert: absolute(clientTls.cert, source)!,
            privateKey: absolute(clientTls.private_key, source)!,
            ...given("passphrase", clientTls.private_key_passphrase),
          }
        : undefined,
    ),
  };
}

const absolute = (path: string | undefined, source: Source) => (path ? resolve(source.cwd, path) : undefined);

function readUrl(text: string, path: SettingPath, source: Source): string {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) throw fault(source, path, "must be an http or https URL");
  return text;
}

function readKeys(file: ConfigFile, source: Source): Record<string, BundleKey> {
  const keys = Object.entries(file.keys ?? {}).flatMap(([name, key]): [string, BundleKey][] => {
    if (!key?.key) return [];
    const algorithm = key.algorithm ?? "RS256";
    if (isShared(algorithm)) return [];
    return [
      [
        name,
        { key: readPem(key.key, algorithm, ["keys", name, "key"], source), algorithm, ...given("scope", key.scope) },
      ],
    ];
  });
  return Object.fromEntries(keys);
}

/** A shared secret proves to nobody else who signed, so no bundle is verified with one. */
const isShared = (algorithm: string) => algorithm.startsWith("HS");
const KEY_TYPES: Readonly<Record<string, string>> = { RS: "rsa", PS: "rsa", ES: "ec" };

/** @returns the key as SPKI in PEM, whatever form it was given in. */
function readPem(pem: string, algorithm: string, path: SettingPath, source: Source): string {
  if (pem.includes("PRIVATE KEY"))
    throw fault(source, path, "holds a private key; give the public one, and treat the private one as known to others");
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch {
    throw fault(
      source,
      path,
      'must be a public key or certificate in PEM ("-----BEGIN …", its lines kept by YAML\'s "|")',
    );
  }
  if (key.asymmetricKeyType !== KEY_TYPES[algorithm.slice(0, 2)])
    throw fault(source, path, `is not a key for ${algorithm}; set algorithm to what it was made for`);
  return key.export({ type: "spki", format: "pem" }) as string;
}

function readBundles(
  file: ConfigFile,
  services: Config["services"],
  keys: Config["keys"],
  source: Source,
): Record<string, BundleSource> {
  const listed = Object.entries(file.bundles ?? {}).filter(([, bundle]) => bundle);
  const second = listed[1];
  if (second)
    throw fault(source, ["bundles", second[0]], "one bundle at a time is active; build the policies into one");
  return Object.fromEntries(
    listed.map(([name, bundle]) => [name, readBundle(name, bundle, file, services, keys, source)]),
  );
}

type BundleSettings = NonNullable<ConfigFile["bundles"]>[string];

function readBundle(
  name: string,
  bundle: BundleSettings,
  file: ConfigFile,
  services: Config["services"],
  keys: Config["keys"],
  source: Source,
): BundleSource {
  const path: SettingPath = ["bundles", name];
  checkSigning(bundle.signing?.keyid, file, keys, path, source);
  const polling = readDelays(bundle.polling, POLL_S, [...path, "polling"], source);
  return {
    name,
    from: readResource(bundle.resource ?? `bundles/${name}`, bundle.service, services, path, source),
    signing: {
      ...given("keyid", bundle.signing?.keyid),
      ...given("scope", bundle.signing?.scope),
      excludeFiles: bundle.signing?.exclude_files ?? [],
    },
    persist: bundle.persist ?? false,
    sizeLimitBytes: bundle.size_limit_bytes ?? BUNDLE_BYTES_MAX,
    polling: { ...polling, ...given("longPollingTimeoutS", bundle.polling?.long_polling_timeout_seconds) },
  };
}

function checkSigning(
  keyid: string | undefined,
  file: ConfigFile,
  keys: Config["keys"],
  path: SettingPath,
  source: Source,
): void {
  const names = Object.keys(keys);
  if (keyid === undefined ? names.length > 0 : names.includes(keyid)) return;
  if (keyid !== undefined && isShared(file.keys?.[keyid]?.algorithm ?? "")) {
    throw fault(
      source,
      ["keys", keyid, "algorithm"],
      "a shared secret proves to nobody else who signed; sign bundles with a key pair",
    );
  }
  if (names.length === 0)
    throw fault(
      source,
      path,
      "Railgate activates signed bundles only; put the public key of the one who signs it under `keys`",
    );
  throw fault(
    source,
    [...path, "signing", "keyid"],
    `there is no key "${keyid}" under \`keys\`${didYouMean(keyid!, names)}`,
  );
}

function readResource(
  resource: string,
  service: string | undefined,
  services: Config["services"],
  path: SettingPath,
  source: Source,
): BundleSource["from"] {
  if (!/^file:/i.test(resource))
    return { kind: "service", service: chooseService(service, services, path, source)!, resource };
  const url = URL.parse(resource);
  if (!/^file:\/\/\//i.test(resource) || url === null)
    throw fault(
      source,
      [...path, "resource"],
      "a file is named by three slashes and its absolute path: file:///path/to/bundle.tar.gz",
    );
  return { kind: "file", path: fileURLToPath(url) };
}

/** The service by its name; the only one where none is named. */
function chooseService(
  named: string | undefined,
  services: Config["services"],
  path: SettingPath,
  source: Source,
): string {
  const names = Object.keys(services);
  if (named !== undefined && names.includes(named)) return named;
  if (named !== undefined)
    throw fault(
      source,
      [...path, "service"],
      `there is no service "${named}" under \`services\`${didYouMean(named, names)}`,
    );
  if (names.length === 1) return names[0]!;
  throw fault(
    source,
    [...path, "service"],
    names.length === 0
      ? "is missing, and there is none under `services`"
      : `is missing; name one of ${names.join(", ")}`,
  );
}

type Delays = { min_delay_seconds?: number; max_delay_seconds?: number };

function readDelays(
  delays: Delays | undefined,
  defaults: { min: number; max: number },
  path: SettingPath,
  source: Source,
): { minDelayS: number; maxDelayS: number } {
  const { min_delay_seconds: min, max_delay_seconds: max } = delays ?? {};
  if ((min ?? undefined) === undefined && (max ?? undefined) === undefined)
    return { minDelayS: defaults.min, maxDelayS: defaults.max };
  if (!min || !max) throw fault(source, path, `needs ${min ? "max_delay_seconds" : "min_delay_seconds"} as well`);
  if (max < min) throw fault(source, [...path, "max_delay_seconds"], "must not be less than min_delay_seconds");
  return { minDelayS: min, maxDelayS: max };
}

function readDecisionLogs(file: ConfigFile, services: Config["services"], source: Source): Config["decisionLogs"] {
  const logs = file.decision_logs;
  if (!logs) return undefined;
  return {
    ...reportTo(logs, "logs", services, ["decision_logs"], source),
    ...readDelays(logs.reporting, REPORT_S, ["decision_logs", "reporting"], source),
    uploadSizeLimitBytes: logs.reporting?.upload_size_limit_bytes ?? REPORT_BYTES_MAX,
  };
}

function readStatus(file: ConfigFile, services: Config["services"], source: Source): Config["status"] {
  return file.status ? reportTo(file.status, "status", services, ["status"], source) : undefined;
}

/** Like OPA: `console` alone needs no service, anything else goes to the named or only one. */
function reportTo(
  to: { service?: string; console?: boolean; partition_name?: string; resource?: string },
  kind: string,
  services: Config["services"],
  path: SettingPath,
  source: Source,
): { service?: string; resource: string; console: boolean } {
  const service =
    to.service || !to.console ? chooseService(to.service || undefined, services, path, source) : undefined;
  return {
    ...given("service", service),
    resource: to.partition_name ? `/${kind}/${to.partition_name}` : (to.resource ?? `/${kind}`),
    console: to.console ?? false,
  };
}

function readListen(text: string, source: Source): Address {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(text);
  const port = Number(parts?.[3]);
  if (parts === null || port > 65_535) {
    throw fault(
      source,
      ["railgate", "listen"],
      `${JSON.stringify(text)} is not "host:port", such as "127.0.0.1:8181" or "[::1]:8181"`,
    );
  }
  const host = (parts[1] ?? parts[2])!;
  return { host, port, loopback: isLoopback(host) };
}

/** `localhost`, 127.0.0.0/8 or ::1 (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3). A name that merely resolves there doesn't count. */
function isLoopback(host: string): boolean {
  return (
    host === "localhost" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host) || /^(?:0{0,4}:){2,7}0{0,3}1$/.test(host)
  );
}

/** Other machines can reach this address, so the door must be locked. Source: api.md §1. */
function checkListen({ listen, tls, behindProxy, authentication }: Config, source: Source): void {
  if (listen.loopback) return;
  const missing = [
    ...(tls || behindProxy
      ? []
      : ["railgate.tls.cert and railgate.tls.key (or railgate.behind_proxy, if a proxy ends TLS)"]),
    ...(authentication ? [] : ["railgate.authentication (jwt or mtls)"]),
  ];
  if (missing.length === 0) return;
  throw fault(
    source,
    ["railgate", "listen"],
    `${listen.host} can be reached by others; set ${missing.join(", and ")}, or listen on 127.0.0.1`,
  );
}

function readTls(file: ConfigFile, source: Source): Config["tls"] {
  const { cert, key, client_ca: clientCa } = file.railgate?.tls ?? {};
  if (!cert && !key && !clientCa) return undefined;
  if (!cert || !key)
    throw fault(
      source,
      ["railgate", "tls", cert ? "key" : "cert"],
      `is missing; TLS needs railgate.tls.cert and railgate.tls.key`,
    );
  return {
    cert: absolute(cert, source)!,
    key: absolute(key, source)!,
    ...given("clientCa", absolute(clientCa, source)),
  };
}

function readAuthentication(file: ConfigFile, source: Source): Config["authentication"] {
  const { jwt, mtls } = file.railgate?.authentication ?? {};
  const path: SettingPath = ["railgate", "authentication"];
  if (!jwt && !mtls) return undefined;
  if (mtls && !file.railgate?.tls?.client_ca)
    throw fault(source, [...path, "mtls"], "needs railgate.tls.client_ca, the authorities of client certificates");
  return {
    ...given(
      "jwt",
      jwt
        ? {
            jwks: readJwks(jwt.jwks, [...path, "jwt", "jwks"], source),
            issuer: jwt.issuer,
            audience: jwt.audience,
            tenantClaim: jwt.tenant_claim ?? "tenant_id",
          }
        : undefined,
    ),
    ...given("mtls", mtls ? { tenantFrom: mtls.tenant_from ?? "O" } : undefined),
  };
}

function readTrust(file: ConfigFile, source: Source): Config["trust"] {
  const pinned = <T extends { issuer: string; jwks: unknown }>(list: readonly T[] | undefined, name: string) =>
    (list ?? []).map((entry, index) => {
      const path: SettingPath = ["railgate", "trust", name, index];
      if (list!.findIndex(({ issuer }) => issuer === entry.issuer) < index)
        throw fault(source, [...path, "issuer"], "appears twice; put its keys in one JWKS");
      return { entry, jwks: readJwks(entry.jwks, [...path, "jwks"], source) };
    });
  const { authorities, attesters } = file.railgate?.trust ?? {};
  return {
    authorities: pinned(authorities, "authorities").map(({ entry, jwks }) => ({
      issuer: entry.issuer,
      jwks,
      root: entry.root ?? false,
    })),
    attesters: pinned(attesters, "attesters").map(({ entry, jwks }) => ({ issuer: entry.issuer, jwks })),
  };
}

function readWitness(file: ConfigFile, source: Source): Config["witness"] {
  const { name, logs = [] } = file.railgate?.witness ?? {};
  if (logs.length === 0) return undefined;
  const path: SettingPath = ["railgate", "witness", "logs"];
  return {
    ...given("name", name),
    logs: logs.map(({ origin, vkey }, index) => {
      const key = parseVkey(sha256, vkey);
      if (key?.type !== SIGNATURE_TYPES.ed25519)
        throw fault(source, [...path, index, "vkey"], "is no Ed25519 verifier key, or was not copied whole");
      if (logs.findIndex((other) => other.origin === origin && other.vkey === vkey) < index)
        throw fault(source, [...path, index], "appears twice");
      return { origin, vkey };
    }),
  };
}

type EventKeySettings = NonNullable<NonNullable<ConfigFile["railgate"]>["evidence"]>["event_key"];

function readEventKey(settings: EventKeySettings, source: Source): EventKeySource | undefined {
  const path: SettingPath = ["railgate", "evidence", "event_key"];
  if (!settings) return undefined;
  const { file, env, directory } = settings;
  if ([file, env, directory].filter(Boolean).length !== 1)
    throw fault(source, path, "needs one of file, env, directory, and no more");
  if (directory)
    return { name: `the folder ${resolve(source.cwd, directory)}`, directory: resolve(source.cwd, directory) };
  if (file)
    return { name: `the file ${resolve(source.cwd, file)}`, read: () => readFileOf(file, [...path, "file"], source) };
  const value = source.env[env!];
  if (!value) throw fault(source, [...path, "env"], `the environment variable ${env} is not set`);
  return { name: `the variable ${env}`, read: () => value };
}

/** Keys from a file or as they stand. Only local ones: nothing that decides may hang on a network. */
function readJwks(given: unknown, path: SettingPath, source: Source): Jwks {
  if (typeof given === "string" && URL.canParse(given) && !given.startsWith("file:"))
    throw fault(source, path, "keys aren't fetched; save them to a file and name that");
  const jwks = typeof given === "string" ? parseJwks(readFileOf(given, path, source), path, source) : (given as Jwks);
  if (jwks.keys.length === 0) throw fault(source, path, "holds no key");
  jwks.keys.forEach((key, index) => {
    const problem = problemWithJwk(key);
    if (problem !== undefined) throw fault(source, path, `key ${index + 1} ${problem}`);
  });
  return jwks;
}

function parseJwks(text: string, path: SettingPath, source: Source): Jwks {
  try {
    const parsed: unknown = JSON.parse(text);
    if (Array.isArray((parsed as Jwks | null)?.keys)) return parsed as Jwks;
  } catch {
    // The parser's message quotes the file; what follows says enough.
  }
  throw fault(source, path, 'the file is no JWKS: a JSON object with a list "keys" (RFC 7517 §5)');
}

function problemWithJwk(key: unknown): string | undefined {
  if (typeof key !== "object" || key === null) return "is not an object";
  const jwk = key as Record<string, unknown>;
  if (jwk["kty"] === "oct" || "k" in jwk) return "is a shared secret: whoever verifies with it could sign with it";
  if ("d" in jwk) return "is a private key; give the public one, and treat the private one as known to others";
  try {
    createPublicKey({ key: jwk as never, format: "jwk" });
    return undefined;
  } catch {
    return "can't be used as a public key";
  }
}

function readFileOf(name: string, path: SettingPath, source: Source): string {
  const file = name.startsWith("file:") ? fileURLToPath(name) : resolve(source.cwd, name);
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw fault(source, path, `can't read ${file} (${(cause as NodeJS.ErrnoException).code})`, cause);
  }
}

function readText(file: string, setting: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new ConfigError(setting, `can't read ${file} (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
}

function readLimits(file: ConfigFile): Config["limits"] {
  const limits = file.railgate?.limits ?? {};
  return {
    bodyBytesMax: limits.body_bytes_max ?? file.server?.decoding?.max_length ?? LIMITS.bodyBytesMax,
    batchItemsMax: limits.batch_items_max ?? LIMITS.batchItemsMax,
    queueMax: limits.queue_max ?? LIMITS.queueMax,
    evaluationMsMax: limits.evaluation_ms_max ?? LIMITS.evaluationMsMax,
  };
}

function freeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(freeze);
  }
  return value;
}
