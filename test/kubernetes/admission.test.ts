// The webhook over real HTTP: what an API server sends, what it is answered, and what of it is on record.
import test from "ava";
import { FoldedStates } from "../../src/evidence/fsck/folded-states.ts";
import { send, start, verifiedEvents } from "../http/support.ts";
import { controller, FULL, lawfulPod, namespace, reviewOf, soundContainer, soundPod } from "./reviews.ts";

const served = await start();
test.after.always(() => served.close());

type Json = { [member: string]: any };
const PATH = "/v1/kubernetes/admission";

async function ask(review: unknown, query = "", base = served.url): Promise<Json> {
  const answered = await send(base, "POST", PATH + query, { body: review as object });
  if (answered.status !== 200) throw new Error(`${answered.status} ${answered.text}`);
  return answered.json.response;
}

let names = 0;
/** A namespace of its own, so that tests leave each other alone. */
async function inNamespace(labels: Json, annotations: Json = {}): Promise<string> {
  const name = `ns-${++names}`;
  const { allowed } = await ask(reviewOf(namespace(name, labels, annotations)));
  if (!allowed) throw new Error("the namespace was refused");
  return name;
}

const pss = (mode: string) => `pod-security.kubernetes.io/${mode}`;
const inside = (name: string, pod: Json): Json => ({ ...pod, metadata: { ...pod["metadata"], namespace: name } });
const events = async (tenant: string): Promise<any[]> =>
  (await served.call("GET", `/v1/events?tenant_id=${tenant}&order=asc&limit=1000`)).json.items;
const rulesIn = (lines: readonly string[]) => lines.map((line) => line.split(/[ :]/, 1)[0]);
const privileged = (pod: Json = soundPod()): Json => ({
  ...pod,
  spec: { ...pod["spec"], containers: [soundContainer("app"), soundContainer("side", { privileged: true })] },
});

test("a pod that both laws let pass is allowed, and its event is named", async (t) => {
  const name = await inNamespace({ "railgate.dev/law": "deny", [pss("enforce")]: "restricted" });
  const review = reviewOf(inside(name, lawfulPod()));
  const { uid, allowed, warnings, status, auditAnnotations } = await ask(review);
  t.is(uid, review["request"].uid);
  t.true(allowed);
  t.is(warnings, undefined);
  t.is(status, undefined);
  const [event] = await events(name);
  t.is(auditAnnotations["event-id"], event.id);
  t.is(auditAnnotations["policy-digest"], event.policy_snapshot_id);
  t.like(event, { event_type: "workload.admit", outcome: "accepted", subject: `${name}/pod/web`, correlation_id: uid });
  t.deepEqual(event.details.modes, {
    pod_security: { enforce: "restricted:latest", audit: "privileged:latest", warn: "restricted:latest" },
    law: "deny",
  });
  t.false("warned" in event.details);
});

test("a refusal names rule, field and cure, and is on record", async (t) => {
  const name = await inNamespace({ [pss("enforce")]: "baseline" });
  const { allowed, status, warnings, auditAnnotations } = await ask(reviewOf(inside(name, privileged(lawfulPod()))));
  t.false(allowed);
  t.is(warnings, undefined);
  t.like(status, { status: "Failure", code: 403, reason: "Forbidden" });
  const field = "spec.containers[1].securityContext.privileged";
  t.deepEqual(status.details.causes, [
    {
      reason: "PSS-privileged",
      field,
      message: "Container side runs privileged. Leave securityContext.privileged out, or set it to false.",
    },
  ]);
  t.true(status.message.includes(`PSS-privileged ${field}: Container side runs privileged.`));
  t.true(status.message.includes(auditAnnotations["event-id"]));
  const [event] = await events(name);
  t.like(event, {
    event_type: "workload.refuse",
    outcome: "refused",
    refusal_reason_code: "PSS-privileged",
    refusal_subject: field,
    // The law itself only warns: what it finds is told all the same.
    details: { codes: { "PSS-privileged": 1, privilege_excessive: 1 } },
  });
});

test("what is only warned of is allowed, stays refused in the decision, and folds as an acceptance", async (t) => {
  const name = await inNamespace({});
  const { allowed, warnings, auditAnnotations } = await ask(reviewOf(inside(name, soundPod())));
  t.true(allowed);
  t.true(warnings.length > 3);
  t.true(warnings.every((warning: string) => /^[A-Z]+-\d+ /.test(warning)));
  const [event] = await events(name);
  t.like(event, { event_type: "workload.admit", outcome: "accepted" });
  t.is(event.details.warned.runtime_not_hardened, 1);
  const id = auditAnnotations["event-id"];
  const artifact = (await served.call("GET", `/v1/events/${id}/artifact?tenant_id=${name}`)).json;
  t.is(artifact.decision.outcome, "refused");
  t.is(artifact.entrypoint, "railgate/kubernetes/decision");
  const path = `/v1/workloads/${encodeURIComponent(`${name}/pod/web`)}?tenant_id=${name}`;
  t.like((await served.call("GET", path)).json, { state: "admitted", envelope_kind: "container" });
});

test("the law in its other modes: deny refuses, audit only notes, off asks nothing", async (t) => {
  const of = async (mode: string) => ask(reviewOf(inside(await inNamespace({ "railgate.dev/law": mode }), soundPod())));
  const [denied, audited, off] = [await of("deny"), await of("audit"), await of("off")];
  t.false(denied["allowed"]);
  t.true(denied["status"].details.causes.some(({ reason }: Json) => reason === "workload_unclassified"));
  t.like(audited, { allowed: true, warnings: undefined });
  t.true(audited["auditAnnotations"]["audit-violations"].startsWith("CTR-01 spec.runtimeClassName: "));
  t.like(off, { allowed: true, warnings: undefined });
  t.is(off["auditAnnotations"]["audit-violations"], undefined);
});

test("pod security in its other modes", async (t) => {
  const name = await inNamespace({
    [pss("audit")]: "restricted",
    [pss("warn")]: "baseline",
    "railgate.dev/law": "off",
  });
  const { allowed, warnings, auditAnnotations } = await ask(reviewOf(inside(name, privileged())));
  t.true(allowed);
  t.deepEqual(rulesIn(warnings), ["PSS-privileged"]);
  t.deepEqual(rulesIn(auditAnnotations["audit-violations"].split("\n")), ["PSS-privileged"]);
});

test("templates are judged as the pods that they breed, under their own place", async (t) => {
  const name = await inNamespace({ [pss("enforce")]: "baseline" });
  const at: { [kind: string]: string } = {
    Deployment: "spec.template.spec",
    StatefulSet: "spec.template.spec",
    DaemonSet: "spec.template.spec",
    ReplicaSet: "spec.template.spec",
    ReplicationController: "spec.template.spec",
    Job: "spec.template.spec",
    CronJob: "spec.jobTemplate.spec.template.spec",
    PodTemplate: "template.spec",
  };
  for (const [kind, place] of Object.entries(at)) {
    const pod = inside(name, privileged(lawfulPod()));
    const { allowed, status } = await ask(reviewOf(controller(kind, pod)));
    t.false(allowed, kind);
    t.is(status.details.causes[0].field, `${place}.containers[1].securityContext.privileged`);
    t.true((await ask(reviewOf(controller(kind, inside(name, lawfulPod()))))).allowed, kind);
  }
  const subjects = (await events(name)).map(({ subject }) => subject);
  t.true(subjects.includes(`${name}/cronjob/web`));
  const { spec: _, ...bare } = controller("ReplicationController", inside(name, soundPod()));
  t.true((await ask(reviewOf({ ...bare, spec: {} }))).allowed);
  t.like(await ask(reviewOf({ ...controller("Deployment", inside(name, soundPod())), spec: {} })), {
    allowed: false,
    status: { code: 422 },
  });
});

test("init and ephemeral containers count, and a debugging container is judged when it is added", async (t) => {
  const name = await inNamespace({ [pss("enforce")]: "baseline" });
  const init = inside(name, soundPod());
  init["spec"].initContainers = [soundContainer("init", { privileged: true })];
  t.is((await ask(reviewOf(init))).status.details.causes[0].field, "spec.initContainers[0].securityContext.privileged");
  const [before, after] = [inside(name, soundPod()), inside(name, soundPod())];
  after["spec"].ephemeralContainers = [soundContainer("debug", { privileged: true })];
  const more = { operation: "UPDATE", oldObject: before, subResource: "ephemeralcontainers" };
  const { allowed, status } = await ask(reviewOf(after, more));
  t.false(allowed);
  t.is(status.details.causes[0].field, "spec.ephemeralContainers[0].securityContext.privileged");
});

test("a change that touches nothing judged is allowed unasked, so that what runs can be labelled and let go", async (t) => {
  const name = await inNamespace({});
  const pod = inside(name, privileged());
  await ask(reviewOf(pod));
  await ask(
    reviewOf(namespace(name, { [pss("enforce")]: "restricted", "railgate.dev/law": "deny" }), {
      operation: "UPDATE",
      oldObject: namespace(name),
    }),
  );
  const count = (await events(name)).length;
  const labelled = { ...pod, metadata: { ...pod["metadata"], labels: { a: "b" }, finalizers: [] } };
  const unchanged = await ask(reviewOf(labelled, { operation: "UPDATE", oldObject: pod }));
  t.true(unchanged["allowed"]);
  t.is((await events(name)).length, count);
  const image = structuredClone(pod);
  image["spec"].containers[0].image = "registry.example/other:1";
  t.false((await ask(reviewOf(image, { operation: "UPDATE", oldObject: pod }))).allowed);
  for (const subResource of ["status", "binding", "eviction", "exec"])
    t.true((await ask(reviewOf(pod, { operation: "UPDATE", oldObject: {}, subResource }))).allowed, subResource);
  t.true((await ask(reviewOf(controller("Deployment", pod), { subResource: "scale", operation: "UPDATE" }))).allowed);
  t.true((await ask(reviewOf(pod, { operation: "DELETE", object: null, oldObject: pod }))).allowed);
});

test("a dry run is answered alike and leaves nothing", async (t) => {
  const name = await inNamespace({ [pss("enforce")]: "baseline" });
  const answered = await ask(reviewOf(inside(name, privileged()), { dryRun: true }));
  t.false(answered["allowed"]);
  t.is(answered["status"].details.causes[0].reason, "PSS-privileged");
  t.false("event-id" in answered["auditAnnotations"]);
  t.deepEqual(await events(name), []);
  const other = namespace("dry", { [pss("enforce")]: "restricted" });
  t.true((await ask(reviewOf(other, { dryRun: true }))).allowed);
  t.true((await ask(reviewOf(inside("dry", privileged())))).allowed);
});

test("exemptions are data, and each use of one is evidence", async (t) => {
  const answered = await ask(reviewOf(inside("kube-system", privileged())));
  t.like(answered, { allowed: true, warnings: undefined });
  t.is(answered["auditAnnotations"].exempt, "namespace");
  const last = (await events("kube-system")).at(-1);
  t.like(last, { event_type: "workload.admit", details: { exempt: "namespace", codes: {} } });
});

test("a namespace that nobody knows is judged as the settings say", async (t) => {
  const answered = await ask(reviewOf(inside("never-seen", privileged())));
  t.true(answered["allowed"]);
  t.is(answered["auditAnnotations"]["enforce-policy"], "privileged:latest");
  t.true(answered["warnings"].length > 0);
});

test("labels that nobody can read are refused when they are made, not when they were there before", async (t) => {
  const bad = namespace("bad", { [pss("enforce")]: "strict", [pss("warn-version")]: "1.30", "railgate.dev/law": "on" });
  const { allowed, status } = await ask(reviewOf(bad));
  t.false(allowed);
  t.like(status, { code: 422, reason: "Invalid" });
  const [, first] = status.message.split("\n");
  t.regex(status.message, /^Railgate refuses it \(event [-0-9a-f]{36}\):\n/);
  t.regex(first, /^- KUB-02 metadata\.labels\[pod-security\.kubernetes\.io\/enforce\]: .* must be .*\. Give the label/);
  // All that kubectl shows where the reason is Invalid.
  t.regex(
    status.details.causes[0].message,
    /^KUB-02: .* must be .*\. Give the label .* \(Railgate, event [-0-9a-f]{36}\)$/,
  );
  t.deepEqual(
    status.details.causes.map(({ field }: Json) => field),
    [
      "metadata.labels[pod-security.kubernetes.io/enforce]",
      "metadata.labels[pod-security.kubernetes.io/warn-version]",
      "metadata.labels[railgate.dev/law]",
    ],
  );
  const labelled = { ...bad, metadata: { ...bad["metadata"], annotations: { a: "b" } } };
  t.true((await ask(reviewOf(labelled, { operation: "UPDATE", oldObject: bad }))).allowed);
  const kept = (await events("default")).filter(
    ({ event_type, subject }) => event_type === "policy.evaluate" && subject === "bad",
  );
  t.deepEqual(
    kept.map(({ outcome }) => outcome),
    ["refused", "accepted"],
  );
  // What it holds from now on is the strictest.
  t.false((await ask(reviewOf(inside("bad", privileged())))).allowed);
});

test("whose a workload is, and what of it the namespace says", async (t) => {
  const name = await inNamespace(
    { "railgate.dev/tenant": "acme", "railgate.dev/law": "deny", "railgate.dev/classification": "internal" },
    Object.fromEntries(Object.entries(FULL).filter(([field]) => field !== "railgate.dev/classification")),
  );
  const pod = inside(name, lawfulPod({ metadata: { annotations: {} } }));
  t.true((await ask(reviewOf(pod))).allowed);
  const [event] = await events("acme");
  t.is(event.subject, `${name}/pod/web`);
  const own = inside(
    name,
    lawfulPod({ metadata: { name: "own", annotations: { "railgate.dev/classification": "restricted" } } }),
  );
  const { allowed, status } = await ask(reviewOf(own));
  t.false(allowed);
  t.true(status.details.causes.some(({ reason }: Json) => reason === "envelope_insufficient"));
});

test("annotations that cannot be read are refused in the mode of the law, with what was meant", async (t) => {
  const name = await inNamespace({ "railgate.dev/law": "deny" });
  const annotations = { ...FULL, "railgate.dev/clasification": "internal", "railgate.dev/network.default_deny": "yes" };
  const { status } = await ask(reviewOf(inside(name, lawfulPod({ metadata: { annotations } }))));
  const unreadable = status.details.causes.filter(({ reason }: Json) => reason === "annotation_unreadable");
  t.deepEqual(unreadable, [
    {
      reason: "annotation_unreadable",
      field: "metadata.annotations[railgate.dev/clasification]",
      message:
        "railgate.dev/clasification is none of Railgate's; did you mean railgate.dev/classification?. Write it as docs/kubernetes.md lists it, or take it away.",
    },
    {
      reason: "annotation_unreadable",
      field: "metadata.annotations[railgate.dev/network.default_deny]",
      message:
        "railgate.dev/network.default_deny must be true or false. Write it as docs/kubernetes.md lists it, or take it away.",
    },
  ]);
});

test("what is generated or too long a name is an identifier all the same", async (t) => {
  const name = await inNamespace({ "railgate.dev/law": "off" });
  const pod = inside(name, soundPod());
  pod["metadata"] = { generateName: "web-", namespace: name };
  const review = reviewOf(pod);
  await ask(review);
  const long = inside(name, soundPod());
  long["metadata"].name = "x".repeat(253);
  await ask(reviewOf(long));
  const [first, second] = await events(name);
  t.is(first.subject, `${name}/pod/web-${review["request"].uid}`);
  t.regex(second.subject, new RegExp(`^${name}/pod/x+-[0-9a-f]{16}$`));
  t.is(second.subject.length, 253);
});

test("warnings are as many and as long as the API server passes on", async (t) => {
  const name = await inNamespace({ [pss("warn")]: "restricted", "railgate.dev/law": "off" });
  const pod = inside(name, soundPod());
  pod["spec"].containers = Array.from({ length: 60 }, (_, i) => ({ name: `${"n".repeat(55)}-${i}`, image: "x" }));
  const { warnings } = await ask(reviewOf(pod));
  t.true(warnings.every((warning: string) => [...warning].length <= 256));
  t.true(warnings.reduce((sum: number, warning: string) => sum + [...warning].length, 0) <= 4096);
  t.regex(warnings.at(-1), /^and \d+ more; the decision's event has all$/);
});

test("whatever fails lets nothing pass, and is 200 nevertheless", async (t) => {
  const pod = soundPod();
  const wrong: [review: unknown, code: string][] = [
    [{}, "request_invalid"],
    [[], "request_invalid"],
    [reviewOf(pod, { object: null }), "request_invalid"],
    [reviewOf(pod, { object: { ...pod, spec: { containers: [{ name: 1 }] } } }), "request_invalid"],
    [reviewOf(pod, { object: { ...pod, spec: { hostNetwork: "true" } } }), "request_invalid"],
    [reviewOf({ kind: "Service", metadata: { name: "a" } }), "request_invalid"],
    [{ ...reviewOf(pod), apiVersion: "admission.k8s.io/v1beta1" }, "request_invalid"],
  ];
  for (const [review, code] of wrong) {
    const answered = await ask(review);
    t.false(answered["allowed"]);
    t.is(answered["status"].details.causes[0].reason, code);
    t.regex(answered["status"].details.causes[0].message, /^Railgate can't decide it, so it is refused: /);
    t.is(answered["uid"], (review as Json)["request"]?.uid ?? "");
  }
  for (const body of ["", "{", '{"a":1,"a":2}']) {
    const { status, json } = await served.call("POST", PATH, { body });
    t.is(status, 200);
    t.like(json.response, { uid: "", allowed: false, status: { code: 400 } });
  }
  t.like(await ask(reviewOf(pod), "?timeout=soon"), { allowed: false, status: { code: 422 } });
});

test("a deadline that has passed refuses", async (t) => {
  const answered = await ask(reviewOf(soundPod()), "?timeout=1ms");
  t.like(answered, { allowed: false, status: { code: 504, reason: "Timeout" } });
  t.is(answered["status"].details.causes[0].reason, "deadline_exceeded");
  t.true((await ask(reviewOf(soundPod()), "?timeout=30s")).allowed);
});

test("a node without a policy refuses, with evidence", async (t) => {
  const none = { bytes: () => new Uint8Array([1]), keys: { keys: [] } };
  const node = await start({}, { bundle: none });
  const answered = await ask(reviewOf(soundPod()), "", node.url);
  t.false(answered["allowed"]);
  t.is(answered["status"].details.causes[0].reason, "policy_unavailable");
  await node.close();
  const [event] = (await verifiedEvents(node.dir)).filter(({ tenant_id }) => tenant_id === "shop");
  t.like(event, { event_type: "workload.refuse", refusal_reason_code: "policy_unavailable" });
});

test.after("all of it is in evidence that folds to the state there is, remembered namespaces included", async (t) => {
  using folded = new FoldedStates();
  for (const event of await verifiedEvents(served.dir)) folded.fold(event);
  await using store = await served.store();
  t.deepEqual(await folded.differing(store), []);
  t.true((await store.states("namespace", "default", 100)).length > 5);
});
