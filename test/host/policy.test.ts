// Which policy a node runs, start after start: newer replaces older, older is refused, and with none everything is refused with evidence.
import { admit } from "../gate/commands.ts";
import { readFileSync } from "node:fs";
import test from "ava";
import { exportJWK, generateKeyPair, calculateJwkThumbprint, type JWK } from "jose";
import { eventTextOf } from "../../src/core/event.ts";
import { parseAdmissionRequest } from "../../src/core/request.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import { RailgateNode, type BundleSource } from "../../src/node/open.ts";
import { readBundleFiles } from "../../src/policy/bundle-files.ts";
import { isOlder } from "../../src/policies/choose.ts";
import { signBundleFiles, writeBundleFiles } from "../../src/policy/sign.ts";
import { emptyDir } from "../http/support.ts";

const committed = await readBundleFiles(readFileSync("bundles/railgate.tar.gz"));
const request = parseAdmissionRequest(JSON.parse(readFileSync("examples/requests/container-low-risk.json", "utf8")));
const { privateKey, publicKey } = await generateKeyPair("ES256");
const jwk = await exportJWK(publicKey);
const kid = await calculateJwkThumbprint(jwk);
const keys = { keys: [{ ...jwk, kid, alg: "ES256" } as JWK] };

/** The default bundle with another place in the order of bundles. */
async function bundle(revision: string, sequence?: number): Promise<BundleSource> {
  const manifest = JSON.parse(Buffer.from(committed.get(".manifest")!).toString());
  const files = new Map(committed);
  files.delete(".signatures.json");
  files.set(
    ".manifest",
    Buffer.from(
      JSON.stringify({ ...manifest, revision, metadata: sequence === undefined ? {} : { railgate: { sequence } } }),
    ),
  );
  const bytes = writeBundleFiles(await signBundleFiles(files, { privateKey, algorithm: "ES256", keyId: kid }));
  return { bytes: () => bytes, keys };
}

async function started(dataDir: string, source: BundleSource) {
  const [problems, warnings]: [string[], string[]] = [[], []];
  await using node = await RailgateNode.open({
    dataDir,
    bundle: source,
    observe: { policyRejected: (problem) => problems.push(problem), policyWarned: (problem) => warnings.push(problem) },
  });
  const { decision, event } = await admit(node, request);
  const events = (await node.store.events({ tenant_id: "default", order: "asc", limit: 100 })).map(
    ({ record }) => JSON.parse(eventTextOf(record)) as EvidenceEvent,
  );
  return {
    revision: node.policy?.revision,
    problem: node.problem,
    problems,
    warnings,
    decision,
    event,
    types: events.map(({ event_type }) => event_type),
    last: events.at(-1)!,
  };
}

test("a newer bundle replaces an older one; an older one is refused on record, and the newer stays", async (t) => {
  const dir = emptyDir();
  const [one, two] = [await bundle("one", 1), await bundle("two", 2)];
  const first = await started(dir, one);
  t.deepEqual(first.types, ["node.start", "policy.activate"]);
  t.is(first.decision.outcome, "accepted");

  const second = await started(dir, two);
  t.is(second.revision, "two");
  t.deepEqual(second.types.slice(2), ["node.start", "policy.activate"]);

  const third = await started(dir, one);
  t.is(third.revision, "two");
  t.is(third.problem, undefined);
  t.is(third.decision.outcome, "accepted");
  t.is(third.event.policy_snapshot_id, second.event.policy_snapshot_id);
  t.deepEqual(third.types.slice(4), ["node.start", "policy.reject"]);
  t.like(third.last, { outcome: "refused", details: { reason: "rollback" } });
  t.regex(third.problems[0]!, /revision one, sequence 1.* is older than .*revision two, sequence 2.*, which stays/);

  const fourth = await started(dir, two);
  t.deepEqual(fourth.types.slice(6), ["node.start"]);
});

test("another bundle with the same sequence is taken, with a warning, once", async (t) => {
  const dir = emptyDir();
  t.deepEqual((await started(dir, await bundle("one", 1))).warnings, []);
  const twin = await bundle("other", 1);
  const { revision, warnings, problems } = await started(dir, twin);
  t.is(revision, "other");
  t.deepEqual(problems, []);
  t.is(warnings.length, 1);
  t.regex(warnings[0]!, /revision other, sequence 1.* same sequence .*revision one, sequence 1/);
  t.deepEqual((await started(dir, twin)).warnings, []);
});

test("a bundle that cannot be trusted leaves none: everything is refused with POL-01, on record", async (t) => {
  const good = await bundle("one", 1);
  const broken = good.bytes().slice();
  broken[broken.length >> 1]! ^= 1;
  for (const source of [
    { ...good, bytes: () => broken },
    { ...good, keys: { keys: [] } },
    { ...good, bytes: () => readFileSync("there is no such file") },
  ]) {
    const { decision, event, problem, types } = await started(emptyDir(), source);
    t.is(decision.outcome, "refused");
    t.deepEqual(
      decision.refusals.map(({ rule, code }) => [rule, code]),
      [["POL-01", "policy_unavailable"]],
    );
    t.is(event.event_type, "workload.refuse");
    t.regex(problem!, /^policy: /);
    t.deepEqual(types, ["node.start", "policy.reject"]);
  }
});

test("order: by sequence where both have one, else by revision where both are times, else it cannot be told", (t) => {
  const of = (revision: string, sequence: number | null = null) => ({ revision, sequence });
  t.true(isOlder(of("b", 1), of("a", 2)));
  t.false(isOlder(of("a", 2), of("b", 2)));
  t.true(isOlder(of("2026-01-01T00:00:00Z"), of("2026-01-01T00:00:00.001Z")));
  t.false(isOlder(of("2026-01-01T01:00:00+01:00"), of("2026-01-01T00:00:00Z")));
  t.true(isOlder(of("2025-01-01T00:00:00Z", 5), of("2026-01-01T00:00:00Z")));
  t.false(isOlder(of("one"), of("two")));
});
