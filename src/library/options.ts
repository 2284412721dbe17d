// What a host opens a node with, checked as strictly as settings from a file: what a node signs must be fit to be exported.
import { ConfigError, RequestError } from "../core/errors.ts";
import { parser } from "../core/request.ts";
import { closed, Identifier, oneOf, optional } from "../core/schema/base.ts";
import { EVIDENCE_PROFILES } from "../core/schema/config.ts";
import Type from "typebox";

const Positive = Type.Integer({ minimum: 1 });

const parse = parser(
  closed({
    dataDir: optional(Type.String({ pattern: "." })),
    nodeId: optional(Identifier),
    evidenceProfileId: optional(oneOf(EVIDENCE_PROFILES)),
    evaluationMsMax: optional(Positive),
    queueMax: optional(Positive),
  }),
);

type Checked = Readonly<Record<"dataDir" | "nodeId" | "evidenceProfileId" | "evaluationMsMax" | "queueMax", unknown>>;

/** @throws ConfigError naming the option. */
export function checkOptions(options: Partial<Checked>): void {
  const { dataDir, nodeId, evidenceProfileId, evaluationMsMax, queueMax } = options;
  const given = Object.entries({ dataDir, nodeId, evidenceProfileId, evaluationMsMax, queueMax });
  try {
    parse(Object.fromEntries(given.filter(([, value]) => value !== undefined)));
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    const [{ pointer, message }] = error.errors as [{ pointer: string; message: string }];
    throw new ConfigError(pointer.slice(1), message, { cause: error });
  }
}
