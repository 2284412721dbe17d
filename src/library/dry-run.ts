// What would be decided, with no store, no keys and no evidence: the same decider as a node's, over no state.
import { hostCaller } from "../core/caller.ts";
import type { Config } from "../node/config/config.ts";
import type { DryRun, PolicyDecision } from "../core/schema/decision.ts";
import type { AdmissionInput } from "../core/schema/input.ts";
import type { AdmissionRequest } from "../core/schema/request.ts";
import { explain } from "../core/outcome.ts";
import { NO_STATE } from "../core/state.ts";
import { BundleError } from "../core/errors.ts";
import { ADMISSION, admission } from "../gate/commands/admission.ts";
import type { Law } from "../gate/commands/command.ts";
import { judge, situationOf, type Judged } from "../gate/decider.ts";
import { evaluationLimits } from "../policies/limits.ts";
import type { Policy } from "../policy/policy.ts";
import { covers, loadUnder } from "../policies/choose.ts";
import { bundlesAtHand } from "./bundles-at-hand.ts";
import { makeTrust } from "../trust/trust.ts";
import { checkSettingsSource, settingsSource } from "../node/settings.ts";
import { nodeOptions } from "../node/config/options.ts";

/**
 * Decides as a node would that has seen nothing yet.
 * @param nowMs the time to decide at, milliseconds since the epoch.
 * @throws BundleError the policy can't be used.
 */
export async function dryRun(config: Config, request: AdmissionRequest, nowMs: number): Promise<DryRun> {
  const policy = await lawOf(config);
  const { decision, catalogue, problem } = await decideOn(policy, config, request, nowMs);
  return { ...explain(decision, catalogue), ...(problem !== undefined && { problem }) };
}

/** What a law decides on a request, asked by the host itself of a node that has seen nothing yet. */
export async function decideOn(
  law: Law,
  config: Config,
  request: AdmissionRequest,
  nowMs: number,
): Promise<Judged<AdmissionInput, PolicyDecision>> {
  const surroundings = { nowMs, partition: { state: "connected", since: null }, policyAgeS: null } as const;
  const caller = hostCaller("cli");
  const command = admission(request, caller);
  const tokens = await command.prove!(await makeTrust(nodeOptions(config).trust!), nowMs);
  return judge(command, NO_STATE, situationOf(caller, tokens, surroundings, law), law);
}

/** The bundle about admissions, or the only one there is. */
export async function lawOf(config: Config): Promise<Policy> {
  const limits = evaluationLimits(config.limits.evaluationMsMax);
  const settings = settingsSource(config.settings, config.keys);
  if (settings) await checkSettingsSource(settings, "railgate.settings", config.settings);
  const all = bundlesAtHand(config);
  for (const { name, terms, bytes } of all) {
    const found = await bytes();
    if (found === undefined) {
      if (all.length > 1) continue;
      throw new BundleError(
        "archive",
        `the bundle ${name} has not come from its service yet; ask a running node (--url)`,
      );
    }
    const policy = await loadUnder(found, terms, limits, settings);
    if (all.length === 1 || policy.roots.some((root) => covers(root, ADMISSION))) return policy;
  }
  throw new BundleError("roots", "no bundle under `bundles` is about railgate, so none decides admissions");
}
