// `/v1/meshes`: isolation meshes, and the commands that define them and move workloads between their rails.
import Type from "typebox";
import { canonicalJson } from "../../core/json.ts";
import { parseElevationBody, parsePlacementBody, parseTopologyBody } from "../../core/request.ts";
import { closed, nullable } from "../../core/schema/base.ts";
import { MeshSchema, type Mesh, type PlacementAnswer } from "../../core/schema/mesh.ts";
import type { DefinedMesh, LocalMesh, LocalMeshOptions, WithProof } from "../../library/handles.ts";
import type { LocalRailgate } from "../../library/local.ts";
import {
  carryOut,
  checkPath,
  COMMAND_HEADERS,
  COMMAND_PROBLEMS,
  COMMAND_QUERY,
  notesOf,
  provenReply,
  readBare,
  readCommand,
  type Asked,
} from "../call/commands.ts";
import { etagOf, expectedRevision, isKnown } from "../call/conditions.ts";
import { HttpError } from "../call/problem.ts";
import { cursor, identifier, isIdentifier, whole } from "../call/query.ts";
import { route, type Exchange, type Refusals, type Reply, type Route } from "../call/route.ts";

const LIMIT = { byDefault: 20, max: 100 };

const MeshList = closed({ items: Type.Array(MeshSchema), next: nullable(Type.String()) });

const TENANT = {
  tenant_id: identifier("The mesh's tenant: `default` where none is named, the caller's own where callers log in."),
};
const CONDITION = {
  "If-Match":
    "The mesh's entity tag, as GET and PUT give it: the command is carried out only on that revision, else it is a 412 and leaves no event.",
};
const MESH_ID = { mesh_id: "The mesh's id; a mesh is its tenant's own. A `/` in it is written `%2F`." };
const WORKLOAD_ID = { workload_id: "The placed workload." };

/** Codes that any move to a rail may be refused with. */
const RAIL_REFUSALS: Refusals = [
  "ERR_MESH_DEMOTION_FORBIDDEN",
  "ERR_MESH_LATENCY_EXCEEDED",
  "ERR_MESH_RAIL_AT_CAPACITY",
];
const HOST_REFUSALS: Refusals = ["policy_unavailable", "policy_error"];
/** What policy refuses while it is stale, or the node is cut off. */
const UPSTREAM_REFUSALS: Refusals = ["policy_stale", "partition_not_designated", ...HOST_REFUSALS];

type MeshExchange = Exchange<typeof COMMAND_QUERY>;
type Answer = DefinedMesh | WithProof<Pick<PlacementAnswer, "placement">>;
type Act = (mesh: LocalMesh, options: LocalMeshOptions) => Promise<Answer>;
type CommandRoute = Pick<Route, "method" | "path" | "summary" | "description" | "params" | "body"> & {
  readonly status: Readonly<Record<number, string>>;
  readonly answer: "MeshAnswer" | "PlacementAnswer";
  readonly refusals: Refusals;
  readonly read: (exchange: MeshExchange) => Promise<Asked<unknown> & { readonly act: Act }>;
};

export function meshRoutes(railgate: LocalRailgate, bodyBytesMax: number): Route[] {
  return [...commandRoutes(bodyBytesMax).map((given) => commandRoute(railgate, given)), ...readRoutes(railgate)];
}

function commandRoutes(bodyBytesMax: number): CommandRoute[] {
  return [
    {
      method: "POST",
      path: "/v1/meshes/:mesh_id/placements",
      summary: "Place a workload on its first rail",
      description:
        "Its elevation policy is given once and no move changes it. A workload that was admitted goes no lower than its admission's least rail level, and one that was removed no lower than it was.",
      params: MESH_ID,
      body: "PlacementBody",
      status: { 201: "Placed" },
      answer: "PlacementAnswer",
      refusals: ["ERR_MESH_UNKNOWN_RAIL", "ERR_MESH_DUPLICATE_WORKLOAD", ...RAIL_REFUSALS, ...UPSTREAM_REFUSALS],
      read: async (exchange) => {
        const asked = await readCommand(exchange, parsePlacementBody, bodyBytesMax);
        const { workload_id, rail_id, policy } = asked.body;
        return { ...asked, act: (mesh, options) => mesh.place(workload_id, rail_id, policy, options) };
      },
    },
    {
      method: "POST",
      path: "/v1/meshes/:mesh_id/placements/:workload_id/elevation",
      summary: "Move a workload to a stricter rail",
      params: { ...MESH_ID, ...WORKLOAD_ID },
      body: "ElevationBody",
      status: { 200: "Elevated" },
      answer: "PlacementAnswer",
      refusals: [
        "ERR_MESH_UNKNOWN_RAIL",
        "ERR_MESH_UNKNOWN_WORKLOAD",
        "ERR_MESH_ELEVATION_DENIED",
        ...RAIL_REFUSALS,
        ...UPSTREAM_REFUSALS,
      ],
      read: async (exchange) => {
        const asked = await readCommand(exchange, parseElevationBody, bodyBytesMax);
        const workloadId = exchange.params["workload_id"]!;
        return { ...asked, act: (mesh, options) => mesh.elevate(workloadId, asked.body.target_rail_id, options) };
      },
    },
    {
      method: "DELETE",
      path: "/v1/meshes/:mesh_id/placements/:workload_id",
      summary: "Take a workload off its rail",
      description:
        "The answer has the placement as it was. The mesh remembers its level: the workload may come back to that level or a stricter one.",
      params: { ...MESH_ID, ...WORKLOAD_ID },
      status: { 200: "Removed" },
      answer: "PlacementAnswer",
      refusals: ["ERR_MESH_UNKNOWN_WORKLOAD", ...HOST_REFUSALS],
      read: async (exchange) => ({
        ...readBare(exchange),
        act: (mesh, options) => mesh.remove(exchange.params["workload_id"]!, options),
      }),
    },
    {
      method: "PUT",
      path: "/v1/meshes/:mesh_id/topology",
      summary: "Define a mesh, or reload its topology",
      description:
        "A reload may not drop an occupied rail, change its level, cut its capacity under what it holds, or raise its overhead over a budget that a workload on it preserves.",
      params: MESH_ID,
      body: "TopologyBody",
      status: { 200: "Reloaded", 201: "Defined" },
      answer: "MeshAnswer",
      refusals: ["ERR_MESH_INVALID_TOPOLOGY", ...UPSTREAM_REFUSALS],
      read: async (exchange) => {
        const asked = await readCommand(exchange, parseTopologyBody, bodyBytesMax);
        return { ...asked, act: (mesh, options) => mesh.define({ rails: asked.body.rails }, options) };
      },
    },
  ];
}

function commandRoute(railgate: LocalRailgate, { status, answer, read, ...given }: CommandRoute): Route {
  return route({
    ...given,
    tag: "Meshes",
    query: COMMAND_QUERY,
    headers: { ...COMMAND_HEADERS, ...CONDITION },
    answers: Object.fromEntries(
      Object.entries(status).map(([code, description]) => [
        code,
        { description, content: { "application/json": answer } },
      ]),
    ),
    problems: [...COMMAND_PROBLEMS, "revision_conflict"],
    handle: async (exchange) => {
      const { act, ...asked } = await read(exchange);
      const revision = expectedRevision(exchange.req.headers);
      const mesh = railgate.as(exchange.caller).mesh(exchange.params["mesh_id"]!, asked.tenantId);
      const done = await carryOut(exchange, asked, (options) => act(mesh, { ...options, revision }));
      exchange.notes = notesOf(done);
      if ("placement" in done)
        return provenReply(201 in status ? 201 : 200, `"placement":${canonicalJson(done.placement)}`, done);
      return provenReply(done.created ? 201 : 200, `"mesh":${canonicalJson(done.mesh)}`, done, done.mesh.revision);
    },
  });
}

function readRoutes(railgate: LocalRailgate): Route[] {
  return [
    route({
      method: "GET",
      path: "/v1/meshes",
      tag: "Meshes",
      summary: "List a tenant's meshes",
      description: "Sorted by id, as far as they are durable.",
      query: {
        ...TENANT,
        limit: whole(
          1,
          LIMIT.max,
          "Most meshes in one answer; an answer with very many placements ends earlier.",
          LIMIT.byDefault,
        ),
        cursor: cursor((text) => (isIdentifier(text) ? text : undefined)),
      },
      shapes: { MeshList },
      answers: { 200: { description: "Meshes", content: { "application/json": "MeshList" } } },
      problems: ["tenant_forbidden", "evidence_unavailable"],
      handle: async ({ caller, query }) => {
        const { items, next } = await railgate.as(caller).meshes({ limit: LIMIT.byDefault, ...query });
        // Canonical JSON: objects would put identifiers that look like numbers first.
        return {
          status: 200,
          body: `{"items":[${items.map(canonicalJson).join(",")}],"next":${JSON.stringify(next)}}`,
        };
      },
    }),
    route({
      method: "GET",
      path: "/v1/meshes/:mesh_id",
      tag: "Meshes",
      summary: "Look up a mesh",
      description:
        "Topology, counters and placements at one revision, as far as they are durable. Rails and placements are sorted by code unit.",
      query: TENANT,
      params: MESH_ID,
      headers: {
        "If-None-Match": "An entity tag that the caller has: where it is still the mesh's, the answer is 304.",
      },
      answers: {
        200: { description: "The mesh; `ETag` is its revision", content: { "application/json": "Mesh" } },
        304: { description: "It is still at that revision" },
      },
      problems: ["tenant_forbidden", "mesh_unknown", "evidence_unavailable"],
      handle: async ({ caller, query, params, req }) => {
        checkPath(params);
        const mesh = await railgate.as(caller).mesh(params["mesh_id"]!, query.tenant_id).show();
        if (mesh === null) throw new HttpError("mesh_unknown", "This tenant has defined no such mesh here.");
        return isKnown(req.headers, mesh.revision)
          ? meshReply(mesh, 304, "")
          : meshReply(mesh, 200, canonicalJson(mesh));
      },
    }),
  ];
}

const meshReply = ({ revision }: Mesh, status: number, body: string): Reply => ({
  status,
  body,
  headers: { ETag: etagOf(revision), "Cache-Control": "no-cache" },
});
