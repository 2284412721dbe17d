// Who asks, and the one place that says whose things they may name: its own tenant's, any tenant's, or nobody's.
import { NodeNeededError, OperatorNeededError, TenantForbiddenError } from "./errors.ts";

/**
 * - `tenant`: proved to act for one tenant, and sees nothing else.
 * - `operator`: proved to run this node; sees all tenants, and does what operators do.
 * - `node`: proved to be another node of this id; sends its records, and sees nothing.
 * - `host`: the process that holds the data, or whoever may open a connection to its loopback; acts for any tenant.
 * - `webhook`: proved to be a cluster's API server; may have any tenant's pods reviewed, and nothing else.
 * - `nobody`: has proved nothing yet, and may name nothing.
 */
export type Caller =
  | { readonly kind: "tenant"; readonly tenantId: string; readonly actor: string }
  | { readonly kind: "operator"; readonly actor: string }
  | { readonly kind: "node"; readonly nodeId: string; readonly actor: string }
  | { readonly kind: "host"; readonly actor: string }
  | { readonly kind: "webhook"; readonly actor: string }
  | { readonly kind: "nobody" };

export const NOBODY: Caller = Object.freeze({ kind: "nobody" });

/** The tenant of a request that names none, where nobody has to say for whom they act (spec api §4). */
const DEFAULT_TENANT = "default";

export const hostCaller = (actor: string): Caller => ({ kind: "host", actor });
export const nodeCaller = (nodeId: string, actor: string): Caller => ({ kind: "node", nodeId, actor });
export const operatorCaller = (actor: string): Caller => ({ kind: "operator", actor });
export const webhookCaller = (actor: string): Caller => ({ kind: "webhook", actor });
export const tenantCaller = (tenantId: string, actor: string): Caller => ({ kind: "tenant", tenantId, actor });

/** The tenant that a caller proved to act for; null where it may act for any. @throws TenantForbiddenError nobody, webhook */
export function provenTenant(caller: Caller): string | null {
  switch (caller.kind) {
    case "tenant":
      return caller.tenantId;
    case "operator":
    case "host":
      return null;
    case "webhook":
      throw new TenantForbiddenError("A cluster's API server may ask for reviews, and nothing else.");
    case "node":
      throw new TenantForbiddenError("A node sends its records, and does nothing for any tenant.");
    case "nobody":
      throw new TenantForbiddenError("Who is calling is not proven.");
  }
}

/** Whom a cluster's review is decided for: there, and there alone, a webhook may name any tenant (spec api §2). */
export const clusterActing = (caller: Caller): Caller =>
  caller.kind === "webhook" ? hostCaller(caller.actor) : caller;

/** As evidence names it. @throws TenantForbiddenError nobody */
export function actorOf(caller: Caller): string {
  if (caller.kind === "nobody") throw new TenantForbiddenError("Who is calling is not proven.");
  return caller.actor;
}

/**
 * The tenant that a listing is about; undefined: all of them.
 * @throws TenantForbiddenError it names a tenant that is not the caller's.
 */
export function tenantAsked(caller: Caller, named: string | undefined): string | undefined {
  const own = provenTenant(caller);
  if (own === null) return named;
  if (named !== undefined && named !== own)
    throw new TenantForbiddenError("Callers see what is their own tenant's only.");
  return own;
}

/** The one tenant that a thing with a name is looked up in. @throws TenantForbiddenError */
export function tenantOf(caller: Caller, named: string | undefined): string {
  return tenantAsked(caller, named) ?? DEFAULT_TENANT;
}

/** The caller, for the one tenant that it names. @throws TenantForbiddenError */
export function narrowed(caller: Caller, named: string | undefined): Caller {
  const tenantId = tenantAsked(caller, named);
  return tenantId === undefined ? caller : tenantCaller(tenantId, actorOf(caller));
}

/** Whose stream an act on a tenant's thing goes to: the caller's own, whatever it names, so that even a refusal of another's is its own record. */
export function tenantActing(caller: Caller, named: string): string {
  return provenTenant(caller) ?? named;
}

/** Whether the caller may see what is this tenant's. */
export function maySee(caller: Caller, tenantId: string): boolean {
  return mayOperate(caller) || (caller.kind === "tenant" && caller.tenantId === tenantId);
}

/** Whether the caller may do what operators do. */
const mayOperate = ({ kind }: Caller): boolean => kind === "operator" || kind === "host";

/** As evidence names who operates. @throws OperatorNeededError */
export function operatorActing(caller: Caller): string {
  if (!mayOperate(caller)) throw new OperatorNeededError("Only an operator of this node may do that.");
  return actorOf(caller);
}

/**
 * The node whose records a caller may send; null: any node's.
 * @throws NodeNeededError
 */
export function nodeSending(caller: Caller): string | null {
  if (caller.kind === "node") return caller.nodeId;
  if (mayOperate(caller)) return null;
  throw new NodeNeededError("Only a node, or an operator, sends records.");
}
