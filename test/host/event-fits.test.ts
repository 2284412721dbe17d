// An event always fits: whatever a caller makes long, the decision is on record, and takes nothing else of its batch down (spec evidence §1).
import { admit } from "../gate/commands.ts";
import test, { type ExecutionContext } from "ava";
import fc from "fast-check";
import { join } from "node:path";
import { hostCaller } from "../../src/core/caller.ts";
import { canonicalJson } from "../../src/core/json.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import { RailgateNode } from "../../src/node/open.ts";
import { admissible, emptyDir, start } from "../http/support.ts";

const EVENT_BYTES_MAX = 48_000;
/** Three bytes each, or six in JSON: what takes the most room. */
const LONG = ["\u{FFFD}", "\u0001", "a", "\u{1F600}"];

const long = (charsMax: number) =>
  fc
    .record({ char: fc.constantFrom(...LONG), times: fc.constantFrom(1, 300, charsMax) })
    .map(({ char, times }) => char.repeat(Math.min(times, Math.floor(charsMax / char.length))));
const word = long(200_000);
const text = long(4096);
const name = fc.constantFrom("w", "w".repeat(253));

/** Whatever the door lets through at its largest. */
const request = fc
  .record({
    workload_id: name,
    tenant_id: name,
    classification: word,
    risk: word,
    tenant_tier: word,
    governance_profile: fc.oneof(word, fc.constantFrom("baseline", "regulated-ml")),
    envelope: fc.oneof(
      word.map((kind) => ({ kind, [kind]: {} })),
      fc.record({ platform: text, images: images(256) }).map((tee) => ({ kind: "tee", tee })),
      images(256).map((many) => ({ kind: "vm", vm: { images: many, drivers: many, firmware: many } })),
      word,
    ),
    dependencies: fc.constant(
      Array.from({ length: 256 }, (_, i) => ({ dependency_id: "d".repeat(253), kind: `k${i}` })),
    ),
    attestation: fc.record({ report_ref: text, platform_type: text, result: fc.constantFrom("pass", "fail") }),
  })
  .map(({ attestation, ...workload }) => ({
    workload,
    attestation: { ...attestation, measured_at: "2026-01-01T00:00:00Z" },
    correlation_id: "c".repeat(253),
    placement: {
      jurisdiction: "US",
      tenants_on_host: Array.from({ length: 1024 }, (_, i) => `t${i}`.padEnd(253, "x")),
    },
  }));

function images(max: number) {
  return fc.constant(
    Array.from({ length: max }, () => ({ reference: "x".repeat(100), provenance: { verified: false, issuer: "no" } })),
  );
}

function fits(t: ExecutionContext, event: EvidenceEvent): void {
  t.true(
    Buffer.byteLength(canonicalJson(event)) <= EVENT_BYTES_MAX,
    `${event.event_type}: ${canonicalJson(event).length} bytes`,
  );
}

test("the largest of requests are decided and on record", async (t) => {
  t.timeout(120_000);
  await using node = await RailgateNode.open({ dataDir: join(emptyDir(), "data") });
  await fc.assert(
    fc.asyncProperty(request, async (body) => {
      const admitted = await admit(node, body, hostCaller("a".repeat(255)));
      fits(t, admitted.event);
      t.is(admitted.decision.outcome, "refused");
      t.truthy(await node.store.event(admitted.eventId));
    }),
    { numRuns: 15 },
  );
});

test("a re-attestation with the longest of reports is decided, and its reference is in the event", async (t) => {
  const node = await start();
  t.teardown(() => node.close());
  await node.call("POST", "/v1/admissions", { body: admissible("w") });
  for (const [char, report_ref] of LONG.map((each) => [each, each.repeat(Math.floor(4096 / each.length))] as const)) {
    const { status, json } = await node.call("POST", "/v1/workloads/w/attestations?tenant_id=acme", {
      body: { report_ref, platform_type: report_ref, result: "pass", measured_at: "2026-01-01T00:00:00Z" },
    });
    t.is(status, 409, char);
    fits(t, json.event);
    // Text of nothing but controls states nothing.
    t.is(json.event.details.attestation.report_ref, char === "\u0001" ? null : report_ref);
  }
});

test("as many refusals as a request can have are one decision, and the others of its batch are as they would be alone", async (t) => {
  const node = await start({ limits: { body_bytes_max: 4 * 1024 * 1024 } });
  t.teardown(() => node.close());
  const component = { reference: "unpinned", digest: "unpinned" };
  const many = (of: "reference" | "digest") => Array.from({ length: 64 }, () => ({ [of]: component[of] }));
  const vm = { images: many("reference"), drivers: many("digest"), firmware: many("digest") };
  const refused = { ...admissible("many"), workload: { ...admissible("many").workload, envelope: { kind: "vm", vm } } };
  const words = {
    ...admissible("words"),
    workload: { ...admissible("words").workload, envelope: { kind: "k".repeat(200_000) } },
  };
  const { status, json } = await node.call("POST", "/v1/admissions/batch", {
    body: { items: [admissible("before"), refused, { nothing: 1 }, words, admissible("after")] },
  });
  t.is(status, 200);
  const [before, of, malformed, word, after] = json.items;
  t.deepEqual(
    [before, of, word, after].map(({ decision }) => decision.outcome),
    ["accepted", "refused", "refused", "accepted"],
  );
  t.is(malformed.status, 422);
  t.true(of.decision.refusals.length > 350, String(of.decision.refusals.length));
  t.is(of.event.details.codes.artifact_unpinned, 192);
  t.is(of.event.refusal_reason_code, of.decision.refusals[0].code);
  t.is(word.event.details.envelope.declared.length, 256);
  const { id } = word.event;
  await using store = await node.store();
  const artifact = (await store.artifactOf(id))!.bytes;
  t.is(JSON.parse(Buffer.from(artifact).toString()).input.request.workload.envelope.kind.length, 200_000);
});
