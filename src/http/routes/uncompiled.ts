// What OPA does with the sources of a policy and a store of its own, and compiled policy cannot: answered 501, with the reason.
import { notCompiled } from "../call/opa.ts";
import type { Route } from "../call/route.ts";
import { OPA_ROUTE } from "./data-shapes.ts";

type Place = { readonly method: Route["method"]; readonly path: string };

const WRITES = "policies and data come in signed bundles, and nothing of them is written over HTTP";
const QUERIES = "a query of one's own would have to be compiled; build what is asked again and again as an entrypoint";
const PARTIAL = "partial evaluation needs the sources of a policy; compiled policy is evaluated on a whole input";
const ROOT = "compiled policy answers at entrypoints only, and none is all of data";

const REASONS: readonly (readonly [reason: string, places: readonly Place[]])[] = [
  [
    WRITES,
    (["PUT", "PATCH", "DELETE"] as const).flatMap((method) =>
      ["/v1/data", "/v1/data/*path"].map((path) => ({ method, path })),
    ),
  ],
  [WRITES, (["PUT", "DELETE"] as const).map((method) => ({ method, path: "/v1/policies/*id" }))],
  [QUERIES, (["GET", "POST"] as const).map((method) => ({ method, path: "/v1/query" }))],
  [PARTIAL, ["/v1/compile", "/v1/compile/*path"].map((path) => ({ method: "POST", path }))],
  [
    ROOT,
    [
      { method: "GET", path: "/v1/data" },
      { method: "POST", path: "/v1/data" },
      { method: "POST", path: "/v0/data" },
      { method: "POST", path: "/v1/batch/data" },
    ],
  ],
];

export function uncompiledRoutes(): Route[] {
  return REASONS.flatMap(([reason, places]) =>
    places.map(({ method, path }): Route => {
      const part = /\*(\w+)/.exec(path)?.[1];
      const { 401: unknown, 403: forbidden, 501: unanswered, 503: unavailable } = OPA_ROUTE.failures;
      return {
        ...OPA_ROUTE,
        method,
        path,
        params: part === undefined ? {} : { [part]: "Whatever it is." },
        summary: "Not what compiled policy can do",
        description: `501: ${reason}.`,
        answers: { 501: unanswered! },
        failures: { 401: unknown!, 403: forbidden!, 503: unavailable! },
        handle: () => {
          throw notCompiled(reason);
        },
      };
    }),
  );
}
