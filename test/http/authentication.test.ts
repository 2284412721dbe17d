// Where callers have to prove who they are: by JWT or by client certificate, and then only within their own tenant.
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { get, type ClientRequest, type IncomingMessage } from "node:http";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT, type CryptoKey } from "jose";
import { certificates } from "./certificates.ts";
import { admissible, emptyDir, send, start, type Started } from "./support.ts";
import { comes } from "../until.ts";

const ISSUER = "https://login.example";
const AUDIENCE = "railgate";

async function keyPair(alg: string, kid?: string) {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { alg, privateKey, jwk: { ...(await exportJWK(publicKey)), alg, ...(kid && { kid }) } };
}
const [ours, second, stranger] = await Promise.all([
  keyPair("ES256", "k1"),
  keyPair("EdDSA", "k2"),
  keyPair("ES256", "k1"),
]);
const served = await start({
  authentication: { jwt: { jwks: { keys: [ours.jwk, second.jwk] }, issuer: ISSUER, audience: AUDIENCE } },
});
const { call } = served;
test.after.always(() => served.close());

type Claims = {
  [claim: string]: unknown;
  tenant_id?: unknown;
  sub?: string;
  iss?: string;
  aud?: string;
  exp?: number | undefined;
  nbf?: number;
};
const nowS = () => Math.floor(Date.now() / 1000);
function token(
  claims: Claims = {},
  by: { alg: string; privateKey: CryptoKey } = ours,
  kid: string | null = "k1",
): Promise<string> {
  const payload = { tenant_id: "acme", sub: "ci", iss: ISSUER, aud: AUDIENCE, exp: nowS() + 300, ...claims };
  return new SignJWT(JSON.parse(JSON.stringify(payload)))
    .setProtectedHeader({ alg: by.alg, ...(kid !== null && { kid }) })
    .sign(by.privateKey);
}
const bearer = async (claims?: Claims, by?: { alg: string; privateKey: CryptoKey }, kid?: string | null) => ({
  authorization: `Bearer ${await token(claims, by, kid)}`,
});

test("who proves nothing is 401 with a challenge, and nothing is decided", async (t) => {
  for (const [method, path] of [
    ["POST", "/v1/admissions"],
    ["GET", "/v1/events"],
    ["GET", "/metrics"],
    ["GET", "/openapi.json"],
    ["GET", "/nowhere"],
    ["PUT", "/v1/admissions"],
  ] as const) {
    const { status, headers, json } = await call(
      method,
      path,
      method === "POST" ? { body: admissible("stranger") } : {},
    );
    t.is(status, 401, path);
    t.is(json.code, "unauthenticated");
    t.is(headers["www-authenticate"], 'Bearer realm="railgate"');
  }
  t.is((await call("GET", "/v1/events?workload_id=stranger", { headers: await bearer() })).json.items.length, 0);
});

test("health and keys are for everyone", async (t) => {
  for (const path of ["/healthz", "/readyz", "/health", "/.well-known/jwks.json"])
    t.is((await call("GET", path)).status, 200, path);
});

test("a caller's token says who acted, and for which tenant", async (t) => {
  for (const [by, kid] of [
    [ours, "k1"],
    [second, "k2"],
  ] as const) {
    const { status, json } = await call("POST", "/v1/admissions", {
      body: admissible("mine"),
      headers: await bearer({}, by, kid),
    });
    t.is(status, 200);
    t.is(json.decision.outcome, "accepted");
    t.is(json.event.actor, `jwt:${ISSUER}#ci`);
    t.is(json.event.tenant_id, "acme");
  }
});

const b64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
const refused: [string, () => Promise<string> | string][] = [
  ["expired", () => token({ exp: nowS() - 60 })],
  ["without an end", () => token({ exp: undefined })],
  ["not valid yet", () => token({ nbf: nowS() + 300 })],
  ["of another issuer", () => token({ iss: "https://evil.example" })],
  ["for another audience", () => token({ aud: "other" })],
  ["without a tenant", () => token({ tenant_id: undefined })],
  ["with a tenant that is no identifier", () => token({ tenant_id: "a b" })],
  ["with a list of tenants", () => token({ tenant_id: ["acme"] })],
  ["without a subject", () => token({ sub: undefined as never })],
  ["with a subject that would forge the record", () => token({ sub: "ci\u202e" })],
  ["by a stranger under a known key's name", () => token({}, stranger)],
  ["by an unknown key", () => token({}, stranger, "k9")],
  [
    "unsigned",
    () =>
      new UnsecuredJWT({ tenant_id: "acme", sub: "ci" })
        .setIssuer(ISSUER)
        .setAudience(AUDIENCE)
        .setExpirationTime("5m")
        .encode(),
  ],
  [
    "signed with a MAC over the public key",
    () =>
      new SignJWT({ tenant_id: "acme", sub: "ci" })
        .setIssuer(ISSUER)
        .setAudience(AUDIENCE)
        .setExpirationTime("5m")
        .setProtectedHeader({ alg: "HS256", kid: "k1" })
        .sign(Buffer.from(JSON.stringify(ours.jwk))),
  ],
  [
    "with a changed payload",
    async () =>
      (await token()).replace(
        /\.[^.]+\./,
        `.${b64({ tenant_id: "other", sub: "ci", iss: ISSUER, aud: AUDIENCE, exp: nowS() + 300 })}.`,
      ),
  ],
  ["that is none", () => "not-a-token"],
];
for (const [what, make] of refused) {
  test(`a token ${what} is 401`, async (t) => {
    const answer = await call("POST", "/v1/admissions", {
      body: admissible(),
      headers: { authorization: `Bearer ${await make()}` },
    });
    t.is(answer.status, 401);
    t.is(answer.json.code, "unauthenticated");
    t.regex(answer.headers["www-authenticate"] as string, /error="invalid_token"/);
  });
}

test("another scheme is no bearer token", async (t) => {
  t.is((await call("GET", "/v1/events", { headers: { authorization: "Basic YTpi" } })).status, 401);
});

test("callers see and change their own tenant's only", async (t) => {
  const acme = await bearer();
  const other = await bearer({ tenant_id: "other", sub: "bob" });
  const mine = (await call("POST", "/v1/admissions", { body: admissible("seen"), headers: acme })).json.event;
  t.is((await call("GET", `/v1/events/${mine.id}`, { headers: acme })).status, 200);
  for (const path of [`/v1/events/${mine.id}`, `/v1/events/${mine.id}/artifact`, "/v1/workloads/seen"])
    t.is((await call("GET", path, { headers: other })).status, 404, path);
  for (const path of [
    "/v1/events?tenant_id=acme",
    "/v1/workloads?tenant_id=acme",
    "/v1/workloads/seen?tenant_id=acme",
    `/v1/events/${mine.id}?tenant_id=acme`,
    `/v1/events/${mine.id}/artifact?tenant_id=acme`,
    `/v1/streams?tenant_id=acme`,
    `/v1/streams/${encodeURIComponent(mine.chain_id)}/checkpoint?tenant_id=acme`,
    "/v1/meshes?tenant_id=acme",
  ]) {
    const { status, json } = await call("GET", path, { headers: other });
    t.is(status, 403, path);
    t.is(json.code, "tenant_forbidden");
  }
  const listed = (await call("GET", "/v1/events", { headers: other })).json.items;
  t.deepEqual(
    listed.filter((event: { tenant_id: string }) => event.tenant_id !== "other"),
    [],
  );
  t.deepEqual((await call("GET", "/v1/workloads", { headers: other })).json.items, []);
  t.is(
    (await call("GET", "/v1/events", { headers: { ...other, accept: "text/event-stream", "last-event-id": mine.id } }))
      .status,
    404,
  );
});

test("a stream of events lasts no longer than the token that it was opened with", async (t) => {
  const exp = nowS() + 4;
  const brief = { ...(await bearer({ exp })), accept: "text/event-stream" };
  const { status, text } = await call("GET", "/v1/events", { headers: brief });
  const late = Date.now() - exp * 1000;
  t.is(status, 200);
  t.regex(text, /^retry: /);
  t.true(late > -100 && late < 60_000, `${late} ms`);
});

test("one tenant cannot take all places of those who follow events", async (t) => {
  const jwt = { jwks: { keys: [ours.jwk] }, issuer: ISSUER, audience: AUDIENCE };
  const small = await start({ authentication: { jwt } }, { follow: { clientsMax: 4, tenantClientsMax: 2 } });
  const streams: ClientRequest[] = [];
  const follow = async (tenant_id: string): Promise<IncomingMessage> => {
    const headers = { ...(await bearer({ tenant_id })), accept: "text/event-stream" };
    const request = get(`${small.url}/v1/events`, { headers, agent: false }).on("error", () => {});
    streams.push(request);
    return (await comes("an answer", once(request, "response")))[0];
  };
  const statuses: number[] = [];
  for (const tenant of ["acme", "acme", "acme", "globex", "globex"]) statuses.push((await follow(tenant)).statusCode!);
  t.deepEqual(statuses, [200, 200, 503, 200, 200]);
  t.is((await follow("third")).headers["retry-after"], "10");
  for (const stream of streams) stream.destroy();
  await small.close();
});

test("asking for another tenant's workload is refused in the caller's own stream (TEN-01)", async (t) => {
  const { status, json } = await call("POST", "/v1/admissions", {
    body: admissible("theirs", "victim"),
    headers: await bearer(),
  });
  t.is(status, 200);
  t.is(json.decision.outcome, "refused");
  t.true(json.decision.refusals.some((each: { rule: string }) => each.rule === "TEN-01"));
  t.is(json.event.tenant_id, "acme");
  t.is((await call("GET", "/v1/workloads/theirs", { headers: await bearer({ tenant_id: "victim" }) })).status, 404);
});

test("metrics are an operator's, and no tenant's; an operator sees every tenant, and is on record by name", async (t) => {
  const operator = await bearer({ tenant_id: undefined, railgate_role: "operator", sub: "olga" });
  for (const role of [undefined, "Operator", ["operator"], "webhook"]) {
    const { status, json } = await call("GET", "/metrics", { headers: await bearer({ railgate_role: role }) });
    t.is(status, 403);
    t.is(json.code, "operator_needed");
  }
  t.is((await call("GET", "/metrics", { headers: operator })).status, 200);
  const { id } = (await call("POST", "/v1/admissions", { body: admissible("seen-by-olga"), headers: await bearer() }))
    .json.event;
  for (const path of [`/v1/events/${id}`, `/v1/events/${id}/artifact`, "/v1/workloads/seen-by-olga?tenant_id=acme"])
    t.is((await call("GET", path, { headers: operator })).status, 200, path);
  t.is((await call("GET", `/v1/events/${id}?tenant_id=other`, { headers: operator })).status, 404);
  const erased = await call("POST", `/v1/events/${id}/erasure`, { headers: operator, body: { basis: "request 1" } });
  t.is(erased.status, 200);
  t.is(erased.json.event.actor, `jwt:${ISSUER}#olga`);
  const denied = await call("POST", `/v1/events/${id}/erasure`, {
    headers: await bearer(),
    body: { basis: "request 1" },
  });
  t.is(denied.json.code, "operator_needed");
});

test("what operators do with node, keys and policies is closed to tenants, and on record by name", async (t) => {
  const { call, close } = await start({
    authentication: { jwt: { jwks: { keys: [ours.jwk] }, issuer: ISSUER, audience: AUDIENCE } },
  });
  t.teardown(close);
  const operator = await bearer({ tenant_id: undefined, railgate_role: "operator", sub: "olga" });
  const tenant = await bearer();
  const digest = `sha256:${"0".repeat(64)}`;
  const closed: [method: string, path: string, body?: object | Uint8Array][] = [
    ["GET", "/v1/node"],
    ["POST", "/v1/node/partition", { reason: "drill" }],
    ["POST", "/v1/node/rejoin", {}],
    ["POST", "/v1/keys/rotate", {}],
    ["GET", "/v1/policies"],
    ["POST", "/v1/policies", new Uint8Array(1)],
    ...["activate", "shadow", "deprecate"].map(
      (act) => ["POST", `/v1/policies/${digest}/${act}`, {}] as [string, string, object],
    ),
    ["GET", `/v1/policies/${digest}/differences`],
  ];
  for (const [method, path, body] of closed) {
    const type = body instanceof Uint8Array && { "content-type": "application/gzip" };
    const ask = (headers: object) => call(method, path, { headers: { ...headers, ...type }, ...(body && { body }) });
    const denied = await ask(tenant);
    t.deepEqual([denied.status, denied.json.code], [403, "operator_needed"], `${method} ${path}`);
    t.not((await ask(operator)).status, 403, `${method} ${path}`);
  }
  const { json } = await call("GET", "/v1/events?event_type=node.start&limit=2&tenant_id=default", {
    headers: operator,
  });
  t.deepEqual(
    json.items.map(({ actor, details }: any) => [actor, details.act]),
    ["rejoin", "partition"].map((act) => [`jwt:${ISSUER}#olga`, act]),
  );
});

test("metrics and health on a listener of their own, and nothing else", async (t) => {
  const jwt = { jwks: { keys: [ours.jwk] }, issuer: ISSUER, audience: AUDIENCE, operator_claim: "role" };
  const own = await start({ authentication: { jwt }, diagnostics: { listen: "127.0.0.1:0" } });
  for (const path of ["/metrics", "/healthz", "/readyz", "/health"])
    t.is((await send(own.diagnosticsUrl!, "GET", path)).status, 200, path);
  for (const path of ["/v1/events", "/openapi.json", "/.well-known/jwks.json"])
    t.is((await send(own.diagnosticsUrl!, "GET", path)).status, 404, path);
  t.is((await send(own.diagnosticsUrl!, "GET", "/metrics", { headers: { host: "evil.example" } })).status, 403);
  t.is((await own.call("GET", "/metrics", { headers: await bearer({ role: "operator" }) })).status, 200);
  t.is((await own.call("GET", "/metrics", { headers: await bearer({ railgate_role: "operator" }) })).status, 403);
  await own.close();
  await t.throwsAsync(send(own.diagnosticsUrl!, "GET", "/healthz"));
});

test("the log says who called, why one was turned away, and what was not found", async (t) => {
  const line = async (requestId: string, more: Record<string, string>, path = "/v1/events") => {
    await call("GET", path, { headers: { "x-request-id": requestId, ...more } });
    return served.logs.find((each) => each["request_id"] === requestId);
  };
  t.like(await line("log-1", await bearer()), { caller: `jwt:${ISSUER}#ci`, tenant_id: "acme", status: 200 });
  t.like(await line("log-2", await bearer({ exp: nowS() - 100 })), { status: 401, code: "unauthenticated" });
  t.regex(served.logs.find((each) => each["request_id"] === "log-2")!["problem"], /"exp" claim/);
  t.like(await line("log-3", await bearer(), "/v1/evnets?secret=1"), { status: 404, path: "/v1/evnets" });
  t.is(await line("log-4", {}, "/healthz"), undefined);
});

test("strangers hear that something is wrong, and not what", async (t) => {
  const broken = await start(
    { authentication: { jwt: { jwks: { keys: [ours.jwk] }, issuer: ISSUER, audience: AUDIENCE } } },
    { bundle: { bytes: () => Buffer.from("no bundle"), keys: { keys: [] } } },
  );
  const { status, json } = await broken.call("GET", "/readyz");
  t.is(status, 503);
  t.is(json.detail, "policy: the node's log says what is wrong");
  await broken.close();
});

test("keys without ids are all tried", async (t) => {
  const { kid: _1, ...one } = ours.jwk as { kid?: string };
  const third = await keyPair("ES256");
  const many = await start({
    authentication: { jwt: { jwks: { keys: [third.jwk, one] }, issuer: ISSUER, audience: AUDIENCE } },
  });
  t.is((await many.call("GET", "/v1/events", { headers: await bearer({}, ours, null) })).status, 200);
  t.is((await many.call("GET", "/v1/events", { headers: await bearer({}, stranger, null) })).status, 401);
  await many.close();
});

test("mTLS: the certificate's subject names the tenant; without one only the open doors are open", async (t) => {
  const dir = emptyDir();
  const file = certificates(dir);
  const at = (name: string) => join(dir, name);
  const mtls = await start({
    tls: { cert: at("server.crt"), key: at("server.key"), client_ca: at("ca.crt") },
    authentication: { mtls: {} },
  });
  const as = (name?: string) => ({
    tls: { ca: file("ca.crt"), ...(name && { cert: file(`${name}.crt`), key: file(`${name}.key`) }) },
  });
  await mtlsAnswers(t, mtls, as);
  await mtls.close();
});

test("what is wrong with certificate and key is told by setting and file", async (t) => {
  const dir = emptyDir();
  certificates(dir);
  writeFileSync(join(dir, "none"), "none");
  const at = (name: string) => join(dir, name);
  for (const [setting, file, fault, tls] of [
    ["cert", "gone", /ENOENT/, { cert: at("gone"), key: at("server.key") }],
    ["cert", "none", /no certificate/, { cert: at("none"), key: at("server.key") }],
    ["key", "none", /no private key/, { cert: at("server.crt"), key: at("none") }],
    ["key", "client.key", /is not the key of the certificate in/, { cert: at("server.crt"), key: at("client.key") }],
    ["client_ca", "none", /no certificate/, { cert: at("server.crt"), key: at("server.key"), client_ca: at("none") }],
  ] as const) {
    const error = await t.throwsAsync(start({ tls }), { code: "config_invalid" }, setting);
    t.true(error!.message.startsWith(`railgate.tls.${setting}: `), error!.message);
    t.true(error!.message.includes(at(file)), error!.message);
    t.regex(error!.message, fault);
  }
});

test("what is wrong with a directory is told by setting and place", async (t) => {
  const dir = emptyDir();
  const file = join(dir, "file");
  writeFileSync(file, "");
  for (const [setting, settings] of [
    ["railgate.data_dir", { data_dir: join(file, "data") }],
    ["railgate.data_dir", { data_dir: file }],
    ["railgate.evidence.checkpoint_dir", { evidence: { checkpoint_dir: join(file, "checkpoints") } }],
  ] as const) {
    const error = await t.throwsAsync(start(settings));
    t.true(error!.message.startsWith(`${setting}: `), error!.message);
    t.true(error!.message.includes(file), error!.message);
  }
});

async function mtlsAnswers(
  t: ExecutionContext,
  { call, url }: Started,
  as: (name?: string) => { tls: object },
): Promise<void> {
  t.regex(url, /^https:/);
  const { status, json, headers } = await call("POST", "/v1/admissions", { body: admissible(), ...as("client") });
  t.is(status, 200);
  t.is(json.event.actor, "mtls:deployer");
  t.is(json.event.tenant_id, "acme");
  t.regex(headers["strict-transport-security"] as string, /max-age/);
  t.is((await call("GET", "/healthz", as())).status, 200);
  t.is((await call("GET", "/metrics", as("operator"))).status, 200);
  t.is((await call("GET", "/metrics", as("client"))).status, 403);
  for (const who of [undefined, "no-tenant", "stranger"]) {
    const answer = await call("GET", "/v1/events", as(who));
    t.is(answer.status, 401, who);
    t.truthy(answer.headers["www-authenticate"]);
    // Whose certificate is bad spoils it for nobody else.
    t.is((await call("GET", "/v1/events", as("client"))).status, 200, `behind ${who}`);
  }
}
