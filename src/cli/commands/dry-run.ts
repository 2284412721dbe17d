// What would be decided, with no store, no keys and no evidence: the same pipeline as a node's, over nothing.
import { hostCaller } from "../../core/caller.ts";
import type { Config } from "../../node/config/config.ts";
import type { Decision } from "../../core/schema/decision.ts";
import type { AdmissionRequest } from "../../core/schema/request.ts";
import type { Ledger } from "../../evidence/ledger/ledger.ts";
import { StateView } from "../../evidence/ledger/state.ts";
import { Gate } from "../../gate/gate.ts";
import { DEFAULT_LIMITS } from "../../policy/evaluator.ts";
import { loadBundle } from "../../policy/policy.ts";
import type { StoreReader } from "../../store/store.ts";
import { makeTrust } from "../../trust/trust.ts";
import { bundleSource, nodeOptions } from "../../node/config/options.ts";

/**
 * Decides as a node would that has seen nothing yet.
 * @param nowMs the time to decide at, milliseconds since the epoch.
 * @param policyFailed is told why the host refused in the policy's place (POL-03).
 * @throws BundleError the policy can't be used.
 */
export async function dryRun(
  config: Config,
  request: AdmissionRequest,
  nowMs: number,
  policyFailed: (problem: string) => void,
): Promise<Decision> {
  const source = bundleSource(config);
  const policy = await loadBundle(source.bytes(), {
    keys: source.keys,
    limits: { ...DEFAULT_LIMITS, evaluationMsMax: config.limits.evaluationMsMax },
    ...(source.keyId !== undefined && { keyId: source.keyId }),
    ...(source.scope !== undefined && { scope: source.scope }),
  });
  const nothing = { state: () => undefined } as unknown as StoreReader;
  const gate = new Gate({
    ledger: {} as Ledger, // a dry run appends nothing
    states: new StateView(nothing),
    trust: await makeTrust(nodeOptions(config).trust!),
    active: () => ({ policy, confirmedAtMs: null }),
    partition: () => ({ state: "connected", since: null }),
    evidenceProfileId: config.evidence.profile,
    now: () => nowMs,
    newId: () => "",
    observe: { evaluated: () => {}, decided: () => {}, commanded: () => {}, policyFailed },
  });
  return gate.dryRun(request, hostCaller("cli"));
}
