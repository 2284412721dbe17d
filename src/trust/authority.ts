// Authority bindings, their delegation chains, and exceptions: what they say and whether it could be verified.
import { digestOf } from "../core/event.ts";
import type { AuthorityFact, DelegationFact, ExceptionFact } from "../core/schema/input.ts";
import { maybe, reading, statement, text, texts, time, Unreadable, type Claims } from "./claims.ts";
import type { Issuers } from "./keys.ts";
import type { Used } from "./snapshot.ts";
import { makeCheck, type TokenCheck, type Checked } from "./token.ts";

/** The header `typ` of each kind, without which none is taken for one: a link is no binding, a binding no exception. */
const AUTHORITY_TYPES = {
  binding: "railgate-authority+jws",
  delegation: "railgate-delegation+jws",
  exception: "railgate-exception+jws",
} as const;

/** The scope that a chain must carry whose end may grant exceptions (spec law §3). */
const EXCEPT = "workload.except";
/** Bounds what one token can make us verify; how long a chain may be the law says (`settings.authority.delegation_max`). */
const LINKS_MAX = 8;

export interface Authorities {
  /** A binding and its chain. The keys that verified are added to `used`. */
  bindingFact(token: string, used: Used): Promise<AuthorityFact>;
  /** Exceptions in their order, each once. The keys that verified are added to `used`. */
  exceptionFacts(tokens: readonly string[], used: Used): Promise<ExceptionFact[]>;
}

/** Notes the key that a token was verified with. */
function note(used: Used, checked: Checked): Checked {
  if (checked.error === undefined) used.key(checked.key);
  return checked;
}

export function makeAuthorities(issuers: Issuers, roots: ReadonlySet<string>): Authorities {
  const check = (typ: string) => makeCheck({ claim: "issuer", isTyp: (given) => given === typ }, issuers);
  const checks = {
    binding: check(AUTHORITY_TYPES.binding),
    delegation: check(AUTHORITY_TYPES.delegation),
    exception: check(AUTHORITY_TYPES.exception),
  };
  return {
    async bindingFact(token, used) {
      const checked = note(used, await checks.binding(token));
      const binding = checked.error === undefined ? readBinding(checked.payload) : undefined;
      if (binding === undefined) return rejectedBinding(checked.error ?? "malformed");
      const { delegation, ...claims } = binding;
      if (delegation.length === 0 && !roots.has(claims.issuer))
        return { ...said(claims), status: "rejected", error: "issuer", ...NO_CHAIN };
      const chain = await chainOf(delegation, roots, checks.delegation, used);
      const ends = chain.delegation.map(({ valid_to_ms }) => valid_to_ms);
      return { ...said(claims), ...chain, until_ms: extreme(Math.min, claims.valid_to_ms, ends) };
    },
    async exceptionFacts(tokens, used) {
      const distinct = [...new Set(tokens)];
      return Promise.all(distinct.map((token) => exceptionFact(token, checks, roots, used)));
    },
  };
}

type BindingClaims = {
  issuer: string;
  tenant_id: string | null;
  subject: string;
  scope: string[];
  valid_from_ms: number;
  valid_to_ms: number;
};

/** An authority binding. Undefined if malformed. */
const readBinding = reading((claims) => ({
  ...bindingClaims(claims),
  tenant_id: text(claims.tenant_id),
  delegation: delegationOf(claims),
}));

/** A link of a chain; without a tenant it is for all. Undefined if malformed. */
const readLink = reading((claims) => ({ ...bindingClaims(claims), tenant_id: maybe(text, claims.tenant_id) }));

function bindingClaims(claims: Claims): BindingClaims {
  return {
    issuer: text(claims.issuer),
    tenant_id: null,
    subject: text(claims.subject),
    scope: texts(claims.scope),
    valid_from_ms: time(claims.valid_from),
    valid_to_ms: time(claims.valid_to),
  };
}

/** Compact JWSs, root first; empty where none is given. */
const delegationOf = (claims: Claims): string[] => (claims.delegation === undefined ? [] : texts(claims.delegation));

const readException = reading((claims) => {
  if (claims.workload_id === "*") throw new Unreadable();
  return {
    issuer: text(claims.issuer),
    tenant_id: text(claims.tenant_id),
    workload_id: text(claims.workload_id),
    rules: texts(claims.rules),
    not_before_ms: time(claims.not_before),
    not_after_ms: time(claims.not_after),
    reason: statement(text(claims.reason)),
    delegation: delegationOf(claims),
  };
});

const said = (claims: BindingClaims): DelegationFact => ({ status: "verified", error: null, ...claims });

const NOTHING_BOUND = {
  issuer: null,
  tenant_id: null,
  subject: null,
  scope: [],
  valid_from_ms: null,
  valid_to_ms: null,
};
const NO_CHAIN = { delegation: [], delegation_error: null, until_ms: null };

const rejectedLink = (error: DelegationFact["error"]): DelegationFact => ({
  status: "rejected",
  error,
  ...NOTHING_BOUND,
});
const rejectedBinding = (error: DelegationFact["error"]): AuthorityFact => ({ ...rejectedLink(error), ...NO_CHAIN });

type Chain = Pick<AuthorityFact, "delegation" | "delegation_error">;

/** What the links say, and what the first at fault is at fault for. That they hang together the law judges. */
async function chainOf(
  links: readonly string[],
  roots: ReadonlySet<string>,
  check: TokenCheck,
  used: Used,
): Promise<Chain> {
  if (links.length > LINKS_MAX) return { delegation: [], delegation_error: "malformed" };
  const delegation = await Promise.all(
    links.map(async (link): Promise<DelegationFact> => {
      const checked = note(used, await check(link));
      if (checked.error !== undefined) return rejectedLink(checked.error);
      const claims = readLink(checked.payload);
      return claims === undefined ? rejectedLink("malformed") : said(claims);
    }),
  );
  return { delegation, delegation_error: chainError(delegation, roots) };
}

function chainError(links: readonly DelegationFact[], roots: ReadonlySet<string>): AuthorityFact["delegation_error"] {
  const failed = links.find(({ status }) => status === "rejected");
  if (failed !== undefined) return failed.error === "algorithm" ? "signature" : failed.error;
  const [first] = links;
  return first === undefined || roots.has(first.issuer ?? "") ? null : "root";
}

/** The latest start or the earliest end of a token and its chain; null where a link has none. */
function extreme(of: (...ms: number[]) => number, own: number, links: readonly (number | null)[]): number | null {
  return links.includes(null) ? null : of(own, ...(links as number[]));
}

async function exceptionFact(
  token: string,
  checks: { exception: TokenCheck; delegation: TokenCheck },
  roots: ReadonlySet<string>,
  used: Used,
): Promise<ExceptionFact> {
  const digest = digestOf(token);
  const checked = note(used, await checks.exception(token));
  const claims = checked.error === undefined ? readException(checked.payload) : undefined;
  if (claims === undefined) return { ...rejectedException(checked.error ?? "malformed"), digest };
  const { delegation, ...words } = claims;
  const root = roots.has(claims.issuer);
  const chain = await chainOf(delegation, roots, checks.delegation, used);
  const links = chain.delegation;
  return {
    status: "verified",
    error: null,
    digest,
    ...words,
    root,
    may_except: chain.delegation_error === null && (delegation.length === 0 ? root : mayExcept(claims, links)),
    links: delegation.length,
    from_ms: extreme(
      Math.max,
      claims.not_before_ms,
      links.map(({ valid_from_ms }) => valid_from_ms),
    ),
    until_ms: extreme(
      Math.min,
      claims.not_after_ms,
      links.map(({ valid_to_ms }) => valid_to_ms),
    ),
  };
}

/** Each link verified, empowering the next, no wider than the one before it, for this tenant, with the scope to except. */
function mayExcept(holder: { issuer: string; tenant_id: string }, links: readonly DelegationFact[]): boolean {
  return links.every(({ subject, scope, tenant_id }, index) => {
    const before = links[index - 1];
    return (
      subject === (links[index + 1] ?? holder).issuer &&
      (tenant_id === null || tenant_id === holder.tenant_id) &&
      scope.includes(EXCEPT) &&
      (before === undefined || scope.every((each) => before.scope.includes(each)))
    );
  });
}

const rejectedException = (error: ExceptionFact["error"]): Omit<ExceptionFact, "digest"> => ({
  status: "rejected",
  error,
  issuer: null,
  tenant_id: null,
  workload_id: null,
  rules: [],
  not_before_ms: null,
  not_after_ms: null,
  reason: null,
  root: false,
  may_except: false,
  links: 0,
  from_ms: null,
  until_ms: null,
});
