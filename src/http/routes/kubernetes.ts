// `/v1/kubernetes/admission`: the webhook that a cluster's API server asks. Always 200: what fails is an answer that lets nothing pass.
import { RequestError } from "../../core/errors.ts";
import { parseStrict } from "../../core/json.ts";
import { failedAnswer, ReviewAnswerSchema, type ReviewAnswer } from "../../core/kubernetes/answer.ts";
import type { LocalRailgate } from "../../library/local.ts";
import { readBytes } from "../call/body.ts";
import { codeOf, HttpError, presentProblem } from "../call/problem.ts";
import type { Parameter } from "../call/query.ts";
import { json, route, type Reply, type Route } from "../call/route.ts";

/** The API server sends the object as it was and as it shall be, of 3 MiB at most each as Kubernetes stores them; as JSON they may be larger. */
const REVIEW_BYTES_MAX = 16 * 1024 * 1024;
/** Who manages which field is named by the field. */
const LIMITS = { bytesMax: REVIEW_BYTES_MAX, depthMax: 256, namesMax: 50_000 };
const MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** As Go writes a duration, and the API server this one: `10s`. */
const timeout: Parameter<number> = {
  read: (text) => {
    const [, number, unit] = /^(\d{1,6}(?:\.\d{1,6})?)(ms|s|m|h)$/.exec(text) ?? [];
    return number === undefined ? undefined : Number(number) * MS[unit as keyof typeof MS];
  },
  what: "a duration such as 10s",
  description: "How long the API server waits; what is not durable by then is refused.",
  schema: { type: "string", pattern: "^\\d+(\\.\\d+)?(ms|s|m|h)$" },
};

export function kubernetesRoutes(railgate: LocalRailgate, bodyBytesMax: number): Route[] {
  const bytesMax = Math.max(bodyBytesMax, REVIEW_BYTES_MAX);
  return [
    route({
      method: "POST",
      path: "/v1/kubernetes/admission",
      tag: "Kubernetes",
      summary: "Review a pod, a pod template or a namespace",
      description:
        "An AdmissionReview (`admission.k8s.io/v1`) in and out, for a ValidatingWebhookConfiguration. The answer is 200 and says whether it is allowed: refusals are in `status.message` and `status.details.causes`, what was only warned of in `warnings`, the event that proves it in `auditAnnotations`. Needs the role `webhook` where callers log in.",
      query: { timeout },
      body: { "application/json": { type: "object", required: ["apiVersion", "kind", "request"] } },
      shapes: { ReviewAnswer: ReviewAnswerSchema },
      answers: { 200: { description: "Allowed or not", content: { "application/json": "ReviewAnswer" } } },
      present: (error, requestId) => presentFailure(error, requestId),
      handle: async (exchange) => {
        const started = Date.now();
        const bytes = await readBytes(exchange, bytesMax);
        await exchange.peer.turn(bytes.length);
        const body = parseStrict(bytes, { ...LIMITS, bytesMax });
        const waitMs = exchange.query.timeout;
        const answer = await railgate.as(exchange.caller).review(body, {
          trace: exchange.trace,
          deadlineMs: waitMs === undefined ? undefined : started + waitMs,
        });
        exchange.notes = notesOf(answer);
        return json(answer);
      },
    }),
  ];
}

/** Who has not proved who they are is told so as by any route; all else is the answer of a review. */
function presentFailure(error: unknown, requestId: string): Reply {
  if (error instanceof HttpError && error.status < 405) return presentProblem(error, requestId);
  const message =
    error instanceof RequestError || error instanceof HttpError ? error.message : "something unexpected went wrong";
  const status = error instanceof RequestError || error instanceof HttpError ? error.status : 503;
  return json(failedAnswer("", codeOf(error), message, status));
}

function notesOf({ response: { allowed, status, auditAnnotations } }: ReviewAnswer): object {
  return {
    allowed,
    ...(auditAnnotations?.["event-id"] && { decision_id: auditAnnotations["event-id"] }),
    ...(status?.details && { codes: [...new Set(status.details.causes.map(({ reason }) => reason))] }),
  };
}
