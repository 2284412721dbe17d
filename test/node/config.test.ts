// Settings: where they come from, which win, and that every error names its setting and keeps secrets to itself.
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { colourWanted, loadConfig, type Config, type Environment, type Flags } from "../../src/node/config/config.ts";
import { ConfigError } from "../../src/core/errors.ts";
import { ConfigFile } from "../../src/core/schema/config.ts";
import { DEFAULTS } from "../../src/core/schema/defaults.ts";
import { settingsWithoutEffect } from "../../src/core/schema/without-effect.ts";
import { settingsOf } from "../../src/core/settings.ts";
import { ensureOpa } from "../../src/workshop/opa.ts";
import { spawn } from "../spawn.ts";
import { comes } from "../until.ts";

const root = new URL("../..", import.meta.url).pathname;
const pem = (key: KeyObject, type: "spki" | "pkcs8" = "spki") => key.export({ format: "pem", type }) as string;
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const ed = generateKeyPairSync("ed25519");
const jwk = ed.publicKey.export({ format: "jwk" });
const jwks = JSON.stringify({ keys: [jwk] });
const indent = (text: string) => text.trim().replaceAll("\n", "\n      ");
const SIGNED = `keys:\n  release:\n    algorithm: ES256\n    key: |\n      ${indent(pem(ec.publicKey))}\n`;

function load(yaml: string | undefined, env: Environment = {}, flags: Flags = {}): Config {
  const cwd = mkdtempSync(join(tmpdir(), "railgate-config-"));
  if (yaml !== undefined) writeFileSync(join(cwd, "opa.yaml"), yaml);
  return loadConfig({ env, flags, cwd });
}

function refuses(
  t: ExecutionContext,
  given: { yaml?: string; env?: Environment; flags?: Flags },
  setting: string,
  message: RegExp,
): void {
  const error = t.throws(
    () => load(given.yaml, given.env, given.flags),
    { instanceOf: ConfigError },
    JSON.stringify(given),
  );
  t.is(error?.code, "config_invalid");
  t.is(error?.setting, setting);
  t.regex(error?.message ?? "", message);
}

test("with no file there are defaults", (t) => {
  const config = load(undefined);
  t.is(config.file, null);
  t.deepEqual(config.listen, { host: "127.0.0.1", port: 8181, loopback: true });
  t.regex(config.dataDir, /railgate-config-\w+\/data$/);
  t.deepEqual(
    [config.logLevel, config.nodeId, config.upstream, config.tls, config.authentication],
    ["info", undefined, undefined, undefined, undefined],
  );
  t.is(config.evidence.profile, "ecs-evidence-admissible");
});

test("the file that comes with Railgate writes the defaults out", (t) => {
  const { file, ...shipped } = loadConfig({ env: {}, cwd: root });
  const { file: none, ...defaults } = load(undefined);
  t.deepEqual([file, none], [join(root, "opa.yaml"), null]);
  t.deepEqual({ ...shipped, dataDir: "" }, { ...defaults, dataDir: "" });
});

test("flags override the environment, which overrides the file", (t) => {
  const yaml = "railgate:\n  listen: 127.0.0.1:1\n  data_dir: from-file\n  log_level: warn\n  node_id: file";
  const config = load(
    yaml,
    { RAILGATE_LISTEN: "127.0.0.1:2", RAILGATE_DATA_DIR: "from-env", RAILGATE_NODE_ID: "env" },
    { listen: "[::1]:3", nodeId: "flag" },
  );
  t.deepEqual(config.listen, { host: "::1", port: 3, loopback: true });
  t.regex(config.dataDir, /\/from-env$/);
  t.is(config.nodeId, "flag");
  t.is(config.logLevel, "warn");
});

test("every override sets its setting", (t) => {
  const env = {
    RAILGATE_UPSTREAM_URL: "https://up.example",
    RAILGATE_TLS_CERT: "c.pem",
    RAILGATE_TLS_KEY: "/k.pem",
    RAILGATE_LOG_LEVEL: "debug",
  };
  const config = load(undefined, env);
  t.is(config.upstream?.access.url, "https://up.example");
  t.regex(config.tls?.cert ?? "", /^\/.*\/c\.pem$/);
  t.is(config.tls?.key, "/k.pem");
  t.is(config.logLevel, "debug");
  const flags = load(undefined, env, {
    upstreamUrl: "http://other.example",
    tlsCert: "/d.pem",
    tlsKey: "/l.pem",
    logLevel: "silent",
    dataDir: "/d",
  });
  t.deepEqual(
    [flags.upstream?.access.url, flags.tls, flags.logLevel, flags.dataDir],
    ["http://other.example", { cert: "/d.pem", key: "/l.pem" }, "silent", "/d"],
  );
});

test("the file is found by flag, then by variable, then by name", (t) => {
  const dir = mkdtempSync(join(tmpdir(), "railgate-config-"));
  for (const name of ["opa", "env", "flag"]) writeFileSync(join(dir, `${name}.yaml`), `railgate: { node_id: ${name} }`);
  t.is(loadConfig({ env: {}, cwd: dir }).nodeId, "opa");
  t.is(loadConfig({ env: { RAILGATE_CONFIG: "env.yaml" }, cwd: dir }).nodeId, "env");
  t.is(
    loadConfig({ env: { RAILGATE_CONFIG: "env.yaml" }, flags: { configFile: join(dir, "flag.yaml") }, cwd: dir })
      .nodeId,
    "flag",
  );
});

test("a named file that isn't there is an error", (t) => {
  refuses(t, { env: { RAILGATE_CONFIG: "nowhere.yaml" } }, "RAILGATE_CONFIG", /no file nowhere\.yaml/);
  refuses(t, { flags: { configFile: "nowhere.yaml" } }, "--config-file", /no file nowhere\.yaml/);
});

test("settings are frozen all the way down", (t) => {
  const config = load(`railgate: { trust: { authorities: [ { issuer: a, jwks: ${jwks} } ] } }`);
  const walk = (value: unknown): boolean =>
    typeof value !== "object" || value === null || (Object.isFrozen(value) && Object.values(value).every(walk));
  t.true(walk(config));
});

test("an unknown variable is an error that names it and the nearest known", (t) => {
  refuses(t, { env: { RAILGATE_LISTN: "127.0.0.1:1" } }, "RAILGATE_LISTN", /did you mean "RAILGATE_LISTEN"/);
  refuses(
    t,
    { env: { RAILGATE_NOTHING_OF_THE_KIND: "1" } },
    "RAILGATE_NOTHING_OF_THE_KIND",
    /unknown environment variable; known are RAILGATE_CONFIG, /,
  );
  refuses(t, { env: { RAILGATE_PORT: "9000" } }, "RAILGATE_PORT", /unknown/);
  refuses(t, { env: { RAILGATE_LISTEN: "" } }, "RAILGATE_LISTEN", /empty/);
});

test("what Kubernetes sets for a Service of this name is no setting", (t) => {
  t.notThrows(() =>
    load(undefined, {
      RAILGATE_SERVICE_HOST: "10.0.0.1",
      RAILGATE_SERVICE_PORT: "8181",
      RAILGATE_SERVICE_PORT_HTTPS: "8181",
      RAILGATE_PORT: "tcp://10.0.0.1:8181",
      RAILGATE_PORT_8181_TCP: "tcp://10.0.0.1:8181",
      RAILGATE_PORT_8181_TCP_PROTO: "tcp",
      RAILGATE_PORT_8181_TCP_PORT: "8181",
      RAILGATE_PORT_8181_TCP_ADDR: "10.0.0.1",
      RAILGATE_UPSTREAM_SERVICE_HOST: "10.0.0.2",
    }),
  );
});

const UNKNOWN: [yaml: string, setting: string, meant: string][] = [
  ["lables: {}", "lables", "labels"],
  ["railgate:\n  lisen: 127.0.0.1:1", "railgate.lisen", "listen"],
  ["railgate:\n  tls:\n    certs: a", "railgate.tls.certs", "cert"],
  ["railgate:\n  limits:\n    batch_item_max: 1", "railgate.limits.batch_item_max", "batch_items_max"],
  ["bundles:\n  authz:\n    poling: {}", "bundles.authz.poling", "polling"],
  ["keys:\n  a:\n    algoritm: x", "keys.a.algoritm", "algorithm"],
  ["railgate:\n  trust:\n    authorities: [{isuer: a}]", "railgate.trust.authorities[0].isuer", "issuer"],
  ["services:\n  - nmae: a", "services[0].nmae", "name"],
  ['bundles:\n  "a.b":\n    poling: {}', 'bundles["a.b"].poling', "polling"],
];
for (const [yaml, setting, meant] of UNKNOWN) {
  test(`unknown: ${setting}`, (t) => {
    const line = yaml.split("\n").length;
    refuses(
      t,
      { yaml },
      setting,
      new RegExp(`unknown setting, did you mean "${meant}"\\? \\(/.*opa\\.yaml, line ${line}\\)$`),
    );
  });
}

const MISTYPED: [yaml: string, setting: string, message: RegExp][] = [
  ["[]", "FILE", /must be a mapping/],
  ["labels: { region: 1 }", "labels.region", /must be a text .*line 1/],
  ["railgate: nothing", "railgate", /must be a mapping/],
  ["railgate: { listen: 8181 }", "railgate.listen", /must be "host:port"/],
  ["railgate: { listen: nowhere }", "railgate.listen", /"nowhere" is not "host:port"/],
  ['railgate: { listen: ":8181" }', "railgate.listen", /not "host:port"/],
  ['railgate: { listen: "::1:8181" }', "railgate.listen", /not "host:port"/],
  ["railgate: { listen: 127.0.0.1:65536 }", "railgate.listen", /not "host:port"/],
  ["railgate: { log_level: loud }", "railgate.log_level", /must be one of fatal, /],
  ["railgate: { node_id: a b }", "railgate.node_id", /must be 1 to 253 letters/],
  ["railgate: { behind_proxy: yes }", "railgate.behind_proxy", /must be true or false/],
  ["railgate: { upstream: {} }", "railgate.upstream.url", /is missing/],
  ["railgate: { upstream: { url: ftp://a } }", "railgate.upstream.url", /http or https/],
  ["railgate: { evidence: { profile: best } }", "railgate.evidence.profile", /must be one of ecs-evidence-baseline/],
  [
    "railgate: { evidence: { event_key: { file: a, env: B } } }",
    "railgate.evidence.event_key",
    /needs one of file, env, directory/,
  ],
  ["railgate: { evidence: { event_key: { env: NOT_SET } } }", "railgate.evidence.event_key.env", /NOT_SET is not set/],
  ["railgate: { evidence: { log_origin: a+b } }", "railgate.evidence.log_origin", /without space and \+/],
  ["railgate: { limits: { queue_max: 0 } }", "railgate.limits.queue_max", /must be a whole number from 1 to/],
  ["railgate: { limits: { queue_max: 1.5 } }", "railgate.limits.queue_max", /must be a whole number/],
  ["railgate: { tls: { cert: a } }", "railgate.tls.key", /is missing/],
  ["railgate: { tls: { client_ca: a } }", "railgate.tls.cert", /is missing/],
  [
    "railgate: { authentication: { jwt: { issuer: a, audience: b } } }",
    "railgate.authentication.jwt.jwks",
    /is missing/,
  ],
  ["railgate: { authentication: { mtls: {} } }", "railgate.authentication.mtls", /needs railgate\.tls\.client_ca/],
  ["railgate: { trust: { attesters: {} } }", "railgate.trust.attesters", /must be a list/],
  ["bundles: { a: { resource: x } }\n" + SIGNED, "bundles.a.service", /is missing, and there is none/],
  [
    "bundles: { a: { service: contrl } }\nservices: { control: { url: http://a } }\n" + SIGNED,
    "bundles.a.service",
    /did you mean "control"/,
  ],
  ["bundles: { a: { resource: file:///a } }", "bundles.a", /signed bundles only/],
  ["bundles: { a: { resource: 'file:a' } }\n" + SIGNED, "bundles.a.resource", /three slashes/],
  [
    "bundles: { a: { resource: file:///a, signing: { keyid: releas } } }\n" + SIGNED,
    "bundles.a.signing.keyid",
    /did you mean "release"/,
  ],
  [
    "bundles: { a: { resource: file:///a, polling: { min_delay_seconds: 1 } } }\n" + SIGNED,
    "bundles.a.polling",
    /max_delay_seconds as well/,
  ],
  [
    "bundles: { a: { resource: file:///a, polling: { min_delay_seconds: 2, max_delay_seconds: 1 } } }\n" + SIGNED,
    "bundles.a.polling.max_delay_seconds",
    /not be less/,
  ],
  ["bundles: { a: { resource: file:///a, trigger: manual } }\n" + SIGNED, "bundles.a.trigger", /must be periodic/],
  ["keys: { a: { key: x, algorithm: EdDSA } }", "keys.a.algorithm", /must be one of RS256/],
  [
    "bundles: { a: { resource: file:///a, signing: { keyid: s } } }\nkeys: { s: { key: x, algorithm: HS256 } }",
    "keys.s.algorithm",
    /shared secret/,
  ],
  ["keys: { a: { key: x } }", "keys.a.key", /public key or certificate in PEM/],
  ["services: [{ url: http://a }]", "services[0].name", /is missing/],
  ["services: [{ name: a, url: http://a }, { name: a, url: http://b }]", "services[1]", /two services called "a"/],
  ["services: { a: {} }", "services.a.url", /is missing/],
  [
    "services: { a: { url: http://a, credentials: { bearer: {} } } }",
    "services.a.credentials.bearer",
    /token or token_path/,
  ],
  ["decision_logs: {}", "decision_logs.service", /is missing/],
  ["status: { service: b }\nservices: { a: { url: http://a } }", "status.service", /no service "b"/],
  [
    "decision_logs: {}\nservices: { a: { url: http://a }, b: { url: http://b } }",
    "decision_logs.service",
    /name one of a, b/,
  ],
];
for (const [yaml, setting, message] of MISTYPED) {
  test(`mistyped: ${setting} in ${yaml.split("keys:")[0]!.replaceAll("\n", " ")}`, (t) => {
    const error = t.throws(() => load(yaml), { instanceOf: ConfigError });
    t.regex(error?.message ?? "", message);
    if (setting === "FILE") t.regex(error?.setting ?? "", /\/opa\.yaml$/);
    else t.is(error?.setting, setting);
  });
}

test("a mistyped override is called what it was called", (t) => {
  refuses(t, { env: { RAILGATE_LISTEN: "here" } }, "RAILGATE_LISTEN", /^RAILGATE_LISTEN: "here" is not "host:port"/);
  refuses(t, { flags: { listen: "here" } }, "--listen", /^--listen: "here"/);
  refuses(t, { env: { RAILGATE_NODE_ID: ".." } }, "RAILGATE_NODE_ID", /must be 1 to 253/);
  refuses(t, { env: { RAILGATE_UPSTREAM_URL: "up" } }, "RAILGATE_UPSTREAM_URL", /http or https/);
  refuses(t, { env: { RAILGATE_LOG_LEVEL: "loud" } }, "RAILGATE_LOG_LEVEL", /must be one of/);
});

test("a mistyped setting in the file is an error even where it is overridden", (t) => {
  refuses(
    t,
    { yaml: "railgate: { log_level: loud }", flags: { logLevel: "info" } },
    "railgate.log_level",
    /must be one of/,
  );
});

test("what isn't YAML, or says a thing twice, is an error with its line", (t) => {
  for (const [yaml, message] of [
    ["a: [", /is not YAML.*line/],
    ["labels: {}\nlabels: {}", /a key appears twice \(line 2\)/],
    ["a: 1\n---\nb: 1", /more than one document/],
    ["labels: *x", /alias/],
  ] as const) {
    const error = t.throws(() => load(yaml), { instanceOf: ConfigError });
    t.regex(error?.message ?? "", message);
  }
});

test("merge keys are taken as OPA takes them, and what is wrong in one is found where it stands", (t) => {
  const yaml =
    "services:\n  a: &common { url: https://a, response_header_timeout_seconds: 7 }\n  b: { <<: *common, url: https://b }";
  const { b } = load(yaml).services;
  t.deepEqual([b?.url, b?.responseHeaderTimeoutS], ["https://b", 7]);
  refuses(t, { yaml: "services:\n  a: &common { urll: x }\n  b: { <<: *common }" }, "services.a.urll", /line 2/);
});

test("a byte order mark means nothing, and what isn't UTF-8 is told as such", (t) => {
  const cwd = mkdtempSync(join(tmpdir(), "railgate-config-"));
  const loaded = (bytes: Uint8Array) => {
    writeFileSync(join(cwd, "opa.yaml"), bytes);
    return loadConfig({ env: {}, cwd });
  };
  t.deepEqual(loaded(Buffer.from("\ufefflabels: { a: b }")).labels, { a: "b" });
  for (const [bytes, what] of [
    [Buffer.from("\ufefflabels: {}", "utf16le"), /is UTF-16; save it as UTF-8/],
    [Buffer.from("labels: { a: é }", "latin1"), /is not UTF-8; save it as UTF-8/],
  ] as const)
    t.regex(t.throws(() => loaded(bytes), { instanceOf: ConfigError })!.message, what);
  const keys = join(cwd, "keys.json");
  writeFileSync(keys, `\ufeff${jwks}`);
  const yaml = `railgate: { trust: { attesters: [ { issuer: a, jwks: ${keys}, audience: railgate } ] } }`;
  t.deepEqual(load(yaml).trust.attesters, [
    { issuer: "a", jwks: { keys: [jwk] as never }, jwksFile: keys, audience: "railgate" },
  ]);
});

test("published keys for other ends are passed over, and said to be", (t) => {
  const others = [
    { kty: "OKP", crv: "X25519", x: jwk.x, use: "enc" },
    { kty: "AKP", alg: "ML-DSA-65", pub: "x" },
  ];
  const yaml = (keys: object[]) =>
    `railgate: { trust: { attesters: [ { issuer: a, jwks: ${JSON.stringify({ keys })} } ] } }`;
  const { trust, warnings } = load(yaml([...others, jwk]));
  t.deepEqual(trust.attesters[0]?.jwks.keys, [jwk] as never);
  t.deepEqual(
    warnings,
    [1, 2].map((n) => `key ${n} of railgate.trust.attesters[0].jwks is passed over: it verifies no signature`),
  );
  refuses(t, { yaml: yaml(others) }, "railgate.trust.attesters[0].jwks", /holds no key that verifies a signature/);
});

test("what would silently change meaning is refused by name", (t) => {
  const yaml = "services: { a: { url: http://a } }\n";
  for (const [text, setting] of [
    ["discovery: { resource: x }", "discovery"],
    ["plugins: { envoy_ext_authz_grpc: { addr: x } }", "plugins"],
    ["bundle: { name: x }", "bundle"],
    ["default_authorization_decision: /a", "default_authorization_decision"],
    ["decision_logs: { mask_decision: /a }", "decision_logs.mask_decision"],
    ["decision_logs: { plugin: x }", "decision_logs.plugin"],
    ["server: { logger_plugin: x }", "server.logger_plugin"],
  ] as const)
    refuses(t, { yaml: yaml + text }, setting, /not supported by Railgate, remove it: /);
  t.notThrows(() => load("plugins: {}"));
});

test("OPA's other sections are accepted, and named as without effect", (t) => {
  const config = load(
    "distributed_tracing: { type: grpc }\nstorage: { disk: { directory: /x } }\ncaching: {}\npersistence_directory: /x\nnd_builtin_cache: true",
  );
  t.deepEqual(
    config.warnings.map((line) => line.split(" ")[0]),
    ["distributed_tracing", "storage", "caching", "persistence_directory", "nd_builtin_cache"],
  );
});

test("variables are filled in as OPA does, and one that isn't set is refused where it stands", (t) => {
  const yaml = 'labels: { region: "${REGION}", empty: "${}x" } # ${NOT_SET} in a comment is nothing';
  t.deepEqual(load(yaml, { REGION: "west" }).labels, { region: "west", empty: "x" });
  refuses(t, { yaml }, "labels.region", /variable REGION is not set/);
});

test("a bundle from a service, polled, verified", (t) => {
  const config = load(
    `${SIGNED}services: { control: { url: "http://a/", credentials: { bearer: { token: "\${TOKEN}" } } } }
bundles: { authz: { polling: { min_delay_seconds: 5, max_delay_seconds: 9, long_polling_timeout_seconds: 3 }, signing: { keyid: release, scope: read, exclude_files: [x] }, persist: true } }
decision_logs: { reporting: { min_delay_seconds: 1, max_delay_seconds: 2 } }
status: { console: true }`,
    { TOKEN: "t0k3n" },
  );
  t.deepEqual(config.bundles["authz"], {
    name: "authz",
    from: { kind: "service", service: "control", resource: "bundles/authz" },
    signing: { keyid: "release", scope: "read", excludeFiles: ["x"] },
    persist: true,
    sizeLimitBytes: 64 * 1024 ** 2,
    polling: { minDelayS: 5, maxDelayS: 9, longPollingTimeoutS: 3 },
  });
  t.is(config.services["control"]?.url, "http://a");
  t.deepEqual(config.services["control"]?.bearer, { token: "t0k3n", scheme: "Bearer" });
  t.is(config.keys["release"]?.algorithm, "ES256");
  t.deepEqual(config.decisionLogs, {
    service: "control",
    resource: "/logs",
    console: false,
    minDelayS: 1,
    maxDelayS: 2,
    uploadSizeLimitBytes: 32_768,
  });
  t.deepEqual(config.status, { resource: "/status", console: true });
});

test("a bundle from a file, its URL decoded", (t) => {
  const config = load(`${SIGNED}bundles: { a: { resource: "file:///with%20space/b.tar.gz" } }`);
  t.deepEqual(config.bundles["a"]?.from, { kind: "file", path: "/with space/b.tar.gz" });
});

test("OPA's limit on bodies is Railgate's, unless Railgate has its own", (t) => {
  t.is(load("server: { decoding: { max_length: 5 } }").limits.bodyBytesMax, 5);
  t.is(
    load("server: { decoding: { max_length: 5 } }\nrailgate: { limits: { body_bytes_max: 6 } }").limits.bodyBytesMax,
    6,
  );
});

test("threads are as many as are named, whatever the store", (t) => {
  const shared = (threads: string) => `railgate: { threads: ${threads}, store: { url: "postgres://db/railgate" } }`;
  t.is(load(undefined).threads, 1);
  t.is(load(shared("1")).threads, 1);
  t.true(load(shared("auto")).threads >= 1);
  if (process.platform !== "linux") return;
  t.is(load("railgate: { threads: 3 }").threads, 3);
  t.is(load(shared("2")).threads, 2);
});

test("a store that replicas share has no node above it, and none below", (t) => {
  const store = `store: { url: "postgres://db/railgate" }`;
  const above = { yaml: `railgate: { ${store}, upstream: { url: "https://hub" } }` };
  refuses(t, above, "railgate.upstream", /railgate\.store\.url: .*leave railgate\.store out/);
  const env = { RAILGATE_STORE_URL: "postgres://db/railgate" };
  const below = { yaml: "railgate: { downstream: { nodes: [{ node_id: edge }] } }", env };
  refuses(t, below, "railgate.downstream.nodes", /railgate\.store\.url: .*leave railgate\.store out/);
});

test("an address that others can reach needs TLS or a proxy, and authentication", (t) => {
  const auth = `authentication: { jwt: { jwks: ${jwks}, issuer: a, audience: b } }`;
  for (const listen of [
    "0.0.0.0:1",
    "[::]:1",
    "192.0.2.1:1",
    "example.org:1",
    "[::ffff:192.0.2.1]:1",
    "127.0.0.1.example.org:1",
  ]) {
    refuses(
      t,
      { env: { RAILGATE_LISTEN: listen } },
      "RAILGATE_LISTEN",
      /railgate\.tls\.cert.*railgate\.behind_proxy.*and railgate\.authentication/,
    );
  }
  refuses(
    t,
    { yaml: `railgate: { listen: "0.0.0.0:1", ${auth} }` },
    "railgate.listen",
    /set railgate\.tls\.cert and railgate\.tls\.key \(or .*\), or listen/,
  );
  refuses(
    t,
    { yaml: 'railgate: { listen: "0.0.0.0:1", behind_proxy: true }' },
    "railgate.listen",
    /set railgate\.authentication/,
  );
  t.false(load(`railgate: { listen: "0.0.0.0:1", behind_proxy: true, ${auth} }`).listen.loopback);
  t.is(
    load(`railgate: { listen: "0.0.0.0:1", tls: { cert: a, key: b, client_ca: c }, authentication: { mtls: {} } }`)
      .authentication?.mtls?.tenantFrom,
    "O",
  );
  for (const listen of ["localhost:1", "127.9.9.9:1", "[::1]:0", "[0:0:0:0:0:0:0:1]:1"])
    t.true(load(undefined, { RAILGATE_LISTEN: listen }).listen.loopback, listen);
});

test("pinned keys are public, usable, local, one entry an issuer", (t) => {
  const trust = (entry: string) => `railgate: { trust: { authorities: [ ${entry} ] } }`;
  const at = "railgate.trust.authorities[0].jwks";
  const secret = ed.privateKey.export({ format: "jwk" });
  for (const [key, message] of [
    [secret, /is a private key/],
    [{ kty: "oct", k: "c2VjcmV0" }, /is a shared secret/],
    [{ kty: "OKP", crv: "Ed25519" }, /can't be used/],
  ] as const) {
    const yaml = trust(`{ issuer: a, jwks: ${JSON.stringify({ keys: [key] })} }`);
    refuses(t, { yaml }, at, message);
    t.false(t.throws(() => load(yaml))!.message.includes(String(secret.d)));
  }
  refuses(t, { yaml: trust("{ issuer: a, jwks: { keys: [] } }") }, at, /holds no key/);
  refuses(t, { yaml: trust("{ issuer: a, jwks: https://a/jwks.json }") }, at, /aren't fetched/);
  refuses(t, { yaml: trust("{ issuer: a, jwks: nowhere.json }") }, at, /can't read \/.*nowhere\.json \(ENOENT\)/);
  refuses(
    t,
    { yaml: trust(`{ issuer: a, jwks: ${jwks} }, { issuer: a, jwks: ${jwks} }`) },
    "railgate.trust.authorities[1].issuer",
    /appears twice/,
  );
  const file = join(mkdtempSync(join(tmpdir(), "railgate-config-")), "a.json");
  writeFileSync(file, jwks);
  t.deepEqual(load(trust(`{ issuer: a, jwks: ${file}, root: true }`)).trust.authorities, [
    { issuer: "a", jwks: { keys: [jwk] as never }, jwksFile: file, root: true },
  ]);
  writeFileSync(file, '{"keys": "s3cret');
  refuses(t, { yaml: trust(`{ issuer: a, jwks: ${file} }`) }, at, /no JWKS/);
});

test("a running node is named by flag or variable; a data directory that a flag names comes before a variable", (t) => {
  const env = { RAILGATE_URL: "https://n1:8181", RAILGATE_TOKEN_FILE: "token", RAILGATE_CA: "/ca.pem" };
  const config = load(undefined, env);
  t.deepEqual(config.server, { url: "https://n1:8181" });
  t.like(config.credentials, { ca: "/ca.pem" });
  t.regex(config.credentials.tokenFile!, /^\/.*\/token$/);
  t.is(load(undefined, env, { dataDir: "d" }).server, undefined);
  t.is(load(undefined, env, { url: "http://n2" }).server?.url, "http://n2");
  refuses(t, { flags: { url: "http://n2", dataDir: "d" } }, "--url", /give one of them/);
  refuses(t, { env: { RAILGATE_URL: "n1:8181" } }, "RAILGATE_URL", /no http or https URL/);
});

test("secrets never get into messages", (t) => {
  const cases = [
    `keys:\n  a:\n    key: |\n      ${indent(pem(ec.privateKey, "pkcs8"))}`,
    `keys:\n  a:\n    algorithm: RS256\n    key: |\n      ${indent(pem(ec.publicKey))}`,
    "keys: { a: { key: [s3cret] } }",
    "services: { a: { url: 's3cret' } }",
    "services: { a: { url: http://a, credentials: { bearer: { token: s3cret, token_path: s3cret } } } }",
    "services: { a: { url: http://a, headers: { authorization: [s3cret] } } }",
    "keys: { a: { key: s3cret } }",
    "a: s3cret: b",
    "a: {s3cret",
    "s3cret",
    "railgate: { upstream: { url: 'ftp://user:s3cret@a' } }",
  ];
  const secret = ec.privateKey.export({ format: "der", type: "pkcs8" }).toString("base64").slice(4, 24);
  for (const yaml of cases) {
    const error = t.throws(() => load(yaml), { instanceOf: ConfigError }, yaml);
    t.false(error?.message.includes("s3cret") || error?.message.includes(secret), error?.message);
  }
});

test("names like __proto__ are ordinary", (t) => {
  const config = load(`labels: { __proto__: a, constructor: b }\n${SIGNED.replace("release", "__proto__")}`);
  t.deepEqual(Object.entries(config.labels), [
    ["__proto__", "a"],
    ["constructor", "b"],
  ]);
  t.deepEqual(Object.keys(config.keys), ["__proto__"]);
  refuses(t, { yaml: "railgate: { constructor: 1 }" }, "railgate.constructor", /unknown setting/);
});

test("colour is for terminals, unless told otherwise", (t) => {
  t.true(colourWanted({ isTTY: true }, {}));
  t.false(colourWanted({}, {}));
  t.false(colourWanted({ isTTY: true }, { NO_COLOR: "1" }));
  t.false(colourWanted({ isTTY: true }, { TERM: "dumb" }));
});

test("the reference lists every setting and every variable", (t) => {
  const doc = readFileSync(join(root, "docs/configuration.md"), "utf8");
  for (const { path, schema } of settingsOf(ConfigFile)) {
    const isOfOthers = "properties" in schema || ("items" in schema && "properties" in (schema.items as object));
    if (!isOfOthers) t.true(doc.includes(`\`${path}\``), path);
  }
  for (const name of ["URL", "TOKEN_FILE", "CA", "CERT", "KEY"]) t.true(doc.includes(`\`RAILGATE_${name}\``), name);
  for (const name of ["CONFIG", "DATA_DIR", "LISTEN", "LOG_LEVEL", "NODE_ID", "UPSTREAM_URL", "TLS_CERT", "TLS_KEY"])
    t.true(doc.includes(`\`RAILGATE_${name}\``), name);
});

test("what has no effect is told, setting by setting, and only where it is given", (t) => {
  t.deepEqual(load("labels: {}\nservices:\nrailgate: { listen: '127.0.0.1:0' }").warnings, []);
  const { warnings } = load("storage: { disk: {} }\nlabels: { app: x }", {
    RAILGATE_UPSTREAM_URL: "http://up.example",
  });
  for (const setting of ["storage", "labels", "railgate.upstream"]) {
    const row = settingsWithoutEffect().find((each) => each.setting === setting);
    if (row) t.true(warnings.includes(`${setting} has no effect: ${row.why}`), setting);
  }
});

test("each setting without effect is one, and stands once", (t) => {
  const known = new Set([...settingsOf(ConfigFile)].map(({ path }) => path));
  const listed = settingsWithoutEffect().map(({ setting }) => setting);
  for (const setting of listed) t.true(known.has(setting), setting);
  t.is(new Set(listed).size, listed.length);
});

test("the limits that docs/operate.md gives are the defaults", (t) => {
  const doc = readFileSync(join(root, "docs/operate.md"), "utf8");
  const UNITS: Record<string, number> = { MiB: 1024 * 1024, ms: 1 };
  const rows = [...doc.matchAll(/\| (\d+)(?: (\w+))? \| `railgate\.limits\.(\w+)` \|/g)];
  t.is(rows.length, 4);
  for (const [, figure, unit = "", name] of rows) {
    const member = name!.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
    t.is(Number(figure) * (UNITS[unit] ?? 1), DEFAULTS[member as "queueMax"], name);
  }
});

test("OPA starts from the same file", async (t) => {
  const cwd = mkdtempSync(join(tmpdir(), "railgate-config-"));
  const own = "railgate: { listen: '[::1]:0', trust: { authorities: [] } }";
  writeFileSync(
    join(cwd, "own.yaml"),
    `labels: { app: x }\n${SIGNED}services: { control: { url: 'http://127.0.0.1:1' } }\nbundles: { authz: { signing: { keyid: release }, persist: false } }\n${own}`,
  );
  t.notThrows(() => loadConfig({ env: {}, flags: { configFile: join(cwd, "own.yaml") }, cwd }));
  for (const file of [join(root, "opa.yaml"), join(cwd, "own.yaml")])
    t.regex(await opaSays(file, cwd), /Initializing server/, file);
});

/** What OPA logs until it serves or gives up. */
async function opaSays(file: string, cwd: string): Promise<string> {
  const opa = spawn(await ensureOpa(), ["run", "--server", "--addr", "127.0.0.1:0", "-c", file], {
    cwd,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  try {
    const heard = new Promise<void>((resolve) => {
      for (const stream of [opa.stdout, opa.stderr])
        stream.on("data", (data: Buffer) => {
          said += data.toString();
          if (said.includes("Initializing server")) resolve();
        });
    });
    await comes("OPA says that it starts", Promise.race([heard, once(opa, "exit")]));
    return said;
  } finally {
    opa.kill();
  }
}

test("witnessed logs are named by origin and key", (t) => {
  const vkey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
  const log = (key: string) => `{ origin: example.com/foo, vkey: ${JSON.stringify(key)} }`;
  t.deepEqual(load(`railgate: { witness: { name: w, logs: [${log(vkey)}] } }`).witness, {
    name: "w",
    logs: [{ origin: "example.com/foo", vkey }],
  });
  t.is(load("railgate: { witness: { logs: [] } }").witness, undefined);
  refuses(
    t,
    { yaml: `railgate: { witness: { logs: [${log(vkey.replace("foo", "bar"))}] } }` },
    "railgate.witness.logs[0].vkey",
    /verifier key/,
  );
  refuses(
    t,
    { yaml: `railgate: { witness: { logs: [${log(vkey)}, ${log(vkey)}] } }` },
    "railgate.witness.logs[1]",
    /twice/,
  );
  refuses(
    t,
    { yaml: `railgate: { witness: { name: 'a b', logs: [${log(vkey)}] } }` },
    "railgate.witness.name",
    /without space/,
  );
});

test("a way to a database that is not encrypted is told, where it leaves the machine", (t) => {
  const exposed = (url: string) => load(`railgate: { store: { url: "${url}" } }`).exposed.map(({ message }) => message);
  for (const open of ["postgres://u:secret@db.internal/r", "postgres://db.internal:5432/r?sslmode=disable"]) {
    const [message, ...more] = exposed(open);
    t.regex(message!, /^the way to db\.internal \(railgate\.store\.url\) is not encrypted/);
    t.deepEqual(more, []);
  }
  for (const kept of [
    "postgres://u@db.internal/r?sslmode=verify-full",
    "postgres://localhost/r",
    "postgres://u@127.0.0.1:5432/r",
    "postgres://u@[::1]/r",
    "postgres://u@localhost/r?host=%2Fvar%2Frun",
  ])
    t.deepEqual(exposed(kept), [], kept);
  t.deepEqual(load("labels: {}").exposed, []);
});
