// `POST /v1/challenges`: a nonce for one attestation of a workload.
import { parser } from "../../core/request.ts";
import { ChallengeBodySchema, IssuedChallenge } from "../../core/schema/challenge.ts";
import type { LocalRailgate } from "../../library/local.ts";
import { readJson } from "../call/body.ts";
import { tenantIn } from "../call/commands.ts";
import { identifier } from "../call/query.ts";
import { json, route, type Route } from "../call/route.ts";

const parseBody = parser(ChallengeBodySchema);

export function challengeRoutes(railgate: LocalRailgate, bodyBytesMax: number): Route[] {
  return [
    route({
      method: "POST",
      path: "/v1/challenges",
      tag: "Workloads",
      summary: "Ask for a challenge",
      description:
        "A nonce that a workload's attester signs: good for five minutes and for one decision on that workload, accepted or refused. At most 64 are open of a workload, 10,000 of a tenant. It leaves no event; the decision that it is named in does.",
      query: { tenant_id: identifier("Whose workload it is.") },
      body: "ChallengeBody",
      shapes: { ChallengeBody: ChallengeBodySchema, IssuedChallenge },
      answers: { 201: { description: "The challenge", content: { "application/json": "IssuedChallenge" } } },
      problems: ["tenant_forbidden", "challenges_exhausted", "evidence_unavailable"],
      handle: async (exchange) => {
        const { caller, query } = exchange;
        const body = parseBody(await readJson(exchange, bodyBytesMax));
        const tenantId = tenantIn(caller, body, query);
        const issued = await railgate.as(caller).challenge({ workloadId: body.workload_id, tenantId });
        return { ...json(issued), status: 201 };
      },
    }),
  ];
}
