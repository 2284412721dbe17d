// Settings, from `opa.yaml`, then the environment, then flags. The only reader of the environment.
import { resolve } from "node:path";
import type { ConfigFile } from "../../core/schema/config.ts";
import { DEFAULTS } from "../../core/schema/defaults.ts";
import { openWayTo } from "../../store/shared.ts";
import { readBundles, readDecisionLogs, readKeys, readServices, readStatus } from "./opa.ts";
import {
  checkListen,
  readAuthentication,
  readDiagnostics,
  readDownstream,
  readEventKey,
  readKubernetes,
  readLimits,
  readListen,
  readStore,
  readRetention,
  readThreads,
  readTls,
  readPartition,
  readTrust,
  readUpstream,
  readWitness,
} from "./railgate.ts";
import { absolute, checkAll, checkVariables, findFile, given, override, readSettings, type Source } from "./source.ts";
import { readServer } from "./server.ts";
import type { Config, Environment, Flags } from "./types.ts";

export type { Config, Environment, Flags, Jwks, LogLevel } from "./types.ts";

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
  checkAll(settings, source);
  override(settings, source, env, flags);
  source.notes.push(...checkAll(settings, source));
  return freeze({ ...assemble(settings as ConfigFile, source), ...readServer(env, flags, cwd) });
}

/** Whether a stack trace is wanted, before settings could be read. */
export const debugWanted = (env: Environment = process.env): boolean =>
  env["RAILGATE_LOG_LEVEL"] === "debug" || env["RAILGATE_LOG_LEVEL"] === "trace";

/** Whether to write colour to this stream: a terminal, and no word against it (https://no-color.org). */
export const colourWanted = (stream: { isTTY?: boolean }, env: Environment = process.env): boolean =>
  stream.isTTY === true && !env["NO_COLOR"] && env["TERM"] !== "dumb";

/** Where the tools of policy authors are looked for, and kept. */
export const toolPlaces = (
  env: Environment = process.env,
): { opa: string | undefined; path: string; cache: string | undefined } => ({
  opa: env["OPA"] || undefined,
  path: env["PATH"] ?? "",
  cache: env["XDG_CACHE_HOME"] || undefined,
});

/** What a tool is run in: this process's own, and some variables more. */
export const toolEnvironment = (more: Environment, env: Environment = process.env): Environment => ({
  ...env,
  ...more,
});

type NodeConfig = Omit<Config, "server" | "credentials">;

function assemble(file: ConfigFile, source: Source): NodeConfig {
  const own = file.railgate ?? {};
  const services = readServices(file, source);
  const keys = readKeys(file, source);
  const config: NodeConfig = {
    file: source.file,
    labels: file.labels ?? {},
    services,
    bundles: readBundles(file, services, keys, source),
    keys,
    ...given("decisionLogs", readDecisionLogs(file, services, source)),
    ...given("status", readStatus(file, services, source)),
    defaultDecision: file.default_decision ?? DEFAULTS.defaultDecision,
    dataDir: resolve(source.cwd, own.data_dir ?? DEFAULTS.dataDir),
    ...given("store", readStore(file, source)),
    listen: readListen(own.listen, source),
    threads: readThreads(file, source),
    ...given("diagnostics", readDiagnostics(file, source)),
    logLevel: own.log_level ?? DEFAULTS.logLevel,
    ...given("nodeId", own.node_id ?? undefined),
    ...given("settings", absolute(own.settings, source)),
    ...given("upstream", readUpstream(file, services, source)),
    partition: readPartition(file),
    downstream: readDownstream(file, source),
    ...given("tls", readTls(file, source)),
    behindProxy: own.behind_proxy ?? false,
    ...given("authentication", readAuthentication(file, source)),
    ...given("authzen", own.authzen?.entrypoint ? { entrypoint: own.authzen.entrypoint } : undefined),
    trust: readTrust(file, source),
    evidence: {
      profile: own.evidence?.profile ?? DEFAULTS.evidenceProfile,
      ...given("logOrigin", own.evidence?.log_origin ?? undefined),
      ...given("checkpointDir", absolute(own.evidence?.checkpoint_dir, source)),
      ...given("eventKey", readEventKey(own.evidence?.event_key, source)),
      ...given("retention", readRetention(own.evidence?.retention)),
      artifacts: Object.fromEntries(
        Object.entries(own.evidence?.artifacts ?? {}).map(([kind, files]) => [
          kind,
          files.map((file) => resolve(source.cwd, file)),
        ]),
      ),
    },
    ...given("witness", readWitness(file, source)),
    ...given("kubernetes", readKubernetes(file, source)),
    limits: readLimits(file),
    warnings: source.notes,
    exposed: exposedBy(own.store?.url ?? undefined),
  };
  checkListen(config, source);
  return config;
}

/** @param storeUrl of a database that nodes share. */
function exposedBy(storeUrl: string | undefined): Config["exposed"] {
  const host = storeUrl === undefined ? undefined : openWayTo(storeUrl, process.env["PGSSLMODE"]);
  if (host === undefined) return [];
  const message = `the way to ${host} (railgate.store.url) is not encrypted: whoever is on it reads passwords and evidence, and can change them`;
  return [{ message, cure: "add sslmode=verify-full to the URL, unless something else protects the way" }];
}

function freeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(freeze);
  }
  return value;
}
