// What operators are shown of a node, and what they tell it: `/v1/node`.
import Type, { type Static } from "typebox";
import { closed, Count, Identifier, nullable, oneOf, optional } from "./base.ts";
import { PARTITION_STATES } from "./input.ts";

const Time = Type.String({ description: "RFC 3339" });

export const NodeStatusSchema = closed({
  node_id: nullable(Identifier),
  partition: closed({
    state: oneOf(PARTITION_STATES),
    since: nullable(Time),
    reasons: Type.Array(
      closed({ reason: oneOf(["upstream", "bundles", "operator"]), since: Time, problem: Type.String() }),
    ),
  }),
  upstream: nullable(
    closed({
      url: Type.String(),
      backlog: Type.Integer({ ...Count, description: "records that have not arrived yet" }),
      forwarded: Type.Integer({ ...Count, description: "records that arrived since the node was started" }),
      refused: Type.Array(
        closed({ chain_id: Type.String(), problem: Type.String() }, { description: "streams that it does not take" }),
      ),
    }),
  ),
});

/** Why a node is to be cut off; it becomes part of the evidence. */
export const IsolationSchema = closed({
  reason: optional(Type.String({ pattern: "\\S", maxLength: 512, description: "why; part of the evidence" })),
});

export type NodeStatus = Static<typeof NodeStatusSchema>;
export type Isolation = { readonly reason?: string | undefined };
