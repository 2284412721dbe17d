// Linking an event: whatever it says, its text is the canonical JSON of the whole, and its hash that of the whole without the hash.
import { createHash } from "node:crypto";
import test from "ava";
import canonicalize from "canonicalize";
import fc from "fast-check";
import { digestOf, eventIdIn, linkEvent, type EventDraft } from "../../src/core/event.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";

const ID = "01a211d5-615d-77e9-9124-ae8a7d8a5a88";
const DIGEST = digestOf("x");

const required = {
  id: fc.constant(ID),
  event_type: fc.constantFrom("workload.admit", "workload.refuse", "node.start"),
  occurred_at: fc.constant("2026-01-02T03:04:05.678Z"),
  tenant_id: fc.string(),
  actor: fc.string({ unit: "grapheme" }),
  correlation_id: fc.string(),
  outcome: fc.constantFrom("accepted", "refused", "failed"),
  evidence_profile_id: fc.string(),
  evidence_pointer: fc.constant(`eosc://evidence/${DIGEST}`),
  policy_snapshot_id: fc.constant(DIGEST),
  authority_snapshot_id: fc.constant(DIGEST),
};
const optional = {
  refusal_reason: fc.string(),
  refusal_reason_class: fc.constant("policy_denied"),
  refusal_reason_code: fc.string(),
  refusal_subject: fc.constantFrom('"sequence":0', "/workload"),
  monotonic_time_ns: fc.nat(),
  subject: fc.constantFrom('"id":"', "é", "plain"),
  details: fc.dictionary(
    fc.oneof(fc.string(), fc.constantFrom("id", "event_type", "event_hash", "__proto__")),
    fc.oneof(fc.string(), fc.maxSafeInteger(), fc.boolean(), fc.array(fc.integer()), fc.constant({ id: "decoy" })),
  ),
};
const drafts = fc.record(
  { ...required, ...optional },
  { requiredKeys: Object.keys(required) as (keyof typeof required)[] },
) as fc.Arbitrary<EventDraft>;

test("text and hash are what another RFC 8785 implementation computes", (t) => {
  const seed = Date.now() >>> 0;
  t.log(`seed ${seed}`);
  fc.assert(
    fc.property(drafts, fc.nat(), fc.boolean(), (draft, size, first) => {
      const head = first ? { size: 0, hash: null } : { size, hash: DIGEST };
      const linked = linkEvent(draft, "acme/node-1", head);
      const whole = {
        ...draft,
        chain_id: "acme/node-1",
        sequence: head.size,
        prev_hash: head.hash,
        hash_profile_id: "ecs-hash-v1",
      };
      const expected = `sha256:${createHash("sha256").update(canonicalize(whole)!).digest("hex")}`;
      return (
        linked.head.hash === expected &&
        linked.head.size === head.size + 1 &&
        linked.text === canonicalize({ ...whole, event_hash: expected }) &&
        (JSON.parse(linked.text) as EvidenceEvent).event_hash === expected &&
        eventIdIn(linked.text) === ID
      );
    }),
    { seed, numRuns: 500 },
  );
  t.pass();
});

test("what no event has is not left out unheard", (t) => {
  const [draft] = fc.sample(drafts, 1) as [EventDraft];
  const more = { ...draft, note: "x" };
  t.throws(() => linkEvent(more, "acme/node-1", { size: 0, hash: null }), { instanceOf: TypeError, message: /note/ });
});
