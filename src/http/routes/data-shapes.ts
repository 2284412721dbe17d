// What OPA's data API takes and answers, as the description of the API has it.
import Type from "typebox";
import { closed, optional } from "../../core/schema/base.ts";
import { presentOpa } from "../call/opa.ts";
import type { Answer } from "../call/route.ts";

const OPEN = { additionalProperties: true };
const Fault = closed(
  {
    code: Type.String(),
    message: Type.String(),
    location: optional(closed({ file: Type.String(), row: Type.Integer(), col: Type.Integer() })),
  },
  OPEN,
);
const OpaFailure = closed(
  {
    code: Type.String({ description: "OPA's: `invalid_parameter`, `internal_error`, `undefined_document`, …" }),
    message: Type.String(),
    errors: optional(Type.Array(Fault)),
    decision_id: optional(Type.String({ description: "of an evaluation that failed: the id of its event" })),
  },
  OPEN,
);
const Warning = closed({ code: Type.String(), message: Type.String() });
const Metrics = Type.Record(Type.String(), Type.Number(), { description: "timers in nanoseconds" });
const Provenance = closed({ version: Type.String(), bundles: Type.Record(Type.String(), Type.Unknown()) }, OPEN);
const DataAnswer = closed({
  decision_id: Type.String({ description: "the id of the event that proves it" }),
  provenance: optional(Provenance),
  metrics: optional(Metrics),
  result: optional(Type.Unknown({ description: "absent where it is undefined" })),
  warning: optional(Warning),
});
const DataBody = Type.Object(
  { input: optional(Type.Unknown({ description: "null is as good as none" })) },
  { ...OPEN, description: "what else there is, is kept with the evidence as `request_metadata`" },
);
const BatchEntry = closed({
  ...DataAnswer.properties,
  decision_id: optional(Type.String()),
  code: optional(Type.String()),
  message: optional(Type.String()),
  errors: optional(Type.Array(Fault)),
  http_status_code: optional(Type.String({ description: "where some failed and some did not: `200` or `500`" })),
});
const BatchAnswer = closed({
  batch_decision_id: Type.String(),
  metrics: optional(Metrics),
  responses: optional(Type.Record(Type.String(), BatchEntry)),
  warning: optional(Warning),
});
const BatchBody = Type.Object({
  inputs: optional(Type.Record(Type.String(), Type.Unknown())),
  common_input: optional(Type.Unknown({ description: "merged into each input that is an object" })),
});

export const ref = (name: string): object => ({ $ref: `#/components/schemas/${name}` });
const failure = (description: string): Answer => ({
  description,
  content: { "application/json": ref("OpaFailure") },
});
const FAILURES: Readonly<Record<number, Answer>> = {
  400: failure("It cannot be read, or is too large"),
  401: failure("Who is calling is not proven"),
  403: failure("It was meant for another server, comes from another site, or names another tenant"),
  408: failure("It came too slowly"),
  500: failure(
    "The policy came to no result, which is on record under `decision_id`; or something unexpected happened",
  ),
  501: failure("Compiled policy cannot do that: no entrypoint is there, or it would take the sources"),
  503: failure("Evidence could not be recorded, so nothing was answered; or too much is being sent at once"),
};
export const UNDEFINED: Readonly<Record<number, Answer>> = { ...FAILURES, 404: failure("The document is undefined") };
const YAML = "application/yaml";
export const jsonOrYaml = (schema: object) => ({ "application/json": schema, [YAML]: schema });
const PATH = {
  path: "What of `data`: an entrypoint, or something within its value. A `/` within a part is written `%2F`.",
};
export const OPA_ROUTE = {
  tag: "OPA",
  present: presentOpa,
  failures: FAILURES,
  params: PATH,
  shapes: { OpaFailure, DataAnswer, DataBody, BatchDataBody: BatchBody, BatchDataAnswer: BatchAnswer },
} as const;
export const DATA_ANSWERS = {
  200: { description: "The result, if it is defined", content: { "application/json": ref("DataAnswer") } },
};
