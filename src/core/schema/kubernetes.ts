// Kubernetes as the law is asked about it: a pod in its own shape with the workload that it stands for, a namespace, and what is answered.
import Type, { type Static } from "typebox";
import { closed, EpochMs, Identifier, nullable, oneOf, optional, REFUSAL_CLASSES } from "./base.ts";
import { DECISION_MEMBERS, REFUSAL_MEMBERS } from "./decision.ts";
import { Context, Facts } from "./input.ts";
import { AdmissionRequestSchema } from "./request.ts";

const Texts = Type.Array(Type.String());
const Labels = Type.Record(Type.String(), Type.String());

const SeLinux = closed({ type: Type.String(), user: Type.String(), role: Type.String() });

/** What both a pod and a container may set; what is not set is absent. Profiles are named by their type, "" where it is missing. */
const SECURITY = {
  apparmor: optional(Type.String()),
  seccomp: optional(Type.String()),
  selinux: optional(SeLinux),
  run_as_non_root: optional(Type.Boolean()),
  run_as_user: optional(Type.Integer()),
  host_process: optional(Type.Boolean()),
};

const ContainerFact = closed({
  name: Type.String(),
  /** Its place in the manifest: `spec.initContainers[0]`. */
  at: Type.String(),
  ...SECURITY,
  privileged: optional(Type.Boolean()),
  allow_privilege_escalation: optional(Type.Boolean()),
  capabilities: optional(closed({ add: Texts, drop: Texts })),
  proc_mount: optional(Type.String()),
  /** Of its ports those that ask for one of the host. */
  host_ports: optional(Type.Array(closed({ at: Type.String(), port: Type.Integer() }))),
  /** Of its probes and hooks those that name a host. */
  hosts: optional(Type.Array(closed({ at: Type.String(), host: Type.String() }))),
});

const VolumeFact = closed({ name: Type.String(), at: Type.String(), sources: Texts });

export const PodFact = closed({
  /** Where its spec and its metadata lie in the manifest. */
  at: Type.String(),
  metadata_at: Type.String(),
  /** Those of AppArmor and seccomp. */
  annotations: Labels,
  os: nullable(Type.String()),
  user_namespace: Type.Boolean(),
  /** `hostNetwork`, `hostPID`, `hostIPC`, where true. */
  host_namespaces: Texts,
  runtime_class: nullable(Type.String()),
  security: closed({ ...SECURITY, sysctls: Texts }),
  volumes: Type.Array(VolumeFact),
  /** Init, main, ephemeral, in that order. */
  containers: Type.Array(ContainerFact),
});

export const NamespaceFact = closed({
  name: Type.String(),
  /** Where its labels are known from; null: it is not known. */
  source: nullable(oneOf(["review", "cluster", "manifest"])),
  /** When they were seen. */
  seen_ms: nullable(EpochMs),
  /** Those of pod security and of Railgate. */
  labels: Labels,
  /** The entry of `settings.kubernetes.namespaces` that fits its name best. */
  pattern: nullable(Type.String()),
});

const Fault = closed({ at: Type.String(), message: Type.String() });

const ReviewFact = closed({
  operation: Type.String(),
  /** As Kubernetes writes it. */
  kind: Type.String(),
  subresource: Type.String(),
  user: Type.String(),
});

const KubernetesFacts = closed({
  review: ReviewFact,
  namespace: NamespaceFact,
  pod: PodFact,
  /** Where places of the workload lie in the manifest: pointer into the request → path. */
  origins: Labels,
  /** Annotations that can't be read. */
  faults: Type.Array(Fault),
});

/** The input of `railgate/kubernetes/decision`. */
export const KubernetesInputSchema = closed({
  request: AdmissionRequestSchema,
  facts: Facts,
  context: Context,
  kubernetes: KubernetesFacts,
});

/** The input of `railgate/kubernetes/namespace/decision`. */
export const NamespaceInputSchema = closed({
  facts: closed({ now_ms: EpochMs }),
  context: Context,
  kubernetes: closed({
    review: ReviewFact,
    namespace: NamespaceFact,
    /** Its labels until now. */
    before: Labels,
    faults: Type.Array(Fault),
  }),
});

const REFUSAL_MODES = ["deny", "audit", "warn"] as const;
const LAW_MODES = ["deny", "warn", "audit", "off"] as const;

const Modes = closed({
  pod_security: closed({ enforce: Type.String(), audit: Type.String(), warn: Type.String() }),
  law: oneOf(LAW_MODES),
});

/** What `railgate/kubernetes/decision` returns: an admission's decision, each refusal with the modes in which it holds. */
export const KubernetesDecisionSchema = closed({
  ...DECISION_MEMBERS,
  refusals: Type.Array(closed({ ...REFUSAL_MEMBERS, modes: Type.Array(oneOf(REFUSAL_MODES)) })),
  kubernetes: closed({
    allowed: Type.Boolean(),
    exempt: nullable(oneOf(["namespace", "user", "runtimeClass"])),
    modes: Modes,
    unreadable_labels: Texts,
  }),
});

/** What `railgate/kubernetes/namespace/decision` returns. */
export const NamespaceDecisionSchema = closed({
  outcome: oneOf(["accepted", "refused"]),
  error_code: nullable(Type.String()),
  class: nullable(oneOf(REFUSAL_CLASSES)),
  rule: nullable(Type.String()),
  pointer: nullable(Type.String()),
  params: Type.Record(Type.String(), Type.Unknown()),
  /** Null where the host refuses in the law's place. */
  modes: nullable(Modes),
});

/** As much of an AdmissionReview as must be there; its objects are read by themselves. */
export const AdmissionReviewSchema = Type.Object(
  {
    apiVersion: Type.Literal("admission.k8s.io/v1"),
    kind: Type.Literal("AdmissionReview"),
    request: Type.Object(
      {
        uid: Identifier,
        operation: oneOf(["CREATE", "UPDATE", "DELETE", "CONNECT"]),
        kind: Type.Object({ group: Type.String(), version: Type.String(), kind: Type.String() }),
        resource: Type.Object({ group: Type.String(), version: Type.String(), resource: Type.String() }),
        subResource: optional(Type.String()),
        name: optional(Type.String()),
        namespace: optional(Type.String()),
        userInfo: optional(Type.Object({ username: optional(Type.String()) })),
        object: optional(nullable(Type.Object({}))),
        oldObject: optional(nullable(Type.Object({}))),
        dryRun: optional(nullable(Type.Boolean())),
      },
      { additionalProperties: true },
    ),
  },
  { additionalProperties: true },
);

export type PodFact = Static<typeof PodFact>;
export type ContainerFact = Static<typeof ContainerFact>;
export type NamespaceFact = Static<typeof NamespaceFact>;
export type ReviewFact = Static<typeof ReviewFact>;
export type ManifestFault = Static<typeof Fault>;
export type KubernetesInput = Static<typeof KubernetesInputSchema>;
export type NamespaceInput = Static<typeof NamespaceInputSchema>;
export type KubernetesDecision = Static<typeof KubernetesDecisionSchema>;
export type NamespaceDecision = Static<typeof NamespaceDecisionSchema>;
export type AdmissionReview = Static<typeof AdmissionReviewSchema>;
