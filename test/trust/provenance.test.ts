// Sigstore bundles: genuine ones of every version hold, and each that was altered or made otherwise is refused with its step. No socket is opened.
import dns from "node:dns";
import net from "node:net";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import test from "ava";
import { ConfigError } from "../../src/core/errors.ts";
import { PROVENANCE_STEPS } from "../../src/core/schema/input.ts";
import { matchesGlob } from "../../src/trust/provenance/glob.ts";
import { makeVerifier, type ProvenanceConfig, type Verdict } from "../../src/trust/provenance/verify.ts";
import {
  BUILD_TYPE,
  BUILDER,
  IMAGE,
  ISSUER,
  makeSigstore,
  provenanceV02,
  provenanceV1,
  SOURCE,
  statementOf,
  summary,
  WORKFLOW,
  type Making,
} from "./sigstore.ts";

// Whoever tried to reach a network would be told so, and fail its test.
const offline = (): never => {
  throw new Error("a socket was asked for");
};
net.Socket.prototype.connect = offline;
Object.assign(dns, { lookup: offline, resolve: offline });

const FIXTURES = join(import.meta.dirname, "../fixtures/provenance");

const encode = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));

const [ours, theirs] = await Promise.all([makeSigstore(), makeSigstore()]);
const config = (
  identities: Partial<ProvenanceConfig["identities"][number]>[],
  more: object = {},
): ProvenanceConfig => ({
  trustedRoot: encode(ours.trustedRoot),
  keys: [{ id: "release", pem: ours.key.pem }],
  identities: identities.map((each) => ({ issuer: ISSUER, subject: WORKFLOW, level: 1, ...each })),
  store: true,
  ...more,
});
const IDENTITIES = [
  { builder: BUILDER, source: SOURCE, build_types: [BUILD_TYPE], level: 3 },
  { issuer: "release", subject: "release", level: 2 },
];
const { verify } = makeVerifier(config(IDENTITIES));

const stepOf = (verdict: Verdict): string => (verdict.ok ? "holds" : verdict.step);
const made = async (making: Making = {}): Promise<string> => stepOf(verify(encode(await ours.bundle(making))));

type Json = { [name: string]: unknown };

/** Every version, log and kind of entry that goes together. */
const KINDS: Making[] = [
  ...(["0.1", "0.2", "0.3", "v0.3"] as const).map((version) => ({ version })),
  { kind: "intoto" },
  { kind: "hashedrekord" },
  { by: "key" },
  { by: "key", kind: "hashedrekord", version: "v0.3" },
  { rekor: 2 },
  { rekor: 2, kind: "hashedrekord" },
  { rekor: 2, by: "key" },
  { rekor: 1, timestamp: true, promise: false },
];
const named = (making: Making): string => JSON.stringify(making);

test("genuine bundles hold: v0.1 to v0.3, Rekor v1 and v2, by certificate and by key", async (t) => {
  for (const making of KINDS) {
    const verdict = verify(encode(await ours.bundle(making)));
    if (!verdict.ok) return t.fail(`${named(making)}: ${verdict.step}, ${verdict.message}`);
    const { signed_at_ms, ...proven } = verdict.proven;
    t.true(Math.abs(signed_at_ms - Date.now()) < 600_000);
    const signer = making.by === "key" ? "release" : undefined;
    t.deepEqual(proven, {
      subjects: [IMAGE],
      issuer: signer ?? ISSUER,
      subject: signer ?? WORKFLOW,
      builder: BUILDER,
      source: SOURCE,
      predicate_type: "https://slsa.dev/provenance/v1",
      level: signer === undefined ? 3 : 2,
    });
  }
});

test("bundles of Sigstore's own instances hold, and those that were spoilt do not", (t) => {
  for (const folder of readdirSync(FIXTURES, { withFileTypes: true }).filter((each) => each.isDirectory())) {
    const at = join(FIXTURES, folder.name);
    const trustedRoot = readFileSync(join(at, "trusted_root.json"));
    const anyone = makeVerifier({
      trustedRoot,
      keys: [],
      identities: [{ issuer: "**", subject: "**", level: 1 }],
      store: true,
    });
    const nobody = makeVerifier({
      trustedRoot,
      keys: [],
      identities: [{ issuer: "**", subject: "*", level: 1 }],
      store: true,
    });
    for (const name of readdirSync(at).filter((file) => /^(?:good|bad)-/.test(file))) {
      const bytes = readFileSync(join(at, name));
      const wanted = name.startsWith("good-") ? "holds" : name.split("-")[1]!;
      t.is(stepOf(anyone.verify(bytes)), wanted, `${folder.name}/${name}`);
      t.not(stepOf(nobody.verify(bytes)), "holds");
      t.is(stepOf(verify(bytes)) === "holds", false, "by another instance's root");
    }
  }
});

test("SLSA v0.2 and summaries that passed are read", async (t) => {
  const v02 = { predicateType: "https://slsa.dev/provenance/v0.2", predicate: provenanceV02() };
  t.is(await made({ statement: statementOf(v02) }), "holds");
  t.is(await made({ statement: statementOf({ _type: "https://in-toto.io/Statement/v0.1" }) }), "holds");
  const vsa = makeVerifier(config([{ builder: BUILDER, level: 3 }]));
  const levels: [unknown[], number][] = [
    [["SLSA_BUILD_LEVEL_2"], 2],
    [["SLSA_BUILD_LEVEL_1", "SLSA_BUILD_LEVEL_4"], 3],
    [["SLSA_SOURCE_LEVEL_3"], 0],
    [[], 0],
  ];
  for (const [verifiedLevels, level] of levels) {
    const predicate = summary({ verifiedLevels });
    const statement = statementOf({ predicateType: "https://slsa.dev/verification_summary/v1", predicate });
    const verdict = vsa.verify(encode(await ours.bundle({ statement })));
    t.is(verdict.ok ? verdict.proven.level : verdict.step, level);
  }
});

/** Leaves of a bundle that nothing depends on: what is signed says the same elsewhere, or it is for finding the entry again. */
const IDLE = new Set([
  "/dsseEnvelope/signatures/0/keyid",
  "/verificationMaterial/tlogEntries/0/inclusionProof/rootHash",
  "/verificationMaterial/tlogEntries/0/inclusionProof/treeSize",
]);
/** Without a promise over them, also these. */
const IDLE_UNPROMISED = new Set([
  "/verificationMaterial/tlogEntries/0/logIndex",
  "/verificationMaterial/tlogEntries/0/integratedTime",
]);

function* leavesOf(value: unknown, pointer = ""): Generator<[pointer: string, value: unknown]> {
  if (typeof value !== "object" || value === null) return yield [pointer, value];
  for (const [name, each] of Object.entries(value)) yield* leavesOf(each, `${pointer}/${name}`);
}

function altered(bundle: Json, pointer: string, to: (before: unknown) => unknown): Json {
  const copy = structuredClone(bundle);
  const names = pointer.split("/").slice(1);
  let at = copy as Json;
  for (const name of names.slice(0, -1)) at = at[name] as Json;
  const last = names.at(-1)!;
  const value = to(at[last]);
  if (value === undefined) delete at[last];
  else at[last] = value;
  return copy;
}

/** Another value of the same kind: a bit flipped in what is base64, a digit in what is a number, a letter otherwise. */
function changed(value: unknown): unknown {
  const text = String(value);
  if (/^\d+$/.test(text)) return String(Number(text) + 1);
  if (text.includes("\n")) return text.replace(/[A-Za-z](?=[^\n]*\n)/, (letter) => (letter === "Q" ? "R" : "Q"));
  const bytes = Buffer.from(text, "base64");
  if (text.length > 8 && bytes.toString("base64") === text) {
    bytes[bytes.length >> 1]! ^= 1;
    return bytes.toString("base64");
  }
  return `${text.slice(0, -1)}${text.endsWith("x") ? "y" : "x"}`;
}

test("no bundle stays accepted when anything in it that matters is changed, taken away or of another kind", async (t) => {
  let refused = 0;
  const steps = new Set<string>();
  for (const making of KINDS) {
    const bundle = await ours.bundle(making);
    const promised = making.promise ?? making.rekor !== 2;
    for (const [pointer] of leavesOf(bundle)) {
      if (IDLE.has(pointer) || (!promised && IDLE_UNPROMISED.has(pointer))) continue;
      const alterations: [string, (before: unknown) => unknown][] = [
        ["changed", changed],
        ["taken away", () => undefined],
        ["a number", () => 7],
        ["an object", () => ({})],
      ];
      for (const [how, to] of alterations) {
        const step = stepOf(verify(encode(altered(bundle, pointer, to))));
        if (step === "holds") t.fail(`${named(making)} ${pointer} ${how}`);
        steps.add(step);
        refused++;
      }
    }
  }
  t.true(refused >= 300, `${refused}`);
  t.deepEqual(
    [...steps].filter((step) => !(PROVENANCE_STEPS as readonly string[]).includes(step)),
    [],
  );
});

const entry =
  (change: (spec: Json) => void) =>
  (body: Json): Json => {
    const copy = structuredClone(body);
    change(copy["spec"] as Json);
    return copy;
  };

/** Bundles that are signed and logged as they should be, but for one thing. */
const MADE_OTHERWISE: [why: string, step: string, making: Making][] = [
  ["issued by another authority", "certificate", { authority: theirs }],
  ["logged by another log", "log", { log: theirs }],
  ["logged by another log, v2", "log", { log: theirs, rekor: 2 }],
  ["stamped by another authority", "timestamp", { clock: theirs, rekor: 2 }],
  ["without any trusted time", "timestamp", { rekor: 2, timestamp: false }],
  ["without a promise or a timestamp", "timestamp", { promise: false }],
  ["naming a key that is not pinned", "key", { by: "key", hint: "another" }],
  ["naming what every object has", "key", { by: "key", hint: "constructor" }],
  ["naming a prototype", "key", { by: "key", hint: "__proto__" }],
  ["logged for another payload", "log", { logs: { payload: JSON.stringify(statementOf({ x: 1 })) } }],
  ["logged for another payload, intoto", "log", { kind: "intoto", logs: { payload: "{}" } }],
  ["logged for another payload, v2", "log", { rekor: 2, logs: { payload: "{}" } }],
  ["logged for another payload, v2 hashedrekord", "log", { rekor: 2, kind: "hashedrekord", logs: { payload: "{}" } }],
  [
    "logged as another's signature",
    "log",
    {
      entry: entry((spec) => {
        const [first] = spec["signatures"] as Json[];
        first!["verifier"] = Buffer.from(ours.key.pem).toString("base64");
      }),
    },
  ],
  [
    "logged as another's signature, v2",
    "log",
    {
      rekor: 2,
      entry: entry((spec) => {
        const [first] = (spec["dsseV002"] as { signatures: Json[] }).signatures;
        first!["verifier"] = { publicKey: { rawBytes: "AAAA" } };
      }),
    },
  ],
  [
    "logged as nobody's signature",
    "log",
    {
      entry: entry((spec) => {
        delete (spec["signatures"] as Json[])[0]!["verifier"];
      }),
    },
  ],
  [
    "logged with two signatures",
    "log",
    {
      entry: entry((spec) => {
        (spec["signatures"] as Json[]).push({});
      }),
    },
  ],
  ["logged as another kind", "log", { entry: (body) => ({ ...body, kind: "rfc3161" }) }],
  ["logged as another version", "log", { entry: (body) => ({ ...body, apiVersion: "0.0.9" }) }],
  ["a checkpoint without its signature", "log", { checkpoint: (note) => note.split("\n\n")[0]! }],
  ["a checkpoint of another size", "log", { checkpoint: (note) => note.replace("\n6\n", "\n7\n") }],
  ["a checkpoint signed by nobody known", "log", { checkpoint: (note) => note.replace(/— \S+/, "— other.example") }],
  ["a checkpoint of no size", "log", { checkpoint: (note) => note.replace("\n6\n", "\nsix\n") }],
  ["no checkpoint", "log", { checkpoint: () => "" }],
  ["another payload type", "statement", { payloadType: "application/json" }],
  ["a payload that is no JSON", "statement", { payload: "{" }],
  ["a payload with a member twice", "statement", { payload: '{"_type":"a","_type":"b"}' }],
  ["a payload that is a list", "statement", { payload: "[]" }],
  ["a payload that is null", "statement", { payload: "null" }],
  ["a payload nested too deeply", "statement", { payload: `${"[".repeat(70)}${"]".repeat(70)}` }],
  ["another kind of statement", "statement", { statement: statementOf({ _type: "https://in-toto.io/Statement/v2" }) }],
  ["no predicate type", "statement", { statement: statementOf({ predicateType: 1 }) }],
  ["no subject", "subject", { statement: statementOf({ subject: [] }) }],
  ["a subject that is none", "subject", { statement: statementOf({ subject: [null] }) }],
  ["a subject without digests", "subject", { statement: statementOf({ subject: [{ name: "x" }] }) }],
  [
    "a subject by git commit alone",
    "subject",
    { statement: statementOf({ subject: [{ digest: { gitCommit: "0".repeat(40) } }] }) },
  ],
  [
    "a digest in capitals",
    "subject",
    { statement: statementOf({ subject: [{ digest: { sha256: "AB".repeat(32) } }] }) },
  ],
  ["a digest that is too short", "subject", { statement: statementOf({ subject: [{ digest: { sha256: "ab" } }] }) }],
  ["a digest that is a number", "subject", { statement: statementOf({ subject: [{ digest: { sha256: 1 } }] }) }],
  [
    "too many subjects",
    "subject",
    { statement: statementOf({ subject: Array(1025).fill({ digest: { sha256: "ab".repeat(32) } }) }) },
  ],
  ["another predicate", "predicate", { statement: statementOf({ predicateType: "https://slsa.dev/provenance/v9" }) }],
  [
    "a predicate named as what every object has",
    "predicate",
    { statement: statementOf({ predicateType: "constructor" }) },
  ],
  ["no predicate", "predicate", { statement: statementOf({ predicate: undefined }) }],
  ["a predicate that is text", "predicate", { statement: statementOf({ predicate: "x" }) }],
  ["no builder", "predicate", { statement: statementOf({ predicate: provenanceV1({ runDetails: {} }) }) }],
  ["no build type", "predicate", { statement: statementOf({ predicate: provenanceV1({ buildDefinition: {} }) }) }],
  [
    "a builder that is a list",
    "predicate",
    { statement: statementOf({ predicate: provenanceV1({ runDetails: { builder: { id: [BUILDER] } } }) }) },
  ],
  ...[
    { verificationResult: "FAILED" },
    { verificationResult: undefined },
    { verifier: {} },
    { verifiedLevels: "SLSA_BUILD_LEVEL_3" },
    { resourceUri: "" },
  ].map((changes): [string, string, Making] => [
    `a summary with ${JSON.stringify(changes)}`,
    "predicate",
    {
      statement: statementOf({
        predicateType: "https://slsa.dev/verification_summary/v1",
        predicate: summary(changes),
      }),
    },
  ]),
  ["another workflow", "identity", { subjectName: WORKFLOW.replace("release", "test") }],
  ["another branch", "identity", { subjectName: WORKFLOW.replace("main", "mainline") }],
  ["a longer name", "identity", { subjectName: `https://evil.example/?${WORKFLOW}` }],
  ["another owner", "identity", { subjectName: WORKFLOW.replace("acme", "acme-evil") }],
  ["another issuer", "identity", { extensions: [{ oid: "1.3.6.1.4.1.57264.1.8", value: "https://gitlab.com" }] }],
  [
    "two issuers, of which the older is pinned",
    "identity",
    {
      extensions: [
        { oid: "1.3.6.1.4.1.57264.1.1", value: ISSUER, legacy: true },
        { oid: "1.3.6.1.4.1.57264.1.8", value: "https://gitlab.com" },
      ],
    },
  ],
  ["no issuer", "certificate", { extensions: [] }],
  [
    "an issuer that only reads as the pinned one",
    "certificate",
    { extensions: [{ oid: "1.3.6.1.4.1.57264.1.8", value: `${ISSUER}é` }] },
  ],
  ["an empty issuer", "certificate", { extensions: [{ oid: "1.3.6.1.4.1.57264.1.8", value: "" }] }],
  [
    "another builder",
    "builder",
    {
      statement: statementOf({ predicate: provenanceV1({ runDetails: { builder: { id: "https://evil.example" } } }) }),
    },
  ],
  [
    "another build type",
    "build_type",
    {
      statement: statementOf({
        predicate: provenanceV1({ buildDefinition: { buildType: "x", resolvedDependencies: [{ uri: SOURCE }] } }),
      }),
    },
  ],
  [
    "another source",
    "source",
    {
      statement: statementOf({
        predicate: provenanceV1({
          buildDefinition: {
            buildType: BUILD_TYPE,
            resolvedDependencies: [{ uri: "git+https://github.com/evil/payments@refs/heads/main" }],
          },
        }),
      }),
    },
  ],
  [
    "a source that the certificate denies",
    "source",
    {
      extensions: [
        { oid: "1.3.6.1.4.1.57264.1.8", value: ISSUER },
        { oid: "1.3.6.1.4.1.57264.1.12", value: "https://github.com/evil/payments" },
      ],
    },
  ],
  [
    "sources that contradict each other",
    "source",
    {
      statement: statementOf({
        predicate: provenanceV1({
          buildDefinition: {
            buildType: BUILD_TYPE,
            externalParameters: { workflow: { repository: "https://github.com/evil/payments" } },
            resolvedDependencies: [{ uri: SOURCE }],
          },
        }),
      }),
    },
  ],
];

test("what is signed but for one thing is refused at that step", async (t) => {
  for (const [why, step, making] of MADE_OTHERWISE) t.is(await made(making), step, why);
});

test("bundles that are none are refused before anything is verified", async (t) => {
  const bundle = await ours.bundle();
  const material = bundle["verificationMaterial"] as Json;
  const [logged] = material["tlogEntries"] as Json[];
  const other = (changes: Json): Json => ({ ...bundle, ...changes });
  const otherMaterial = (changes: Json): Json => other({ verificationMaterial: { ...material, ...changes } });
  const cases: [why: string, step: string, given: unknown][] = [
    ["nothing", "malformed", ""],
    ["no JSON", "malformed", "x"],
    ["null", "malformed", null],
    ["a list", "malformed", []],
    ["text", "malformed", '"x"'],
    ["an empty object", "malformed", {}],
    ["a member twice", "malformed", '{"mediaType":"a","mediaType":"b"}'],
    ["too large", "too_large", `"${"x".repeat(1024 * 1024)}"`],
    ["too deep", "too_large", `${"[".repeat(65)}${"]".repeat(65)}`],
    ["another version", "malformed", other({ mediaType: "application/vnd.dev.sigstore.bundle.v0.4+json" })],
    [
      "a version with more behind it",
      "malformed",
      other({ mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json;x" }),
    ],
    ["no version", "malformed", other({ mediaType: undefined })],
    ["a version that is a list", "malformed", other({ mediaType: ["application/vnd.dev.sigstore.bundle.v0.3+json"] })],
    ["no envelope", "malformed", other({ dsseEnvelope: undefined })],
    ["a signed file", "malformed", other({ dsseEnvelope: undefined, messageSignature: {} })],
    ["an envelope and a signed file", "malformed", other({ messageSignature: {} })],
    ["no material", "malformed", other({ verificationMaterial: undefined })],
    ["material that is a list", "malformed", other({ verificationMaterial: [] })],
    ["a certificate twice", "malformed", otherMaterial({ certificate: { rawBytes: "AAAA" } })],
    ["a certificate and a key", "malformed", otherMaterial({ publicKey: { hint: ours.key.hint } })],
    ["no certificate", "malformed", otherMaterial({ x509CertificateChain: { certificates: [] } })],
    [
      "a chain without end",
      "malformed",
      otherMaterial({ x509CertificateChain: { certificates: Array(9).fill({ rawBytes: "AAAA" }) } }),
    ],
    [
      "a certificate that is none",
      "certificate",
      otherMaterial({ x509CertificateChain: { certificates: [{ rawBytes: "AAAA" }] } }),
    ],
    [
      "an authority's certificate",
      "certificate",
      otherMaterial({
        x509CertificateChain: {
          certificates: [
            {
              rawBytes: Buffer.from(ours.parts.ca.rootCertificate.buffer).toString("base64"),
            },
          ],
        },
      }),
    ],
    ["no log entry", "timestamp", otherMaterial({ tlogEntries: [] })],
    ["log entries that are none", "malformed", otherMaterial({ tlogEntries: {} })],
    ["a log entry that is null", "malformed", otherMaterial({ tlogEntries: [null] })],
    ["too many log entries", "malformed", otherMaterial({ tlogEntries: Array(5).fill(logged) })],
    ["a log entry twice", "timestamp", otherMaterial({ tlogEntries: [logged, logged] })],
    [
      "too long a proof",
      "malformed",
      otherMaterial({
        tlogEntries: [
          { ...logged, inclusionProof: { ...(logged!["inclusionProof"] as Json), hashes: Array(65).fill("AAAA") } },
        ],
      }),
    ],
    ["no proof in v0.2", "malformed", otherMaterial({ tlogEntries: [{ ...logged, inclusionProof: undefined }] })],
    [
      "a timestamp that is none",
      "timestamp",
      otherMaterial({ timestampVerificationData: { rfc3161Timestamps: [{ signedTimestamp: "AAAA" }] } }),
    ],
    [
      "a timestamp that is an empty sequence",
      "timestamp",
      otherMaterial({ timestampVerificationData: { rfc3161Timestamps: [{ signedTimestamp: "MAA=" }] } }),
    ],
    [
      "too many timestamps",
      "malformed",
      otherMaterial({ timestampVerificationData: { rfc3161Timestamps: Array(5).fill({}) } }),
    ],
    [
      "two signatures",
      "malformed",
      other({ dsseEnvelope: { ...(bundle["dsseEnvelope"] as Json), signatures: [{ sig: "AAAA" }, { sig: "AAAA" }] } }),
    ],
    ["no signature", "malformed", other({ dsseEnvelope: { ...(bundle["dsseEnvelope"] as Json), signatures: [] } })],
    ["no payload", "malformed", other({ dsseEnvelope: { ...(bundle["dsseEnvelope"] as Json), payload: "" } })],
  ];
  for (const [why, step, given] of cases) {
    const verdict = verify(encode(given));
    t.is(stepOf(verdict), step, why);
    t.true(!verdict.ok && verdict.message.length > 10, why);
  }
});

test("a log that is no longer in use, or not yet, vouches for nothing", async (t) => {
  const bundle = encode(await ours.bundle({ rekor: 2 }));
  for (const validFor of [
    { start: "2020-01-01T00:00:00Z", end: "2021-01-01T00:00:00Z" },
    { start: "2999-01-01T00:00:00Z" },
  ]) {
    const root = structuredClone(ours.trustedRoot) as { tlogs: { publicKey: Json }[] };
    root.tlogs[1]!.publicKey["validFor"] = validFor;
    t.is(stepOf(makeVerifier(config(IDENTITIES, { trustedRoot: encode(root) })).verify(bundle)), "log");
  }
});

test("the first identity that matches counts; patterns are anchored", async (t) => {
  const bundle = encode(await ours.bundle());
  const by = (...identities: Partial<ProvenanceConfig["identities"][number]>[]) => {
    const verdict = makeVerifier(config(identities)).verify(bundle);
    return verdict.ok ? verdict.proven.level : verdict.step;
  };
  t.is(by({ level: 1 }, { level: 3 }), 1);
  t.is(by({ builder: "https://other", level: 1 }, { level: 3 }), 3);
  t.is(by({ subject: "https://github.com/acme/*/.github/workflows/release.yml@refs/heads/main" }), 1);
  t.is(by({ subject: "https://github.com/acme/**" }), 1);
  t.is(by({ subject: "https://github.com/acme/*" }), "identity");
  t.is(by({ subject: "https://github.com/.*" }), "identity");
  t.is(by({ subject: "acme" }), "identity");
  t.is(by({ source: "git+https://github.com/acme/*" }), 1);
  t.is(by({ source: "git+https://github.com/*" }), "source");
  t.is(by({ build_types: ["x", "https://actions.github.io/**"] }), 1);
  t.is(by({ build_types: [] }), "build_type");
});

test("globs take no more than they say, and no time", (t) => {
  t.true(matchesGlob("a*c", "abbc"));
  t.false(matchesGlob("a*c", "ab/c"));
  t.true(matchesGlob("a**c", "ab/c"));
  t.true(matchesGlob("**", ""));
  t.false(matchesGlob("", "a"));
  t.false(matchesGlob("a.c", "abc"));
  t.false(matchesGlob("*a", "ab"));
  t.false(matchesGlob(`${"**a".repeat(200)}b`, "a".repeat(4000)));
});

test("what is pinned must be readable, and sound", (t) => {
  const pem = ours.key.pem;
  const tlogs = (ours.trustedRoot["tlogs"] as Json[]).map((log) => ({
    ...log,
    publicKey: { ...(log["publicKey"] as Json), validFor: {} },
  }));
  const weak =
    "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALqTTmDCMGLT6DXM3nMjK8s2XPIOGX2g\n-----END PUBLIC KEY-----";
  const wrong: object[] = [
    { trustedRoot: encode("x") },
    { trustedRoot: encode({}) },
    { trustedRoot: encode({ ...ours.trustedRoot, mediaType: "x" }) },
    { trustedRoot: encode({ ...ours.trustedRoot, tlogs: [] }) },
    { trustedRoot: encode({ ...ours.trustedRoot, tlogs }) },
    { keys: [{ id: "a", pem: "x" }] },
    { keys: [{ id: "a", pem: weak }] },
    { keys: [{ id: "a", pem: pem.replace(/[A-Za-z]{8}/, "AAAAAAAA") }] },
  ];
  for (const more of wrong)
    t.throws(
      () => makeVerifier(config(IDENTITIES, more)),
      { instanceOf: ConfigError },
      JSON.stringify(more).slice(0, 80),
    );
});

test("nothing that verifies bundles can reach a network", (t) => {
  const require = createRequire(import.meta.url);
  for (const name of ["bundle", "verify", "core", "protobuf-specs"]) {
    const folder = join(require.resolve(`@sigstore/${name}`), "..");
    for (const file of (readdirSync(folder, { recursive: true }) as string[]).filter((each) => each.endsWith(".js")))
      t.notRegex(
        readFileSync(join(folder, file), "utf8"),
        /require\("(?:node:)?(?:net|http|https|http2|tls|dns|dgram|child_process)|\bfetch\(/,
        `${name}/${file}`,
      );
  }
});
