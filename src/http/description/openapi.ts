// The OpenAPI 3.1 description, made from the routes themselves and the schemas that they validate with.
import type { TSchema } from "typebox";
import { HTTP_STATUSES } from "../../core/catalogue.ts";
import { Identifier, openapiComponents, plainSchema } from "../../core/schema/index.ts";
import { CONSISTENCY_PATTERN } from "../call/consistency.ts";
import { PROBLEM_TYPE } from "../call/problem.ts";
import { PROBLEMS, type ProblemCode } from "../call/problems.ts";
import type { Answer, Route } from "../call/route.ts";

type Json = { readonly [name: string]: unknown };

export interface OpenApi {
  readonly openapi: string;
  readonly info: {
    readonly title: string;
    readonly version: string;
    readonly description: string;
    readonly license: Json;
  };
  readonly servers: readonly { readonly url: string; readonly description: string }[];
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly paths: { readonly [path: string]: { readonly [method: string]: Operation } };
  readonly components: { readonly schemas: { readonly [name: string]: Json } } & Json;
  readonly security: readonly Json[];
}

export interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description?: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required: boolean;
    readonly description: string;
    readonly schema: Json;
  }[];
  readonly requestBody?: {
    readonly required: boolean;
    readonly content: { readonly [type: string]: { readonly schema: Json } };
  };
  readonly responses: {
    readonly [status: string]: {
      readonly description: string;
      readonly content?: { readonly [type: string]: { readonly schema: Json } };
    };
  };
  readonly security?: readonly Json[];
}

const INTRODUCTION = `Decides whether a workload may run, in which execution envelope and on which isolation rail, and proves every decision.

Fields are snake_case; unknown ones are refused with their JSON pointer. Errors are problem details (RFC 9457) with a stable \`code\`. \`X-Request-Id\` and \`traceparent\` are honoured. On loopback nobody has to log in, but Host and Origin must be this listener's; elsewhere a bearer token (JWT) or a client certificate says which tenant a caller acts for.`;

const TAGS: Readonly<Record<string, string>> = {
  Admissions: "May this workload run?",
  Workloads: "What was admitted, and what became of it.",
  Meshes: "Which isolation rail a workload is on. It may move to a stricter one, and never to a weaker one.",
  Events: "The evidence: one signed event for every governed action.",
  OPA: "What OPA's clients ask, over every entrypoint of any active policy. Failures are OPA's `{code, message, errors}`. Each evaluation is evidence.",
  AuthZEN: "Authorization API 1.0, over the entrypoint that the settings name.",
  Log: "Each stream as a transparency log, for auditors and their tools.",
  Witness: "Other logs' checkpoints, cosigned as long as they only grow.",
  Node: "What a node says of itself.",
};

/** What any route may answer, by what it takes. */
const ALWAYS: readonly ProblemCode[] = ["host_forbidden", "origin_forbidden", "internal"];
const LOCKED: readonly ProblemCode[] = ["unauthenticated"];
const WITH_QUERY: readonly ProblemCode[] = ["request_invalid"];
const WITH_PATH: readonly ProblemCode[] = ["request_malformed"];
const WITH_BODY: readonly ProblemCode[] = [
  "bodies_exhausted",
  "request_malformed",
  "request_timeout",
  "request_too_large",
  "content_type_unsupported",
  "request_invalid",
];

export function openApi(routes: readonly Route[], version: string): OpenApi {
  const paths: Record<string, Record<string, Operation>> = {};
  const schemas: Record<string, Json> = { ...(openapiComponents as Record<string, Json>) };
  for (const route of routes) {
    (paths[templateOf(route.path)] ??= {})[route.method.toLowerCase()] = operation(route);
    for (const [name, schema] of Object.entries(route.shapes ?? {}))
      add(schemas, name, plainSchema(schema as TSchema) as Json);
  }
  const used = new Set(routes.map(({ tag }) => tag));
  return {
    openapi: "3.1.0",
    info: {
      title: "Railgate",
      version,
      description: INTRODUCTION,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/", description: "This node." }],
    tags: [...used].map((name) => ({ name, description: TAGS[name] ?? "" })),
    paths,
    components: {
      schemas: worded(schemas) as Record<string, Json>,
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", bearerFormat: "JWT" },
        certificate: { type: "mutualTLS" },
      },
    },
    security: [{ bearer: [] }, { certificate: [] }, {}],
  };
}

/** Two shapes under one name would describe one route by the other's. */
function add(schemas: Record<string, Json>, name: string, schema: Json): void {
  const known = schemas[name];
  if (known !== undefined && JSON.stringify(known) !== JSON.stringify(schema))
    throw new Error(`two shapes are called ${name}`);
  schemas[name] = schema;
}

/** Entity tags, or `*` (RFC 9110 §13.1). */
const ENTITY_TAGS = '^(?:\\*|(?:W/)?"[!#-~]*"(?: *, *(?:W/)?"[!#-~]*")*)$';

function headerSchema(name: string): Json {
  if (name.startsWith("If-")) return { type: "string", pattern: ENTITY_TAGS };
  return name === "Railgate-Consistency" ? { type: "string", pattern: CONSISTENCY_PATTERN } : { type: "string" };
}

/** Parameters of paths that are identifiers. */
const IDENTIFIED: ReadonlySet<string> = new Set(["mesh_id", "workload_id"]);

/** Enumerations say in words what they are of, for people who read a description and no schema. */
function worded(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(worded);
  if (typeof node !== "object" || node === null) return node;
  const members = Object.fromEntries(Object.entries(node).map(([name, member]) => [name, worded(member)]));
  const { enum: values, description } = node as { enum?: unknown; description?: unknown };
  if (!Array.isArray(values)) return members;
  const listed = `One of ${values.map((value) => `\`${String(value)}\``).join(", ")}.`;
  return { ...members, description: typeof description === "string" ? `${description} ${listed}` : listed };
}

/** express' `:name` and `*name` are OpenAPI's `{name}`. */
const templateOf = (path: string): string => path.replaceAll(/[:*](\w+)/g, "{$1}");

function operation(route: Route): Operation {
  const parameters = [
    ...Object.entries(route.params ?? {}).map(([name, description]) => ({
      name,
      in: "path",
      required: true,
      description,
      schema: IDENTIFIED.has(name) ? (plainSchema(Identifier) as Json) : { type: "string", minLength: 1 },
    })),
    ...Object.entries(route.headers ?? {}).map(([name, description]) => ({
      name,
      in: "header",
      required: false,
      description,
      schema: headerSchema(name),
    })),
    ...Object.entries(route.query ?? {}).map(([name, { description, schema }]) => ({
      name,
      in: "query",
      required: false,
      description,
      schema: worded(schema) as Json,
    })),
  ];
  return {
    operationId: `${route.method.toLowerCase()}${route.path.replaceAll(/[^A-Za-z0-9]+(\w?)/g, (_, letter: string) => letter.toUpperCase())}`,
    tags: [route.tag],
    summary: route.summary,
    ...(route.description !== undefined && { description: route.description }),
    ...(parameters.length > 0 && { parameters }),
    ...(route.body !== undefined && {
      requestBody: { required: !route.isBodyOptional, content: contentOf(route.body) },
    }),
    responses: responses(route),
    ...(route.open && { security: [{}] }),
  };
}

function contentOf(body: NonNullable<Route["body"]>): NonNullable<Operation["requestBody"]>["content"] {
  if (typeof body === "string") return { "application/json": { schema: refTo(body) } };
  return Object.fromEntries(Object.entries(body).map(([type, schema]) => [type, { schema: schema as Json }]));
}

function responses(route: Route): Operation["responses"] {
  const answers = Object.entries(route.answers).map(([status, answer]) => [status, response(answer)] as const);
  if (route.failures === undefined) return Object.fromEntries([...answers, ...problemResponses(route)]);
  const failures = Object.entries(route.failures).map(([status, answer]) => [status, response(answer)] as const);
  return Object.fromEntries([...answers, ...failures]);
}

function response({ description, content }: Answer): Operation["responses"][string] {
  if (content === undefined) return { description };
  const typed = Object.entries(content).map(
    ([type, schema]) => [type, { schema: typeof schema === "string" ? refTo(schema) : (schema as Json) }] as const,
  );
  return { description, content: Object.fromEntries(typed) };
}

/** One response for each status, naming the codes that come with it. */
function problemResponses(route: Route): [string, Operation["responses"][string]][] {
  const codes = new Set<ProblemCode>([
    ...ALWAYS,
    ...(route.open ? [] : LOCKED),
    ...(route.query ? WITH_QUERY : []),
    ...(route.params ? WITH_PATH : []),
    ...(typeof route.body === "string" ? WITH_BODY : []),
    ...(route.problems ?? []),
  ]);
  const ours = [...codes].map((code) => ({
    status: PROBLEMS[code].status,
    text: `\`${code}\`: ${PROBLEMS[code].title}`,
  }));
  const laws = (route.refusals ?? []).map((code) => ({
    status: HTTP_STATUSES[code] as number,
    text: `\`${code}\`: the law refuses it, with \`event\` and \`receipt\``,
  }));
  const byStatus = Map.groupBy([...ours, ...laws], ({ status }) => status);
  return [...byStatus]
    .sort(([a], [b]) => a - b)
    .map(([status, group]) => {
      const description = group.map(({ text }) => text).join(". ");
      return [String(status), { description, content: { [PROBLEM_TYPE]: { schema: refTo("Problem") } } }];
    });
}

const refTo = (component: string): Json => ({ $ref: `#/components/schemas/${component}` });
