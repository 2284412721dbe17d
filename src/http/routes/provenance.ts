// `/v1/provenance`: Sigstore bundles, verified and kept by the digest of the artifact they are about (spec trust §2).
import type { LocalRailgate } from "../../library/local.ts";
import { ProvenanceAnswerSchema, ProvenanceListSchema, SigstoreBundleSchema } from "../../core/schema/provenance.ts";
import { readJson } from "../call/body.ts";
import { identifier } from "../call/query.ts";
import { json, route, type Route } from "../call/route.ts";

/** As large as a bundle may be. */
const BODY_BYTES_MAX = 1024 * 1024;

export function provenanceRoutes(railgate: LocalRailgate): Route[] {
  return [
    route({
      method: "POST",
      path: "/v1/provenance",
      tag: "Provenance",
      summary: "Have a Sigstore bundle verified and kept",
      description:
        "Against what this node has pinned, and without a network. It is kept by the digest of each artifact it is about, so that a workload that names one by its digest alone is judged by it.",
      query: { tenant_id: identifier("In whose stream it is recorded.") },
      body: "SigstoreBundle",
      shapes: { SigstoreBundle: SigstoreBundleSchema, ProvenanceAnswer: ProvenanceAnswerSchema },
      answers: { 201: { description: "It holds", content: { "application/json": "ProvenanceAnswer" } } },
      problems: ["provenance_invalid", "evidence_unavailable"],
      handle: async (exchange) => {
        const bundle = await readJson(exchange, BODY_BYTES_MAX);
        const { tenant_id } = exchange.query;
        return json(await railgate.as(exchange.caller).addProvenance(bundle, { tenantId: tenant_id }), 201);
      },
    }),
    route({
      method: "GET",
      path: "/v1/provenance/:digest",
      tag: "Provenance",
      summary: "Show the bundles that are kept for an artifact",
      description: "The newest first, sixteen at most, each with what it proves by what is pinned now.",
      query: {},
      params: { digest: "The artifact's: `sha256:` and 64 hex digits, or `sha512:` and 128." },
      shapes: { ProvenanceList: ProvenanceListSchema },
      answers: { 200: { description: "They are kept", content: { "application/json": "ProvenanceList" } } },
      problems: ["provenance_unknown"],
      handle: async ({ caller, params }) => json(await railgate.as(caller).provenance(params["digest"]!)),
    }),
  ];
}
