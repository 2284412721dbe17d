// What must be so where a real API server asks Railgate, in the order in which a cluster goes through it.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { controller, lawfulPod, namespace, soundContainer, soundPod } from "../kubernetes/reviews.ts";
import type { Ran } from "./control-plane.ts";
import { until } from "./control-plane.ts";
import type { Json, Lab } from "./lab.ts";

export type Check = readonly [what: string, holds: (lab: Lab) => Promise<void>];

const PSS = "pod-security.kubernetes.io";
const NAMESPACES: { readonly [name: string]: Json } = {
  shop: { [`${PSS}/enforce`]: "baseline", "railgate.dev/law": "audit" },
  warned: { [`${PSS}/warn`]: "restricted", "railgate.dev/law": "off" },
  audited: { [`${PSS}/audit`]: "restricted", "railgate.dev/law": "off" },
  lawful: { [`${PSS}/enforce`]: "restricted", "railgate.dev/law": "deny" },
};

const named = (pod: Json, name: string, inNamespace: string): Json => ({
  ...pod,
  metadata: { ...pod["metadata"], name, namespace: inNamespace },
});
const privileged = (pod: Json): Json => ({
  ...pod,
  spec: { ...pod["spec"], containers: [soundContainer("app", { privileged: true, allowPrivilegeEscalation: true })] },
});

/** As the API server wants one: it must select its own pods. */
function deployment(pod: Json): Json {
  const made = controller("Deployment", { ...pod, metadata: { ...pod["metadata"], labels: { app: "web" } } });
  const { name: _, namespace: __, ...metadata } = made["spec"].template.metadata as Json;
  const template = { ...made["spec"].template, metadata };
  return { ...made, spec: { replicas: 1, selector: { matchLabels: { app: "web" } }, template } };
}

function admitted({ code, out, err }: Ran, warnings: RegExp | undefined = undefined): void {
  assert.equal(code, 0, `refused: ${out}${err}`);
  if (warnings === undefined) assert.doesNotMatch(err, /Warning/);
  else assert.match(err, warnings);
}

function refused({ code, out, err }: Ran, ...says: RegExp[]): void {
  assert.notEqual(code, 0, `let pass: ${out}${err}`);
  for (const each of says) assert.match(err, each);
}

const FIELD = "spec.containers[0].securityContext.privileged";
const NAMED =
  /PSS-privileged spec\.containers\[0\]\.securityContext\.privileged: Container \w+ runs privileged\. Leave/;

const BEFORE: readonly Check[] = [
  [
    "a namespace that was there before Railgate",
    async ({ plane }) => admitted(await plane.send(namespace("before", { [`${PSS}/enforce`]: "baseline" }), "create")),
  ],
  [
    "the API server takes the manifests, every field of them",
    async (lab) => {
      const objects = await lab.manifests();
      const rest = objects.filter(({ kind }) => kind !== "ValidatingWebhookConfiguration");
      admitted(
        await lab.plane.send(
          rest.filter(({ kind }) => kind === "Namespace"),
          "apply",
          "--validate=strict",
        ),
      );
      admitted(await lab.plane.send(rest, "apply", "--validate=strict"));
    },
  ],
  [
    "with a webhook that is not there yet pods wait, and its own start",
    async (lab) => {
      const { plane } = lab;
      for (const [name, labels] of Object.entries(NAMESPACES))
        admitted(await plane.send(namespace(name, labels), "create"));
      const runtime = {
        apiVersion: "node.k8s.io/v1",
        kind: "RuntimeClass",
        metadata: { name: "gvisor" },
        handler: "runsc",
      };
      admitted(await plane.send(runtime, "create"));
      const webhook = (await lab.manifests()).filter(({ kind }) => kind === "ValidatingWebhookConfiguration");
      admitted(await plane.send(webhook, "apply", "--validate=strict"));
      await lab.untilReviewed();
      refused(
        await plane.send(named(soundPod(), "early", "shop"), "create"),
        /failed calling webhook "workloads\.railgate\.dev"/,
      );
      admitted(await plane.send(named(soundPod(), "railgate-9", "railgate-system"), "create"));
      await lab.startRailgate();
      const answers = async () =>
        (await plane.send(named(soundPod(), "early", "shop"), "create", "--dry-run=server")).code === 0;
      await until("Railgate answers", answers);
    },
  ],
];

const REVIEWS: readonly Check[] = [
  [
    "a sound pod is admitted",
    async ({ plane }) => admitted(await plane.send(named(soundPod(), "web", "shop"), "create")),
  ],
  [
    "its event is on record, and in the API server's audit log",
    async (lab) => {
      const [event] = await lab.events("shop");
      assert.equal(event?.subject, "shop/pod/web");
      const ids = lab.plane.audited("shop").map(({ annotations }) => annotations?.["workloads.railgate.dev/event-id"]);
      assert.ok(ids.includes(event.id), String(ids));
    },
  ],
  [
    "a privileged pod is refused as docs/kubernetes.md shows it",
    async (lab) => {
      const ran = await lab.plane.kubectl("-n", "shop", "run", "bad", "--image=nginx", "--privileged");
      const denied =
        'Error from server (Forbidden): admission webhook "workloads.railgate.dev" denied the request: Railgate refuses it';
      refused(ran, NAMED);
      assert.ok(ran.err.includes(denied), ran.err);
      const [event] = await lab.events("shop");
      assert.deepEqual([event?.outcome, event?.refusal_subject], ["refused", FIELD]);
      assert.ok(ran.err.includes(event!.id), ran.err);
    },
  ],
  [
    "a namespace that was there before is known by the watch, as the account in the manifests",
    async ({ plane }) => {
      const reviewed = () => plane.send(privileged(named(soundPod(), "web", "before")), "create", "--dry-run=server");
      await until("its labels are known", async () => (await reviewed()).code !== 0);
      refused(await reviewed(), NAMED);
    },
  ],
  [
    "a Deployment with a bad template is refused, by create and by server-side apply; a sound one is not",
    async ({ plane }) => {
      const [sound, bad] = [soundPod(), privileged(soundPod())].map((pod) => deployment(named(pod, "web", "shop")));
      const field = /PSS-privileged spec\.template\.spec\.containers\[0\]\.securityContext\.privileged/;
      refused(await plane.send(bad!, "create"), field);
      admitted(await plane.send(sound!, "apply", "--server-side"));
      refused(await plane.send(bad!, "apply", "--server-side"), field);
      admitted(await plane.kubectl("-n", "shop", "scale", "deployment/web", "--replicas=3"));
    },
  ],
  [
    "warn: kubectl shows each refusal as a warning, and makes the pod",
    async (lab) => {
      const ran = await lab.plane.kubectl("-n", "warned", "run", "web", "--image=nginx");
      admitted(ran, /^Warning: PSS-runAsNonRoot/m);
      assert.match(ran.err, /^Warning: PSS-allowPrivilegeEscalation/m);
    },
  ],
  [
    "audit: kubectl shows nothing, the API server's audit log has it",
    async ({ plane }) => {
      admitted(await plane.kubectl("-n", "audited", "run", "web", "--image=nginx"));
      const noted = plane
        .audited("audited")
        .map(({ annotations }) => annotations?.["workloads.railgate.dev/audit-violations"] ?? "");
      assert.ok(
        noted.some((text) => text.includes("PSS-runAsNonRoot")),
        noted.join(),
      );
    },
  ],
  [
    "Railgate's own law, enforced: what it wants to know must be said",
    async ({ plane }) => {
      admitted(await plane.send(named(lawfulPod(), "web", "lawful"), "create"));
      refused(await plane.send(named(soundPod(), "bare", "lawful"), "create"), /CTR-01 spec\.runtimeClassName/);
    },
  ],
  [
    "an ephemeral container is judged when kubectl debug adds it",
    async ({ plane }) => {
      const debug = (profile: string) =>
        plane.kubectl("-n", "shop", "debug", "pod/web", "--image=busybox", `--profile=${profile}`);
      refused(await debug("sysadmin"), /PSS-privileged spec\.ephemeralContainers\[0\]\.securityContext\.privileged/);
      admitted(await debug("restricted"));
    },
  ],
  [
    "what runs can be labelled, changed and deleted after its namespace became stricter",
    async ({ plane }) => {
      admitted(await plane.kubectl("label", "namespace", "warned", `${PSS}/enforce=restricted`));
      admitted(await plane.kubectl("-n", "warned", "label", "pod/web", "a=b"));
      refused(await plane.kubectl("-n", "warned", "set", "image", "pod/web", "web=nginx:2"), /PSS-runAsNonRoot/);
      admitted(await plane.kubectl("-n", "warned", "delete", "pod/web", "--now"));
    },
  ],
  [
    "labels that nobody can read are refused",
    async ({ plane }) =>
      refused(
        await plane.kubectl("label", "namespace", "shop", `${PSS}/enforce=strict`, "--overwrite"),
        /metadata\.labels\[pod-security\.kubernetes\.io\/enforce\]: KUB-02: .* must be privileged, .*\(Railgate, event [-0-9a-f]+\)/,
      ),
  ],
  [
    "a mirror pod that a kubelet tells of is not asked about, one that somebody else does is",
    async ({ plane }) => {
      const mirror = privileged(named(soundPod(), "static-web", "shop"));
      mirror["metadata"].annotations = { "kubernetes.io/config.mirror": "x" };
      mirror["spec"].nodeName = "node-1";
      refused(await plane.send(mirror, "create", "--dry-run=server"), NAMED);
      const kubelet = ["--as=kubelet", "--as-group=system:masters", "--as-group=system:nodes"];
      admitted(await plane.send(mirror, "create", "--dry-run=server", ...kubelet));
    },
  ],
  [
    "--dry-run=server is answered alike and leaves no event",
    async (lab) => {
      const before = (await lab.events("shop")).length;
      admitted(await lab.plane.send(named(soundPod(), "dry", "shop"), "create", "--dry-run=server"));
      refused(await lab.plane.send(privileged(named(soundPod(), "dry", "shop")), "create", "--dry-run=server"), NAMED);
      assert.equal((await lab.events("shop")).length, before);
    },
  ],
];

const AFTER: readonly Check[] = [
  [
    "Railgate down: pods and namespaces are refused, exempt namespaces go on, what runs can be deleted",
    async (lab) => {
      const { plane } = lab;
      await lab.stopRailgate();
      refused(
        await plane.send(named(soundPod(), "down", "shop"), "create"),
        /failed calling webhook "workloads\.railgate\.dev"/,
      );
      refused(await plane.kubectl("create", "namespace", "other"), /failed calling webhook/);
      admitted(await plane.send(named(soundPod(), "down", "kube-system"), "create"));
      admitted(await plane.kubectl("-n", "audited", "delete", "pod/web", "--now"));
      await lab.startRailgate();
      const answers = async () => (await plane.send(named(soundPod(), "up", "shop"), "create")).code === 0;
      await until("Railgate up again admits", answers);
    },
  ],
  [
    "evidence of all that, exported, verifies",
    async (lab) => {
      const [keys, out] = [join(lab.dir, "keys.jwks"), join(lab.dir, "shop.tar.gz")];
      const jwks = await lab.railgate("keys", "jwks", "--data-dir", lab.dataDir);
      admitted(jwks);
      writeFileSync(keys, jwks.out);
      admitted(await lab.railgate("export", "--data-dir", lab.dataDir, "--tenant", "shop", "--out", out));
      admitted(await lab.railgate("verify", out, "--jwks", keys));
      admitted(await lab.railgate("doctor", "--data-dir", lab.dataDir));
    },
  ],
  [
    "railgate audit --cluster judges all that is there, as an account with the role in the manifests and no more",
    async (lab) => {
      const account = lab.kubeconfig("auditor");
      const audit = () =>
        lab.railgate(
          ...["audit", "--cluster", "--json", "--fail-on", "never"],
          ...["--kubeconfig", account, "--data-dir", join(lab.dir, "audit")],
        );
      refused(await audit(), /answers 403/);
      admitted(
        await lab.plane.kubectl(
          "create",
          "clusterrolebinding",
          "auditor",
          "--clusterrole=railgate-audit",
          "--user=auditor",
        ),
      );
      const ran = await audit();
      admitted(ran);
      const kinds =
        "pods,deployments,statefulsets,podtemplates,replicationcontrollers,daemonsets,replicasets,jobs,cronjobs";
      const there = (await lab.plane.kubectl("get", kinds, "-A", "-o", "name")).out.trimEnd().split("\n").length;
      const run = JSON.parse(ran.out) as Json;
      assert.deepEqual([run["listed"], run["unreadable"]], [there, 0], ran.out);
    },
  ],
  [
    "the static form: the webhook holds from files, and nobody can delete it",
    async (lab) => {
      const { plane } = lab;
      admitted(await plane.kubectl("delete", "validatingwebhookconfiguration", "railgate"));
      admitted(await plane.kubectl("label", "namespace", "before", "railgate.dev/law=off"));
      await lab.restartWithStaticWebhook();
      refused(
        await plane.send(privileged(named(soundPod(), "files", "shop")), "create"),
        NAMED,
        /workloads\.railgate\.static\.k8s\.io/,
      );
      admitted(await plane.send(named(soundPod(), "files", "shop"), "create"));
      admitted(await plane.send(named(soundPod(), "files", "before"), "create"));
      refused(await plane.kubectl("delete", "validatingwebhookconfiguration", "railgate.static.k8s.io"), /NotFound/);
    },
  ],
];

export const CHECKS: readonly Check[] = [...BEFORE, ...REVIEWS, ...AFTER];
