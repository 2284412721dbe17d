// The watch on namespaces: what it sees counts at once, and goes on counting, with its age, while the API server is away.
import test from "ava";
import { emptyDir, start } from "../http/support.ts";
import { fakeCluster } from "./cluster.ts";
import { namespace, reviewOf, soundPod } from "./reviews.ts";
import { until } from "../until.ts";

const PATH = "/v1/kubernetes/admission";
const NAMESPACES = "/api/v1/namespaces";
const DENY = { "railgate.dev/law": "deny" };

test("labels are watched, go on counting while nobody can be asked, and say how old they are", async (t) => {
  const cluster = await fakeCluster();
  cluster.lists.set(NAMESPACES, [
    namespace("shop", DENY),
    ...Array.from({ length: 700 }, (_, i) => namespace(`n${i}`)),
  ]);
  const served = await start({ kubernetes: { kubeconfig: cluster.kubeconfig(emptyDir()) } });
  const allowed = async (name: string): Promise<boolean> => {
    const pod = soundPod({ metadata: { namespace: name } });
    return (await served.call("POST", PATH, { body: reviewOf(pod, { dryRun: true }) })).json.response.allowed;
  };
  const metric = async () =>
    Number(/^railgate_kubernetes_namespaces_age_seconds (\S+)$/m.exec((await served.call("GET", "/metrics")).text)![1]);
  await until(() => cluster.watches.size === 1);
  t.true(
    cluster.asked.some((asked) => asked.includes("continue=500")),
    "listed by pages",
  );
  await until(async () => !(await allowed("shop")));
  t.true(await allowed("n699"));
  t.is(await metric(), 0);
  cluster.tell("MODIFIED", namespace("n699", DENY));
  await until(async () => !(await allowed("n699")));
  cluster.tell("DELETED", namespace("n699", DENY));
  await until(() => allowed("n699"));
  cluster.up = false;
  for (const watch of cluster.watches) watch.destroy();
  await until(async () => (await metric()) > 0);
  t.false(await allowed("shop"), "as it was last");
  await until(() => served.logs.some(({ msg }) => /can't be asked; its namespaces/.test(msg)), "that is told");
  cluster.lists.set(NAMESPACES, [namespace("shop")]);
  cluster.up = true;
  await until(() => allowed("shop"));
  // A review tells of what is about to be, and counts until the watch has seen it.
  await served.call("POST", PATH, { body: reviewOf(namespace("shop", DENY)) });
  t.false(await allowed("shop"));
  await served.close();
  await cluster.close();
});

test("a version that is gone is listed anew; a cluster that is not there keeps no node from starting", async (t) => {
  const cluster = await fakeCluster();
  const kubeconfig = cluster.kubeconfig(emptyDir());
  const served = await start({ kubernetes: { kubeconfig } });
  await until(() => cluster.watches.size === 1);
  cluster.tell("ERROR", { kind: "Status", code: 410, message: "too old" });
  const lists = () => cluster.asked.filter((asked) => asked.includes("limit=")).length;
  await until(() => lists() === 2);
  await served.close();
  await cluster.close();
  const without = await start({ kubernetes: { kubeconfig } });
  t.is((await without.call("GET", "/readyz")).status, 200);
  t.true((await without.call("POST", PATH, { body: reviewOf(soundPod()) })).json.response.allowed);
  await without.close();
  await t.throwsAsync(start({ kubernetes: { kubeconfig: "/nowhere" } }), { code: "config_invalid" });
  await t.throwsAsync(start({ kubernetes: { kubeconfig, in_cluster: true } }), { code: "config_invalid" });
});
