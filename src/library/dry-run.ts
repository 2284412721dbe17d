// What would be decided, with no store, no keys and no evidence: the same decider as a node's, over no state.
import { hostCaller } from "../core/caller.ts";
import type { Config } from "../node/config/config.ts";
import type { Decision } from "../core/schema/decision.ts";
import type { AdmissionRequest } from "../core/schema/request.ts";
import { explain } from "../core/outcome.ts";
import { NO_STATE } from "../core/state.ts";
import { admission } from "../gate/commands/admission.ts";
import { judge, situationOf } from "../gate/decider.ts";
import { DEFAULT_LIMITS } from "../policy/evaluator.ts";
import { loadBundle } from "../policy/policy.ts";
import { makeTrust } from "../trust/trust.ts";
import { bundleSource, nodeOptions } from "../node/config/options.ts";

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
  const surroundings = { nowMs, partition: { state: "connected", since: null }, policyAgeS: null } as const;
  const caller = hostCaller("cli");
  const command = admission(request, caller);
  const tokens = await command.prove!(await makeTrust(nodeOptions(config).trust!), nowMs);
  const { decision, catalogue, problem } = judge(
    command,
    NO_STATE,
    situationOf(caller, tokens, surroundings, policy),
    policy,
  );
  if (problem !== undefined) policyFailed(problem);
  return explain(decision, catalogue);
}
