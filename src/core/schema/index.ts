// All shapes of the wire: one schema each gives the TypeScript type, the validation, the OpenAPI component and the
// JSON Schema that the policies are checked with.
import type { TSchema } from "typebox";
import { AdmissionInputSchema } from "./input.ts";
import { DecisionSchema, PolicyDecisionSchema } from "./decision.ts";
import { EvidenceEventSchema } from "./event.ts";
import { KubernetesInputSchema, NamespaceInputSchema } from "./kubernetes.ts";
import { LifecycleInputSchema, MeshInputSchema, ReconciliationInputSchema } from "./law-input.ts";
import {
  ElevationBodySchema,
  MeshAnswer,
  MeshSchema,
  PlacementAnswer,
  PlacementBodySchema,
  TopologyBodySchema,
} from "./mesh.ts";
import { opaSchema, plainSchema } from "./plain.ts";
import { ProblemSchema } from "./problem.ts";
import { AdmissionRequestSchema } from "./request.ts";
import { describedRequest } from "./request-words.ts";
import {
  AdmissionAnswer,
  AttestationBodySchema,
  LifecycleBodySchema,
  WorkloadAnswer,
  WorkloadViewSchema,
} from "./workload.ts";

export * from "./base.ts";
export * from "./decision.ts";
export * from "./event.ts";
export * from "./input.ts";
export * from "./mesh.ts";
export * from "./plain.ts";
export * from "./problem.ts";
export * from "./queries.ts";
export * from "./request.ts";
export * from "./workload.ts";

/** Every shape by the name that OpenAPI knows it by. */
const schemas: Record<string, TSchema> = {
  AdmissionRequest: AdmissionRequestSchema,
  AdmissionAnswer,
  Decision: DecisionSchema,
  PolicyDecision: PolicyDecisionSchema,
  AdmissionInput: AdmissionInputSchema,
  Event: EvidenceEventSchema,
  Workload: WorkloadViewSchema,
  WorkloadAnswer,
  LifecycleBody: LifecycleBodySchema,
  AttestationBody: AttestationBodySchema,
  Mesh: MeshSchema,
  MeshAnswer,
  TopologyBody: TopologyBodySchema,
  PlacementBody: PlacementBodySchema,
  PlacementAnswer,
  ElevationBody: ElevationBodySchema,
  Problem: ProblemSchema,
};

/** `components.schemas` of the OpenAPI document. */
export const openapiComponents: Record<string, object> = Object.fromEntries(
  Object.entries(schemas).map(([name, schema]) => [
    name,
    schema === AdmissionRequestSchema ? describedRequest(plainSchema(schema)) : plainSchema(schema),
  ]),
);

/** File name in `policy/schemas` → the JSON Schema to write there. A package names the one it reads: `schema.input`, `schema.lifecycle`, `schema.mesh`. */
export const policySchemas: Record<string, object> = {
  "input.json": opaSchema(AdmissionInputSchema),
  "lifecycle.json": opaSchema(LifecycleInputSchema),
  "mesh.json": opaSchema(MeshInputSchema),
  "kubernetes.json": opaSchema(KubernetesInputSchema),
  "namespace.json": opaSchema(NamespaceInputSchema),
  "reconciliation.json": opaSchema(ReconciliationInputSchema),
  "decision.json": opaSchema(PolicyDecisionSchema),
};
