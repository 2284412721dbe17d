// Provenance through the doors: bundles in a request, bundles kept, what is on record, and what an export brings along.
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createPublicKey, verify } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { connectRailgate } from "../../src/client/index.ts";
import { NotFoundError, ProvenanceRefusedError } from "../../src/core/errors.ts";
import { canonicalJson } from "../../src/core/json.ts";
import { digestOf } from "../../src/core/event.ts";
import { replay } from "../../src/evidence/replay/replay.ts";
import { verifyExport } from "../../src/evidence/verify/node.ts";
import { containerRequest } from "../core/requests.ts";
import { lawfulPod, namespace, reviewOf } from "../kubernetes/reviews.ts";
import { BUILDER, IMAGE, ISSUER, makeSigstore, SOURCE, statementOf, WORKFLOW, type Making } from "../trust/sigstore.ts";
import { start, type Answered } from "./support.ts";
import { until } from "../until.ts";

type Json = { [name: string]: any };

const [ours, theirs] = await Promise.all([makeSigstore(), makeSigstore()]);
const dir = mkdtempSync(join(tmpdir(), "railgate-provenance-"));
const [root, key] = [join(dir, "trusted_root.json"), join(dir, "release.pub.pem")];
writeFileSync(root, JSON.stringify(ours.trustedRoot));
writeFileSync(key, ours.key.pem);
const provenance = {
  trusted_root: root,
  keys: [{ id: "release", key }],
  identities: [
    { issuer: ISSUER, subject: WORKFLOW, builder: BUILDER, source: SOURCE, level: 3 },
    { issuer: "release", subject: "release", level: 1 },
  ],
};
const served = await start({ trust: { provenance } });
test.after.always(() => served.close());

const OTHER = `sha256:${"ab".repeat(32)}`;
let count = 0;

/** A request for one image, with this provenance. */
function request(given: unknown, digest = IMAGE): Json {
  const made = containerRequest() as Json;
  made["workload"].workload_id = `w-${++count}`;
  const [image] = made["workload"].envelope.container.images;
  image.reference = `registry.example/api@${digest}`;
  if (given === undefined) delete image.provenance;
  else image.provenance = given;
  return made;
}

const admit = (given: unknown, digest?: string): Promise<Answered> =>
  served.call("POST", "/v1/admissions", { body: request(given, digest) });
const about = (digest: string) => statementOf({ subject: [{ digest: { sha256: digest.slice(7) } }] });
const made = (making: Making = {}) => ours.bundle(making);
const artifactOf = async (answered: Answered): Promise<Json> =>
  (await served.call("GET", `/v1/events/${answered.json.event.id}/artifact?tenant_id=acme`)).json;
const reasons = ({ json }: Answered): string[] => json.decision.refusals.map(({ params }: Json) => params["reason"]);

test("a bundle in the request is verified, and what it proved is on record", async (t) => {
  const bundle = await made({ rekor: 2 });
  const answered = await admit({ bundles: [bundle] });
  t.is(answered.json.decision.outcome, "accepted");
  t.deepEqual(answered.json.event.details.provenance, { verified: 1, declared: 0 });
  const { input } = await artifactOf(answered);
  const digest = digestOf(canonicalJson(bundle));
  t.deepEqual(input.request.workload.envelope.container.images[0].provenance, { bundles: [digest] });
  t.like(input.facts.artifacts[0].provenance, {
    status: "verified",
    issuer: ISSUER,
    subject: WORKFLOW,
    level: 3,
    error: null,
  });
  t.is(typeof input.facts.artifacts[0].provenance.trusted_root_age_s, "number");
  const store = await served.store();
  const snapshot = JSON.parse(
    Buffer.from((await store.artifact(answered.json.event.authority_snapshot_id))!).toString(),
  );
  t.deepEqual(snapshot, [
    { digest, kind: "provenance_bundle" },
    { digest: digestOf(readFileSync(root)), kind: "trusted_root" },
  ]);
  await store.close();
});

test("the caller's word is counted apart, and nothing at all is refused", async (t) => {
  const declared = await admit({ verified: true, issuer: "https://ci.example" }, OTHER);
  t.deepEqual(declared.json.event.details.provenance, { verified: 0, declared: 1 });
  t.is(declared.json.decision.outcome, "accepted");
  const silent = await admit(undefined, OTHER);
  t.deepEqual(silent.json.event.details.provenance, { verified: 0, declared: 0 });
  t.deepEqual(reasons(silent), ["nothing vouches for it"]);
});

test("a bad bundle is refused in words, whatever else is said for the artifact", async (t) => {
  const good = await made({ by: "key" });
  const cases: [unknown[], string][] = [
    [[{}], "a bundle is malformed"],
    [
      [good, await made({ authority: theirs })],
      "a bundle's certificate was not issued by the pinned authorities at the time of the signature",
    ],
    [[await made({ log: theirs })], "a bundle is not in a pinned transparency log"],
    [[await made({ clock: theirs, rekor: 2 })], "no trusted time of a bundle's signature holds"],
    [[await made({ by: "key", hint: "other" })], "a bundle names a key that is not pinned"],
    [[await made({ statement: about(OTHER) })], "a bundle is not about this artifact"],
    [[await made({ subjectName: "https://evil.example" })], "nobody who is pinned signed a bundle"],
  ];
  for (const [bundles, reason] of cases) {
    const answered = await admit({ bundles });
    t.is(answered.status, 200);
    t.is(answered.json.decision.outcome, "refused", reason);
    t.like(answered.json.decision.refusals[0], {
      rule: "SUP-04",
      pointer: "/workload/envelope/container/images/0/provenance/bundles",
      params: { artifact: "api", reason },
    });
    const [fact] = (await artifactOf(answered)).input.facts.artifacts;
    t.like(fact.provenance, { status: "rejected", issuer: null, subject: null, level: null, signed_at_ms: null });
  }
  const named = await admit({ bundles: [good] }, OTHER);
  t.deepEqual(reasons(named), ["a bundle is not about this artifact"]);
  // By key its issuer is the key's id, which the settings do not list.
  t.deepEqual(reasons(await admit({ bundles: [good] })), [
    "it is verified, but release is not among the accepted issuers",
  ]);
});

test("a bundle is kept by what it is about, for requests and pods that name no more than the digest", async (t) => {
  const digest = `sha256:${"cd".repeat(32)}`;
  const before = await admit(undefined, digest);
  t.is(before.json.decision.outcome, "refused");
  const bundle = await made({ statement: about(digest) });
  const posted = await served.call("POST", "/v1/provenance?tenant_id=acme", { body: bundle });
  t.is(posted.status, 201);
  t.like(posted.json, {
    subjects: [digest],
    issuer: ISSUER,
    subject: WORKFLOW,
    builder: BUILDER,
    source: SOURCE,
    level: 3,
    stored: true,
  });
  t.regex(posted.json.signed_at, /^\d{4}-.*Z$/);
  const shown = await served.call("GET", `/v1/provenance/${digest}`);
  t.like(shown.json, { digest, items: [{ verified: true, error: null, bundle, subjects: [digest] }] });
  for (const given of [undefined, { verified: false }, { verified: true, issuer: "https://unknown.example" }]) {
    const answered = await admit(given, digest);
    t.is(answered.json.decision.outcome, "accepted", JSON.stringify(given));
    t.deepEqual(answered.json.event.details.provenance, { verified: 1, declared: 0 });
  }
  const ask = async (body: unknown) =>
    (await served.call("POST", "/v1/kubernetes/admission", { body: body as object })).json.response;
  await ask(reviewOf(namespace("shop", { "railgate.dev/law": "deny" })));
  const pod = lawfulPod() as Json;
  pod["metadata"].namespace = "shop";
  delete pod["metadata"].annotations["railgate.dev/provenance"];
  const podWith = (image: string) => {
    const copy = structuredClone(pod);
    for (const container of copy["spec"].containers) container.image = `registry.example/api@${image}`;
    return reviewOf(copy);
  };
  t.true((await ask(podWith(digest))).allowed);
  t.regex((await ask(podWith(OTHER))).status.message, /SUP-04/);
});

test("bundles that came with a request are kept as well; a dry run keeps nothing", async (t) => {
  const [tried, decided] = [`sha256:${"1a".repeat(32)}`, `sha256:${"2b".repeat(32)}`];
  const dry = await served.call("POST", "/v1/admissions?dry_run=true", {
    body: request({ bundles: [await made({ statement: about(tried) })] }, tried),
  });
  t.is(dry.json.decision.outcome, "accepted");
  t.is((await served.call("GET", `/v1/provenance/${tried}`)).status, 404);
  await admit({ bundles: [await made({ statement: about(decided) })] }, decided);
  t.is((await served.call("GET", `/v1/provenance/${decided}`)).json.items.length, 1);
});

test("what does not hold is not kept: the answer names the step", async (t) => {
  const cases: [unknown, string][] = [
    [{}, "malformed"],
    [await made({ authority: theirs }), "certificate"],
    [await made({ log: theirs }), "log"],
    [await made({ subjectName: "https://evil.example" }), "identity"],
    [await made({ payloadType: "text/plain" }), "statement"],
  ];
  for (const [body, step] of cases) {
    const answered = await served.call("POST", "/v1/provenance", { body: body as object });
    t.is(answered.status, 422);
    t.like(answered.json, { code: "provenance_invalid", step });
  }
  t.is((await served.call("POST", "/v1/provenance", { body: "[]" })).status, 422);
  t.is((await served.call("POST", "/v1/provenance", { body: "{" })).status, 400);
  t.is((await served.call("POST", "/v1/provenance", { body: `"${"x".repeat(1024 * 1024)}"` })).status, 413);
  t.is((await served.call("GET", `/v1/provenance/${`sha256:${"0".repeat(64)}`}`)).status, 404);
  t.is((await served.call("GET", "/v1/provenance/sha256:x")).status, 422);
  const client = connectRailgate({ url: served.url });
  await t.throwsAsync(client.addProvenance({}), { instanceOf: ProvenanceRefusedError });
  await t.throwsAsync(client.provenance(`sha256:${"0".repeat(64)}`), { instanceOf: NotFoundError });
});

test("how many bundles there may be, and what beside them", async (t) => {
  const bundle = {};
  const status = async (given: unknown) => (await admit(given)).status;
  t.is(await status({ bundles: Array(9).fill(bundle) }), 422);
  t.is(await status({ bundles: [bundle], verified: true }), 422);
  t.is(await status({ bundles: ["x"] }), 422);
  t.is(await status({ bundles: {} }), 422);
  t.is(await status({ attestation: "x" }), 422);
  const many = request({ bundles: Array(8).fill(bundle) });
  const [image] = many["workload"].envelope.container.images;
  many["workload"].envelope.container.images = [image, image, image];
  t.is((await served.call("POST", "/v1/admissions", { body: many })).status, 422);
});

test("an export brings bundles and trusted root along, verifies and replays", async (t) => {
  const tenant = "auditor";
  const bundle = await made();
  const body = request({ bundles: [bundle] });
  body["workload"].tenant_id = tenant;
  await served.call("POST", "/v1/admissions", { body });
  const { bytes } = await served.call("POST", "/v1/exports", { body: { tenant_id: tenant } });
  const jwks = (await served.call("GET", "/.well-known/jwks.json")).json;
  const report = await verifyExport(bytes, { jwks });
  t.true(report.ok, JSON.stringify(report.checks));
  const path = join(dir, "export.tar.gz");
  writeFileSync(path, bytes);
  t.like(await replay(path), { ok: true });
  const { gunzipSync } = await import("node:zlib");
  const archive = gunzipSync(bytes);
  t.true(archive.includes(canonicalJson(bundle)));
  t.true(archive.includes(readFileSync(root)));
});

test("an admission is told to other tools as a signed VSA and SVR an image", async (t) => {
  const { keys } = (await served.call("GET", "/.well-known/jwks.json")).json;
  const levels = async (given: unknown, digest: string) => {
    const { json } = await admit(given, digest);
    const { items } = (await served.call("GET", `/v1/events/${json.event.id}/summaries?tenant_id=acme`)).json;
    if (json.decision.outcome === "refused") return items;
    t.is(items.length, 1);
    for (const { payload, payloadType, signatures } of [items[0].vsa, items[0].svr]) {
      const bytes = Buffer.from(payload, "base64");
      const encoded = Buffer.concat([
        Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${bytes.length} `),
        bytes,
      ]);
      const jwk = keys.find(({ kid }: Json) => kid === signatures[0].keyid);
      t.true(
        verify(null, encoded, createPublicKey({ key: jwk, format: "jwk" }), Buffer.from(signatures[0].sig, "base64")),
      );
    }
    const vsa = JSON.parse(Buffer.from(items[0].vsa.payload, "base64").toString());
    t.like(vsa, {
      _type: "https://in-toto.io/Statement/v1",
      predicateType: "https://slsa.dev/verification_summary/v1",
    });
    t.is(vsa.subject[0].digest.sha256, digest.slice("sha256:".length));
    t.is(vsa.predicate.verificationResult, "PASSED");
    t.is(vsa.predicate.policy.digest.sha256, json.event.policy_snapshot_id.slice("sha256:".length));
    t.is(vsa.predicate.inputAttestations[0].digest.sha256, digestOf(json.receipt).slice("sha256:".length));
    return vsa.predicate.verifiedLevels;
  };
  t.deepEqual(await levels({ bundles: [await made()] }, IMAGE), ["SLSA_BUILD_LEVEL_3"]);
  t.deepEqual(await levels({ verified: true, issuer: "https://ci.example" }, OTHER), ["SLSA_BUILD_LEVEL_UNEVALUATED"]);
  t.deepEqual(await levels(undefined, OTHER), []);
});

test("what is pinned is taken anew from its files", async (t) => {
  const file = join(dir, "another_root.json");
  writeFileSync(file, JSON.stringify(ours.trustedRoot));
  const renewed = await start({ trust: { provenance: { ...provenance, trusted_root: file } } }, { reloadEveryMs: 20 });
  const post = async (body: object) => (await renewed.call("POST", "/v1/provenance", { body })).status;
  const [own, others] = await Promise.all([made(), theirs.bundle()]);
  t.is(await post(own), 201);
  t.is(await post(others), 422);
  writeFileSync(file, JSON.stringify(theirs.trustedRoot));
  await until(async () => (await post(others)) === 201);
  t.is(await post(own), 422);
  // What was kept before is still there, and counts for nothing.
  const { items } = (await renewed.call("GET", `/v1/provenance/${IMAGE}`)).json;
  t.deepEqual(
    items.map(({ verified, error }: Json) => [verified, error]),
    [
      [true, null],
      [false, "certificate"],
    ],
  );
  await renewed.close();
});

test("without a trusted root a bundle is refused, and says why", async (t) => {
  const bare = await start();
  const answered = await bare.call("POST", "/v1/admissions", { body: request({ bundles: [await made()] }) });
  t.deepEqual(reasons(answered), ["bundles cannot be verified, since no trusted root is pinned on this node"]);
  t.like((await bare.call("POST", "/v1/provenance", { body: await made() })).json, { step: "unpinned" });
  await bare.close();
});
