// The settings under `railgate`: where to listen and to whom, whose word counts, what evidence must hold, how much is taken.
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import type { ServiceAccess } from "../../outbound/access.ts";
import { parseVkey, SIGNATURE_TYPES } from "../../core/note.ts";
import type { ConfigFile } from "../../core/schema/config.ts";
import { DEFAULTS } from "../../core/schema/defaults.ts";
import { sha256 } from "../../core/sha256.ts";
import { durationS } from "../../core/time.ts";
import type { SettingPath } from "../../core/settings.ts";
import { readJwks, readRoots } from "./keys.ts";
import { readProvenance } from "./provenance.ts";
import { proxyFor } from "./proxy.ts";
import { absolute, fault, fileNamed, given, readFileOf, readUrl, type Source } from "./source.ts";
import type { Address, Config, EventKeySource } from "./types.ts";

export function readListen(text: string | undefined, source: Source): Address {
  return readAddress(text ?? DEFAULTS.listen, ["railgate", "listen"], source);
}

export function readDiagnostics(file: ConfigFile, source: Source): Config["diagnostics"] {
  const { listen } = file.railgate?.diagnostics ?? {};
  return listen ? { listen: readAddress(listen, ["railgate", "diagnostics", "listen"], source) } : undefined;
}

function readAddress(text: string, path: SettingPath, source: Source): Address {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(text);
  const port = Number(parts?.[3]);
  if (parts === null || port > 65_535) {
    throw fault(source, path, `${JSON.stringify(text)} is not "host:port", such as "127.0.0.1:8181" or "[::1]:8181"`);
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

type Locks = Pick<Config, "listen" | "diagnostics" | "tls" | "behindProxy" | "authentication">;

/** Other machines can reach these addresses, so the door must be locked. Source: api.md §1. */
export function checkListen(config: Locks, source: Source): void {
  checkAddress(config.listen, ["railgate", "listen"], config, source);
  if (config.diagnostics)
    checkAddress(config.diagnostics.listen, ["railgate", "diagnostics", "listen"], config, source);
}

function checkAddress(
  listen: Address,
  path: SettingPath,
  { tls, behindProxy, authentication }: Locks,
  source: Source,
): void {
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
    path,
    `${listen.host} can be reached by others; set ${missing.join(", and ")}, or listen on 127.0.0.1`,
  );
}

/** The address may hold a password, so no message shows it. */
export function readStore(file: ConfigFile, source: Source): Config["store"] {
  const { url, pool_max } = file.railgate?.store ?? {};
  const path: SettingPath = ["railgate", "store", "url"];
  if (url === undefined) {
    if (pool_max !== undefined) throw fault(source, path, "is missing; pool_max is of its connections");
    return undefined;
  }
  if (!/^postgres(?:ql)?:\/\/./.test(url)) throw fault(source, path, "must begin with postgres://");
  checkApart(file, source);
  return { url, ...given("poolMax", pool_max) };
}

/** Of the nodes above and below each has one store of its own: whoever sends, takes or settles for several would do it several times. */
function checkApart({ railgate = {} }: ConfigFile, source: Source): void {
  const cure = "leave railgate.store out, and let a node with a database of its own do it";
  if (railgate.upstream !== undefined)
    throw fault(
      source,
      ["railgate", "upstream"],
      `cannot stand beside railgate.store.url: replicas that share a database send nothing upstream; ${cure}`,
    );
  if ((railgate.downstream?.nodes ?? []).length > 0)
    throw fault(
      source,
      ["railgate", "downstream", "nodes"],
      `cannot stand beside railgate.store.url: replicas that share a database take no records of others; ${cure}`,
    );
}

export function readTls(file: ConfigFile, source: Source): Config["tls"] {
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

export function readAuthentication(file: ConfigFile, source: Source): Config["authentication"] {
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
            ...given("jwksFile", fileNamed(jwt.jwks, source)),
            issuer: jwt.issuer,
            audience: jwt.audience,
            tenantClaim: jwt.tenant_claim ?? DEFAULTS.tenantClaim,
            operatorClaim: jwt.operator_claim ?? DEFAULTS.operatorClaim,
          }
        : undefined,
    ),
    ...given("mtls", mtls ? { tenantFrom: mtls.tenant_from ?? DEFAULTS.tenantFrom } : undefined),
  };
}

export function readTrust(file: ConfigFile, source: Source): Config["trust"] {
  const once = <T extends { issuer: string }>(list: readonly T[] | undefined, name: string) =>
    (list ?? []).map((entry, index) => {
      const path: SettingPath = ["railgate", "trust", name, index];
      if (list!.findIndex(({ issuer }) => issuer === entry.issuer) < index)
        throw fault(source, [...path, "issuer"], "appears twice; put its keys in one JWKS");
      return { entry, path };
    });
  const pinned = (jwks: unknown, path: SettingPath) => ({
    jwks: readJwks(jwks, [...path, "jwks"], source),
    ...given("jwksFile", fileNamed(jwks, source)),
  });
  const { authorities, attesters } = file.railgate?.trust ?? {};
  return {
    authorities: once(authorities, "authorities").map(({ entry, path }) => ({
      issuer: entry.issuer,
      ...pinned(entry.jwks, path),
      root: entry.root ?? false,
    })),
    attesters: once(attesters, "attesters").map(({ entry, path }) => {
      const { jwks, x5c_roots: roots } = entry;
      if (jwks === undefined && roots === undefined)
        throw fault(source, [...path, "jwks"], "is missing; a token is verified with it, or by x5c_roots");
      return {
        issuer: entry.issuer,
        ...(jwks === undefined ? { jwks: { keys: [] } } : pinned(jwks, path)),
        ...given("format", entry.format),
        ...given("x5cRoots", roots === undefined ? undefined : readRoots(roots, [...path, "x5c_roots"], source)),
        ...given("x5cRootsFile", fileNamed(roots, source)),
        ...given("audience", entry.audience),
        ...given("policies", entry.policies),
        ...given("maxAgeS", entry.max_age === undefined ? undefined : durationS(entry.max_age)),
      };
    }),
    ...given("provenance", readProvenance(file, source)),
  };
}

export function readWitness(file: ConfigFile, source: Source): Config["witness"] {
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

/** How long the header of an answer may take: what was sent is checked and made durable first. */
const UPSTREAM_HEADER_S = 60;

/** By its URL alone, or as one of `services`. */
export function readUpstream(file: ConfigFile, services: Config["services"], source: Source): Config["upstream"] {
  const { upstream } = file.railgate ?? {};
  const path: SettingPath = ["railgate", "upstream"];
  if (upstream === undefined) return undefined;
  const { url, service, heartbeat_ms: heartbeatMs } = upstream;
  if ((url === undefined) === (service === undefined)) {
    if (url !== undefined) throw fault(source, [...path, "service"], "stands beside url; name the upstream once");
    throw fault(source, [...path, "url"], "is missing; or name one of services as service");
  }
  if (service !== undefined && services[service] === undefined)
    throw fault(source, [...path, "service"], `names ${service}, which is not among services`);
  const access =
    service !== undefined ? services[service]! : upstreamAt(readUrl(url!, [...path, "url"], source), source);
  return { access, ...given("heartbeatMs", heartbeatMs) };
}

function upstreamAt(written: string, { env }: Source): ServiceAccess {
  const url = written.replace(/\/+$/, "");
  return {
    name: "upstream",
    url,
    ...given("proxy", proxyFor(url, env)),
    headers: {},
    allowInsecureTls: false,
    responseHeaderTimeoutS: UPSTREAM_HEADER_S,
    tls: { systemCaRequired: false },
  };
}

export function readPartition({ railgate }: ConfigFile): Config["partition"] {
  const { lost_after_ms, settled_after_ms, reconciled_for_ms } = railgate?.partition ?? {};
  return {
    ...given("lostAfterMs", lost_after_ms),
    ...given("settledAfterMs", settled_after_ms),
    ...given("reconciledForMs", reconciled_for_ms),
  };
}

export function readDownstream(file: ConfigFile, source: Source): Config["downstream"] {
  const { nodes = [] } = file.railgate?.downstream ?? {};
  const path: SettingPath = ["railgate", "downstream", "nodes"];
  return nodes.map(({ node_id: nodeId, jwks, via = [] }, index) => {
    if (nodes.findIndex((other) => other.node_id === nodeId) < index)
      throw fault(source, [...path, index, "node_id"], "appears twice; put its keys in one JWKS");
    const keys = jwks === undefined ? undefined : readJwks(jwks, [...path, index, "jwks"], source).keys;
    return { nodeId, via, ...given("keys", keys) };
  });
}

/** Processors that are not for deciding: one records, one does all the rest. */
const PROCESSORS_KEPT = 2;

export function readThreads({ railgate = {} }: ConfigFile, source: Source): number {
  const { threads = DEFAULTS.threads } = railgate;
  const problem =
    process.platform === "linux" ? undefined : "is 1 on this system: only on Linux several threads can share a port";
  if (threads === "auto") return problem ? 1 : Math.max(1, availableParallelism() - PROCESSORS_KEPT);
  if (problem && threads > 1) throw fault(source, ["railgate", "threads"], problem);
  return threads;
}

/** A cluster is watched where it is said which one. */
export function readKubernetes(file: ConfigFile, source: Source): Config["kubernetes"] {
  const { in_cluster: inCluster = false, kubeconfig, context } = file.railgate?.kubernetes ?? {};
  if (inCluster && kubeconfig !== undefined)
    throw fault(source, ["railgate", "kubernetes"], "names a cluster twice: by in_cluster and by kubeconfig");
  if (!inCluster && kubeconfig === undefined) return undefined;
  return {
    inCluster,
    ...given("kubeconfig", kubeconfig === undefined ? undefined : resolve(source.cwd, kubeconfig)),
    ...given("context", context),
  };
}

type EventKeySettings = NonNullable<NonNullable<ConfigFile["railgate"]>["evidence"]>["event_key"];

export function readEventKey(settings: EventKeySettings, source: Source): EventKeySource | undefined {
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

type RetentionSettings = NonNullable<NonNullable<ConfigFile["railgate"]>["evidence"]>["retention"];

export function readRetention(settings: RetentionSettings): Config["evidence"]["retention"] {
  const kept = Object.entries((settings?.artifacts ?? {}) as Record<string, string | null>).flatMap(
    ([profile, duration]) => (duration === null ? [] : [[profile, durationS(duration)!] as const]),
  );
  return kept.length === 0 ? undefined : { artifacts: Object.fromEntries(kept) };
}

export function readLimits(file: ConfigFile): Config["limits"] {
  const limits = file.railgate?.limits ?? {};
  return {
    bodyBytesMax: limits.body_bytes_max ?? file.server?.decoding?.max_length ?? DEFAULTS.bodyBytesMax,
    batchItemsMax: limits.batch_items_max ?? DEFAULTS.batchItemsMax,
    queueMax: limits.queue_max ?? DEFAULTS.queueMax,
    evaluationMsMax: limits.evaluation_ms_max ?? DEFAULTS.evaluationMsMax,
  };
}
