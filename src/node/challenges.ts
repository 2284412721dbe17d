// Challenges: nonces that a verifier puts into what it signs, each good for one decision on one workload (RFC 9334 §10.2); and the end of what was remembered.
import { randomBytes } from "node:crypto";
import { CHALLENGE_MS, challengeAt, OPEN_CHALLENGES_MAX, type Challenge } from "../core/challenge.ts";
import { ChallengesExhaustedError } from "../core/errors.ts";
import type { IssuedChallenge } from "../core/schema/challenge.ts";
import type { Ledger } from "../evidence/ledger/ledger.ts";
import type { StoreReader } from "../store/store.ts";
import { every, type Service } from "./services.ts";

/** 256 bits. */
const NONCE_BYTES = 32;

/**
 * A new challenge, durable when it resolves. It is no decision and leaves no event; the decision that spends it does.
 * @throws ChallengesExhaustedError too many are open. @throws EvidenceUnavailableError it could not be made durable.
 */
export async function issueChallenge(
  ledger: Ledger,
  nowMs: number,
  tenantId: string,
  workloadId: string,
): Promise<IssuedChallenge> {
  const nonce = randomBytes(NONCE_BYTES).toString("base64url");
  const expires_at_ms = nowMs + CHALLENGE_MS;
  const { kind, tenant_id, key } = challengeAt(tenantId, workloadId, nonce);
  const value = JSON.stringify({ expires_at_ms, spent: false } satisfies Challenge);
  const write = {
    kind,
    tenant_id,
    key,
    value,
    version: 1,
    due_ms: expires_at_ms,
    ref: workloadId,
    rank: expires_at_ms,
  };
  const most = { ofRef: OPEN_CHALLENGES_MAX.workload, ofTenant: OPEN_CHALLENGES_MAX.tenant };
  if (!(await ledger.put({ nowMs, write, most })))
    throw new ChallengesExhaustedError(
      `as many challenges are open as there may be: ${most.ofRef} of a workload, ${most.ofTenant} of a tenant; each ends after five minutes`,
    );
  return { nonce, expires_at: new Date(expires_at_ms).toISOString() };
}

const LOOKED_AT_MS = 60_000;
const KINDS = ["challenge", "token"] as const;

/** Forgets challenges that have ended, and tokens that could not be shown again. */
export function forgetting(
  ledger: Ledger,
  store: StoreReader,
  now: () => number,
  failed: (message: string) => void,
): Service {
  return every(LOOKED_AT_MS, async () => {
    const nowMs = now();
    try {
      const due = await Promise.all(KINDS.map((kind) => store.due(kind, nowMs, 1)));
      const kinds = KINDS.filter((_, i) => due[i]!.length > 0);
      if (kinds.length > 0) await ledger.put({ nowMs, due: kinds });
    } catch (error) {
      // It is still due the next time.
      failed((error as Error).message);
    }
  });
}
