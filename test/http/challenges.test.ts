// Challenges over real HTTP: issued, spent for good, for one workload and one decision; tokens used elsewhere; and all of it replayed from the evidence alone.
import { createHash } from "node:crypto";
import { join } from "node:path";
import test from "ava";
import { replay } from "../../src/evidence/replay/replay.ts";
import { loadConfig } from "../../src/node/config/config.ts";
import { serve } from "../../src/http/server.ts";
import { teeRequest } from "../core/requests.ts";
import { attesters, bundleOf, NOW_MS, NOW_S, SAMPLES, signed, type Claims } from "../trust/tokens.ts";
import { Clock, send, start } from "./support.ts";

const MINUTE = 60_000;
const clock = new Clock(NOW_MS);
const pinned = attesters()
  .filter(({ x5cRoots }) => x5cRoots === undefined)
  .map(({ issuer, format, jwks }) => ({ issuer, format, jwks: { keys: jwks } }));
const served = await start({ trust: { attesters: pinned } }, { clock: clock.shared });
let { url } = served;
let close = () => served.close();
test.after.always(() => close());

const post = (path: string, body: object) => send(url, "POST", path, { body });
const challenge = async (workload_id: string): Promise<string> =>
  (await post("/v1/challenges", { tenant_id: "acme", workload_id })).json.nonce;
const hexOf = (nonce: string): string => Buffer.from(nonce, "base64url").toString("hex");

const maa = SAMPLES["maa, SEV-SNP"]!;
let issued = 0;
/** A token of MAA's, measured a second later than the one before it. */
function token(nonce?: string, over: Claims = {}): Promise<string> {
  const { nonce: _, ...claims } = maa.claims();
  const iat = NOW_S - 60 + ++issued;
  return signed(maa, { ...claims, jti: `j-${issued}`, iat, ...(nonce !== undefined && { nonce }), ...over });
}
function enclave(id: string, attestation: object): object {
  const request = teeRequest() as any;
  request.workload.workload_id = id;
  request.workload.dependencies = ["attestation_service", "key_service"].map((kind) => ({
    dependency_id: kind,
    kind,
    available: true,
    local: true,
  }));
  request.placement.tenancy = "dedicated";
  const { correlation_id: _, ...unnamed } = request;
  return { ...unnamed, attestation };
}
const admit = async (id: string, attestation: object, query = "") =>
  (await post(`/v1/admissions${query}`, enclave(id, attestation))).json;
/** Why it was refused; empty where it was not. */
const reasons = async (id: string, attestation: object, query = ""): Promise<string> =>
  (await admit(id, attestation, query)).decision.refusals.map(({ params }: any) => params.reason).join();

test.serial("a challenge is 256 bits, and good for five minutes", async (t) => {
  const { status, json } = await post("/v1/challenges", { tenant_id: "acme", workload_id: "w" });
  t.is(status, 201);
  t.deepEqual(Object.keys(json).sort(), ["expires_at", "nonce"]);
  t.is(Buffer.from(json.nonce, "base64url").length, 32);
  t.is(json.expires_at, new Date(clock.ms + 5 * MINUTE).toISOString());
  t.is((await post("/v1/challenges", { tenant_id: "acme" })).status, 422);
  t.is((await post("/v1/challenges", { tenant_id: "acme", workload_id: "." })).status, 422);
});

test.serial("a decision on a challenge spends it, accepted or refused, and a dry run does not", async (t) => {
  const nonce = await challenge("w");
  const first = await token(nonce);
  for (const _ of [1, 2]) t.is(await reasons("w", { token: first }, "?dry_run=true"), "");
  const { decision, event } = await admit("w", { token: first });
  t.is(decision.outcome, "accepted");
  const { text } = await send(url, "GET", `/v1/events/${event.id}/artifact?tenant_id=acme`);
  t.deepEqual(JSON.parse(text).input.facts.attestation.nonce, { form: "challenge", ok: true });
  t.is(await reasons("w", { token: first }), "nonce", "spent");
  t.is(await reasons("w", { token: await token(nonce) }), "nonce", "by another token too");

  const refused = await challenge("w");
  const failing = await token(refused, { "x-ms-compliance-status": "none" });
  t.is(await reasons("w", { token: failing }), "no pass");
  t.is(await reasons("w", { token: await token(refused) }), "nonce", "a refusal spends it");
  const late = await challenge("w");
  const ended = await token(late, { exp: NOW_S - 1 });
  t.is(await reasons("w", { token: ended }), "window");
  t.is(await reasons("w", { token: await token(late) }), "nonce", "so does a token that fails a later step");
});

test.serial("a challenge is one workload's, open for its time, as text or in hex", async (t) => {
  const nonce = await challenge("w");
  t.is(await reasons("other", { token: await token(nonce) }), "nonce");
  const forged = (await token(nonce)).slice(0, -8);
  t.is(await reasons("w", { token: `${forged}AAAAAAAA` }), "signature");
  t.is(await reasons("w", { token: await token(hexOf(nonce)) }), "", "still open for its own");
  const expired = await challenge("w");
  clock.ms += 5 * MINUTE;
  t.is(await reasons("w", { token: await token(expired, { exp: NOW_S + 3600 }) }), "nonce");
  const deleted = await challenge("w");
  clock.ms += 5 * MINUTE;
  await challenge("w");
  t.is(await reasons("w", { token: await token(deleted, { exp: NOW_S + 3600 }) }), "nonce", "as if it had never been");
  clock.ms = NOW_MS;
  t.is(await reasons("w", { token: await token("no-challenge") }), "nonce");
});

test.serial("a token used for one workload is none for another", async (t) => {
  const unbound = await token();
  t.is(await reasons("a", { token: unbound }), "");
  t.is(await reasons("b", { token: unbound }), "token used elsewhere");
  t.is(await reasons("a", { token: unbound }), "");
  const refused = await token(undefined, { "x-ms-compliance-status": "none" });
  t.is(await reasons("c", { token: refused }), "no pass");
  t.is(await reasons("d", { token: refused }), "token used elsewhere");
  const batch = await token();
  const items = ["e", "f"].map((id) => enclave(id, { token: batch }));
  const answers = (await post("/v1/admissions/batch", { items })).json.items;
  t.deepEqual(
    answers.map(({ decision }: any) => decision.outcome),
    ["accepted", "refused"],
  );
});

test.serial("the event's authority material names each token, devices included", async (t) => {
  const nonce = await challenge("gpu");
  const bundle = await bundleOf({
    devices: { "GPU-0": (claims) => ({ ...claims, eat_nonce: hexOf(nonce) }) },
    overall: (claims) => ({ ...claims, eat_nonce: hexOf(nonce) }),
  });
  const own = await token(nonce);
  const { decision, event } = await admit("gpu", { token: own, devices: [bundle] });
  t.is(decision.outcome, "accepted", JSON.stringify(decision.refusals));
  const store = await served.store();
  const material = JSON.parse(Buffer.from((await store.artifact(event.authority_snapshot_id))!).toString());
  await store.close();
  const digest = (text: string) => `sha256:${createHash("sha256").update(text).digest("hex")}`;
  const [[, overall], devices] = bundle as [[string, string], Record<string, string>];
  t.deepEqual(
    material.filter(({ kind }: any) => kind),
    [
      { digest: digest(own), kind: "attestation_token" },
      ...[digest(overall), digest(devices["GPU-0"]!)].sort().map((each) => ({ digest: each, kind: "device_token" })),
    ],
  );
  const alone = await bundleOf();
  t.regex(await reasons("gpu", { token: await token(), devices: [alone] }), /^device not verified: nonce/);
});

test.serial("a re-attestation is bound by a challenge, and takes devices", async (t) => {
  const nonce = await challenge("gpu");
  const attest = async (body: object) =>
    (await post("/v1/workloads/gpu/attestations", { tenant_id: "acme", trace_id: "t-1", ...body })).json;
  const failed = await attest({ token: await token("t-1") });
  t.deepEqual([failed.code, failed.event.details.standing], ["attestation_failed", null]);
  const devices = [
    await bundleOf({
      devices: { "GPU-0": (claims) => ({ ...claims, eat_nonce: hexOf(nonce) }) },
      overall: (claims) => ({ ...claims, eat_nonce: hexOf(nonce) }),
    }),
  ];
  const passed = await attest({ token: await token(nonce), devices });
  t.is(passed.event?.details.standing, "passed", JSON.stringify(passed));
  t.is((await attest({ token: await token(nonce) })).code, "attestation_failed", "spent");
});

test.serial(
  "what is open and what is spent outlives a restart, and the evidence alone leads to the same decisions",
  async (t) => {
    const [open, spent] = [await challenge("w"), await challenge("w")];
    t.is(await reasons("w", { token: await token(spent) }), "");
    const used = await token();
    t.is(await reasons("w", { token: used }), "");
    await close();
    const config = loadConfig({ env: {}, cwd: served.dir });
    const again = await serve(config, { signals: false, logTo: { write: () => undefined }, clock: clock.shared });
    ({ url } = again);
    close = () => again.close();
    t.is(await reasons("w", { token: await token(spent) }), "nonce");
    t.is(await reasons("v", { token: used }), "token used elsewhere");
    t.is(await reasons("w", { token: await token(open) }), "");
    const report = await replay(join(served.dir, "data"));
    t.true(report.ok);
    t.deepEqual(report.mismatches, []);
    t.true(report.decisions > 20);
  },
);

test.serial("no more than 64 are open of a workload", async (t) => {
  const ask = () => post("/v1/challenges", { tenant_id: "acme", workload_id: "many" });
  const asked = await Promise.all(Array.from({ length: 66 }, ask));
  const counted = (status: number) => asked.filter((each) => each.status === status).length;
  t.deepEqual([counted(201), counted(429)], [64, 2]);
  const denied = asked.find(({ status }) => status === 429)!;
  t.is(denied.json.code, "challenges_exhausted");
  t.is((await post("/v1/challenges", { tenant_id: "acme", workload_id: "few" })).status, 201);
  const { nonce } = asked.find(({ status }) => status === 201)!.json;
  t.is(await reasons("many", { token: await token(nonce) }), "");
  t.is((await ask()).status, 201, "what is spent makes room");
  clock.ms += 5 * MINUTE;
  t.is((await ask()).status, 201, "and what has ended");
  clock.ms = NOW_MS;
});
