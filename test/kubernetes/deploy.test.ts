// deploy/kubernetes: what is deployed passes its own law, cannot lock its cluster out, and is the same by kustomize and by Helm.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { parse, parseAllDocuments } from "yaml";
import { manifestJudge } from "../../src/library/manifests.ts";
import { loadConfig } from "../../src/node/config/config.ts";
import { emptyDir } from "../http/support.ts";

type Json = { [member: string]: any };

const ROOT = new URL("../../deploy/kubernetes/", import.meta.url).pathname;
const text = (file: string) => readFileSync(join(ROOT, file), "utf8");
const documents = (yaml: string): Json[] => parseAllDocuments(yaml).map((document) => document.toJS() as Json);

/** What `kubectl kustomize base` makes: every resource, its images named by digest. */
function base(): Json[] {
  const { resources, images } = parse(text("base/kustomization.yaml")) as Json;
  const image = `${images[0].newName}@${images[0].digest}`;
  return (resources as string[]).flatMap((file) =>
    documents(text(`base/${file}`).replaceAll("image: railgate\n", `image: ${image}\n`)),
  );
}

const objects = base();
const ofKind = (kind: string, among = objects): Json => among.find((object) => object["kind"] === kind)!;

/** Under another name of their namespace, since theirs is exempt. */
async function refusals(exempted: readonly Json[]): Promise<string[]> {
  const all = JSON.parse(JSON.stringify(exempted).replaceAll("railgate-system", "elsewhere")) as Json[];
  const cwd = emptyDir();
  const judge = await manifestJudge(loadConfig({ env: {}, cwd }), {}, Date.now(), (problem) => {
    throw new Error(problem);
  });
  for (const object of all) judge.learn(object);
  const found = [];
  for (const object of all) found.push(await judge.judge(object));
  return found.flatMap((judged) => judged?.decision.refusals.map(({ rule, modes }) => `${rule} ${modes}`) ?? []);
}

test("the manifests pass Railgate's own law and the level restricted, enforced; on the cluster's plain runtime all of it but the runtime", async (t) => {
  t.is(ofKind("Namespace")["metadata"].labels["railgate.dev/law"], "deny");
  t.deepEqual(await refusals(objects), ["CTR-01 deny"]);
  const [patch] = (parse(text("gvisor/kustomization.yaml")) as Json)["patches"];
  const [{ path, value }] = parse(patch.patch) as [Json];
  t.is(path, "/spec/template/spec/runtimeClassName");
  const sandboxed = structuredClone(objects);
  ofKind("StatefulSet", sandboxed)["spec"].template.spec.runtimeClassName = value;
  t.deepEqual(await refusals(sandboxed), []);
});

for (const file of ["base/webhook.yaml", "static/railgate.yaml"])
  test(`${file}: what fails is refused, soon enough, and the cluster and the webhook itself can start`, (t) => {
    const [{ metadata, webhooks }] = documents(text(file)) as [Json];
    const [webhook] = webhooks;
    t.like(webhook, {
      failurePolicy: "Fail",
      sideEffects: "NoneOnDryRun",
      matchPolicy: "Equivalent",
      timeoutSeconds: 10,
    });
    const [{ key, operator, values }] = webhook.namespaceSelector.matchExpressions;
    t.deepEqual([key, operator], ["kubernetes.io/metadata.name", "NotIn"]);
    const settings = JSON.parse(readFileSync("policy/railgate/settings/data.json", "utf8")) as Json;
    t.deepEqual(Object.keys(settings["kubernetes"].exemptions.namespaces).sort(), [...values].sort());
    t.true(values.includes(ofKind("Namespace")["metadata"].name));
    const resources = webhook.rules.flatMap((rule: Json) => rule["resources"]);
    for (const resource of [
      "pods",
      "pods/ephemeralcontainers",
      "deployments",
      "cronjobs",
      "replicationcontrollers",
      "namespaces",
    ])
      t.true(resources.includes(resource), resource);
    t.true(webhook.rules.every(({ operations }: Json) => operations.join() === "CREATE,UPDATE"));
    t.deepEqual(
      webhook.matchConditions.map(({ name }: Json) => name),
      ["not-a-mirror-pod"],
    );
    const isStatic = file.startsWith("static");
    t.is(metadata.name.endsWith(".static.k8s.io") && webhook.name.endsWith(".static.k8s.io"), isStatic);
    t.is("url" in webhook.clientConfig, isStatic);
  });

test("a replica has a volume, keys and a place of its own, and nothing that it need not have", (t) => {
  const { spec } = ofKind("StatefulSet");
  t.true(spec.replicas >= 2);
  t.is(spec.volumeClaimTemplates[0].metadata.name, "data");
  const [container] = spec.template.spec.containers;
  for (const probe of ["startupProbe", "readinessProbe", "livenessProbe"])
    t.is(container[probe].httpGet.scheme, "HTTPS");
  t.true(container.securityContext.readOnlyRootFilesystem);
  t.is(ofKind("PodDisruptionBudget")["spec"].minAvailable, 1);
  t.deepEqual(ofKind("NetworkPolicy")["spec"].policyTypes, ["Ingress", "Egress"]);
});

interface Patched {
  readonly target: { readonly kind: string; readonly name: string };
  readonly patch: string;
}

/** What `kubectl kustomize postgres` makes of the base: JSON patches (RFC 6902) of `add` and `replace`, as far as these use it. */
function onPostgres(): Json[] {
  const all = structuredClone(objects);
  const { resources, patches } = parse(text("postgres/kustomization.yaml")) as {
    resources: string[];
    patches: Patched[];
  };
  if (resources.join() !== "../base") throw new Error("it is no overlay of the base");
  for (const { target, patch } of patches)
    for (const { op, path, value } of parse(patch) as { op: string; path: string; value: unknown }[]) {
      const parts = path.slice(1).split("/");
      const last = parts.pop()!;
      const at = parts.reduce<Json>((node, part) => node[part], ofKind(target.kind, all));
      if (op === "add" && last === "-") at["push"](value);
      else if (op === "replace" && last in at) at[last] = value;
      else throw new Error(`${op} ${path}`);
    }
  return all;
}

test("three replicas on one PostgreSQL: each a node of its own by its name, two of them always there, and the law still admits them", async (t) => {
  const all = onPostgres();
  const { spec } = ofKind("StatefulSet", all);
  const [container] = spec.template.spec.containers;
  t.is(spec.replicas, 3);
  t.is(ofKind("PodDisruptionBudget", all)["spec"].minAvailable, 2);
  t.deepEqual(container.args, ["serve", "--wait"]);
  const env = Object.fromEntries(container.env.map(({ name, ...from }: Json) => [name, from]));
  t.like(env, {
    RAILGATE_NODE_ID: { valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
    RAILGATE_STORE_URL: { valueFrom: { secretKeyRef: { name: "railgate-store", key: "url" } } },
  });
  const mounted = container.volumeMounts.map(({ name }: Json) => name as string);
  const known = [...spec.template.spec.volumes, ...spec.volumeClaimTemplates.map(({ metadata }: Json) => metadata)];
  t.deepEqual(mounted.toSorted(), known.map(({ name }: Json) => name as string).toSorted());
  t.true(ofKind("NetworkPolicy", all)["spec"].egress.some(({ ports }: Json) => ports[0].port === 5432));
  t.deepEqual(await refusals(all), ["CTR-01 deny"], "as of the base, on the cluster's plain runtime");
});

test("its settings are settings", (t) => {
  const dir = emptyDir();
  writeFileSync(join(dir, "opa.yaml"), ofKind("ConfigMap")["data"]["opa.yaml"]);
  const config = loadConfig({ env: {}, cwd: dir });
  t.like(config, {
    listen: { port: 8443, loopback: false },
    kubernetes: { inCluster: true },
    authentication: { mtls: { tenantFrom: "O" } },
  });
});

/** As much of Helm as the chart uses: values, JSON of them, the release's namespace, and what stands only where a value is given. */
function render(template: string, values: Json, release: string): string {
  const at = (path: string): unknown => path.split(".").reduce((value: any, name) => value?.[name], values);
  return template
    .replaceAll(/\{\{- if \.Values\.([\w.]+) \}\}\n([\s\S]*?)\{\{- end \}\}\n/g, (_, path: string, body: string) => {
      const value = at(path);
      const given = typeof value === "object" && value !== null ? Object.keys(value).length > 0 : Boolean(value);
      return given ? body : "";
    })
    .replaceAll("{{ toJson (uniq (append .Values.webhook.exemptNamespaces .Release.Namespace)) }}", () =>
      JSON.stringify([...new Set([...(at("webhook.exemptNamespaces") as string[]), release])]),
    )
    .replaceAll(/\{\{ toJson \.Values\.([\w.]+) \}\}/g, (_, path: string) => JSON.stringify(at(path)))
    .replaceAll(/\{\{ \.Values\.([\w.]+) \}\}/g, (_, path: string) => String(at(path)))
    .replaceAll("{{ .Release.Namespace }}", release);
}

test("the chart with its own values is the same", (t) => {
  const values = parse(text("chart/values.yaml")) as Json;
  const files = readdirSync(join(ROOT, "chart/templates")).sort();
  const chart = files.flatMap((file) => documents(render(text(`chart/templates/${file}`), values, "railgate-system")));
  const key = (object: Json) => `${object["kind"]} ${object["metadata"].name}`;
  const byKey = (all: Json[]) => Object.fromEntries(all.map((object) => [key(object), object]));
  t.deepEqual(byKey(chart), byKey(objects.filter(({ kind }) => kind !== "Namespace")));
  const other = files
    .map((file) => render(text(`chart/templates/${file}`), { ...values, runtimeClassName: "gvisor" }, "elsewhere"))
    .join("---\n");
  t.true(other.includes("runtimeClassName: gvisor"));
  t.false(other.includes("{{"));
  t.true(
    other.includes('"railgate-system","elsewhere"]'),
    "its own namespace is outside of its scope, whichever it is",
  );
});
