// From settings to what a node is opened with.
import { readFileSync } from "node:fs";
import type { Config } from "../config.ts";
import { ConfigError } from "../core/errors.ts";
import { DEFAULT_BUNDLE, type BundleSource, type NodeOptions } from "../node.ts";

/** @throws ConfigError when the settings ask for what can't be had. */
export function nodeOptions(config: Config): NodeOptions {
  const pinned = <T extends { issuer: string; jwks: { keys: readonly object[] } }>({ jwks, ...entry }: T) => ({ ...entry, jwks: jwks.keys.map((key) => ({ ...key })) });
  return {
    dataDir: config.dataDir,
    nodeId: config.nodeId,
    bundle: bundleSource(config),
    trust: { authorities: config.trust.authorities.map(pinned), attesters: config.trust.attesters.map(pinned) },
    evidenceProfileId: config.evidence.profile,
    evaluationMsMax: config.limits.evaluationMsMax,
    queueMax: config.limits.queueMax,
  };
}

/** The configured bundle, or the one that comes with Railgate. */
export function bundleSource(config: Config): BundleSource {
  const [bundle] = Object.values(config.bundles);
  if (bundle === undefined) return DEFAULT_BUNDLE;
  const { from, signing } = bundle;
  if (from.kind === "service") throw new ConfigError(`bundles.${bundle.name}.service`, "bundles can't be fetched from a service here; name a file: resource: file:///path/to/bundle.tar.gz");
  return { bytes: () => readFileSync(from.path), keys: config.keys, keyId: signing.keyid, scope: signing.scope };
}
