// A decision as the ledger takes it, and the reading of what a command needs before it.
import type { Entry } from "../evidence/ledger/entry.ts";
import { NO_STATE, type Need, type Reads } from "../core/state.ts";
import type { Draft } from "../evidence/ledger/draft.ts";
import { NO_TOKENS, type AnyCommand, type Tokens } from "./commands/command.ts";
import type { Enacted } from "./decider.ts";

/** Reads what a command needs, and what it then turns out to need. @returns undefined where it is all there at once. */
export function loadAll(command: AnyCommand, draft: Draft, tokens: Tokens): Promise<void> | undefined {
  for (;;) {
    const missing = command.needs(draft, tokens).filter((need) => !draft.has(need));
    if (missing.length === 0) return undefined;
    const waiting = draft.load(missing);
    if (waiting !== undefined) return waiting.then(() => loadAll(command, draft, tokens));
  }
}

/** What can be told of what they need before anything is read. */
export const needsAtFirst = (commands: readonly AnyCommand[], tokens: readonly Tokens[]): Need[] =>
  commands.flatMap((command, i) => command.needs(NOTHING_READ, tokens[i]!));

const NOTHING_READ: Reads = { ...NO_STATE, has: () => false };

/** @param states that change with it. */
export function entryOf(
  { workloadId }: AnyCommand,
  { event, artifact, artifactDigest, judged }: Enacted,
  states: Entry["states"],
): Entry {
  const { tokens, situation } = judged;
  return {
    draft: event,
    artifact,
    artifactDigest,
    workloadId,
    occurredAtMs: situation.nowMs,
    blobs: tokens === NO_TOKENS ? [] : [tokens.snapshot, ...(tokens.blobs ?? [])],
    states: tokens.states?.length && artifact !== null ? [...states, ...tokens.states] : states,
  };
}
