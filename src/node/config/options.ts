// From settings to what a node is opened with.
import { readFileSync, statSync } from "node:fs";
import type { Config, Jwks } from "./config.ts";
import { BundleError, ConfigError } from "../../core/errors.ts";
import { parseVkey } from "../../core/note.ts";
import { sha256 } from "../../core/sha256.ts";
import { DEFAULT_BUNDLE, type BundleSource, type NodeOptions } from "../open.ts";

/** @throws ConfigError for a setting that asks for what can't be done. */
export function nodeOptions(config: Config): NodeOptions {
  const keysOf = ({ keys }: Jwks) => keys.map((key) => ({ ...key }));
  const { authorities, attesters } = config.trust;
  return {
    dataDir: config.dataDir,
    nodeId: config.nodeId,
    bundle: bundleSource(config),
    trust: {
      authorities: authorities.map(({ issuer, jwks, root }) => ({ issuer, jwks: keysOf(jwks), root })),
      attesters: attesters.map(({ jwks, ...attester }) => ({ ...attester, jwks: keysOf(jwks) })),
    },
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
    evaluationMsMax: config.limits.evaluationMsMax,
    queueMax: config.limits.queueMax,
  };
}

/**
 * The bundle that the settings name, or the one that comes with Railgate.
 * @throws ConfigError for a setting that asks for what can't be done.
 */
export function bundleSource({ bundles, keys }: Config): BundleSource {
  const [bundle] = Object.values(bundles);
  if (bundle === undefined) return DEFAULT_BUNDLE;
  const { name, from, signing, sizeLimitBytes } = bundle;
  if (from.kind === "service") {
    throw new ConfigError(
      `bundles.${name}.service`,
      "bundles can't be fetched from a service yet; name a file (resource: file:///path/to/bundle.tar.gz)",
    );
  }
  if (signing.excludeFiles.length > 0)
    throw new ConfigError(
      `bundles.${name}.signing.exclude_files`,
      "every file of a bundle has to be signed; leave this out",
    );
  const bytes = () => {
    const { size } = statSync(from.path);
    if (size > sizeLimitBytes)
      throw new BundleError(
        "archive",
        `${from.path} has ${size} bytes, more than bundles.${name}.size_limit_bytes allows`,
      );
    return readFileSync(from.path);
  };
  return { bytes, keys, keyId: signing.keyid, scope: signing.scope };
}
