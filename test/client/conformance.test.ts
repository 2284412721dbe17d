// One scenario through the library and through the client: the same answers and the same errors, whichever keeps the interface.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import test from "ava";
import { connectRailgate } from "../../src/client/index.ts";
import { openRailgate, type Railgate, type RailgateError } from "../../src/library/index.ts";
import { admissible, Clock, emptyDir, insufficient, start } from "../http/support.ts";

const NOW = Date.parse("2026-11-26T12:00:00Z");
const now = () => NOW;
const RAILS = [
  { rail_id: "fast", level: "shared", latency_overhead_us: 0, capacity: 2 },
  { rail_id: "sandbox", level: "sandbox_isolated", latency_overhead_us: 50, capacity: 2 },
] as const;
const POLICY = {
  elevation_allowed: true,
  max_target_level: "hardware_isolated",
  preserve_latency_budget: false,
  latency_budget_us: 0,
} as const;

/** What differs between two nodes: ids, digests, signatures, keys, and by which door it came. */
function alike(value: unknown): unknown {
  const text = JSON.stringify(value)
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g, "<id>")
    .replaceAll(/sha256:[0-9a-f]{64}/g, "<digest>")
    .replaceAll(/eyJ[\w-]+\.[\w-]+\.[\w-]+/g, "<jws>")
    .replaceAll(/"(?:kid|old_kid|new_kid|x)":"[\w-]{43}"/g, '"<key>":""')
    .replaceAll(/(?:"\w+_artifact_digest"|"manifest_digest"|"bundle_hash"):"[^"]*"/g, '"<hash>":""')
    .replaceAll(/"(?:[A-Za-z0-9+/]{43}=|railgate\.local[^"]*)"/g, '"<hash>"')
    .replaceAll(/"actor":"(?:library|loopback)"/g, '"actor":"<door>"');
  return JSON.parse(text) as unknown;
}

/** What a call comes to: its value, or the error with all that callers rely on. */
async function outcome(call: () => Promise<unknown>): Promise<unknown> {
  try {
    return alike((await call()) ?? null);
  } catch (error) {
    const { name, code, message, status, errors, event, receipt, pointer, solution, title, revision, missing } =
      error as RailgateError & Record<string, unknown>;
    // The library names the members of what it was called with, HTTP those of its query and path.
    const faults = (errors as { pointer: string }[] | undefined)?.map(({ pointer: at }) =>
      at.replace(/^\/(?:query|path|headers)/, "").replace("idempotency-key", "idempotency_key"),
    );
    return alike({
      name,
      code,
      message: faults ? "" : message,
      status,
      faults,
      event,
      receipt,
      pointer,
      solution,
      title,
      revision,
      missing,
    });
  }
}

async function scenario(gate: Railgate): Promise<[string, unknown][]> {
  const told: [string, unknown][] = [];
  const say = async (what: string, call: () => Promise<unknown>) => void told.push([what, await outcome(call)]);
  const mesh = gate.mesh("edge/1", "acme");
  const workload = gate.workload("w", "acme");

  await say("admit", () => gate.admit(admissible("w", "acme"), { traceId: "tr-0" }));
  await say("admit refused", () => gate.admit(insufficient("x", "acme")));
  await say("admit unreadable", () => gate.admit({ workload: 1, more: true }));
  await say("admit nothing", () => gate.admit(undefined));
  await say("admit what JSON cannot carry", () => gate.admit({ workload: 1n }));
  await say("dry run", () => gate.dryRun(admissible("w", "acme")));
  await say("batch", async () =>
    (await gate.admitAll([admissible("b1", "acme"), { workload: 1 }, insufficient("b2", "acme")])).map((item) =>
      item instanceof Error
        ? { code: (item as RailgateError).code, errors: (item as unknown as { errors: unknown }).errors }
        : item,
    ),
  );

  await say("no mesh", () => mesh.show());
  await say("define", () => mesh.define({ rails: RAILS }, { revision: 0, traceId: "tr-1" }));
  await say("place", () => mesh.place("free", "fast", POLICY));
  await say("elevate on another revision", () => mesh.elevate("free", "sandbox", { revision: 7 }));
  await say("elevate", () => mesh.elevate("free", "sandbox", { revision: 2 }));
  await say("demote", () => mesh.elevate("free", "fast"));
  await say("place on an unknown rail", () => mesh.place("w", "nowhere", POLICY));
  await say("place badly", () => mesh.place("w w", "fast", POLICY));
  await say("define badly", () => mesh.define({ rails: [{ rail_id: "a" }] } as never));
  await say("trace badly", () => mesh.remove("free", { traceId: "a b" }));
  await say("remove", () => mesh.remove("free"));
  await say("show", () => mesh.show());
  await say("meshes", () => gate.meshes({ tenant_id: "acme" }));
  await say("bad name", async () => gate.mesh("a b").show());

  await say("create", () => workload.create({ traceId: "tr-2" }));
  await say("stop too early", () => workload.stop());
  await say("start", () => workload.start());
  await say("attest", () =>
    workload.attest({ report_ref: "r", platform_type: "sev-snp", result: "fail", measured_at: "2026-11-26T11:59:00Z" }),
  );
  await say("attest badly", () => workload.attest({ token: 1 } as never));
  await say("unknown workload", () => gate.workload("never", "acme").start());
  await say("no workload", () => gate.workload("never", "acme").show());
  await say("destroy", () => workload.destroy());
  await say("show workload", () => workload.show());
  await say("workloads", () => gate.workloads({ tenant_id: "acme", limit: 1 }));

  const again = { idempotencyKey: "k-1" };
  const keyed = gate.mesh("keyed", "acme");
  await say("once", async () => {
    const [first, second] = [await keyed.define({ rails: RAILS }, again), await keyed.define({ rails: RAILS }, again)];
    return [first, second, first.receipt === second.receipt];
  });
  await say("another under the same key", () => keyed.define({ rails: [RAILS[0]] }, again));
  await say("a bad key", () => keyed.remove("x", { idempotencyKey: "k".repeat(256) }));
  await say("admit once", async () => {
    const admit = () => gate.admit(admissible("once", "acme"), { idempotencyKey: "k-2" });
    const [first, second] = [await admit(), await admit()];
    return first.receipt === second.receipt;
  });

  const { items } = await gate.events({ tenant_id: "acme", order: "asc" });
  const [first] = items;
  await say("events", () => gate.events({ tenant_id: "acme", order: "asc", limit: 3 }));
  await say("events of a kind", () => gate.events({ event_type: "mesh.elevate", outcome: "refused" }));
  await say("events until", () => gate.events({ tenant_id: "acme", until: "2026-11-26T12:00:00Z" }));
  await say("events badly", () => gate.events({ event_type: "nothing", limit: 0 } as never));
  await say("events, bad cursor", () => gate.events({ cursor: "x" }));
  await say("event", async () => {
    const { event, record, inclusion } = await gate.event(first!.id);
    // How far the latest checkpoint reaches is a matter of time; one over this event alone needs no hashes.
    const { index, size, hashes } = inclusion!;
    return { event, record, index, proven: size > index && hashes.length > 0 === size > 1 };
  });
  await say("event unknown", () => gate.event("nothing"));
  await say("artifact", async () => {
    const { digest, bytes } = await gate.artifact(first!.id);
    return [digest, JSON.parse(Buffer.from(bytes).toString())];
  });
  await say("follow", async () => {
    for await (const event of gate.follow({ after: first!.id })) return event;
    return null;
  });
  await say("streams", () => gate.streams());
  await say("checkpoint", async () => (await gate.checkpoint(first!.chain_id)).split("\n")[0]);
  await say("tile", async () => (await gate.tile(first!.chain_id, "0/000.p/3")).length);
  await say("no tile", () => gate.tile(first!.chain_id, "0/999"));
  await say("inclusion", async () => (await gate.inclusionProof(first!.chain_id, 1, 3)).length);
  await say("consistency", async () => (await gate.consistencyProof(first!.chain_id, 1, 3)).length);
  await say("consistency backwards", () => gate.consistencyProof(first!.chain_id, 3, 1));
  await say("unknown stream", () => gate.checkpoint("no/stream"));
  await say("keys", () => gate.jwks());
  await say("export and verify", async () => {
    await using made = await gate.export({ tenant_id: "acme", evidence_profile_id: "ecs-evidence-baseline" });
    const { ok, checks, export: of } = await gate.verify(made.archive);
    return { ok, checks: checks.map(({ name, status }) => [name, status]), named: of.export_id === made.exportId };
  });
  await say("export of nobody", () => gate.export({ tenant_id: "never" }));
  await say("verify what is none", async () => (await gate.verify(new TextEncoder().encode("nothing"))).ok);
  await say("erase", () => gate.erase(first!.id, { tenant_id: "acme", basis: "request 4711" }));
  await say("erase again", () => gate.erase(first!.id, { tenant_id: "acme", basis: "request 4711" }));
  await say("erase for no reason", () => gate.erase(first!.id, { basis: " " }));
  await say("rotate", () => gate.rotateKey());
  await say("rotate to what is not there", () => gate.rotateKey({ compromised_since: "yesterday" }));
  await say("status", () => gate.status());
  return told;
}

test("the library and the client answer alike", async (t) => {
  await using library = await openRailgate({ dataDir: emptyDir(), nodeId: "n1", now });
  const served = await start({ node_id: "n1" }, { clock: new Clock(NOW).shared });
  t.teardown(() => served.close());
  await using client = connectRailgate({ url: served.url });
  const [here, there] = [await scenario(library), await scenario(client)];
  for (const [index, [what, answer]] of here.entries()) t.deepEqual(there[index], [what, answer], what);
  t.is(there.length, here.length);
});

test("what the client is answered by something that is no node is an error of its own", async (t) => {
  const server = createServer((req, res) => {
    if (req.url === "/v1/streams") res.writeHead(307, { location: "http://127.0.0.2:1/" }).end();
    else res.writeHead(418).end("<html>");
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.teardown(() => server.close());
  const client = connectRailgate({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, retryForMs: 0 });
  await t.throwsAsync(client.streams(), { code: "redirected" });
  await t.throwsAsync(client.jwks(), { code: "answer_unexpected", message: "the server answered 418" });
});
