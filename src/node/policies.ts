// The policies of a node: put together from store, gate and trust, with what decides beside them and what operators do.
import { EMPTY_SNAPSHOT, pointerTo } from "../core/digest.ts";
import type { Recorder } from "../evidence/ledger/recorder.ts";
import type { AnyCommand } from "../gate/commands/command.ts";
import type { Enacted } from "../gate/decider.ts";
import { makeTrial } from "../gate/trial.ts";
import { Policies } from "../policies/activate.ts";
import type { SettingsSource } from "../policies/choose.ts";
import { Confirmations } from "../policies/confirmations.ts";
import { Registry } from "../policies/registry.ts";
import { differenceArtifact, Shadows, type Difference, type ShadowedDecision } from "../policies/shadow.ts";
import type { Policy } from "../policy/policy.ts";
import type { StoreReader } from "../store/store.ts";
import type { Trust } from "../trust/trust.ts";
import type { NodeOptions } from "./options.ts";

export interface PolicyParts {
  readonly options: NodeOptions;
  readonly nodeId: string;
  readonly store: StoreReader;
  readonly trust: Trust;
  /** Laid over the policies' own. */
  readonly settings: SettingsSource | undefined;
  readonly recorder: () => Recorder;
  /** Told of a bundle that was offered and not taken. */
  readonly rejected: (problem: string) => void;
  readonly now: () => number;
  /** A policy decides beside the active one from now on, or none any more. */
  readonly shadowing: () => void;
}

export interface NodePolicies {
  readonly policies: Policies;
  readonly shadows: Shadows;
  readonly registry: Registry;
}

export function makePolicies({
  options,
  nodeId,
  store,
  trust,
  settings,
  recorder,
  rejected,
  now,
  shadowing,
}: PolicyParts): NodePolicies {
  const { evaluationMsMax, observe, bundleKeys, dataDir } = options;
  const trial = makeTrial(store);
  const policies = new Policies({
    store,
    ...(store.shared && { shared: { chainId: `default/${nodeId}` } }),
    recorder,
    now,
    evaluationMsMax,
    settings,
    keys: bundleKeys,
    confirmations: new Confirmations(dataDir),
    trial,
    rejected,
    warned: (problem) => observe?.policyWarned?.(problem),
  });
  const shadows = new Shadows({
    record: (difference, of, policy, decision) =>
      recordDifference(recorder(), difference, of, policy, decision).catch(() => {
        // What could not be recorded is counted all the same, and can be found again by a replay.
      }),
    observe: (outcome) => observe?.shadowed?.(outcome),
    changed: shadowing,
  });
  return { policies, shadows, registry: new Registry({ policies, shadows, trial, override: trust.override, now }) };
}

/** What the candidate says, in the tenant's own stream: its artifact can be run again under the candidate. */
async function recordDifference(
  recorder: Recorder,
  { event_id, change, entrypoint }: Difference,
  of: ShadowedDecision,
  { digest, bytes }: Policy,
  decision: string,
): Promise<void> {
  const details = { shadow_of: event_id, change, entrypoint };
  const entry = recorder.entry("policy.evaluate", details, { tenantId: of.tenantId, actor: "node" });
  const [artifact, artifactDigest] = differenceArtifact(of, decision);
  await recorder.append({
    ...entry,
    artifact,
    artifactDigest,
    blobs: [{ digest, bytes }],
    draft: {
      ...entry.draft,
      correlation_id: of.correlationId,
      policy_snapshot_id: digest,
      authority_snapshot_id: EMPTY_SNAPSHOT,
      evidence_pointer: pointerTo(artifactDigest),
    },
  });
}

/** A decision of the gate, for what decides beside it; undefined where there is nothing to decide again. */
export function shadowedDecision(
  { judged, event }: Enacted,
  { entrypoint, tenantId }: AnyCommand,
): ShadowedDecision | undefined {
  const { inputText, decisionText } = judged;
  if (inputText === undefined) return undefined;
  return {
    entrypoint,
    inputText,
    decisionText,
    eventId: event.id,
    tenantId,
    correlationId: event.correlation_id ?? event.id,
    subject: event.subject ?? null,
  };
}
