// Manifests judged where they lie, before any cluster sees them: by the same law, over no state, and leaving no evidence.
import { hostCaller } from "../core/caller.ts";
import { namespaceIn, type Namespace } from "../core/kubernetes/namespace.ts";
import { ManifestPart } from "../core/kubernetes/manifest.ts";
import { groupOf, isNamespace, isWorkload } from "../core/kubernetes/objects.ts";
import { podReview } from "../core/kubernetes/review.ts";
import { explain } from "../core/outcome.ts";
import type { Decision } from "../core/schema/decision.ts";
import { NO_STATE } from "../core/state.ts";
import { podAdmission } from "../gate/commands/kubernetes.ts";
import { judge, situationOf } from "../gate/decider.ts";
import type { Config } from "../node/config/config.ts";
import { nodeOptions } from "../node/config/options.ts";
import { makeTrust } from "../trust/trust.ts";
import { lawOf } from "./dry-run.ts";

/** What manifests are judged by where no namespace among them says. */
export interface ManifestModes {
  readonly level?: string | undefined;
  readonly law?: string | undefined;
}

export interface JudgedManifest {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly decision: Decision;
}

export interface ManifestJudge {
  /** Takes a namespace's labels into account from now on. @returns false: it is none, and is passed over. @throws RequestError it cannot be read. */
  learn(object: unknown): boolean;
  /** undefined where the object brings no pod. @throws RequestError it cannot be read. */
  judge(object: unknown): Promise<JudgedManifest | undefined>;
}

const HERE = hostCaller("cli");

/**
 * @param nowMs the time to judge at, milliseconds since the epoch.
 * @param policyFailed is told why the host refused in the policy's place (POL-03).
 * @throws BundleError the policy can't be used.
 */
export async function manifestJudge(
  config: Config,
  modes: ManifestModes,
  nowMs: number,
  policyFailed: (problem: string) => void,
): Promise<ManifestJudge> {
  const policy = await lawOf(config);
  const trust = await makeTrust(nodeOptions(config).trust!);
  const surroundings = { nowMs, partition: { state: "connected", since: null }, policyAgeS: null } as const;
  const namespaces = new Map<string, Namespace>();
  return {
    learn(object) {
      const part = ManifestPart.of(object);
      const { group, kind } = typeOf(part);
      if (!isNamespace(group, kind)) return false;
      const namespace = namespaceIn(part, "manifest", nowMs);
      namespaces.set(namespace.name, namespace);
      return true;
    },
    async judge(object) {
      const part = ManifestPart.of(object);
      const { group, kind } = typeOf(part);
      if (!isWorkload(group, kind)) return undefined;
      const review = podReview(part, { operation: "CREATE", kind, subresource: "", user: "" });
      if (review === undefined) return undefined;
      const command = podAdmission(review, known(namespaces, review.namespace, modes, nowMs), HERE);
      const tokens = await command.prove!(trust, nowMs);
      const made = judge(command, NO_STATE, situationOf(HERE, tokens, surroundings, policy), policy);
      if (made.problem !== undefined) policyFailed(made.problem);
      const name = review.workloadId.slice(review.workloadId.lastIndexOf("/") + 1);
      return { kind, namespace: review.namespace, name, decision: explain(made.decision, made.catalogue) };
    },
  };
}

function typeOf(part: ManifestPart): { group: string; kind: string } {
  return { group: groupOf(part.text("apiVersion") ?? ""), kind: part.text("kind") ?? "" };
}

/** Labels that are its own, and where it has none those that were asked for. */
function known(
  namespaces: ReadonlyMap<string, Namespace>,
  name: string,
  { level, law }: ManifestModes,
  seen_ms: number,
): Namespace {
  const own = namespaces.get(name);
  const asked = {
    ...(level !== undefined && { "pod-security.kubernetes.io/enforce": level }),
    ...(law !== undefined && { "railgate.dev/law": law }),
  };
  return {
    name,
    labels: { ...asked, ...own?.labels },
    annotations: own?.annotations ?? {},
    source: "manifest",
    seen_ms,
  };
}
