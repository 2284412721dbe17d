// Policies over HTTP: the registry for operators, activation under load, and bundles for other nodes and for OPA, the real one too.
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import test from "ava";
import { connectRailgate } from "../../src/client/index.ts";
import { BundleError, NotFoundError, PolicyRefusedError } from "../../src/core/errors.ts";
import { ensureOpa } from "../../src/workshop/opa.ts";
import { changedSettings, lawBundle, makeSigner } from "../policies/bundles.ts";
import { spawn } from "../spawn.ts";
import { comes, until } from "../until.ts";
import { admissible, start, verifiedEvents, type Started } from "./support.ts";

const signer = await makeSigner();
const config = (more: object = {}) => ({
  keys: { [signer.keyId]: { algorithm: "ES256", key: signer.pem } },
  ...more,
});
const GZIP = { "content-type": "application/gzip" };
const byRevision = (revision: string, sequence: number) => lawBundle(signer, { revision, sequence });

async function submitted(served: Started, bytes: Uint8Array): Promise<string> {
  const { status, json } = await served.call("POST", "/v1/policies", { headers: GZIP, body: bytes });
  if (status !== 201) throw new Error(JSON.stringify(json));
  return json.digest as string;
}

/** Resolves when a server of this process has read the head of such a request. */
function requestArrived(isIt: (request: IncomingMessage) => boolean): Promise<void> {
  const name = "http.server.request.start";
  return new Promise((resolve) => {
    subscribe(name, function look(message) {
      if (!isIt((message as { request: IncomingMessage }).request)) return;
      unsubscribe(name, look);
      resolve();
    });
  });
}

const activate = (served: Started, digest: string) =>
  served.call("POST", `/v1/policies/${encodeURIComponent(digest)}/activate`, { body: {} });

test("submit, list, activate, shadow, deprecate; what cannot be trusted is 422 with the reason", async (t) => {
  const served = await start({}, {}, config());
  t.teardown(() => served.close());
  const bytes = await byRevision("own", 1);
  const first = await served.call("POST", "/v1/policies", { headers: GZIP, body: bytes });
  t.is(first.status, 201);
  t.like(first.json, { revision: "own", sequence: 1, state: "submitted" });
  t.true(first.json.entrypoints.includes("railgate/admission/decision"));
  t.is((await served.call("POST", "/v1/policies", { headers: GZIP, body: bytes })).status, 200);
  const unsigned = await served.call("POST", "/v1/policies", { headers: GZIP, body: await lawBundle(null) });
  t.is(unsigned.status, 422);
  t.like(unsigned.json, { code: "policy_invalid", reason: "signature" });
  t.is((await served.call("POST", "/v1/policies", { body: {} })).status, 415);
  const { digest } = first.json;
  const shadow = await served.call("POST", `/v1/policies/${encodeURIComponent(digest)}/shadow`);
  t.is(shadow.json.policy.state, "shadow");
  await served.call("POST", "/v1/admissions", { body: admissible() });
  const differences = `/v1/policies/${encodeURIComponent(digest)}/differences`;
  await until(async () => (await served.call("GET", differences)).json.decided === 1);
  const activated = await activate(served, digest);
  t.is(activated.status, 200);
  t.like(activated.json, { policy: { digest, state: "active" }, report: { passes: true } });
  t.is(activated.json.event.event_type, "policy.activate");
  t.is(activated.json.event.details.act, "activate");
  t.is(typeof activated.json.receipt, "string");
  const listed = await served.call("GET", "/v1/policies");
  t.deepEqual(listed.json.items.map(({ state }: { state: string }) => state).sort(), ["active", "submitted"]);
  const unknown = await activate(served, `sha256:${"0".repeat(64)}`);
  t.is(unknown.status, 404);
  t.is(unknown.json.code, "policy_unknown");
  const refused = await served.call("POST", `/v1/policies/${encodeURIComponent(digest)}/deprecate`);
  t.is(refused.status, 409);
  t.is(refused.json.code, "policy_refused");
  const metrics = (await served.call("GET", "/metrics")).text;
  t.regex(metrics, /railgate_bundle_active\{bundle="railgate"\} 1/);
  t.regex(metrics, /railgate_shadow_decisions_total\{outcome="same"\} 1/);
});

test("the client asks as the library does, and gets the same errors", async (t) => {
  const served = await start({}, {}, config());
  t.teardown(() => served.close());
  const client = connectRailgate({ url: served.url, retryForMs: 0 });
  const { digest } = await client.submitPolicy(await byRevision("own", 1));
  t.is((await client.activatePolicy(digest)).policy.state, "active");
  const older = await client.submitPolicy(await byRevision("older", 0));
  const error = await t.throwsAsync(client.activatePolicy(older.digest), { instanceOf: PolicyRefusedError });
  t.true(error!.report!.passes);
  t.is(
    (await t.throwsAsync(client.submitPolicy(await lawBundle(null)), { instanceOf: BundleError }))!.reason,
    "signature",
  );
  await t.throwsAsync(client.policyDifferences(digest), { instanceOf: NotFoundError });
  t.is((await client.shadowPolicy(older.digest)).policy.state, "shadow");
  t.is((await client.deprecatePolicy(older.digest)).policy.state, "deprecated");
  t.is((await client.policies()).length, 3);
});

test("under load a new policy activates with no failed request, and every decision is by the one it names", async (t) => {
  const served = await start({}, {}, config());
  t.teardown(() => served.close());
  const first = await submitted(served, await byRevision("r1", 1));
  await activate(served, first);
  // It admits in whichever envelope, and says of each which revision's trigger table required it.
  const second = await submitted(
    served,
    await lawBundle(signer, {
      revision: "r2",
      sequence: 2,
      files: changedSettings((settings) => {
        settings.triggers.risk.low = "vm";
      }),
    }),
  );
  let done = false;
  const answers: { status: number; required: string; digest: string }[] = [];
  const load = Array.from({ length: 4 }, async (_, client) => {
    for (let i = 0; !done || i < 20; i++) {
      const { status, json } = await served.call("POST", "/v1/admissions", { body: admissible(`w-${client}-${i}`) });
      answers.push({ status, required: json.decision.envelope.required, digest: json.event.policy_snapshot_id });
    }
  });
  await until(() => answers.length > 20);
  const activated = await activate(served, second);
  t.is(activated.status, 200);
  const before = answers.length;
  await until(() => answers.length > before + 20);
  done = true;
  await Promise.all(load);
  t.true(answers.every(({ status }) => status === 200));
  const mixed = answers.filter(({ required, digest }) => (digest === first ? "container" : "vm") !== required);
  t.deepEqual(mixed, []);
  t.deepEqual([...new Set(answers.map(({ digest }) => digest))].sort(), [first, second].sort());
  await served.close();
  const events = await verifiedEvents(served.dir);
  t.is(
    events.filter(({ event_type }) => event_type === "workload.admit" || event_type === "workload.refuse").length,
    answers.length,
  );
});

test("activations in a row leave memory where it was", async (t) => {
  // Of WASM's own, which no heap shows: each instance holds some of it as long as it lives.
  const times = Number(process.env["ACTIVATIONS"] ?? 12);
  const served = await start({}, {}, config());
  t.teardown(() => served.close());
  const bundles = await Promise.all([byRevision("a", 1), byRevision("b", 1)]);
  const digests = [await submitted(served, bundles[0]!), await submitted(served, bundles[1]!)];
  const instances: WeakRef<object>[] = [];
  for (let i = 0; i < times; i++) {
    const { status } = await activate(served, digests[i % 2]!);
    t.is(status, 200);
    instances.push(new WeakRef(served.railgate.bundle("railgate")!));
  }
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  // What is still held when garbage is collected, and nothing is under way, is held for good.
  await until(async () => {
    collectGarbage();
    await new Promise((resolve) => setImmediate(resolve));
    return instances.filter((instance) => instance.deref() !== undefined).length <= 3;
  });
  t.pass();
});

test("a bundle is served by its entity tag, and held back until there is another", async (t) => {
  const served = await start({}, {}, config());
  t.teardown(() => served.close());
  const bytes = await byRevision("own", 1);
  const digest = await submitted(served, bytes);
  await activate(served, digest);
  const first = await served.call("GET", "/v1/bundles/railgate");
  t.is(first.status, 200);
  t.is(first.headers["content-type"], "application/vnd.openpolicyagent.bundles");
  t.is(first.headers.etag, `"${digest}"`);
  t.deepEqual(first.bytes, Buffer.from(bytes));
  t.is((await served.call("GET", "/v1/bundles/other")).status, 404);
  const asks = (tags: string, prefer?: string) =>
    served.call("GET", "/v1/bundles/railgate", {
      headers: { "if-none-match": tags, ...(prefer !== undefined && { prefer }) },
    });
  t.is((await asks("")).status, 200);
  t.is((await asks(`"x", W/"${digest}"`)).status, 304);
  t.is((await asks(`"${digest}"`, "modes=snapshot,delta;wait=1")).status, 304);
  const held = asks(`"${digest}"`, "modes=snapshot,delta;wait=100");
  const next = await submitted(served, await byRevision("next", 2));
  await activate(served, next);
  t.is((await held).headers.etag, `"${next}"`);
  // What has arrived is answered; what is still on its way may find the door closed.
  const arrived = requestArrived((request) => request.headers["if-none-match"] === `"${next}"`);
  const closing = asks(`"${next}"`, "wait=100");
  await arrived;
  await served.close();
  t.true([200, 304].includes((await closing).status));
});

test("a node follows another's bundle, and OPA itself does, from the same file", async (t) => {
  const served = await start({}, {}, config());
  t.teardown(() => served.close());
  const first = await submitted(served, await byRevision("r1", 1));
  await activate(served, first);
  const polling = { min_delay_seconds: 1, max_delay_seconds: 1, long_polling_timeout_seconds: 5 };
  const file = {
    services: { parent: { url: `${served.url}/v1` } },
    bundles: { railgate: { service: "parent", signing: { keyid: signer.keyId }, polling } },
    ...config(),
  };
  const follower = await start({}, {}, file);
  t.teardown(() => follower.close());
  const dir = mkdtempSync(join(tmpdir(), "railgate-opa-"));
  writeFileSync(join(dir, "opa.yaml"), JSON.stringify({ ...file, railgate: { listen: "127.0.0.1:0" } }));
  const opa = spawn(
    await ensureOpa(),
    [
      "run",
      "--server",
      "--disable-telemetry",
      "--addr",
      "127.0.0.1:0",
      "-c",
      join(dir, "opa.yaml"),
      "--log-level",
      "debug",
      "--log-format",
      "json",
    ],
    { cwd: dir, stdio: ["ignore", "ignore", "pipe"] },
  );
  t.teardown(async () => {
    if (opa.exitCode === null) {
      opa.kill("SIGKILL");
      await comes("OPA ends", once(opa, "exit"));
    }
  });
  let log = "";
  opa.stderr.on("data", (data) => (log += data));
  const activations = () => log.split("\n").filter((line) => line.includes("Bundle loaded and activated successfully"));
  await until(() => activations().length === 1);
  await until(() => follower.railgate.bundle("railgate")?.digest === first);
  const second = await submitted(served, await byRevision("r2", 2));
  await activate(served, second);
  await until(() => activations().length === 2);
  await until(() => follower.railgate.bundle("railgate")?.digest === second);
  t.regex(activations()[1]!, /r2|railgate/);
  const { json } = await follower.call("POST", "/v1/admissions", { body: admissible() });
  t.is(json.event.policy_snapshot_id, second);
});
