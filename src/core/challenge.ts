// Challenges that were issued and tokens that were used, as state: what a decision on a token must know of both, and what it changes.
import { heldFact, namedChallenges, type ShownToken, type TokenProof } from "./attestation.ts";
import type { AttestationFact } from "./schema/input.ts";
import { one, type Change, type Need, type Reads } from "./state.ts";

/** How long a challenge is good for. */
export const CHALLENGE_MS = 5 * 60_000;
/** How many may be open: of one workload, and of a tenant's together. */
export const OPEN_CHALLENGES_MAX = { workload: 64, tenant: 10_000 } as const;

/** A nonce that was issued for one decision on one workload. Plain JSON. */
export interface Challenge {
  readonly expires_at_ms: number;
  /** Named by a token in a decision, whatever came of it. */
  readonly spent: boolean;
}

/** A token that a decision was made with. Plain JSON. */
interface UsedToken {
  readonly workload_id: string;
}

/** Whose token or challenge it is. */
export interface About {
  readonly tenantId: string;
  readonly workloadId: string;
  /** What binds a token beside a challenge; undefined: nothing does. */
  readonly correlationId: string | undefined;
}

/** @param nonce 32 bytes in base64url; identifiers have no space. */
export const challengeAt = (tenantId: string, workloadId: string, nonce: string): Need =>
  one("challenge", tenantId, `${workloadId} ${nonce}`);

const tokenAt = (tenantId: string, digest: string): Need => one("token", tenantId, digest);

const shownIn = (proof: TokenProof): ShownToken[] =>
  [proof.shown, ...proof.bundles.map(({ shown }) => shown)].filter((shown) => shown !== undefined);

const challengesIn = (proof: TokenProof): string[] => namedChallenges(shownIn(proof).flatMap(({ nonces }) => nonces));

/** The state that a decision on these tokens needs. */
export function proofNeeds({ tenantId, workloadId }: About, proof: TokenProof | null): Need[] {
  if (proof === null) return [];
  return [
    ...shownIn(proof).map(({ digest }) => tokenAt(tenantId, digest)),
    ...challengesIn(proof).map((nonce) => challengeAt(tenantId, workloadId, nonce)),
  ];
}

/** What the tokens prove for this workload, now; null where there are none. */
export function proofFact(
  state: Reads,
  { tenantId, workloadId, correlationId }: About,
  proof: TokenProof | null,
  nowMs: number,
): AttestationFact | null {
  if (proof === null) return null;
  return heldFact(proof, {
    correlationId,
    isOpen: (nonce) => isOpen(state.get<Challenge>(challengeAt(tenantId, workloadId, nonce)), nowMs),
    isElsewhere: (digest) => {
      const used = state.get<UsedToken>(tokenAt(tenantId, digest));
      return used !== null && used.workload_id !== workloadId;
    },
  });
}

const isOpen = (challenge: Challenge | null, nowMs: number): boolean =>
  challenge !== null && !challenge.spent && nowMs < challenge.expires_at_ms;

/**
 * What a recorded decision on these tokens changes, accepted or refused: the challenges that they name are spent, and they are
 * remembered with the workload that they were first used for. A spent challenge lies there until it would have ended, so
 * that two that spend it at once find each other's change.
 */
export function proofChanges(
  state: Reads,
  { tenantId, workloadId }: About,
  proof: TokenProof | null,
  nowMs: number,
): Change[] {
  if (proof === null) return [];
  const spent = challengesIn(proof).flatMap((nonce): Change[] => {
    const at = challengeAt(tenantId, workloadId, nonce);
    const challenge = state.get<Challenge>(at);
    if (challenge === null || !isOpen(challenge, nowMs)) return [];
    return [{ at, value: { ...challenge, spent: true }, due_ms: challenge.expires_at_ms }];
  });
  const used = shownIn(proof).flatMap(({ digest, until_ms }): Change[] => {
    const at = tokenAt(tenantId, digest);
    if (state.get(at) !== null) return [];
    return [{ at, value: { workload_id: workloadId }, ...(until_ms !== null && { due_ms: until_ms }) }];
  });
  return [...spent, ...distinct(used)];
}

/** A bundle may be given twice. */
const distinct = (changes: readonly Change[]): Change[] => [
  ...new Map(changes.map((change) => [change.at.name, change])).values(),
];
