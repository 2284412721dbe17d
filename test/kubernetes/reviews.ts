// AdmissionReviews as an API server sends them, of objects that tests change.

type Json = { [member: string]: any };

let count = 0;

/** A pod that the level restricted lets pass, in every release. */
export function soundPod(over: Json = {}): Json {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", namespace: "shop", ...over["metadata"] },
    spec: {
      securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
      containers: [soundContainer("app")],
      ...over["spec"],
    },
  };
}

export function soundContainer(name: string, context: Json = {}, over: Json = {}): Json {
  return {
    name,
    image: `registry.example/${name}@sha256:${"ab".repeat(32)}`,
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
      ...context,
    },
    ...over,
  };
}

/** All that the shipped law wants to know of a workload and no Pod can state. */
export const FULL: { [name: string]: string } = {
  "railgate.dev/tenant_tier": "standard",
  "railgate.dev/classification": "internal",
  "railgate.dev/risk": "low",
  "railgate.dev/governance_profile": "baseline",
  "railgate.dev/network.policy_id": "np-shop",
  "railgate.dev/network.default_deny": "true",
  "railgate.dev/network.tenant_isolated": "true",
  "railgate.dev/provenance": JSON.stringify({ "*": { verified: true, issuer: "https://ci.example" } }),
  "railgate.dev/dependencies": JSON.stringify([
    { dependency_id: "runsc", kind: "runtime", available: true, local: true },
    { dependency_id: "registry.example", kind: "image_registry", available: true, local: true },
  ]),
};

/** A pod that both laws let pass. */
export const lawfulPod = (over: Json = {}): Json =>
  soundPod({
    metadata: { annotations: FULL, ...over["metadata"] },
    spec: { runtimeClassName: "gvisor", ...over["spec"] },
  });

const GROUPS: { [kind: string]: [group: string, resource: string] } = {
  Pod: ["", "pods"],
  Namespace: ["", "namespaces"],
  ReplicationController: ["", "replicationcontrollers"],
  PodTemplate: ["", "podtemplates"],
  Deployment: ["apps", "deployments"],
  StatefulSet: ["apps", "statefulsets"],
  DaemonSet: ["apps", "daemonsets"],
  ReplicaSet: ["apps", "replicasets"],
  Job: ["batch", "jobs"],
  CronJob: ["batch", "cronjobs"],
};

export function reviewOf(object: Json, over: Json = {}): Json {
  const [group, resource] = GROUPS[object["kind"]] ?? ["example.com", "things"];
  const { name, namespace } = object["metadata"];
  count += 1;
  return {
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    request: {
      uid: `705ab4f5-6393-11e8-b7cc-${String(count).padStart(12, "0")}`,
      kind: { group, version: "v1", kind: object["kind"] },
      resource: { group, version: "v1", resource },
      operation: "CREATE",
      name,
      namespace: object["kind"] === "Namespace" ? name : namespace,
      userInfo: { username: "ann", groups: ["system:authenticated"] },
      object,
      oldObject: null,
      dryRun: false,
      options: { apiVersion: "meta.k8s.io/v1", kind: "CreateOptions" },
      ...over,
    },
  };
}

export const namespace = (name: string, labels: Json = {}, annotations: Json = {}): Json => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name, labels: { "kubernetes.io/metadata.name": name, ...labels }, annotations },
});

/** The object of a kind that breeds this pod. */
export function controller(kind: string, pod: Json): Json {
  const template = { metadata: pod["metadata"], spec: pod["spec"] };
  const { name, namespace: inNamespace } = pod["metadata"];
  const apiVersion = GROUPS[kind]![0] === "" ? "v1" : `${GROUPS[kind]![0]}/v1`;
  const metadata = { name, namespace: inNamespace };
  const spec = kind === "CronJob" ? { jobTemplate: { spec: { template } } } : { template };
  return kind === "PodTemplate" ? { apiVersion, kind, metadata, template } : { apiVersion, kind, metadata, spec };
}
