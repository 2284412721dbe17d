// `/v1/meshes`: isolation meshes, and the commands that define them and move workloads between their rails.
import Type from "typebox";
import { meshCommand, type MeshOutcome } from "../../gate/commands/mesh.ts";
import { refusedError } from "../../gate/refused.ts";
import { readMesh, readMeshes } from "../../store/meshes.ts";
import type { StoreReader } from "../../store/store.ts";
import { canonicalJson } from "../../core/json.ts";
import { wireMesh, type Mesh, type MeshCommand } from "../../core/mesh.ts";
import { parseElevationBody, parsePlacementBody, parseTopologyBody } from "../../core/request.ts";
import { closed, nullable } from "../../core/schema/base.ts";
import { MeshSchema } from "../../core/schema/mesh.ts";
import type { Evidenced, Gate } from "../../gate/gate.ts";
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
import { tenantOf } from "../../core/caller.ts";

export interface MeshParts {
  readonly gate: Gate;
  readonly store: StoreReader;
  readonly bodyBytesMax: number;
}

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

const UNKNOWN_RAIL = { ERR_MESH_UNKNOWN_RAIL: 404 } as const;
const UNKNOWN_WORKLOAD = { ERR_MESH_UNKNOWN_WORKLOAD: 404 } as const;
/** Codes that any move to a rail may be refused with. */
const RAIL_REFUSALS = {
  ERR_MESH_DEMOTION_FORBIDDEN: 409,
  ERR_MESH_LATENCY_EXCEEDED: 409,
  ERR_MESH_RAIL_AT_CAPACITY: 409,
} as const;
const HOST_REFUSALS = { policy_unavailable: 409, policy_error: 409 } as const;
/** What policy refuses while it is stale, or the node is cut off. */
const UPSTREAM_REFUSALS = { policy_stale: 409, partition_not_designated: 409, ...HOST_REFUSALS } as const;

type MeshExchange = Exchange<typeof COMMAND_QUERY>;
type CommandRoute = Pick<Route, "method" | "path" | "summary" | "description" | "params" | "body"> & {
  readonly status: Readonly<Record<number, string>>;
  readonly answer: "MeshAnswer" | "PlacementAnswer";
  readonly refusals: Refusals;
  readonly read: (exchange: MeshExchange) => Promise<Asked<unknown> & { readonly command: MeshCommand }>;
};

export function meshRoutes(parts: MeshParts): Route[] {
  return [...commandRoutes(parts.bodyBytesMax).map((given) => commandRoute(parts, given)), ...readRoutes(parts.store)];
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
      refusals: { ...UNKNOWN_RAIL, ERR_MESH_DUPLICATE_WORKLOAD: 409, ...RAIL_REFUSALS, ...UPSTREAM_REFUSALS },
      read: async (exchange) => {
        const asked = await readCommand(exchange, parsePlacementBody, bodyBytesMax);
        const { workload_id, rail_id, policy } = asked.body;
        return {
          ...asked,
          command: { command: "place", mesh_id: exchange.params["mesh_id"]!, workload_id, rail_id, policy },
        };
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
      refusals: {
        ...UNKNOWN_RAIL,
        ...UNKNOWN_WORKLOAD,
        ERR_MESH_ELEVATION_DENIED: 409,
        ...RAIL_REFUSALS,
        ...UPSTREAM_REFUSALS,
      },
      read: async (exchange) => {
        const asked = await readCommand(exchange, parseElevationBody, bodyBytesMax);
        return {
          ...asked,
          command: { command: "elevate", ...namedIn(exchange), target_rail_id: asked.body.target_rail_id },
        };
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
      refusals: { ...UNKNOWN_WORKLOAD, ...HOST_REFUSALS },
      read: async (exchange) => ({ ...readBare(exchange), command: { command: "remove", ...namedIn(exchange) } }),
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
      refusals: { ERR_MESH_INVALID_TOPOLOGY: 422, ...UPSTREAM_REFUSALS },
      read: async (exchange) => {
        const asked = await readCommand(exchange, parseTopologyBody, bodyBytesMax);
        return {
          ...asked,
          command: { command: "reload", mesh_id: exchange.params["mesh_id"]!, rails: asked.body.rails },
        };
      },
    },
  ];
}

const namedIn = ({ params }: MeshExchange) => ({ mesh_id: params["mesh_id"]!, workload_id: params["workload_id"]! });

function commandRoute({ gate, store }: MeshParts, { status, answer, read, ...given }: CommandRoute): Route {
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
      const { command, ...asked } = await read(exchange);
      const expected = expectedRevision(exchange.req.headers);
      const done = await carryOut(exchange, asked, gate, (keyed) =>
        meshCommand(command, asked.tenantId, { correlationId: asked.trace.traceId, expected, whole: keyed }),
      );
      exchange.notes = notesOf(done);
      return commandReply(store, command, asked.tenantId, done);
    },
  });
}

function commandReply(store: StoreReader, command: MeshCommand, tenantId: string, done: Evidenced<MeshOutcome>): Reply {
  const { refusal, placement, created } = done.outcome;
  if (refusal) throw refusedError(refusal, done);
  if (placement) {
    const status = command.command === "place" ? 201 : 200;
    return provenReply(status, `"placement":${canonicalJson(placement)}`, done);
  }
  const mesh = done.outcome.mesh ?? wireMesh(readMesh(store, tenantId, command.mesh_id)!);
  return provenReply(created ? 201 : 200, `"mesh":${canonicalJson(mesh)}`, done, mesh.revision);
}

/** Canonical JSON: objects would put identifiers that look like numbers first. */
const meshText = (mesh: Mesh): string => canonicalJson(wireMesh(mesh));

function readRoutes(store: StoreReader): Route[] {
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
      handle: ({ caller, query }) => {
        const tenant = tenantOf(caller, query.tenant_id);
        const { items, next } = readMeshes(store, tenant, query.limit ?? LIMIT.byDefault, query.cursor);
        return { status: 200, body: `{"items":[${items.map(meshText).join(",")}],"next":${JSON.stringify(next)}}` };
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
      handle: ({ caller, query, params, req }) => {
        checkPath(params);
        const mesh = readMesh(store, tenantOf(caller, query.tenant_id), params["mesh_id"]!);
        if (mesh === null) throw new HttpError("mesh_unknown", "This tenant has defined no such mesh here.");
        return isKnown(req.headers, mesh.revision) ? meshReply(mesh, 304, "") : meshReply(mesh, 200, meshText(mesh));
      },
    }),
  ];
}

const meshReply = ({ revision }: Mesh, status: number, body: string): Reply => ({
  status,
  body,
  headers: { ETag: etagOf(revision), "Cache-Control": "no-cache" },
});
