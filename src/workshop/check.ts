// Tries policies on requests made at random: always a decision, never a lower rail, and where asked never weaker than the shipped law.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { hostCaller } from "../core/caller.ts";
import { RequestError } from "../core/errors.ts";
import { parseAdmissionRequest } from "../core/request.ts";
import { ENVELOPE_KINDS, LEVELS } from "../core/schema/base.ts";
import type { PolicyDecision } from "../core/schema/decision.ts";
import type { AdmissionRequest } from "../core/schema/request.ts";
import { NO_STATE } from "../core/state.ts";
import { admission } from "../gate/commands/admission.ts";
import { NO_TOKENS, type Law } from "../gate/commands/command.ts";
import { judge, situationOf } from "../gate/decider.ts";
import type { Config } from "../node/config/config.ts";
import { DEFAULT_BUNDLE } from "../node/options.ts";
import { loadBundle } from "../policy/policy.ts";
import { policyFiles, SHIPPED_POLICY, type JoinedPolicies } from "./folder.ts";
import { requests, type Vocabulary } from "./requests.ts";
import { loadBuilt } from "./trial.ts";

/** `decides`: a decision, whatever is asked. `rail`: no lower isolation rail than the shipped law's. `at_least`: as the option says. */
export type Property = "decides" | "rail" | "at_least";

export interface CheckReport {
  readonly ok: boolean;
  readonly properties: readonly Property[];
  /** Requests that were tried, and how many of them were admitted. */
  readonly runs: number;
  readonly admitted: number;
  /** The same seed makes the same requests at the same time. */
  readonly seed: number;
  readonly at: string;
  readonly counterexample?: {
    readonly property: Property;
    readonly message: string;
    readonly request: AdmissionRequest;
  };
}

export interface CheckOptions {
  /** Never weaker than the law that comes with Railgate. */
  readonly atLeast: boolean;
  readonly runs: number;
  readonly seed: number;
  readonly nowMs: number;
}

interface Fault {
  readonly property: Property;
  readonly message: string;
}

const EXAMPLES = fileURLToPath(new URL("../../examples/requests", import.meta.url));

/** @throws PolicyError they cannot be built. @throws ConfigError what is wrong with the settings. */
export async function checkByRequests(
  policies: JoinedPolicies,
  config: Config,
  { atLeast, runs, seed, nowMs }: CheckOptions,
): Promise<CheckReport> {
  const own = await loadBuilt(policies, config);
  const shipped = await loadBundle(DEFAULT_BUNDLE.bytes(), { keys: DEFAULT_BUNDLE.keys });
  const known = seeds(policies, nowMs);
  const good = known.filter(
    (each) => decide(shipped, parseAdmissionRequest(each), nowMs).decision.outcome === "accepted",
  );
  const words = vocabulary(policies, own.data);
  let [tried, admitted] = [0, 0];
  let last: { fault: Fault; request: AdmissionRequest } | undefined;
  const property = fc.property(requests(good.length > 0 ? good : known, { ...words, nowMs }), (made) => {
    const request = readable(made);
    if (request === undefined) return true;
    const fault = faultOf(request, own.law, shipped, { atLeast, nowMs });
    tried++;
    if (typeof fault === "string") {
      if (fault === "accepted") admitted++;
      return true;
    }
    last = { fault, request };
    return false;
  });
  const { failed } = fc.check(property, { seed, numRuns: runs, examples: known.map((request) => [request]) });
  return {
    ok: !failed,
    properties: ["decides", "rail", ...(atLeast ? (["at_least"] as const) : [])],
    runs: tried,
    admitted,
    seed,
    at: new Date(nowMs).toISOString(),
    ...(failed && last && { counterexample: { ...last.fault, request: last.request } }),
  };
}

/** @returns the outcome where all holds. */
function faultOf(
  request: AdmissionRequest,
  own: Law,
  shipped: Law,
  { atLeast, nowMs }: { readonly atLeast: boolean; readonly nowMs: number },
): Fault | PolicyDecision["outcome"] {
  const { decision, problem } = decide(own, request, nowMs);
  if (problem !== undefined) return { property: "decides", message: `it does not decide: ${problem}` };
  const { decision: before } = decide(shipped, request, nowMs);
  const [rail, railBefore] = [decision.rail.least_level, before.rail.least_level];
  if (rail !== null && railBefore !== null && LEVELS.indexOf(rail) < LEVELS.indexOf(railBefore))
    return { property: "rail", message: `it asks for the rail ${rail}, and the shipped law for ${railBefore}` };
  const weaker = atLeast ? weakness(decision, before) : undefined;
  return weaker === undefined ? decision.outcome : { property: "at_least", message: weaker };
}

function weakness(own: PolicyDecision, shipped: PolicyDecision): string | undefined {
  if (own.outcome === "refused") return undefined;
  if (shipped.outcome === "refused") {
    const rules = [...new Set(shipped.refusals.map(({ rule }) => rule))];
    return `it admits what the shipped law refuses by ${rules.join(", ")}`;
  }
  const [kind, before] = [own.envelope.required, shipped.envelope.required];
  if (kind !== null && before !== null && ENVELOPE_KINDS.indexOf(kind) < ENVELOPE_KINDS.indexOf(before))
    return `it asks for the envelope ${kind}, and the shipped law for ${before}`;
  const kept = new Set(own.obligations.map((each) => JSON.stringify(Object.entries(each).sort())));
  const lost = shipped.obligations.find((each) => !kept.has(JSON.stringify(Object.entries(each).sort())));
  return lost && `it leaves out the obligation to ${lost.obligation}`;
}

/** As `decideOn`, of requests that bear no token: nothing takes time. */
function decide(law: Law, request: AdmissionRequest, nowMs: number) {
  const caller = hostCaller("cli");
  const surroundings = { nowMs, partition: { state: "connected", since: null }, policyAgeS: null } as const;
  return judge(admission(request, caller), NO_STATE, situationOf(caller, NO_TOKENS, surroundings, law), law);
}

function readable(made: unknown): AdmissionRequest | undefined {
  try {
    return parseAdmissionRequest(made);
  } catch (error) {
    if (error instanceof RequestError) return undefined;
    throw error;
  }
}

/** Requests that come with Railgate, and the author's own; what was measured was measured a minute ago. */
function seeds({ folder }: JoinedPolicies, nowMs: number): { [name: string]: unknown }[] {
  const folders = [
    EXAMPLES,
    ...(folder === undefined ? [] : [join(folder, "requests"), join(dirname(folder), "requests")]),
  ];
  const files = folders
    .filter((each) => existsSync(each))
    .flatMap((each) =>
      readdirSync(each)
        .sort()
        .map((name) => join(each, name)),
    )
    .filter((file) => file.endsWith(".json"));
  const measured = new Date(nowMs - 60_000).toISOString();
  const read = [...new Set(files)].flatMap((file) => {
    try {
      const request = JSON.parse(readFileSync(file, "utf8"), (name, value: unknown) =>
        name === "measured_at" ? measured : value,
      ) as { [name: string]: unknown };
      return readable(request) ? [request] : [];
    } catch (error) {
      if (error instanceof SyntaxError) return [];
      throw error;
    }
  });
  return read.length > 0 ? read : [{ workload: { workload_id: "w", tenant_id: "t" } }];
}

/** What rules may compare with: texts and names in data, and texts in rules; apart, the author's own. */
function vocabulary(policies: JoinedPolicies, data: { readonly railgate?: object }): Omit<Vocabulary, "nowMs"> {
  const { folder, authored: files } = policies;
  const authored = folder === undefined ? new Set<string>() : wordsIn(folder, files);
  const differing = folder === undefined ? new Set<string>() : newWords(folder, files);
  const { catalogue: _, ...law } = (data.railgate ?? {}) as { readonly catalogue?: unknown };
  const seen = [...wordsOf({ ...data, railgate: law }), ...authored].filter((word) => word.length <= WORD_CHARS_MAX);
  const words = [...new Set(seen)].sort();
  const own = words.filter((word) => authored.has(word));
  const fresh = own.filter((word) => differing.has(word));
  // Of a whole fork only what is new in it says where to look.
  return { words, own: own.length <= OWN_WORDS_MAX ? own : fresh, fresh };
}

/** What a file has that the one whose place it takes has not; of one that takes no place, what the shipped law has not. */
function newWords(folder: string, files: readonly string[]): Set<string> {
  const shippedFiles = policyFiles(SHIPPED_POLICY);
  const shipped = wordsIn(SHIPPED_POLICY, shippedFiles);
  const fresh = files.map((name) => {
    const before = shippedFiles.includes(name) ? wordsIn(SHIPPED_POLICY, [name]) : shipped;
    return [...wordsIn(folder, [name])].filter((word) => !before.has(word));
  });
  return new Set(fresh.flat());
}

const WORD_CHARS_MAX = 80;
const OWN_WORDS_MAX = 40;

function wordsIn(folder: string, files: readonly string[]): Set<string> {
  const words = new Set<string>();
  for (const name of files.filter((each) => !each.endsWith("_test.rego"))) {
    const text = readFileSync(join(folder, name), "utf8");
    for (const [, word] of text.matchAll(/"([^"\\\n]+)"/g)) words.add(word!);
  }
  return words;
}

function* wordsOf(value: unknown): Generator<string> {
  if (typeof value === "string") yield value;
  else if (typeof value === "object" && value !== null)
    for (const [name, member] of Object.entries(value)) {
      yield name;
      yield* wordsOf(member);
    }
}
