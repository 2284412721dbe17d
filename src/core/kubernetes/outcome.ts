// What the law may answer to a cluster, and what is no answer (POL-03).
import { ENVELOPE_KINDS } from "../schema/base.ts";
import type { PolicyDecision, Refusal } from "../schema/decision.ts";
import {
  KubernetesDecisionSchema,
  NamespaceDecisionSchema,
  type KubernetesDecision,
  type NamespaceDecision,
} from "../schema/kubernetes.ts";
import { faultOf, lazily, type Catalogue, type Recognised } from "../outcome.ts";

/** The law's decision on a pod; the host's in its place says nothing of modes, and allows nothing. */
export type PodDecision = Omit<PolicyDecision, "refusals"> & {
  readonly refusals: (Refusal & { readonly modes?: KubernetesDecision["refusals"][number]["modes"] })[];
  readonly kubernetes?: KubernetesDecision["kubernetes"];
};

const podShape = lazily(KubernetesDecisionSchema);
const namespaceShape = lazily(NamespaceDecisionSchema);

/** Allowed is recognised only where nothing is enforced against it, and envelope and rail level are known. */
export function recognisePod(output: unknown, catalogue: Catalogue): Recognised<PodDecision> {
  if (!podShape().Check(output)) return { problem: faultOf(podShape(), output) };
  const decision = output as KubernetesDecision;
  const { outcome, envelope, refusals, rail, kubernetes } = decision;
  if ((outcome === "accepted") !== (refusals.length === 0)) return { problem: "it contradicts its refusals" };
  if (refusals.some(({ modes }) => modes.length === 0)) return { problem: "it refuses in no mode" };
  if (kubernetes.allowed !== refusals.every(({ modes }) => !modes.includes("deny")))
    return { problem: "it contradicts the modes of its refusals" };
  if (envelope.required === null || rail.least_level === null)
    return { problem: "it leaves out the required envelope or rail level" };
  if (kubernetes.allowed && !(ENVELOPE_KINDS as readonly unknown[]).includes(envelope.declared))
    return { problem: "it allows an unknown envelope" };
  const unexplained = refusals.find((refusal) => !Object.hasOwn(catalogue, refusal.code));
  if (unexplained) return { problem: `its catalogue has no code ${unexplained.code}` };
  return { decision };
}

export function recogniseNamespace(output: unknown, catalogue: Catalogue): Recognised<NamespaceDecision> {
  if (!namespaceShape().Check(output)) return { problem: faultOf(namespaceShape(), output) };
  const decision = output as NamespaceDecision;
  const { outcome, error_code, class: refusalClass, rule, pointer } = decision;
  const explained = [error_code, refusalClass, rule, pointer].every(
    (member) => (member === null) === (outcome === "accepted"),
  );
  if (!explained) return { problem: "it contradicts itself" };
  if (error_code !== null && !Object.hasOwn(catalogue, error_code))
    return { problem: `its catalogue has no code ${error_code}` };
  return { decision };
}
