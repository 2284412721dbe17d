// Whose things a caller may see: its own tenant's; all, where nobody has to say who they are.
import type { Caller } from "../../gate/gate.ts";
import { HttpError } from "./problem.ts";

/** The tenant of a request that names none, on a listener without authentication. Source: api.md §4. */
const DEFAULT_TENANT = "default";

/**
 * The tenant that a listing is about; undefined: all of them.
 * @throws HttpError 403 `tenant_forbidden`
 */
export function tenantAsked({ tenantId }: Caller, asked: string | undefined): string | undefined {
  if (tenantId === null) return asked;
  if (asked !== undefined && asked !== tenantId)
    throw new HttpError("tenant_forbidden", "Callers see what is their own tenant's only.");
  return tenantId;
}

/** The one tenant that a thing with a name is looked up in. @throws HttpError 403 `tenant_forbidden` */
export function tenantOf(caller: Caller, asked: string | undefined): string {
  return tenantAsked(caller, asked) ?? DEFAULT_TENANT;
}
