// What operators do with policies, and the gate before one decides: what no policy may admit, who would be on too weak a rail, what an authority may override.
import test, { type ExecutionContext } from "ava";
import { CompactSign } from "jose";
import { eventTextOf } from "../../src/core/event.ts";
import { parseAdmissionRequest } from "../../src/core/request.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import {
  admissionInput,
  conformanceCases,
  ELEVATE_FACTS,
  PLACE_FACTS,
  violationOf,
} from "../../src/gate/conformance.ts";
import { makeTrial } from "../../src/gate/trial.ts";
import { RailgateNode, type NodeOptions } from "../../src/node/open.ts";
import { DEFAULT_BUNDLE } from "../../src/node/options.ts";
import { PolicyRefusedError } from "../../src/core/errors.ts";
import { readBundleFiles } from "../../src/policy/bundle-files.ts";
import { tryBuilt } from "../../src/workshop/bundles.ts";
import { loadBundle } from "../../src/policy/policy.ts";
import { containerRequest } from "../core/requests.ts";
import { admit, lifecycle, mesh } from "../gate/commands.ts";
import { emptyDir } from "../http/support.ts";
import { changedSettings, lawBundle, lawlessFiles, makeSigner, type TestSigner } from "./bundles.ts";
import { until } from "../until.ts";

const [signer, root] = [await makeSigner(), await makeSigner()];
const request = parseAdmissionRequest(containerRequest());
const AUTHORITY = "https://authority.example";
const trust = {
  authorities: [{ issuer: AUTHORITY, jwks: [...root.keys.keys], root: true }],
  attesters: [],
} as NodeOptions["trust"];

const first = await lawBundle(signer, { revision: "two", sequence: 2 });
/** The same law, for which risk low wants a vm. */
const stricter = await lawBundle(signer, {
  revision: "stricter",
  sequence: 3,
  files: changedSettings((settings) => {
    settings.triggers.risk.low = "vm";
  }),
});

const open = (dataDir: string, more: Partial<NodeOptions> = {}) =>
  RailgateNode.open({
    dataDir,
    trust,
    bundles: [{ name: "law", keys: signer.keys, bytes: () => first }],
    ...more,
  });

const eventsOf = async (node: RailgateNode, event_type: string) =>
  (await node.store.events({ event_type, order: "asc", limit: 100 })).map(
    ({ record }) => JSON.parse(eventTextOf(record)) as EvidenceEvent,
  );

async function refusedWith(t: ExecutionContext, done: Promise<unknown>): Promise<PolicyRefusedError> {
  return (await t.throwsAsync(done, { instanceOf: PolicyRefusedError, code: "policy_refused" }))!;
}

function override(by: TestSigner, claims: object, typ = "railgate-override+jws"): Promise<string> {
  const payload = {
    issuer: AUTHORITY,
    reason: "incident 7",
    not_before: new Date(Date.now() - 60_000).toISOString(),
    not_after: new Date(Date.now() + 60_000).toISOString(),
    ...claims,
  };
  return new CompactSign(new TextEncoder().encode(JSON.stringify(payload)))
    .setProtectedHeader({ alg: "ES256", kid: by.keyId, typ })
    .sign(by.privateKey);
}

test("the shipped law admits none of the corpus, and what each case is a change of, it admits", async (t) => {
  const policy = await loadBundle(DEFAULT_BUNDLE.bytes(), { keys: DEFAULT_BUNDLE.keys });
  for (const each of conformanceCases()) t.is(violationOf(each, policy), undefined, each.name);
  const accepts = (entrypoint: string, input: unknown) =>
    (policy.evaluate(entrypoint, input) as { outcome: string }).outcome === "accepted";
  for (const kind of ["container", "vm", "tee"] as const)
    t.true(accepts("railgate/admission/decision", admissionInput({ kind })), kind);
  const { context } = conformanceCases().at(-1)!.input as { context: unknown };
  const meshes = conformanceCases().filter(({ entrypoint }) => entrypoint === "railgate/mesh/decision");
  const requestOf = (name: string) =>
    (meshes.find((each) => each.name === name)!.input as { request: unknown }).request;
  t.true(
    accepts("railgate/mesh/decision", {
      request: await requestOf("a placement on no rail"),
      facts: PLACE_FACTS,
      context,
    }),
  );
  t.true(
    accepts("railgate/mesh/decision", {
      request: await requestOf("an elevation to no rail"),
      facts: ELEVATE_FACTS,
      context,
    }),
  );
});

test("a policy is submitted, listed, activated and deprecated, each on record under the operator's name", async (t) => {
  const dir = emptyDir();
  const second = await lawBundle(signer, { revision: "three", sequence: 3 });
  {
    await using node = await open(dir);
    const { policy, created } = await node.registry.submit(second, "ops");
    t.true(created);
    t.like(policy, { revision: "three", sequence: 3, state: "submitted", order: "sequence" });
    t.false((await node.registry.submit(second, "ops")).created);
    t.is(node.policy?.revision, "two");
    await t.throwsAsync(node.registry.submit(await lawBundle(root, { revision: "x" }), "ops"), {
      code: "policy_invalid",
    });
    const { report } = await node.registry.activate(policy.digest, "ops");
    t.true(report.passes);
    t.is(node.policy?.revision, "three");
    t.deepEqual((await node.registry.list()).map(({ revision, state }) => [revision, state]).sort(), [
      ["three", "active"],
      ["two", "submitted"],
    ]);
    await refusedWith(t, node.registry.deprecate(policy.digest, "ops"));
    const [old] = (await node.registry.list()).filter(({ state }) => state === "submitted");
    await node.registry.deprecate(old!.digest, "ops");
    await refusedWith(t, node.registry.activate(old!.digest, "ops"));
    t.deepEqual(
      (await eventsOf(node, "policy.activate")).map(({ actor, details }) => [actor, details?.["act"] ?? null]),
      [
        ["node", null],
        ["ops", "submit"],
        ["ops", "activate"],
        ["ops", "deprecate"],
      ],
    );
    t.like(await eventsOf(node, "policy.reject"), [{ actor: "ops", details: { reason: "signature" } }]);
  }
  // What an operator chose stays, as long as the source offers what it was chosen over.
  await using again = await open(dir);
  t.is(again.policy?.revision, "three");
});

test("an older policy is refused unless a root says otherwise of that very one, in time, with a reason", async (t) => {
  await using node = await open(emptyDir());
  const { policy } = await node.registry.submit(await lawBundle(signer, { revision: "one", sequence: 1 }), "ops");
  const { digest } = policy;
  t.regex((await refusedWith(t, node.registry.activate(digest, "ops"))).message, /older than the one that is active/);
  const past = new Date(Date.now() - 1000).toISOString();
  for (const [token, problem] of [
    [await override(signer, { digest }), /does not verify \(signature\)/],
    [await override(root, { digest }, "railgate-exception+jws"), /does not verify \(type\)/],
    [await override(root, { digest: node.policy!.digest }), /for another policy/],
    [await override(root, { digest, reason: " " }), /gives no reason/],
    [await override(root, { digest, not_after: past }), /not valid now/],
    [await override(root, { digest, not_before: undefined }), /lacks issuer/],
  ] as const)
    t.regex((await refusedWith(t, node.registry.activate(digest, "ops", token))).message, problem);
  t.is(node.policy?.revision, "two");
  await node.registry.activate(digest, "ops", await override(root, { digest }));
  t.is(node.policy?.revision, "one");
  t.like((await eventsOf(node, "policy.activate")).at(-1), {
    details: { act: "activate", forced: { issuer: AUTHORITY, reason: "incident 7" } },
  });
});

test("a policy under which a placed or running workload would be too weak is refused, naming it", async (t) => {
  await using node = await open(emptyDir());
  await admit(node, request);
  await lifecycle(node, { command: "transition", workload_id: "payments-api", transition: "create" }, "acme");
  const { policy } = await node.registry.submit(stricter, "ops");
  const rails = [{ rail_id: "s", level: "sandbox_isolated", latency_overhead_us: 1, capacity: 9 }];
  await mesh(node, { command: "reload", mesh_id: "m", rails }, "acme");
  const FREE = {
    elevation_allowed: true,
    max_target_level: "hardware_isolated",
    preserve_latency_budget: false,
    latency_budget_us: 0,
  } as const;
  await mesh(node, { command: "place", mesh_id: "m", workload_id: "payments-api", rail_id: "s", policy: FREE }, "acme");
  const { report } = await refusedWith(t, node.registry.activate(policy.digest, "ops"));
  t.like(report, {
    passes: false,
    workloads: { tried: 1, too_weak: 1 },
    decisions: { tried: 1, newly_refused: 1 },
  });
  t.like(report!.workloads.listed[0], {
    tenant_id: "acme",
    workload_id: "payments-api",
    envelope: { admitted: "container", required: "vm" },
  });
  t.is(report!.conformance?.violations.length, 0);
  // As many as a trial may look at; of the others it says that it did not.
  const candidate = await loadBundle(stricter, { keys: signer.keys });
  const { passes, workloads } = await makeTrial(node.store, 0)(candidate, node.policy);
  t.deepEqual([passes, workloads], [true, { tried: 0, untried: 1, too_weak: 0, listed: [] }]);
  // The same by its own source: refused on record, and what decided goes on.
  const offered = await node.policies.offer("law", () => stricter);
  t.like(offered, { outcome: "rejected", error: { reason: "gate" } });
  t.like(await eventsOf(node, "policy.reject"), [{ details: { reason: "gate", bundle: "law" } }]);
  t.regex(String((await eventsOf(node, "policy.reject"))[0]!.details?.["problem"]), /acme\/payments-api/);
  t.is((await admit(node, request)).decision.outcome, "accepted");
  const { digest } = policy;
  await node.registry.activate(digest, "ops", await override(root, { digest }));
  t.is(node.policy?.revision, "stricter");
  // What is too weak already is not the next one's doing.
  const next = await node.registry.submit(
    await lawBundle(signer, {
      revision: "next",
      sequence: 4,
      files: changedSettings((s) => void (s.triggers.risk.low = "vm")),
    }),
    "ops",
  );
  t.true((await node.registry.activate(next.policy.digest, "ops")).report.passes);
});

test("a policy that admits what none may is refused by the corpus", async (t) => {
  await using node = await open(emptyDir());
  const lax = await lawBundle(signer, {
    revision: "lax",
    sequence: 3,
    files: await lawlessFiles("mesh/mesh.rego", /:= place_decision\(request, facts\) if/, ':= accepted("MESH_001") if'),
  });
  const { policy } = await node.registry.submit(lax, "ops");
  const { report, message } = await refusedWith(t, node.registry.activate(policy.digest, "ops"));
  t.deepEqual(
    report!.conformance?.violations.map(({ breaks }) => breaks),
    [
      "INV-MESH-FAIL-CLOSED",
      "INV-MESH-FAIL-CLOSED",
      "INV-MESH-MONOTONIC-ELEVATION",
      "INV-MESH-MONOTONIC-ELEVATION",
      "INV-MESH-LATENCY-BUDGET",
      "capacity",
    ],
  );
  t.regex(message, /admits what no policy may \(INV-MESH-FAIL-CLOSED\)/);
  // Whoever builds it is told as much (`railgate bundle build`), and what cannot be loaded is not built.
  t.deepEqual(await tryBuilt(await unsigned(lax)), report!.conformance?.violations);
  t.deepEqual(await tryBuilt(await unsigned(first)), []);
  const unreadable = await lawBundle(null, { files: changedSettings((settings) => (settings.kubernetes = "none")) });
  await t.throwsAsync(tryBuilt(await unsigned(unreadable)), { code: "policy_invalid", message: /kubernetes/ });
});

async function unsigned(bundle: Uint8Array): Promise<Map<string, Uint8Array>> {
  const files = await readBundleFiles(bundle);
  files.delete(".signatures.json");
  return files;
}

test("a shadow decides beside the active policy: its differences are counted, listed and on record, and nothing else changes", async (t) => {
  const outcomes: string[] = [];
  const dir = emptyDir();
  const observe = { shadowed: (outcome: string) => void outcomes.push(outcome) };
  {
    await using node = await open(dir, { observe });
    const { policy } = await node.registry.submit(stricter, "ops");
    await node.registry.shadow(policy.digest, "ops");
    const { decision, event } = await admit(node, request);
    t.is(decision.outcome, "accepted");
    await until(() => outcomes.length === 1);
    t.deepEqual(outcomes, ["newly_refused"]);
    t.like(node.registry.differences(policy.digest), {
      decided: 1,
      differences: { newly_refused: 1 },
      items: [{ event_id: event.id, tenant_id: "acme", subject: "payments-api", change: "newly_refused" }],
    });
    const [recorded] = await until(async () => {
      const found = await eventsOf(node, "policy.evaluate");
      return found.length > 0 && found;
    });
    t.like(recorded, {
      tenant_id: "acme",
      policy_snapshot_id: policy.digest,
      correlation_id: event.correlation_id,
      details: { shadow_of: event.id, change: "newly_refused" },
    });
    const artifact = JSON.parse(Buffer.from((await node.store.artifactOf(recorded!.id))!.bytes).toString());
    t.is(artifact.decision.outcome, "refused");
  }
  await using again = await open(dir, { observe });
  await admit(again, request);
  await until(() => outcomes.length === 2);
  const { digest } = (await again.registry.list()).find(({ state }) => state === "shadow")!;
  await again.registry.shadow(digest, "ops", true);
  await admit(again, request);
  t.is(outcomes.length, 2);
});
