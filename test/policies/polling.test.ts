// Policy that comes from a service: it replaces, is refused, ages, ends, and outlasts a restart without a network.
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { eventTextOf } from "../../src/core/event.ts";
import { parseAdmissionRequest } from "../../src/core/request.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import { RailgateNode, type NodeOptions } from "../../src/node/open.ts";
import { lacks } from "../../src/policies/choose.ts";
import { containerRequest } from "../core/requests.ts";
import { admit } from "../gate/commands.ts";
import type { ServiceAccess } from "../../src/outbound/access.ts";
import { certificates } from "../http/certificates.ts";
import { emptyDir } from "../http/support.ts";
import { lawBundle, makeSigner } from "./bundles.ts";
import { makeControl, type Control } from "./control.ts";
import { until } from "../until.ts";

const [signer, stranger] = [await makeSigner(), await makeSigner()];
const request = parseAdmissionRequest(containerRequest());
const DAY_MS = 86_400_000;

const options = ({ access }: Control, dataDir: string, more: Partial<NodeOptions> = {}): NodeOptions => ({
  dataDir,
  services: { control: access },
  bundles: [
    {
      name: "law",
      keys: signer.keys,
      service: "control",
      resource: "bundles/law",
      polling: { minDelayS: 0.05, maxDelayS: 0.1 },
      sizeLimitBytes: 4_000_000,
    },
  ],
  ...more,
});

const eventsOf = async (node: RailgateNode, event_type: string) =>
  (await node.store.events({ event_type, order: "asc", limit: 100 })).map(
    ({ record }) => JSON.parse(eventTextOf(record)) as EvidenceEvent,
  );

const revision = (node: RailgateNode) => node.policies.bundles()[0]?.policy.revision;
const codes = async (node: RailgateNode) => (await admit(node, request)).decision.refusals.map(({ code }) => code);
const rejection = (node: RailgateNode, reason: string) =>
  until(async () => (await eventsOf(node, "policy.reject")).find(({ details }) => details?.["reason"] === reason));

async function serving(t: ExecutionContext): Promise<Control> {
  const control = await makeControl(t);
  control.offer(await lawBundle(signer, { revision: "two", sequence: 2 }));
  return control;
}

test("a bundle is asked for until it comes, then conditionally; a newer one replaces it, on record", async (t) => {
  const control = await makeControl(t);
  await using node = await RailgateNode.open(options(control, emptyDir()));
  t.deepEqual(await codes(node), ["policy_unavailable"]);
  t.regex(node.problem!, /the bundle law has not come yet/);
  control.offer(await lawBundle(signer, { revision: "two", sequence: 2 }));
  await until(() => revision(node) === "two");
  t.is(node.problem, undefined);
  t.deepEqual(await codes(node), []);
  await until(() => control.asked.at(-1)!["if-none-match"] !== undefined);
  t.is(control.asked.at(-1)!["prefer"], "modes=snapshot");
  t.regex(String(control.asked.at(-1)!["user-agent"]), /^Railgate\//);
  control.offer(await lawBundle(signer, { revision: "three", sequence: 3 }));
  await until(() => revision(node) === "three");
  // It decides from the moment that its activation is linked, and the record follows.
  await until(async () => (await eventsOf(node, "policy.activate")).length === 2);
  t.deepEqual(
    (await eventsOf(node, "policy.activate")).map(({ details }) => [details?.["bundle"], details?.["revision"]]),
    [
      ["law", "two"],
      ["law", "three"],
    ],
  );
  t.deepEqual(await eventsOf(node, "policy.reject"), []);
});

test("what is tampered with, unsigned, foreign, older or a delta is refused once and on record, while decisions go on", async (t) => {
  const control = await serving(t);
  await using node = await RailgateNode.open(options(control, emptyDir()));
  await until(() => revision(node) === "two");
  const tampered = await lawBundle(signer, { revision: "x", sequence: 9 });
  const offers: [reason: string, bytes: Uint8Array][] = [
    ["signature", await lawBundle(null, { revision: "unsigned", sequence: 9 })],
    ["rollback", await lawBundle(signer, { revision: "one", sequence: 1 })],
    ["delta", await lawBundle(signer, { sequence: 9, files: (files) => files.set("patch.json", Buffer.from("{}")) })],
    ["archive", tampered.slice(0, -100)],
  ];
  for (const [reason, bytes] of offers) {
    control.offer(bytes);
    t.like(await rejection(node, reason), { outcome: "refused", details: { bundle: "law" } }, reason);
    await control.answered();
    await control.answered();
    t.deepEqual(await codes(node), []);
  }
  control.offer(await lawBundle(stranger, { revision: "foreign", sequence: 9 }));
  await until(async () => (await eventsOf(node, "policy.reject")).length === 5);
  await control.answered();
  await control.answered();
  t.is((await eventsOf(node, "policy.reject")).length, 5);
  t.is(revision(node), "two");
  control.offer(await lawBundle(signer, { revision: "three", sequence: 3 }));
  await until(() => revision(node) === "three");
});

test("what was refused is not sent again with each poll, confirms nothing, and is left behind by the next", async (t) => {
  const control = await makeControl(t);
  const two = await lawBundle(signer, { revision: "two", sequence: 2 });
  control.offer(two);
  await using node = await RailgateNode.open(options(control, emptyDir()));
  await until(() => revision(node) === "two");
  const active = await until(() => control.asked.at(-1)!["if-none-match"]);
  control.offer(await lawBundle(stranger, { revision: "three", sequence: 3 }));
  await rejection(node, "signature");
  await until(() => /^"\w+", "\w+"$/.test(control.asked.at(-1)!["if-none-match"] ?? ""));
  const { confirmedAtMs } = node.policies.bundles()[0]!;
  t.is(await control.answered(), 304);
  t.is(await control.answered(), 304);
  t.is(node.policies.bundles()[0]!.confirmedAtMs, confirmedAtMs);
  t.is(node.bundleStatuses()[0]!.rejected?.reason, "signature");
  control.offer(two);
  await until(() => control.asked.at(-1)!["if-none-match"] === active);
  await until(() => node.policies.bundles()[0]!.confirmedAtMs !== confirmedAtMs);
  t.is((await eventsOf(node, "policy.reject")).length, 1);
});

test("over TLS a service is who its authority says, and is shown a certificate", async (t) => {
  const dir = emptyDir();
  const file = certificates(dir);
  const tls = { key: file("server.key"), cert: file("server.crt"), ca: file("ca.crt"), requestCert: true };
  const control = await makeControl(t, tls);
  control.offer(await lawBundle(signer, { revision: "two", sequence: 2 }));
  const at = (name: string) => join(dir, name);
  const trusting = { ...control.access, tls: { caCert: at("ca.crt"), systemCaRequired: false } };
  const showing = { ...trusting, clientTls: { cert: at("client.crt"), privateKey: at("client.key") } };
  const asked = async (access: ServiceAccess) => {
    const failures: string[] = [];
    const observe = { bundleFailed: (problem: string) => failures.push(problem) };
    await using node = await RailgateNode.open(options({ ...control, access }, emptyDir(), { observe }));
    await until(() => revision(node) ?? failures[0]);
    return revision(node) ?? failures[0];
  };
  t.is(await asked(showing), "two");
  t.regex((await asked(trusting))!, /the bundle law could not be had: .*certificate/);
  t.regex(
    (await asked({ ...showing, clientTls: { cert: at("stranger.crt"), privateKey: at("stranger.key") } }))!,
    /could not be had/,
  );
  for (const caCert of ["strange-ca.crt", undefined])
    t.regex(
      (await asked({ ...showing, tls: { ...(caCert && { caCert: at(caCert) }), systemCaRequired: false } }))!,
      /could not be had: .*certificate/,
    );
});

test("an author hears of a policy that decides admissions and no reconciliation", (t) => {
  const policy = { revision: "old", sequence: 1, entrypoints: ["railgate/admission/decision"] };
  t.regex(lacks(policy)!, /\(revision old, sequence 1\) has no entrypoint railgate\/reconciliation\/decision/);
  t.is(lacks({ ...policy, entrypoints: [...policy.entrypoints, "railgate/reconciliation/decision"] }), undefined);
  t.is(lacks({ ...policy, entrypoints: ["authz/allow"] }), undefined);
});

test("a service that fails leaves no evidence, a policy that grows old, and then POL-02", async (t) => {
  const control = await serving(t);
  let nowMs = Date.now();
  const problems: string[] = [];
  const observe = { bundleFailed: (problem: string) => void problems.push(problem) };
  await using node = await RailgateNode.open(options(control, emptyDir(), { now: () => nowMs, observe }));
  await until(() => revision(node) === "two");
  const inputOf = async () => {
    const { event } = await admit(node, request);
    return Buffer.from((await node.store.artifactOf(event.id))!.bytes).toString();
  };
  t.regex(await inputOf(), /"policy":\{"age_s":0,/);
  control.fail(500);
  await until(() => problems.length === 1);
  nowMs += 100 * DAY_MS;
  t.deepEqual(await codes(node), ["policy_stale"]);
  t.regex(await inputOf(), /"policy":\{"age_s":8640\d\d\d,/);
  control.fail(undefined);
  await until(async () => (await codes(node)).length === 0);
  t.deepEqual(await eventsOf(node, "policy.reject"), []);
  t.is(problems.length, 1);
});

test("a source that says 'not modified' for ever freezes nobody: an expired policy is stale", async (t) => {
  const control = await makeControl(t);
  let nowMs = Date.now();
  const expires = new Date(nowMs + DAY_MS).toISOString();
  control.offer(await lawBundle(signer, { revision: "two", sequence: 2, expires }));
  await using node = await RailgateNode.open(options(control, emptyDir(), { now: () => nowMs }));
  await until(() => revision(node) === "two");
  t.deepEqual(await codes(node), []);
  control.freeze();
  nowMs += DAY_MS;
  await control.answered();
  await control.answered();
  t.deepEqual(await codes(node), ["policy_stale"]);
  control.fail(undefined);
  control.offer(await lawBundle(signer, { revision: "three", sequence: 3 }));
  await until(() => revision(node) === "three");
  t.deepEqual(await codes(node), []);
});

test("a restart without a network decides by the last good bundle, no younger than it was; the network's return confirms it", async (t) => {
  const control = await serving(t);
  const dir = emptyDir();
  let nowMs = Date.now();
  const now = () => nowMs;
  {
    await using node = await RailgateNode.open(options(control, dir, { now }));
    await until(() => revision(node) === "two");
    nowMs += 3 * DAY_MS;
    await control.answered();
    await control.answered();
  }
  const seen = control.asked.length;
  control.fail(503);
  nowMs += 20 * DAY_MS;
  await using node = await RailgateNode.open(options(control, dir, { now }));
  t.is(revision(node), "two");
  t.deepEqual(await codes(node), []);
  nowMs += 45 * DAY_MS;
  t.deepEqual(await codes(node), ["policy_stale"]);
  control.fail(undefined);
  await until(async () => (await codes(node)).length === 0);
  t.regex(String(control.asked[seen]!["if-none-match"]), /^"/);
  t.is((await eventsOf(node, "policy.activate")).length, 1);
});
