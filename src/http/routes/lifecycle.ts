// `/v1/workloads/{id}/lifecycle` and `…/attestations`: what moves an admitted workload through its life.
import { lifecycleCommand } from "../../gate/commands/lifecycle.ts";
import { refusedError } from "../../gate/refused.ts";
import { parseAttestationBody, parseLifecycleBody } from "../../core/request.ts";
import { timeMs } from "../../core/time.ts";
import type { AttestationRequest } from "../../core/schema/request.ts";
import type { AttestationBody } from "../../core/schema/workload.ts";
import type { LifecycleCommand, Workload } from "../../core/workload.ts";
import type { Evidenced, Gate } from "../../gate/gate.ts";
import type { StoreReader } from "../../store/store.ts";
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
import { workloadView } from "../../library/workload-view.ts";

export interface LifecycleParts {
  readonly gate: Gate;
  readonly store: StoreReader;
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
function attestationIn(body: AttestationBody): AttestationRequest {
  const { tenant_id: _, trace_id: __, ...attestation } = body;
  return attestation;
}

function commandRoute(
  parts: LifecycleParts,
  given: Pick<Route, "path" | "summary" | "description" | "body"> & { refusals: Refusals },
  read: Reading,
): Route {
  const { gate, store } = parts;
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
      const done = await carryOut(exchange, asked, gate, () =>
        lifecycleCommand(command, asked.tenantId, asked.trace.traceId),
      );
      exchange.notes = notesOf(done);
      const { refusal, workload } = done.outcome;
      if (refusal) throw refusedError(refusal, done);
      return provenReply(200, workloadText(store, workload, done), done);
    },
  });
}

/** As the command left it: no event that came after, whenever it is asked. */
function workloadText(store: StoreReader, workload: Workload, { event, position }: Evidenced): string {
  return `"workload":${JSON.stringify(workloadView(store, workload, timeMs(event.occurred_at)!, position))}`;
}
