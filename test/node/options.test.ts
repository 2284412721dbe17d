// Settings as a node takes them: trust, limits, and where its bundle comes from.
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { loadConfig } from "../../src/node/config/config.ts";
import { BundleError, ConfigError } from "../../src/core/errors.ts";
import { DEFAULT_BUNDLE } from "../../src/node/open.ts";
import type { Config } from "../../src/node/config/config.ts";
import type { BundleSource } from "../../src/policies/source.ts";
import { bundleSources, nodeOptions } from "../../src/node/config/options.ts";

const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const pem = publicKey.export({ type: "spki", format: "pem" }) as string;
const jwk = publicKey.export({ format: "jwk" });
const KEYS = `keys: { release: { algorithm: ES256, key: ${JSON.stringify(pem)} } }\n`;

/** The only one, whose bytes are at hand. */
const bundleSource = (config: Config) => bundleSources(config)[0] as BundleSource;

function config(yaml: string) {
  const cwd = mkdtempSync(join(tmpdir(), "railgate-options-"));
  writeFileSync(join(cwd, "opa.yaml"), yaml);
  writeFileSync(join(cwd, "bundle.tar.gz"), "bundle");
  return {
    cwd,
    config: (more = "") => (
      writeFileSync(join(cwd, "opa.yaml"), yaml.replaceAll("CWD", cwd) + more), loadConfig({ env: {}, cwd })
    ),
  };
}

test("with no bundle configured it is the one that comes with Railgate", (t) => {
  t.is(bundleSource(config("").config()), DEFAULT_BUNDLE);
});

test("a configured bundle is read when it is needed, with the keys that may sign it", (t) => {
  const source = bundleSource(
    config(
      `${KEYS}bundles: { b: { resource: "file://CWD/bundle.tar.gz", signing: { keyid: release, scope: read } } }`,
    ).config(),
  );
  t.is(Buffer.from(source.bytes()).toString(), "bundle");
  t.deepEqual(
    [source.keys, source.keyId, source.scope],
    [{ release: { key: pem, algorithm: "ES256" } }, "release", "read"],
  );
});

test("a bundle over its limit is not read", (t) => {
  const source = bundleSource(
    config(`${KEYS}bundles: { b: { resource: "file://CWD/bundle.tar.gz", size_limit_bytes: 5 } }`).config(),
  );
  t.throws(() => source.bytes(), {
    instanceOf: BundleError,
    message: /has 6 bytes, more than bundles\.b\.size_limit_bytes allows/,
  });
});

test("what can't be done is said, by its setting", (t) => {
  const asks = (yaml: string) => () => bundleSource(config(KEYS + yaml).config());
  t.throws(asks("bundles: { b: { resource: file:///b, signing: { exclude_files: [x] } } }"), {
    instanceOf: ConfigError,
    message: /^bundles\.b\.signing\.exclude_files: /,
  });
});

test("a bundle of a service is polled, with the terms that it must meet", (t) => {
  const { bundle, bundles, services } = nodeOptions(
    config(
      `${KEYS}services: { s: { url: http://a } }\nbundles: { b: { polling: { min_delay_seconds: 1, max_delay_seconds: 2, long_polling_timeout_seconds: 3 }, size_limit_bytes: 9 }, c: { resource: "file://CWD/bundle.tar.gz" } }`,
    ).config(),
  );
  t.is(bundle, undefined);
  t.deepEqual(bundles![0] as unknown, {
    name: "b",
    keys: { release: { key: pem, algorithm: "ES256" } },
    keyId: undefined,
    scope: undefined,
    sizeLimitBytes: 9,
    service: "s",
    resource: "bundles/b",
    polling: { minDelayS: 1, maxDelayS: 2, longPollingTimeoutS: 3 },
  });
  t.is(bundles![1]!.name, "c");
  t.is(services!["s"]!.url, "http://a");
});

test("trust, limits and names are handed on", (t) => {
  const { cwd, config: load } = config(
    `railgate: { node_id: n, limits: { queue_max: 7, evaluation_ms_max: 8 }, evidence: { profile: ecs-evidence-ncp, log_origin: log.example, checkpoint_dir: signed }, trust: { authorities: [{ issuer: a, root: true, jwks: ${JSON.stringify({ keys: [jwk] })} }], attesters: [{ issuer: b, jwks: ${JSON.stringify({ keys: [jwk] })} }] } }`,
  );
  const { bundle, ...options } = nodeOptions(load());
  t.is(bundle, DEFAULT_BUNDLE);
  t.deepEqual(options, {
    dataDir: join(cwd, "data"),
    nodeId: "n",
    queueMax: 7,
    evaluationMsMax: 8,
    evidenceProfileId: "ecs-evidence-ncp",
    logOrigin: "log.example",
    checkpointDir: join(cwd, "signed"),
    trust: { authorities: [{ issuer: "a", root: true, jwks: [jwk] }], attesters: [{ issuer: "b", jwks: [jwk] }] },
  } as never);
});
