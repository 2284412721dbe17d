// `/v1/node`: whether this node is cut off, and an operator's word that it is, or no longer (spec api §2, Operators).
import { parser } from "../../core/request.ts";
import { closed } from "../../core/schema/base.ts";
import { IsolationSchema, NodeStatusSchema, type NodeStatus } from "../../core/schema/node.ts";
import type { LocalRailgate } from "../../library/local.ts";
import { readJson } from "../call/body.ts";
import { json, route, type Exchange, type Route } from "../call/route.ts";

const parseIsolation = parser(IsolationSchema);
const parseNothing = parser(closed({}));

export function nodeRoutes(railgate: LocalRailgate, bodyBytesMax: number): Route[] {
  const answers = { 200: { description: "The node as it is now", content: { "application/json": "NodeStatus" } } };
  const shapes = { NodeStatus: NodeStatusSchema, Isolation: IsolationSchema };
  /** A body may be left out. */
  const bodyOf = async (exchange: Exchange): Promise<unknown> => {
    const { "content-length": length = "0", "transfer-encoding": coding } = exchange.req.headers;
    return length === "0" && coding === undefined ? {} : readJson(exchange, bodyBytesMax);
  };
  const shown = (status: NodeStatus) => json(status);
  return [
    route({
      method: "GET",
      path: "/v1/node",
      tag: "Operators",
      summary: "Whether the node is cut off, why, and how its records go upstream",
      query: {},
      shapes,
      answers,
      problems: ["operator_needed"],
      handle: async ({ caller }) => shown(await railgate.as(caller).nodeStatus()),
    }),
    route({
      method: "POST",
      path: "/v1/node/partition",
      tag: "Operators",
      summary: "Say that the node is cut off",
      description: "For a drill or a planned isolation: nothing is sent upstream, and the law is told. On record.",
      query: {},
      body: "Isolation",
      isBodyOptional: true,
      shapes,
      answers,
      problems: ["operator_needed", "evidence_unavailable"],
      handle: async (exchange) => {
        const isolation = parseIsolation(await bodyOf(exchange));
        return shown(await railgate.as(exchange.caller).isolate(isolation));
      },
    }),
    route({
      method: "POST",
      path: "/v1/node/rejoin",
      tag: "Operators",
      summary: "Take that back",
      description: "The partition ends once all that was held back has arrived upstream, and policy allows it.",
      query: {},
      shapes,
      answers,
      problems: ["operator_needed", "evidence_unavailable"],
      handle: async (exchange) => {
        parseNothing(await bodyOf(exchange));
        return shown(await railgate.as(exchange.caller).rejoin());
      },
    }),
  ];
}
