// Decisions and status as OPA uploads them, to a service that takes them, fails, and comes back; what is masked, dropped, erased or too large.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import test, { type ExecutionContext } from "ava";
import { hostCaller } from "../../src/core/caller.ts";
import { parseAdmissionRequest } from "../../src/core/request.ts";
import { mask, MaskError } from "../../src/evidence/reports/mask.ts";
import { Packer } from "../../src/evidence/reports/chunks.ts";
import type { DecisionEvent } from "../../src/evidence/reports/decision-event.ts";
import { evaluate } from "../../src/gate/commands/evaluate.ts";
import { RailgateNode, type NodeOptions } from "../../src/node/open.ts";
import { readBundleFiles } from "../../src/policy/bundle-files.ts";
import { signBundleFiles, writeBundleFiles } from "../../src/policy/sign.ts";
import { containerRequest } from "../core/requests.ts";
import { admit } from "../gate/commands.ts";
import { opaRun } from "../http/opa.ts";
import { emptyDir } from "../http/support.ts";
import { lawBundle, makeSigner } from "../policies/bundles.ts";
import { until } from "../until.ts";

const signer = await makeSigner();
const law = await lawBundle(signer, { revision: "law-1", sequence: 1 });
const request = parseAdmissionRequest(containerRequest());

const SOURCES = {
  "app.rego": `package app

echo := input

exact := 12345678901234567890
`,
  "log.rego": `package system.log

drop if input.input.drop

mask contains "/input/password" if input.path == "app/echo"

mask contains {"op": "upsert", "path": "/result/card/number", "value": "****"} if input.result.card

mask contains "/neither" if input.input.break
`,
};

/** Policies that are an operator's own, with a mask. */
async function logBundle(): Promise<Uint8Array> {
  const folder = emptyDir();
  const sources = join(folder, "sources");
  mkdirSync(sources, { recursive: true });
  for (const [name, text] of Object.entries(SOURCES)) writeFileSync(join(sources, name), text);
  writeFileSync(join(sources, ".manifest"), JSON.stringify({ revision: "app-1", roots: ["app", "system/log"] }));
  const entrypoints = ["app/echo", "app/exact", "system/log/mask", "system/log/drop"].flatMap((name) => ["-e", name]);
  const file = join(folder, "bundle.tar.gz");
  await opaRun("build", "-t", "wasm", "-b", sources, ...entrypoints, "-o", file);
  const files = await readBundleFiles(readFileSync(file));
  return writeBundleFiles(await signBundleFiles(files, signer));
}

const logs = await logBundle();

interface Posted {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
}

interface Receiver {
  readonly url: string;
  /** What it has taken, in order. */
  readonly taken: Posted[];
  /** All that it was sent. */
  readonly seen: Posted[];
  status: number;
  /** Events of all reports that it has taken. */
  events(): (DecisionEvent & { custom: Record<string, unknown> })[];
  statuses(): any[];
}

async function makeReceiver(t: ExecutionContext): Promise<Receiver> {
  const receiver: Receiver = {
    url: "",
    taken: [],
    seen: [],
    status: 200,
    events: () => of("/logs").flatMap(({ bytes }) => JSON.parse(gunzipSync(bytes).toString())),
    statuses: () => of("/status").map(({ bytes }) => JSON.parse(bytes.toString())),
  };
  const of = (path: string) => receiver.taken.filter((posted) => posted.path.startsWith(path));
  const server = createServer(async (req, res) => {
    const parts: Buffer[] = [];
    for await (const part of req) parts.push(part as Buffer);
    const posted = { path: req.url!, headers: req.headers, bytes: Buffer.concat(parts) };
    receiver.seen.push(posted);
    if (receiver.status < 300) receiver.taken.push(posted);
    res.writeHead(receiver.status).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return Object.assign(receiver, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
}

function options({ url }: Receiver, dataDir: string, more: Partial<NodeOptions> = {}, bytesMax = 32_768): NodeOptions {
  const access = { allowInsecureTls: false, responseHeaderTimeoutS: 10, tls: { systemCaRequired: false } };
  const source = (name: string, bytes: Uint8Array) => ({ name, keys: signer.keys, bytes: () => bytes });
  return {
    dataDir,
    nodeId: "n1",
    labels: { region: "eu" },
    services: { reports: { name: "reports", url, headers: { "X-Own": "1" }, ...access } },
    bundles: [source("law", law), source("logs", logs)],
    decisionLogs: {
      service: "reports",
      resource: "/logs",
      minDelayS: 0.01,
      maxDelayS: 0.05,
      uploadSizeLimitBytes: bytesMax,
      immediate: true,
    },
    status: { service: "reports", resource: "/status", everyMs: 600_000 },
    ...more,
  };
}

async function ask(node: RailgateNode, inputs: readonly unknown[], entrypoint = "app/echo"): Promise<string[]> {
  const commands = inputs.map((input) => evaluate({ tenantId: "acme", entrypoint, below: [], input }));
  const done = await node.gate.run(commands, { caller: hostCaller("test"), trace: { traceId: "trace-1" } });
  return done.map(({ eventId }) => eventId);
}

const ids = (receiver: Receiver) => receiver.events().map(({ decision_id }) => decision_id);
const reported = (receiver: Receiver, wanted: readonly string[]) =>
  until(() => wanted.every((id) => ids(receiver).includes(id)));

test("decisions are reported in OPA's form, in order and masked; what is dropped is not, what fails to be masked stays here", async (t) => {
  const receiver = await makeReceiver(t);
  await using node = await RailgateNode.open(options(receiver, emptyDir()));
  const { eventId } = await admit(node, request);
  const asked = await ask(node, [
    { password: "secret", user: "a" },
    { card: { number: "4711", name: "x" } },
    { drop: true },
    { break: true, password: "secret" },
    [1],
  ]);
  const [exact] = await ask(node, [{}], "app/exact");
  const wanted = [eventId, ...asked.toSpliced(2, 1), exact!];
  await reported(receiver, wanted);
  t.deepEqual(ids(receiver), wanted);
  const [admitted, password, card, broken, array] = receiver.events();
  t.like(admitted, {
    labels: { region: "eu", id: "n1" },
    bundles: { law: { revision: "law-1" } },
    path: "railgate/admission/decision",
    result: { outcome: "accepted" },
    custom: { event_type: "workload.admit", outcome: "accepted" },
  });
  t.deepEqual(Object.keys(admitted!.labels).sort(), ["id", "region", "version"]);
  t.like(password, {
    bundles: { logs: { revision: "app-1" } },
    path: "app/echo",
    trace_id: "trace-1",
    input: { user: "a" },
    result: { password: "secret", user: "a" },
    erased: ["/input/password"],
    requested_by: "test",
  });
  t.like(card, { input: { card: { number: "4711" } }, masked: ["/result/card/number"] });
  t.deepEqual(card!.result, { card: { number: "****", name: "x" } });
  t.like(broken, { erased: ["/input", "/result"], custom: { withheld: "mask_failed" } });
  t.false("input" in broken! || "result" in broken!);
  t.deepEqual(array!.input, [1]);
  const [first] = receiver.taken.filter(({ path }) => path === "/logs");
  t.like(first!.headers, {
    "content-type": "application/json",
    "content-encoding": "gzip",
    "x-own": "1",
  });
  const texts = receiver.taken.filter(({ path }) => path === "/logs").map(({ bytes }) => gunzipSync(bytes).toString());
  t.true(texts.some((text) => text.includes(`"result":12345678901234567890`)));
  await until(() => node.reports?.backlog === 0 && node.reports.dropped === 1);
  t.like(node.reports, { reported: wanted.length, failures: 0 });
});

test("a service that fails loses nothing and is sent nothing else; a restart goes on where it was; isolated, nothing is sent", async (t) => {
  const receiver = await makeReceiver(t);
  const dir = emptyDir();
  const told: string[] = [];
  const observe = { reportFailed: (problem: string) => void told.push(problem) };
  const node = await RailgateNode.open(options(receiver, dir, { observe }));
  const before = await ask(node, [{ n: 1 }]);
  await reported(receiver, before);
  receiver.status = 503;
  const lost = await ask(node, [{ n: 2 }, { n: 3 }]);
  await until(() => (node.reports?.failures ?? 0) > 1);
  t.true(told.some((problem) => problem.includes("decisions could not be reported: service reports answers 503")));
  t.true(node.reports!.backlog >= 2);
  // Out of reach is told of, and changes nothing of what the node is.
  t.deepEqual(node.plugins, { decision_logs: "OK", status: "OK" });
  await node.close();
  receiver.status = 200;
  await using again = await RailgateNode.open(options(receiver, dir));
  await reported(receiver, lost);
  await again.isolate("drill", "ops");
  const waiting = await ask(again, [{ n: 4 }]);
  const sent = () => receiver.seen.filter(({ path }) => path === "/logs").length;
  const sentBefore = sent();
  await until(() => again.reports!.backlog > 0);
  t.is(sent(), sentBefore);
  t.false(ids(receiver).includes(waiting[0]!));
  await again.rejoin("ops");
  await reported(receiver, waiting);
  t.deepEqual(
    ids(receiver).filter((id) => [...before, ...lost, ...waiting].includes(id)),
    [...before, ...lost, ...waiting],
  );
  t.is(new Set(ids(receiver)).size, ids(receiver).length);
});

test("what was recorded before reporting was asked for is not reported; what was erased goes without; chunks keep to the limit", async (t) => {
  const receiver = await makeReceiver(t);
  const dir = emptyDir();
  const limit = 2048;
  const silent = { decisionLogs: undefined, status: undefined };
  const before = await RailgateNode.open(options(receiver, dir, silent));
  await ask(before, [{ n: 0 }]);
  await before.close();
  receiver.status = 500;
  await using node = await RailgateNode.open(options(receiver, dir, {}, limit));
  const noise = (bytes: number) => Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("base64");
  const many = await ask(
    node,
    Array.from({ length: 40 }, (_, n) => ({ n, noise: noise(200) })),
  );
  const [large] = await ask(node, [{ noise: noise(8000) }], "app/exact");
  const [erased] = await ask(node, [{ n: 99 }]);
  await node.eraseArtifact(erased!, "acme", "GDPR Art. 17, request 1", "ops");
  receiver.status = 200;
  await reported(receiver, [...many, large!, erased!]);
  t.deepEqual(ids(receiver), [...many, large!, erased!]);
  const chunks = receiver.taken.filter(({ path }) => path === "/logs").map(({ bytes }) => bytes.length);
  t.true(chunks.length > 5 && chunks.every((bytes) => bytes <= limit));
  const events = new Map(receiver.events().map((event) => [event.decision_id, event]));
  t.like(events.get(large!), { erased: ["/input"], custom: { withheld: "too_large" } });
  t.true("result" in events.get(large!)!);
  t.like(events.get(erased!), { path: "app/echo", erased: ["/input", "/result"] });
  t.false("input" in events.get(erased!)!);
});

test("status tells of bundles, plugins and failed reports, when something changes", async (t) => {
  const receiver = await makeReceiver(t);
  let bytes = law;
  const source = { name: "law", keys: signer.keys, bytes: () => bytes };
  await using node = await RailgateNode.open(options(receiver, emptyDir(), { bundles: [source] }));
  const [first] = await until(() => receiver.statuses().length > 0 && receiver.statuses());
  t.like(first, {
    labels: { id: "n1", region: "eu" },
    bundles: { law: { name: "law", active_revision: "law-1", type: "snapshot" } },
    decision_logs: {},
    plugins: { bundle: { state: "OK" }, decision_logs: { state: "OK" }, status: { state: "OK" } },
  });
  bytes = await lawBundle(signer, { revision: "law-0", sequence: 0 });
  await t.throwsAsync(node.offerBundle("law"));
  await until(() => receiver.statuses().at(-1).bundles.law.code === "bundle_error");
  t.regex(receiver.statuses().at(-1).bundles.law.message, /^rollback: /);
  bytes = await lawBundle(signer, { revision: "law-2", sequence: 2 });
  await node.offerBundle("law");
  await until(() => receiver.statuses().at(-1).bundles.law.active_revision === "law-2");
  t.truthy(await until(() => receiver.statuses().at(-1).bundles.law.last_successful_activation));
  receiver.status = 500;
  await admit(node, request);
  await until(() => node.reports!.failures > 0 && node.reports!.statusFailures > 0);
  receiver.status = 200;
  await until(() => receiver.events().length > 0 && receiver.statuses().at(-1).decision_logs.code === undefined);
});

const masked = (answer: unknown, input: unknown): DecisionEvent => {
  const event = { labels: {}, decision_id: "d", requested_by: "a", timestamp: "", custom: {}, input } as DecisionEvent;
  mask(event, answer);
  return event;
};

test("a mask removes and replaces where a pointer leads, and does nothing where it does not", (t) => {
  t.like(masked(["/input/a/0", "/input/x/y"], { a: [1, 2] }), { input: { a: [2] }, erased: ["/input/a/0"] });
  t.like(masked(["/input/a~1b"], { "a/b": 1, c: 2 }), { input: { c: 2 }, erased: ["/input/a~1b"] });
  t.false("input" in masked(["/input"], 1));
  t.deepEqual(masked(["/result", "/nd_builtin_cache/x"], 1).erased, undefined);
  const upsert = (path: string, value: unknown) => [{ op: "upsert", path, value }];
  t.deepEqual(masked(upsert("/input/a/b", 1), {}).input, { a: { b: 1 } });
  t.like(masked(upsert("/input/a/b", 1), { a: "text" }), { input: { a: "text" }, masked: undefined });
  t.like(masked(upsert("/input/a/0", 1), { a: [5, 6] }), { input: { a: [1, 6] }, masked: ["/input/a/0"] });
  t.deepEqual(masked(upsert("/input", null), { a: 1 }).input, null);
  t.deepEqual(Object.getPrototypeOf(masked(upsert("/input/__proto__/x", 1), {}).input), Object.prototype);
  for (const wrong of [true, {}, [1], ["input/a"], ["/path"], [{ op: "add", path: "/input" }], [{ op: "remove" }]])
    t.throws(() => masked(wrong, {}), { instanceOf: MaskError });
});

test("chunks grow while they fit, shrink where they do not, and hold one text at least", (t) => {
  const texts = Array.from({ length: 500 }, (_, n) => JSON.stringify({ n, text: "x".repeat(200) }));
  const packer = new Packer(1000);
  const sizes: number[] = [];
  for (let rest = texts; rest.length > 0; ) {
    const { count, bytes } = packer.pack(rest);
    t.deepEqual(JSON.parse(gunzipSync(bytes).toString()).length, count);
    sizes.push(bytes.length);
    rest = rest.slice(count);
  }
  t.true(sizes.every((bytes) => bytes <= 1000));
  t.true(sizes.length < 50);
  const text = JSON.stringify(Buffer.from(crypto.getRandomValues(new Uint8Array(3000))).toString("base64"));
  t.true(gzipSync(text).length > 1000);
  t.is(new Packer(1000).pack([text, text]).count, 1);
});
