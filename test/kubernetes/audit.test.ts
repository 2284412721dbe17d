// `railgate audit --cluster`: what runs already, by pages, as one run on record: as many out as in, nothing capped, nothing changed.
import { join } from "node:path";
import test from "ava";
import { openRailgate } from "../../src/library/index.ts";
import type { AuditedPage } from "../../src/core/schema/audits.ts";
import { railgate as cli } from "../cli/railgate.ts";
import { connectRailgate } from "../../src/client/index.ts";
import { emptyDir, start } from "../http/support.ts";
import { fakeCluster } from "./cluster.ts";
import { controller, lawfulPod, namespace, soundContainer, soundPod } from "./reviews.ts";

type Json = { [member: string]: any };

async function* once<T>(...parts: T[]): AsyncGenerator<T> {
  yield* parts;
}

const named = (pod: Json, name: string): Json => ({ ...pod, metadata: { ...pod["metadata"], name } });
const privileged = (name: string): Json =>
  soundPod({ metadata: { name }, spec: { containers: [soundContainer("app", { privileged: true })] } });
const STRICT = { "pod-security.kubernetes.io/enforce": "baseline", "railgate.dev/law": "off" };

test("counts out are counts in, all under one id, and no workload is admitted by it", async (t) => {
  await using railgate = await openRailgate({ dataDir: join(emptyDir(), "data") });
  const pods = Array.from({ length: 300 }, (_, i) => (i % 3 === 0 ? privileged(`p${i}`) : named(soundPod(), `p${i}`)));
  const pages: AuditedPage[] = [
    { kind: "Pod", items: pods },
    { kind: "Pod", items: [{ metadata: { name: "odd", namespace: "shop" }, spec: { containers: "none" } }] },
    { kind: "ReplicationController", items: [{ metadata: { name: "empty", namespace: "shop" }, spec: {} }] },
    { kind: "Deployment", items: [controller("Deployment", named(lawfulPod(), "web"))] },
  ];
  const told: boolean[] = [];
  const run = await railgate.audit(
    once([namespace("shop", STRICT)]),
    once(...pages),
    ({ allowed }) => void told.push(allowed),
  );
  t.like(run, { listed: 303, allowed: 201, refused: 100, unreadable: 1, without_pod: 1 });
  t.deepEqual(run.rules, { "PSS-privileged": 100 });
  t.is(told.length, 301);
  const events: Json[] = [];
  let cursor: string | undefined;
  do {
    const page = await railgate.events({ correlation_id: run.run, order: "asc", limit: 500, cursor });
    events.push(...page.items);
    cursor = page.next ?? undefined;
  } while (cursor !== undefined);
  t.true(events.every(({ event_type, tenant_id }) => event_type === "policy.evaluate" && tenant_id === "default"));
  t.is(events.filter(({ outcome, details }) => outcome === "refused" && details.codes).length, 100);
  t.is(events.filter(({ outcome, details }) => outcome === "accepted" && details.codes).length, 201);
  const acts = (
    await railgate.events({ tenant_id: "default", event_type: "policy.evaluate", order: "asc", limit: 1000 })
  ).items
    .map(({ details }) => details!)
    .filter(({ act }) => act !== undefined);
  t.deepEqual(
    acts.map(({ act }) => act),
    ["audit.begin", "audit.unreadable", "audit.end"],
  );
  t.like(acts.at(-1), { audit: run.run, listed: 303, allowed: 201, refused: 100, unreadable: 1, without_pod: 1 });
  t.deepEqual((await railgate.workloads({})).items, []);
});

test("the command lists a cluster by pages, tells by rule, and writes bounded reports where asked", async (t) => {
  const cluster = await fakeCluster();
  const cwd = emptyDir();
  cluster.lists.set("/api/v1/namespaces", [namespace("shop", STRICT)]);
  cluster.lists.set(
    "/api/v1/pods",
    Array.from({ length: 1100 }, (_, i) => privileged(`p${i}`)),
  );
  const args = ["audit", "--cluster", "--kubeconfig", cluster.kubeconfig(cwd), "--reports"];
  const { code, stdout, stderr } = await cli(args, { cwd });
  await cluster.close();
  t.is(code, 1, stderr);
  t.regex(stdout, /^RULE +FINDINGS\nPSS-privileged +1100\n/);
  t.regex(
    stdout,
    /1100 objects: 0 would be allowed, 1100 refused, 0 can't be read, 0 have no pod\.\n1 reports written\./,
  );
  t.true(cluster.asked.filter((asked) => asked.startsWith("GET /api/v1/pods?")).length === 3);
  const [[path, report]] = [...cluster.applied] as [[string, Json]];
  t.is(path, "/apis/openreports.io/v1alpha1/namespaces/shop/reports/railgate");
  t.like(report, { kind: "Report", summary: { pass: 0, fail: 1100 } });
  t.is(report["results"].length, 1000);
  t.is(report["metadata"].annotations["railgate.dev/left-out"], "100");
  t.like(report["results"][0], {
    source: "railgate",
    policy: "pod-security",
    rule: "PSS-privileged",
    result: "fail",
    severity: "high",
  });
});

test("into a running node it is one sealed run as well, alike by the command and by the client, whatever the size of a part", async (t) => {
  const cluster = await fakeCluster();
  const served = await start();
  t.teardown(() => served.close());
  const cwd = emptyDir();
  cluster.lists.set("/api/v1/namespaces", [namespace("shop", STRICT)]);
  const managed = (pod: Json): Json => ({
    ...pod,
    metadata: { ...pod["metadata"], managedFields: [{ manager: "x" }] },
  });
  cluster.lists.set("/api/v1/pods", [
    ...Array.from({ length: 130 }, (_, i) => managed(i % 2 === 0 ? privileged(`p${i}`) : named(soundPod(), `p${i}`))),
    { metadata: { name: "odd", namespace: "shop" }, spec: { containers: "none" } },
  ]);
  const args = ["audit", "--cluster", "--kubeconfig", cluster.kubeconfig(cwd), "--url", served.url, "--json"];
  const { code, stdout, stderr } = await cli(args, { cwd });
  t.is(code, 1, stderr);
  const run = JSON.parse(stdout) as Json;
  t.like(run, {
    listed: 131,
    allowed: 65,
    refused: 65,
    unreadable: 1,
    without_pod: 0,
    rules: { "PSS-privileged": 65 },
  });
  const { items } = await served.railgate.events({ correlation_id: run["run"], order: "asc", limit: 1000 });
  t.is(items.filter(({ details }) => details!["codes"] !== undefined).length, 130);
  const acts = (await served.railgate.events({ tenant_id: "default", order: "asc", limit: 1000 })).items.filter(
    ({ details }) => details?.["audit"] === run["run"] && details!["act"] !== undefined,
  );
  t.deepEqual(
    acts.map(({ details }) => details!["act"]),
    ["audit.begin", "audit.unreadable", "audit.end"],
  );
  await cluster.close();
  // Three objects that together are more than one body may hold.
  const large = (name: string): Json => {
    const pod = privileged(name);
    return { ...pod, metadata: { ...pod["metadata"], annotations: { note: "x".repeat(6 * 1024 * 1024) } } };
  };
  await using client = connectRailgate({ url: served.url });
  const told: string[] = [];
  const again = await client.audit(
    once([namespace("shop", STRICT)]),
    once({ kind: "Pod", items: [large("a"), large("b"), large("c")] }),
    ({ name }) => void told.push(name),
  );
  t.like(again, { listed: 3, refused: 3 });
  t.deepEqual(told, ["a", "b", "c"]);
});

test("a run is its beginner's alone, and of those that are forgotten nothing more is taken", async (t) => {
  const served = await start();
  t.teardown(() => served.close());
  const post = (path: string, body: object) => served.call("POST", `/v1/kubernetes/audits${path}`, { body });
  t.like((await post("/none", { kind: "Pod", items: [] })).json, { code: "audit_unknown", status: 404 });
  t.is((await post("", { namespaces: "all" })).status, 422);
  const first = (await post("", { namespaces: [] })).json.run as string;
  t.like((await post(`/${first}`, { kind: "Pod", items: [named(soundPod(), "a")] })).json, {
    objects: [{ kind: "Pod", name: "a", allowed: true }],
  });
  for (let open = 0; open < 8; open++) t.is((await post("", { namespaces: [] })).status, 200);
  t.is((await post(`/${first}/end`, {})).json.code, "audit_unknown");
  const last = (await post("", { namespaces: [namespace("shop", STRICT)] })).json.run as string;
  t.is((await post(`/${last}`, { kind: "Pod", items: Array.from({ length: 126 }, () => ({})) })).status, 422);
  t.like((await post(`/${last}/end`, {})).json, { run: last, listed: 0 });
  t.is((await post(`/${last}/end`, {})).json.code, "audit_unknown", "sealed once");
});
