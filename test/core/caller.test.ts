// Who may name whose things: a tenant its own, the host any, nobody none.
import test from "ava";
import {
  actorOf,
  hostCaller,
  maySee,
  NOBODY,
  operatorActing,
  operatorCaller,
  provenTenant,
  tenantActing,
  tenantAsked,
  tenantCaller,
  tenantOf,
} from "../../src/core/caller.ts";

const HOST = hostCaller("cli");
const ACME = tenantCaller("acme", "jwt:us#ann");
const FORBIDDEN = { code: "tenant_forbidden" };

test("a tenant sees its own, whether it names it or not, and may name no other", (t) => {
  t.is(tenantAsked(ACME, undefined), "acme");
  t.is(tenantOf(ACME, "acme"), "acme");
  t.throws(() => tenantOf(ACME, "globex"), FORBIDDEN);
  t.throws(() => tenantAsked(ACME, "globex"), FORBIDDEN);
  t.deepEqual([maySee(ACME, "acme"), maySee(ACME, "globex")], [true, false]);
  t.is(tenantActing(ACME, "globex"), "acme");
});

test("the host names any tenant: all in a listing, the default one for a single thing", (t) => {
  t.is(tenantAsked(HOST, undefined), undefined);
  t.is(tenantOf(HOST, undefined), "default");
  t.is(tenantOf(HOST, "globex"), "globex");
  t.is(tenantActing(HOST, "globex"), "globex");
  t.true(maySee(HOST, "globex"));
  t.is(provenTenant(HOST), null);
});

test("nobody is not everyone: whoever has proved nothing may name, see and do nothing", (t) => {
  t.throws(() => tenantAsked(NOBODY, undefined), FORBIDDEN);
  t.throws(() => tenantOf(NOBODY, "acme"), FORBIDDEN);
  t.throws(() => tenantActing(NOBODY, "acme"), FORBIDDEN);
  t.throws(() => provenTenant(NOBODY), FORBIDDEN);
  t.throws(() => actorOf(NOBODY), FORBIDDEN);
  t.false(maySee(NOBODY, "acme"));
});

test("an operator sees all tenants, and only operators and the host operate", (t) => {
  const OPERATOR = operatorCaller("jwt:us#ops");
  t.is(provenTenant(OPERATOR), null);
  t.true(maySee(OPERATOR, "globex"));
  t.is(operatorActing(OPERATOR), "jwt:us#ops");
  t.is(operatorActing(HOST), "cli");
  for (const caller of [ACME, NOBODY]) t.throws(() => operatorActing(caller), { code: "operator_needed" });
});
