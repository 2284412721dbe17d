// The registry of policies, for operators: list, submit, activate, shadow, deprecate. Each act is on record under their name.
import { parser } from "../../core/request.ts";
import {
  ActedPolicySchema,
  ActivateBodySchema,
  ActivatedPolicySchema,
  DifferencesSchema,
  PolicyItemSchema,
  PolicyListSchema,
  ShadowBodySchema,
  TrialReportSchema,
} from "../../core/schema/policies.ts";
import { operatorActing } from "../../core/caller.ts";
import type { LocalRailgate } from "../../library/local.ts";
import { readBytes, readJson } from "../call/body.ts";
import { HttpError } from "../call/problem.ts";
import { json, route, type Exchange, type Route } from "../call/route.ts";

/** Of a bundle, packed; what it may be unpacked the bundle's own settings say. */
const BUNDLE_BYTES_MAX = 64 * 1024 ** 2;
const BUNDLE_TYPE = /^application\/(?:gzip|x-gzip|vnd\.openpolicyagent\.bundles|octet-stream)\s*(?:;|$)/i;
const DIGEST = { digest: "`sha256:` and 64 hex digits: SHA-256 of the bundle." };
const BINARY = { type: "string", format: "binary" };
const PLACE = { tag: "Operators", query: {}, params: DIGEST } as const;

const parseActivate = parser(ActivateBodySchema);
const parseShadow = parser(ShadowBodySchema);

const ACTIVATION = {
  Activation: ActivateBodySchema,
  ActivatedPolicy: ActivatedPolicySchema,
  TrialReport: TrialReportSchema,
};

export function policyRoutes(railgate: LocalRailgate, bodyBytesMax: number): Route[] {
  return [
    route({
      method: "GET",
      path: "/v1/policies",
      tag: "Operators",
      query: {},
      summary: "List policies",
      description: "Those that were submitted and those that decide or decided, newest first.",
      shapes: { PolicyList: PolicyListSchema, PolicyItem: PolicyItemSchema },
      answers: { 200: { description: "The policies", content: { "application/json": "PolicyList" } } },
      problems: ["operator_needed"],
      handle: async ({ caller }) => json({ items: await railgate.as(caller).policies() }),
    }),
    route({
      method: "POST",
      path: "/v1/policies",
      tag: "Operators",
      query: {},
      summary: "Submit a signed bundle",
      description: "It is verified and kept by its digest, and decides nothing until it is activated.",
      body: { "application/gzip": BINARY, "application/vnd.openpolicyagent.bundles": BINARY },
      answers: {
        200: { description: "It was there already", content: { "application/json": "PolicyItem" } },
        201: { description: "Kept", content: { "application/json": "PolicyItem" } },
      },
      problems: ["operator_needed", "policy_invalid", "evidence_unavailable", "content_type_unsupported"],
      handle: async (exchange) => {
        operatorActing(exchange.caller);
        const policy = await railgate.as(exchange.caller).submitPolicy(await bundleOf(exchange));
        return json(policy, policy.created ? 201 : 200);
      },
    }),
    route({
      ...PLACE,
      method: "POST",
      path: "/v1/policies/:digest/activate",
      summary: "Let a policy decide",
      description:
        "Atomic: every decision names the one policy that made it. Refused where it is older than the active one, admits what no policy may, or leaves a placed or running workload on too weak a rail or envelope; an authority's override lets it decide all the same.",
      body: "Activation",
      isBodyOptional: true,
      shapes: ACTIVATION,
      answers: { 200: { description: "It decides", content: { "application/json": "ActivatedPolicy" } } },
      problems: ["operator_needed", "policy_unknown", "policy_refused", "evidence_unavailable"],
      handle: async (exchange) => {
        operatorActing(exchange.caller);
        const { force } = parseActivate(await readOptional(exchange, bodyBytesMax));
        return json(await railgate.as(exchange.caller).activatePolicy(digestOf(exchange), { force: force?.authority }));
      },
    }),
    route({
      ...PLACE,
      method: "POST",
      path: "/v1/policies/:digest/shadow",
      summary: "Let a policy decide beside the active one",
      description:
        "After each answer, and nothing else changes: only its differences are counted, listed and recorded.",
      body: "Shadowing",
      isBodyOptional: true,
      shapes: { Shadowing: ShadowBodySchema, ActedPolicy: ActedPolicySchema },
      answers: { 200: { description: "It does, or no longer", content: { "application/json": "ActedPolicy" } } },
      problems: ["operator_needed", "policy_unknown", "policy_refused", "evidence_unavailable"],
      handle: async (exchange) => {
        operatorActing(exchange.caller);
        const body = parseShadow(await readOptional(exchange, bodyBytesMax));
        return json(await railgate.as(exchange.caller).shadowPolicy(digestOf(exchange), body));
      },
    }),
    route({
      ...PLACE,
      method: "GET",
      path: "/v1/policies/:digest/differences",
      summary: "What a policy would have decided otherwise",
      shapes: { PolicyDifferences: DifferencesSchema },
      answers: { 200: { description: "Since it began", content: { "application/json": "PolicyDifferences" } } },
      problems: ["operator_needed", "policy_unknown"],
      handle: async (exchange) => json(await railgate.as(exchange.caller).policyDifferences(digestOf(exchange))),
    }),
    route({
      ...PLACE,
      method: "POST",
      path: "/v1/policies/:digest/deprecate",
      summary: "Keep a policy from deciding again",
      answers: { 200: { description: "It won't", content: { "application/json": "ActedPolicy" } } },
      problems: ["operator_needed", "policy_unknown", "policy_refused", "evidence_unavailable"],
      handle: async (exchange) => json(await railgate.as(exchange.caller).deprecatePolicy(digestOf(exchange))),
    }),
  ];
}

const digestOf = ({ params }: Exchange): string => params["digest"]!;

/** A body that says nothing may be left out. */
async function readOptional(exchange: Exchange, bytesMax: number): Promise<unknown> {
  const { headers } = exchange.req;
  const none = headers["transfer-encoding"] === undefined && (headers["content-length"] ?? "0") === "0";
  return none ? {} : readJson(exchange, bytesMax);
}

async function bundleOf(exchange: Exchange): Promise<Uint8Array> {
  if (!BUNDLE_TYPE.test(exchange.req.headers["content-type"] ?? ""))
    throw new HttpError("content_type_unsupported", "Send the bundle as application/gzip.", {
      Accept: "application/gzip, application/vnd.openpolicyagent.bundles",
    });
  return readBytes(exchange, BUNDLE_BYTES_MAX);
}
