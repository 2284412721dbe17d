// What a file's settings and a host's options have in common: limits, evidence profiles, names of logs.
import Type, { type TProperties } from "typebox";
import { closed, optional } from "./base.ts";
import { DEFAULTS } from "./defaults.ts";

export const whole = (title: string, minimum: number, maximum = Number.MAX_SAFE_INTEGER) =>
  Type.Integer({ minimum, maximum, title, description: wholeDescription(minimum, maximum) });
export const section = <P extends TProperties>(properties: P, title?: string) =>
  closed(properties, { description: "a mapping", ...(title === undefined ? {} : { title }) });

function wholeDescription(minimum: number, maximum: number): string {
  return maximum === Number.MAX_SAFE_INTEGER
    ? `a whole number, ${minimum} or more`
    : `a whole number from ${minimum} to ${maximum}`;
}

/** The evidence profiles, weakest first. Source: evidence.md §6. */
export const EVIDENCE_PROFILES = [
  "ecs-evidence-baseline",
  "ecs-evidence-admissible",
  "ecs-evidence-ncp",
  "ecs-evidence-regulated-ml",
] as const;

/** What can be the name of a log, or of who signs one (c2sp.org/signed-note). */
export const LogName = Type.String({
  pattern: "^[!-*,-~]{1,253}$",
  description: "1 to 253 printable characters without space and +",
});

export const LIMITS = section({
  body_bytes_max: optional(
    whole(`Largest request body, in bytes (default ${DEFAULTS.bodyBytesMax})`, 1, 256 * 1024 * 1024),
  ),
  batch_items_max: optional(whole(`Most requests in one batch (default ${DEFAULTS.batchItemsMax})`, 1, 100_000)),
  queue_max: optional(
    whole(
      `Most decisions waiting to be recorded; beyond it callers are told to come back (default ${DEFAULTS.queueMax})`,
      1,
      1_000_000,
    ),
  ),
  evaluation_ms_max: optional(
    whole(
      `Longest evaluation, in milliseconds of the processor; one that ran longer refuses, POL-03 (default ${DEFAULTS.evaluationMsMax})`,
      1,
      60_000,
    ),
  ),
});
