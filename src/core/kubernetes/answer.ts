// A review's answer as the API server takes it, and as a person reads it in `kubectl`: rule, place and cure, within what the API server passes on.
import Type, { type Static } from "typebox";
import { closed, optional } from "../schema/base.ts";
import type { Decision, ExplainedRefusal } from "../schema/decision.ts";

const Cause = closed({ reason: Type.String(), message: Type.String(), field: Type.String() });

const Status = closed({
  status: Type.Literal("Failure"),
  code: Type.Integer(),
  reason: Type.String(),
  message: Type.String(),
  details: optional(
    closed({
      name: optional(Type.String()),
      kind: optional(Type.String()),
      group: optional(Type.String()),
      causes: Type.Array(Cause),
    }),
  ),
});

export const ReviewAnswerSchema = closed({
  apiVersion: Type.Literal("admission.k8s.io/v1"),
  kind: Type.Literal("AdmissionReview"),
  response: closed({
    uid: Type.String(),
    allowed: Type.Boolean(),
    status: optional(Status),
    warnings: optional(Type.Array(Type.String())),
    auditAnnotations: optional(Type.Record(Type.String(), Type.String())),
  }),
});

export type ReviewAnswer = Static<typeof ReviewAnswerSchema>;
export type ReviewStatus = Static<typeof Status>;
type Response = ReviewAnswer["response"];

/** What the API server passes on, in characters: of one warning, and of all. */
const WARNING_CHARS_MAX = 256;
const WARNINGS_CHARS_MAX = 4096;
/** Of what `kubectl` shows, and of what an audit log takes. */
const MESSAGE_CHARS_MAX = 16 * 1024;
const ANNOTATION_CHARS_MAX = 8 * 1024;
const CAUSES_MAX = 256;

export const answer = (response: Response): ReviewAnswer => ({
  apiVersion: "admission.k8s.io/v1",
  kind: "AdmissionReview",
  response,
});

/** What a review asked about, as a status names it. */
export interface Subject {
  readonly name: string;
  readonly kind: string;
  readonly group: string;
}

/** How a decision is proved; undefined for a dry run, which leaves nothing. */
export interface Recorded {
  readonly eventId: string;
  readonly policy: string;
}

/** The decision on a pod. */
export function podAnswer(
  uid: string,
  subject: Subject,
  decision: Decision,
  recorded: Recorded | undefined,
): ReviewAnswer {
  const { refusals, kubernetes } = decision;
  const { allowed = false, modes, exempt, unreadable_labels } = (kubernetes ?? {}) as Partial<Kubernetes>;
  const only = (mode: "deny" | "warn" | "audit") => refusals.filter((refusal) => refusal.modes?.includes(mode));
  const denied = kubernetes === undefined ? refusals : only("deny");
  const warnings = allowed ? warningsOf(only("warn").map(lineOf)) : [];
  const noted = only("audit").map(lineOf).join("\n");
  const annotations: Record<string, string> = {
    ...recordedOf(recorded),
    ...(modes && { "enforce-policy": modes.pod_security.enforce, law: modes.law }),
    ...(exempt && { exempt }),
    ...(noted !== "" && { "audit-violations": cut(noted, ANNOTATION_CHARS_MAX) }),
    ...(unreadable_labels?.length && { error: `labels that can't be read: ${unreadable_labels.join(", ")}` }),
  };
  return answer({
    uid,
    allowed,
    ...(!allowed && { status: refusedStatus(subject, denied, recorded) }),
    ...(warnings.length > 0 && { warnings }),
    auditAnnotations: annotations,
  });
}

interface Kubernetes {
  readonly allowed: boolean;
  readonly exempt: string | null;
  readonly modes: { readonly pod_security: { readonly enforce: string }; readonly law: string };
  readonly unreadable_labels: readonly string[];
}

export const recordedOf = (recorded: Recorded | undefined): Record<string, string> =>
  recorded === undefined ? {} : { "event-id": recorded.eventId, "policy-digest": recorded.policy };

function refusedStatus(
  { name, kind, group }: Subject,
  refusals: readonly ExplainedRefusal[],
  recorded: Recorded | undefined,
): ReviewStatus {
  return {
    status: "Failure",
    code: 403,
    reason: "Forbidden",
    message: refusalText(refusals, recorded),
    details: {
      name,
      kind,
      group,
      causes: refusals.slice(0, CAUSES_MAX).map(({ code, pointer, message, solution }) => ({
        reason: code,
        message: `${message} ${solution}`,
        field: pointer,
      })),
    },
  };
}

/** What `kubectl` shows: a line a refusal, and the event that proves them. */
export function refusalText(refusals: readonly Line[], recorded: Recorded | undefined): string {
  const by = recorded === undefined ? "" : ` (event ${recorded.eventId})`;
  const lines = refusals.map((refusal) => `- ${lineOf(refusal)}`);
  return cut([`Railgate refuses it${by}:`, ...lines].join("\n"), MESSAGE_CHARS_MAX);
}

type Line = Pick<ExplainedRefusal, "rule" | "pointer" | "message" | "solution">;

/** Rule first, since what is too long is cut; then where, what and its cure. */
const lineOf = ({ rule, pointer, message, solution }: Line): string =>
  `${rule}${pointer === "" ? "" : ` ${pointer}`}: ${message} ${solution}`;

/** As many as the API server passes on, each as long; the last says how many are left out. */
function warningsOf(lines: readonly string[]): string[] {
  const warnings: string[] = [];
  let room = WARNINGS_CHARS_MAX;
  for (const [i, line] of lines.entries()) {
    const left = `and ${lines.length - i} more; the decision's event has all`;
    const warning = cut(line, WARNING_CHARS_MAX);
    const isLast = i === lines.length - 1;
    if (lengthOf(warning) + (isLast ? 0 : lengthOf(left)) > room) return [...warnings, left];
    warnings.push(warning);
    room -= lengthOf(warning);
  }
  return warnings;
}

/** What went wrong, and so is refused: nothing that fails lets anything pass. */
export function failedAnswer(uid: string, code: string, message: string, status: number, field = ""): ReviewAnswer {
  const text = cut(`Railgate can't decide it, so it is refused: ${message}`, MESSAGE_CHARS_MAX);
  return answer({
    uid,
    allowed: false,
    status: {
      status: "Failure",
      code: status,
      reason: REASONS[status] ?? "InternalError",
      message: text,
      // Which is all that `kubectl` shows of what is Invalid.
      details: { causes: [{ reason: code, message: text, field }] },
    },
  });
}

/** As Kubernetes names them. */
const REASONS: { readonly [status: number]: string } = {
  400: "BadRequest",
  403: "Forbidden",
  413: "RequestEntityTooLarge",
  422: "Invalid",
  503: "ServiceUnavailable",
  504: "Timeout",
};

/** In characters as the API server counts them. */
const lengthOf = (text: string): number => [...text].length;

function cut(text: string, charsMax: number): string {
  if (text.length <= charsMax) return text;
  const characters = [...text];
  return characters.length <= charsMax ? text : `${characters.slice(0, charsMax - 1).join("")}…`;
}
