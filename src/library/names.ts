// The names that a call's arguments hold: identifiers, or a RequestError that says which is none.
import { parser } from "../core/request.ts";
import { closed, Identifier, optional } from "../core/schema/base.ts";

const parseNames = parser(
  closed({
    mesh_id: optional(Identifier),
    workload_id: optional(Identifier),
    tenant_id: optional(Identifier),
    trace_id: optional(Identifier),
  }),
);

type Names = { readonly [name in "mesh_id" | "workload_id" | "tenant_id" | "trace_id"]?: unknown };

/** @throws RequestError 422 with the pointers of those that are no identifiers; undefined is absent. */
export function checkNames(names: Names): void {
  parseNames(Object.fromEntries(Object.entries(names).filter(([, name]) => name !== undefined)));
}
