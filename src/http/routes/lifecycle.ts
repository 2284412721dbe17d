// `/v1/workloads/{id}/lifecycle` and `…/attestations`: what moves an admitted workload through its life.
import { parseAttestationBody, parseLifecycleBody } from "../../core/request.ts";
import type { AttestationRequest } from "../../core/schema/request.ts";
import type { AttestationBody, WorkloadAnswer } from "../../core/schema/workload.ts";
import type { LocalOptions, LocalWorkload, WithProof } from "../../library/handles.ts";
import type { LocalRailgate } from "../../library/local.ts";
import {
  carryOut,
  COMMAND_HEADERS,
  COMMAND_PROBLEMS,
  COMMAND_QUERY,
  notesOf,
  provenReply,
  readCommand,
  type Asked,
} from "../call/commands.ts";
import { route, type Exchange, type Refusals, type Route } from "../call/route.ts";

const WORKLOAD_ID = { id: "The workload's id. A `/` in it is written `%2F`." };
const REFUSALS: Refusals = [
  "workload_unknown",
  "lifecycle_transition_invalid",
  "attestation_failed",
  "attestation_stale",
  "policy_unavailable",
  "policy_error",
];
const TRANSITION_REFUSALS: Refusals = [...REFUSALS, "admission_expired", "policy_stale", "partition_not_designated"];
const ATTESTATION_REFUSALS: Refusals = [...REFUSALS, "attestation_incomplete"];

type CommandExchange = Exchange<typeof COMMAND_QUERY>;
type Act = (workload: LocalWorkload, options: LocalOptions) => Promise<WithProof<Pick<WorkloadAnswer, "workload">>>;
type Reading = (exchange: CommandExchange) => Promise<Asked<unknown> & { readonly act: Act }>;

export function lifecycleRoutes(railgate: LocalRailgate, bodyBytesMax: number): Route[] {
  return [
    commandRoute(
      railgate,
      {
        path: "/v1/workloads/:id/lifecycle",
        summary: "Create, start, stop or destroy a workload",
        description:
          "`admitted → created → running ⇄ stopped → destroyed`. Destroying it takes it off the rails it is on, in the same commit. Done or refused, each transition is evidence.",
        body: "LifecycleBody",
        refusals: TRANSITION_REFUSALS,
      },
      async (exchange) => {
        const asked = await readCommand(exchange, parseLifecycleBody, bodyBytesMax);
        return { ...asked, act: (workload, options) => workload.transition(asked.body.transition, options) };
      },
    ),
    commandRoute(
      railgate,
      {
        path: "/v1/workloads/:id/attestations",
        summary: "Attest a workload again",
        description:
          "A token that the host verifies, or a verifier's report. Where it passes, the next deadline counts from now; where it fails, or a deadline is missed, the workload cannot start until another one passes. A nonce in a token must be a challenge (`POST /v1/challenges`), in a report the `trace_id`.",
        body: "AttestationBody",
        refusals: ATTESTATION_REFUSALS,
      },
      async (exchange) => {
        const asked = await readCommand(exchange, parseAttestationBody, bodyBytesMax);
        return { ...asked, act: (workload, options) => workload.attest(attestationIn(asked.body), options) };
      },
    ),
  ];
}

/** The attestation without what else a body says. */
function attestationIn(body: AttestationBody): AttestationRequest {
  const { tenant_id: _, trace_id: __, ...attestation } = body;
  return attestation;
}

function commandRoute(
  railgate: LocalRailgate,
  given: Pick<Route, "path" | "summary" | "description" | "body"> & { refusals: Refusals },
  read: Reading,
): Route {
  return route({
    ...given,
    method: "POST",
    tag: "Workloads",
    params: WORKLOAD_ID,
    query: COMMAND_QUERY,
    headers: COMMAND_HEADERS,
    answers: {
      200: { description: "Done; the workload as it is after it", content: { "application/json": "WorkloadAnswer" } },
    },
    problems: COMMAND_PROBLEMS,
    handle: async (exchange) => {
      const { act, ...asked } = await read(exchange);
      const workload = railgate.as(exchange.caller).workload(exchange.params["id"]!, asked.tenantId);
      const done = await carryOut(exchange, asked, (options) => act(workload, options));
      exchange.notes = notesOf(done);
      return provenReply(200, `"workload":${JSON.stringify(done.workload)}`, done);
    },
  });
}
