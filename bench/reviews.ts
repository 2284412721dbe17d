// Reviews of pods as an API server asks for them, beside OPA's server asked the same by the same Rego.
import { join } from "node:path";
import { openRailgate } from "../src/library/index.ts";

/** The JSON of an AdmissionReview, and what the law is asked for it. */
export interface Reviewed {
  readonly body: string;
  readonly entrypoint: string;
  readonly input: unknown;
}

const SOUND = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ["ALL"] },
} as const;

/** A pod of two containers that a namespace of the level restricted lets pass. */
const POD = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web", namespace: "shop", labels: { app: "web" } },
  spec: {
    securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
    volumes: [{ name: "tmp", emptyDir: {} }],
    containers: ["app", "proxy"].map((name) => ({
      name,
      image: `registry.example/${name}@sha256:${"ab".repeat(32)}`,
      ports: [{ containerPort: 8080 }],
      resources: { limits: { memory: "64Mi" } },
      volumeMounts: [{ name: "tmp", mountPath: "/tmp" }],
      securityContext: SOUND,
    })),
  },
};

const reviewOf = (
  group: string,
  kind: string,
  resource: string,
  object: { metadata: { name: string; namespace?: string } },
) => ({
  apiVersion: "admission.k8s.io/v1",
  kind: "AdmissionReview",
  request: {
    uid: "705ab4f5-6393-11e8-b7cc-42010a800002",
    kind: { group, version: "v1", kind },
    resource: { group, version: "v1", resource },
    name: object.metadata.name,
    ...(object.metadata.namespace !== undefined && { namespace: object.metadata.namespace }),
    operation: "CREATE",
    userInfo: { username: "system:serviceaccount:kube-system:replicaset-controller", groups: ["system:authenticated"] },
    object,
    oldObject: null,
    dryRun: false,
  },
});

/** The namespace, reviewed first, so that its labels hold. */
const SHOP = {
  apiVersion: "v1",
  kind: "Namespace",
  metadata: {
    name: "shop",
    labels: { "pod-security.kubernetes.io/enforce": "restricted", "railgate.dev/law": "warn" },
  },
};
export const NAMESPACE = reviewOf("", "Namespace", "namespaces", SHOP);

/** What a node on a directory of its own asks the law for such a review: from its evidence, so that OPA is asked exactly that. */
export async function reviewed(dir: string): Promise<Reviewed> {
  const review = reviewOf("", "Pod", "pods", POD);
  await using railgate = await openRailgate({ dataDir: join(dir, "review") });
  await railgate.review(NAMESPACE);
  const { response } = await railgate.review(review);
  if (!response.allowed) throw new Error(`the pod is refused: ${JSON.stringify(response.status)}`);
  const id = response.auditAnnotations!["event-id"]!;
  const { bytes } = await railgate.artifact(id);
  const { entrypoint, input } = JSON.parse(new TextDecoder().decode(bytes)) as Reviewed;
  return { body: JSON.stringify(review), entrypoint, input };
}
