// From settings to what a node is opened with.
import { readFileSync, statSync } from "node:fs";
import type { Config, Jwks } from "./config.ts";
import { BundleError, ConfigError } from "../../core/errors.ts";
import { parseVkey } from "../../core/note.ts";
import { sha256 } from "../../core/sha256.ts";
import type { BundleSource, ConfiguredSource } from "../../policies/source.ts";
import { DEFAULT_BUNDLE, type NodeOptions } from "../options.ts";
import type { TrustConfig } from "../../trust/trust.ts";
import { provenanceOptions } from "./provenance.ts";
import { given } from "./source.ts";
import type { ConfiguredBundle, Reporting } from "./types.ts";

/** @throws ConfigError for a setting that asks for what can't be done. */
export function nodeOptions(config: Config): NodeOptions {
  const sources = bundleSources(config);
  return {
    dataDir: config.dataDir,
    ...(config.store && { store: config.store }),
    nodeId: config.nodeId,
    ...(isShipped(sources) ? { bundle: sources[0] } : { bundles: sources }),
    ...(config.settings !== undefined && { settings: config.settings, settingsKeys: config.keys }),
    ...(Object.keys(config.keys).length > 0 && { bundleKeys: config.keys }),
    ...(Object.keys(config.services).length > 0 && { services: config.services }),
    ...reportOptions(config),
    trust: trustOptions(config.trust),
    ...(config.downstream.length > 0 && { downstream: config.downstream }),
    ...(config.upstream && { upstream: config.upstream }),
    ...(Object.keys(config.partition).length > 0 && { partitionTimes: config.partition }),
    evidenceProfileId: config.evidence.profile,
    logOrigin: config.evidence.logOrigin,
    checkpointDir: config.evidence.checkpointDir,
    ...(config.evidence.eventKey && { eventKey: config.evidence.eventKey }),
    ...(config.witness && {
      witness: {
        ...config.witness,
        logs: config.witness.logs.map(({ origin, vkey }) => ({ origin, key: parseVkey(sha256, vkey)! })),
      },
    }),
    ...(config.evidence.retention && { retention: config.evidence.retention }),
    evaluationMsMax: config.limits.evaluationMsMax,
    queueMax: config.limits.queueMax,
  };
}

function reportOptions({
  labels,
  decisionLogs,
  status,
}: Config): Pick<NodeOptions, "labels" | "decisionLogs" | "status"> {
  return {
    ...(Object.keys(labels).length > 0 && { labels }),
    ...(decisionLogs && logOptions(decisionLogs)),
    ...(status?.service !== undefined && {
      status: { service: status.service, resource: status.resource, everyMs: STATUS_MS },
    }),
  };
}

/** With `console` alone nothing goes to a service. */
function logOptions({ service, console: _, ...logs }: Reporting): Pick<NodeOptions, "decisionLogs"> {
  return service === undefined ? {} : { decisionLogs: { ...logs, service } };
}

/** OPA's default between two reports. */
const STATUS_MS = 300_000;

export function trustOptions({ authorities, attesters, provenance }: Config["trust"]): TrustConfig {
  const keysOf = ({ keys }: Jwks) => keys.map((key) => ({ ...key }));
  return {
    authorities: authorities.map(({ issuer, jwks, root }) => ({ issuer, jwks: keysOf(jwks), root })),
    attesters: attesters.map(({ jwks, jwksFile: _, x5cRootsFile: __, ...attester }) => ({
      ...attester,
      jwks: keysOf(jwks),
    })),
    ...given("provenance", provenanceOptions(provenance)),
  };
}

const isShipped = (sources: ReturnType<typeof bundleSources>): sources is readonly [BundleSource] =>
  sources[0] === DEFAULT_BUNDLE;

/**
 * The bundles that the settings name, or the one that comes with Railgate.
 * @throws ConfigError for a setting that asks for what can't be done.
 */
export function bundleSources({ bundles, keys }: Config): readonly [BundleSource] | readonly ConfiguredSource[] {
  const named = Object.values(bundles).map((bundle) => sourceOf(bundle, keys));
  return named.length === 0 ? [DEFAULT_BUNDLE] : named;
}

function sourceOf(
  { name, from, signing, sizeLimitBytes, polling }: ConfiguredBundle,
  keys: Config["keys"],
): ConfiguredSource {
  if (signing.excludeFiles.length > 0)
    throw new ConfigError(
      `bundles.${name}.signing.exclude_files`,
      "every file of a bundle has to be signed; leave this out",
    );
  const terms = { name, keys, keyId: signing.keyid, scope: signing.scope, sizeLimitBytes };
  if (from.kind === "service") return { ...terms, service: from.service, resource: from.resource, polling };
  const bytes = () => {
    const { size } = statSync(from.path);
    if (size > sizeLimitBytes)
      throw new BundleError(
        "archive",
        `${from.path} has ${size} bytes, more than bundles.${name}.size_limit_bytes allows`,
      );
    return readFileSync(from.path);
  };
  return { ...terms, bytes };
}
