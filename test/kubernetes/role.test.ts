// Who may ask for reviews: the role `webhook` any tenant's, and nothing else; a tenant its own; by token or by certificate.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { emptyDir, send, start } from "../http/support.ts";
import { namespace, reviewOf, soundPod } from "./reviews.ts";

const PATH = "/v1/kubernetes/admission";
const ISSUER = "https://login.example";
const { privateKey, publicKey } = await generateKeyPair("ES256");
const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: "k", alg: "ES256" }] };
const served = await start({ authentication: { jwt: { jwks, issuer: ISSUER, audience: "railgate" } } });
test.after.always(() => served.close());

const bearer = async (claims: object) => ({
  authorization: `Bearer ${await new SignJWT({ sub: "api", ...claims })
    .setProtectedHeader({ alg: "ES256", kid: "k" })
    .setIssuer(ISSUER)
    .setAudience("railgate")
    .setExpirationTime("1h")
    .sign(privateKey)}`,
});

test("the role webhook has any tenant's pods reviewed, and may do nothing else", async (t) => {
  const headers = await bearer({ railgate_role: "webhook" });
  for (const review of [reviewOf(namespace("shop")), reviewOf(soundPod())]) {
    const { status, json } = await served.call("POST", PATH, { headers, body: review });
    t.is(status, 200);
    t.true(json.response.allowed, JSON.stringify(json));
  }
  const forbidden: [method: string, path: string, body?: object][] = [
    ["GET", "/v1/events"],
    ["GET", "/v1/events?tenant_id=shop"],
    ["GET", "/v1/workloads"],
    ["GET", "/v1/meshes"],
    ["GET", "/metrics"],
    ["POST", "/v1/exports", { tenant_id: "shop" }],
    ["POST", "/v1/keys/rotate", {}],
    ["POST", "/v1/admissions", { workload: { workload_id: "a", tenant_id: "shop" } }],
    ["PUT", "/v1/meshes/m/topology", { rails: [] }],
  ];
  for (const [method, path, body] of forbidden) {
    const answered = await served.call(method, path, { headers, ...(body && { body }) });
    t.is(answered.status, 403, `${method} ${path}: ${answered.text}`);
  }
  const operator = await bearer({ railgate_role: "operator" });
  const { items } = (await served.call("GET", "/v1/events?tenant_id=shop", { headers: operator })).json;
  t.like(items[0], { subject: "shop/pod/web", actor: `jwt:${ISSUER}#api` });
});

test("a tenant has its own namespaces' pods reviewed, and no namespace", async (t) => {
  const headers = await bearer({ tenant_id: "shop" });
  t.true((await served.call("POST", PATH, { headers, body: reviewOf(soundPod()) })).json.response.allowed);
  const other = soundPod({ metadata: { namespace: "other" } });
  for (const body of [reviewOf(other), reviewOf(namespace("shop", { "railgate.dev/law": "off" }))]) {
    const { json } = await served.call("POST", PATH, { headers, body });
    t.like(json.response, { allowed: false, status: { code: 403 } });
    t.is(json.response.status.details.causes[0].reason, "tenant_forbidden");
  }
});

test("who proves nothing is 401, as everywhere", async (t) => {
  t.is((await served.call("POST", PATH, { body: reviewOf(soundPod()) })).status, 401);
});

test("the API server's certificate: its organisational unit is the role", async (t) => {
  const dir = emptyDir();
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: dir, stdio: "pipe" });
  const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl("req", "-x509", ...ec, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca", "-days", "2");
  for (const [name, subject] of [
    ["server", "/CN=localhost"],
    ["apiserver", "/CN=kube-apiserver/OU=webhook"],
    ["nobody", "/CN=nobody/OU=other"],
  ] as const) {
    openssl("req", ...ec, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", subject);
    openssl(
      ...["x509", "-req", "-in", `${name}.csr`, "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"],
      ...["-out", `${name}.crt`, "-days", "1"],
    );
  }
  const tls = { cert: join(dir, "server.crt"), key: join(dir, "server.key"), client_ca: join(dir, "ca.crt") };
  const node = await start({ tls, authentication: { mtls: {} } });
  const read = (file: string) => readFileSync(join(dir, file), "utf8");
  const as = (name: string) => ({ ca: read("ca.crt"), cert: read(`${name}.crt`), key: read(`${name}.key`) });
  const url = node.url.replace("127.0.0.1", "localhost");
  const call = (name: string, path: string) => send(url, "POST", path, { tls: as(name), body: reviewOf(soundPod()) });
  t.true((await call("apiserver", PATH)).json.response.allowed);
  t.is((await call("nobody", PATH)).status, 401);
  t.is((await send(url, "GET", "/v1/events", { tls: as("apiserver") })).status, 403);
  await node.close();
});
