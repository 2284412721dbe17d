// `/v1/workloads/{id}/lifecycle` and `…/attestations`: what moves an admitted workload through its life.
import type { Answered, Idempotency, Keep, Recorded } from "../../gate/retries.ts";
import { refusalIn } from "../../gate/refused.ts";
import { parseAttestationBody, parseLifecycleBody } from "../../core/request.ts";
import { timeMs } from "../../core/time.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import type { AttestationRequest } from "../../core/schema/request.ts";
import type { AttestationBody } from "../../core/schema/workload.ts";
import type { LifecycleCommand, Workload } from "../../core/workload.ts";
import type { Gate, LifecycleOutcome } from "../../gate/gate.ts";
import type { StoreReader } from "../../store/store.ts";
import {
  carryOut,
  COMMAND_HEADERS,
  COMMAND_PROBLEMS,
  COMMAND_QUERY,
  commandReply,
  readCommand,
  type Asked,
  type Kept,
} from "../call/commands.ts";
import { route, type Exchange, type Refusals, type Route } from "../call/route.ts";
import { workloadView } from "../../library/workload-view.ts";

export interface LifecycleParts {
  readonly gate: Gate;
  readonly store: StoreReader;
  readonly retries: Idempotency<Kept>;
  readonly bodyBytesMax: number;
}

const WORKLOAD_ID = { id: "The workload's id. A `/` in it is written `%2F`." };
const REFUSALS = {
  workload_unknown: 404,
  lifecycle_transition_invalid: 409,
  attestation_failed: 409,
  attestation_stale: 409,
  policy_unavailable: 409,
  policy_error: 409,
} as const;
const TRANSITION_REFUSALS = {
  ...REFUSALS,
  admission_expired: 409,
  policy_stale: 409,
  partition_not_designated: 409,
} as const;
const ATTESTATION_REFUSALS = { ...REFUSALS, attestation_incomplete: 409 } as const;

type CommandExchange = Exchange<typeof COMMAND_QUERY>;
type Reading = (exchange: CommandExchange) => Promise<Asked<unknown> & { readonly command: LifecycleCommand }>;

export function lifecycleRoutes(parts: LifecycleParts): Route[] {
  const { bodyBytesMax } = parts;
  return [
    commandRoute(
      parts,
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
        return {
          ...asked,
          command: { command: "transition", workload_id: exchange.params["id"]!, transition: asked.body.transition },
        };
      },
    ),
    commandRoute(
      parts,
      {
        path: "/v1/workloads/:id/attestations",
        summary: "Attest a workload again",
        description:
          "A token that the host verifies, or a verifier's report. Where it passes, the next deadline counts from now; where it fails, or a deadline is missed, the workload cannot start until another one passes. A nonce in it must be the `trace_id`.",
        body: "AttestationBody",
        refusals: ATTESTATION_REFUSALS,
      },
      async (exchange) => {
        const asked = await readCommand(exchange, parseAttestationBody, bodyBytesMax);
        return {
          ...asked,
          command: { command: "attest", workload_id: exchange.params["id"]!, attestation: attestationIn(asked.body) },
        };
      },
    ),
  ];
}

/** The attestation without what else a body says. */
export function attestationIn(body: AttestationBody): AttestationRequest {
  const { tenant_id: _, trace_id: __, ...attestation } = body;
  return attestation;
}

function commandRoute(
  parts: LifecycleParts,
  given: Pick<Route, "path" | "summary" | "description" | "body"> & { refusals: Refusals },
  read: Reading,
): Route {
  const { gate, store, retries } = parts;
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
      const { command, ...asked } = await read(exchange);
      const answered = await carryOut(exchange, asked, retries, (keep) =>
        commandWorkload(gate, command, asked, exchange, keep),
      );
      return commandReply(exchange, asked.tenantId, answered, (workload, receipt) =>
        workloadText(store, workload, receipt),
      );
    },
  });
}

async function commandWorkload(
  gate: Gate,
  command: LifecycleCommand,
  { tenantId, trace }: Asked<unknown>,
  { caller }: Exchange,
  keep: Keep<Kept>,
): Promise<Answered<Kept>> {
  let kept: Kept | undefined;
  const { answer } = await gate.lifecycle(command, tenantId, caller, trace, (outcome, eventId) =>
    keep((kept = keptOf(outcome)), eventId),
  );
  return { kept: kept!, receipt: { record: answer.receipt, eventText: answer.eventText, position: answer.position } };
}

function keptOf({ decision, explanation, workload }: LifecycleOutcome): Kept {
  const refusal = refusalIn(decision, explanation);
  return refusal ? { as: "refusal", refusal } : { as: "workload", workload: workload! };
}

/** As the command left it: no event that came after, whenever it is asked. */
function workloadText(store: StoreReader, workload: Workload, { eventText, position }: Recorded): string {
  const { occurred_at } = JSON.parse(eventText) as EvidenceEvent;
  return `"workload":${JSON.stringify(workloadView(store, workload, timeMs(occurred_at)!, position))}`;
}
