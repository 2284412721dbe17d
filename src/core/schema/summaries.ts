// An admission as in-toto statements for other tools, signed by the node: one pair an artifact.
import Type, { type Static } from "typebox";
import { closed, Digest } from "./base.ts";

const DsseEnvelopeSchema = closed(
  {
    payload: Type.String({ description: "an in-toto Statement v1, in base64" }),
    payloadType: Type.String(),
    signatures: Type.Array(closed({ keyid: Type.String(), sig: Type.String() })),
  },
  { description: "a DSSE envelope, signed by the node's event key" },
);

const SummaryItemSchema = closed({
  artifact: Digest,
  vsa: DsseEnvelopeSchema,
  svr: DsseEnvelopeSchema,
});

export const SummariesSchema = closed({ items: Type.Array(SummaryItemSchema) });

export type DsseEnvelope = Static<typeof DsseEnvelopeSchema>;
export type SummaryItem = Static<typeof SummaryItemSchema>;
