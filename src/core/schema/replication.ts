// What a node sends to the one above it, and what that answers: `POST /v1/streams/{chain_id}/records` (spec evidence §7).
import Type, { type Static } from "typebox";
import { closed, Count, Identifier, listOf, nullable, optional } from "./base.ts";

/** In one request; more are sent in several. */
const RECORDS_MAX = 10_000;
const KEYS_MAX = 256;

const Jwk = Type.Record(Type.String(), Type.Unknown());

/** Only the first three members are fixed; whoever sends no more has its records taken all the same. */
export const ReplicationSchema = closed({
  from_sequence: Type.Integer({ ...Count, description: "the sequence of the first record" }),
  records: listOf(Type.String(), RECORDS_MAX, { description: "compact JWSs, in order and without a gap" }),
  jwks: optional(
    closed({ keys: listOf(Jwk, KEYS_MAX) }, { description: "the node's public event keys, retired ones too" }),
  ),
  artifacts: optional(
    listOf(nullable(Type.String()), RECORDS_MAX, {
      description: "for each record the text of its own artifact; null where it has none, or it was erased",
    }),
  ),
  blobs: optional(
    Type.Record(Type.String(), Type.String(), {
      description: "artifacts that many records share, base64 by digest: policy bundles, authority material",
    }),
  ),
  hand_overs: optional(
    listOf(Type.String(), KEYS_MAX, { description: "statements by which each key named the next, a compact JWS each" }),
  ),
  checkpoint: optional(Type.String({ description: "the stream's latest checkpoint, to be cosigned" })),
  superseded: optional(
    closed(
      { after: Count, nodes: listOf(Identifier, RECORDS_MAX) },
      { description: "asks for resolutions that concern these nodes, behind this place" },
    ),
  ),
});

export const ReplicationAnswerSchema = closed({
  chain_id: Type.String(),
  node_id: Type.String({ description: "who took them" }),
  next_sequence: Type.Integer({ ...Count, description: "the sequence that is expected next" }),
  accepted: Type.Integer({ ...Count, description: "records that were new" }),
  checkpoint: optional(
    nullable(Type.String({ description: "the given one, cosigned; null: it is not over what is held here" })),
  ),
  superseded: optional(
    closed({
      records: Type.Array(Type.String({ description: "a record of `decision.superseded`" })),
      next: Type.Integer({ ...Count, description: "ask behind this place the next time" }),
    }),
  ),
});

export type Replication = Static<typeof ReplicationSchema>;
export type ReplicationAnswer = Static<typeof ReplicationAnswerSchema>;
