// What only operators do over HTTP: rotate the event key, erase an artifact. Each act is on record under their name.
import Type from "typebox";
import { tenantAsked } from "../../core/caller.ts";
import { parser } from "../../core/request.ts";
import { closed, Identifier } from "../../core/schema/base.ts";
import { EvidenceEventSchema, ReceiptSchema } from "../../core/schema/event.ts";
import { ErasureSchema, RotationSchema } from "../../core/schema/queries.ts";
import type { LocalRailgate } from "../../library/local.ts";
import { readJson } from "../call/body.ts";
import { identifier } from "../call/query.ts";
import { json, route, type Route } from "../call/route.ts";

const BasisSchema = closed({ basis: ErasureSchema.properties.basis });
const ErasureAnswer = closed({ event: EvidenceEventSchema, receipt: ReceiptSchema });
const RotationAnswer = closed({
  old_kid: Identifier,
  new_kid: Identifier,
  streams: Type.Integer({ minimum: 0, description: "in how many it is on record" }),
});
const parseRotation = parser(RotationSchema);
const parseBasis = parser(BasisSchema);

export function operatorRoutes(railgate: LocalRailgate, bodyBytesMax: number): Route[] {
  return [
    route({
      method: "POST",
      path: "/v1/keys/rotate",
      tag: "Operators",
      summary: "Sign with a new event key from now on",
      description:
        "The old key says so, as the last thing it signs in every stream. With `compromised_since`, nothing that it signed from then on verifies.",
      query: {},
      body: "Rotation",
      shapes: { Rotation: RotationSchema, RotationAnswer },
      answers: { 200: { description: "Rotated", content: { "application/json": "RotationAnswer" } } },
      problems: ["operator_needed", "key_unavailable", "evidence_unavailable"],
      handle: async (exchange) => {
        const rotation = parseRotation(await readJson(exchange, bodyBytesMax));
        return json(await railgate.as(exchange.caller).rotateKey(rotation));
      },
    }),
    route({
      method: "POST",
      path: "/v1/events/:id/erasure",
      tag: "Operators",
      summary: "Erase an event's stored input and decision",
      description:
        "For good, and on record with its basis. The event, its signature, the chain and every proof stand; the decision can no longer be replayed.",
      query: { tenant_id: identifier("Whose event it is.") },
      params: { id: "The event's id." },
      body: "Basis",
      shapes: { Basis: BasisSchema, ErasureAnswer },
      answers: {
        200: { description: "Erased; the event says so", content: { "application/json": "ErasureAnswer" } },
      },
      problems: ["operator_needed", "event_unknown", "artifact_unknown", "evidence_unavailable"],
      handle: async (exchange) => {
        const { caller, query, params } = exchange;
        const { basis } = parseBasis(await readJson(exchange, bodyBytesMax));
        const tenant_id = tenantAsked(caller, query.tenant_id);
        const { event, receipt } = await railgate.as(caller).erase(params["id"]!, { tenant_id, basis });
        return json({ event, receipt });
      },
    }),
  ];
}
