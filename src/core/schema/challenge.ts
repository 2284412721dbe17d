// Challenges, as they are asked for and handed out (spec trust §1).
import Type, { type Static } from "typebox";
import { closed, Identifier, optional, Time } from "./base.ts";

/** `POST /v1/challenges`. */
export const ChallengeBodySchema = closed({ tenant_id: optional(Identifier), workload_id: Identifier });

export const IssuedChallenge = closed({
  nonce: Type.String({
    description: "32 random bytes in base64url: what the attester must sign, as this text or as the hex of its bytes",
  }),
  expires_at: Time,
});

export type IssuedChallenge = Static<typeof IssuedChallenge>;

/** Whose challenge is asked for; without a tenant the caller's own, or `default`. */
export interface ChallengeQuery {
  readonly workloadId: string;
  readonly tenantId?: string | undefined;
}
