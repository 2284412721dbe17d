// What a node says of itself, and what is at no route.
import { request as httpRequest } from "node:http";
import test from "ava";
import { DatabaseSync } from "node:sqlite";
import { admissible, insufficient, raw, start } from "./support.ts";

const served = await start();
const { call, port } = served;
test.after.always(() => served.close());

test("alive, ready, and OPA's health", async (t) => {
  t.deepEqual((await call("GET", "/healthz")).json, { status: "ok" });
  t.deepEqual((await call("GET", "/readyz")).json, { status: "ready" });
  t.is((await call("GET", "/health")).text, "{}");
  t.is((await call("GET", "/health?plugins&bundle=true")).status, 200);
});

test("without a policy it is alive, not ready, and refuses everything with evidence", async (t) => {
  const broken = await start({}, { bundle: { bytes: () => Buffer.from("no bundle"), keys: { keys: [] } } });
  t.is((await broken.call("GET", "/healthz")).status, 200);
  const ready = await broken.call("GET", "/readyz");
  t.is(ready.status, 503);
  t.is(ready.json.code, "not_ready");
  t.regex(ready.json.detail, /^policy: /);
  const { status, json } = await broken.call("POST", "/v1/admissions", { body: admissible() });
  t.is(status, 200);
  t.like(json, {
    decision: { outcome: "refused", refusals: [{ code: "policy_unavailable", rule: "POL-01" }] },
    event: { event_type: "workload.refuse" },
  });
  await broken.close();
});

test("keys are public, and only public", async (t) => {
  const { status, json, headers } = await call("GET", "/.well-known/jwks.json");
  t.is(status, 200);
  t.is(headers["content-type"], "application/jwk-set+json");
  t.is(json.keys.length, 1);
  t.like(json.keys[0], { kty: "OKP", crv: "Ed25519" });
  t.false("d" in json.keys[0]);
});

test("metrics count decisions, refusals, batches, calls and the process", async (t) => {
  await call("POST", "/v1/admissions", { body: admissible() });
  await call("POST", "/v1/admissions", { body: insufficient() });
  const { status, text, headers } = await call("GET", "/metrics");
  t.is(status, 200);
  t.regex(headers["content-type"] as string, /^text\/plain; version=/);
  for (const line of [
    /^railgate_decisions_total\{outcome="accepted"\} [1-9]/m,
    /^railgate_decisions_total\{outcome="refused"\} [1-9]/m,
    /^railgate_refusals_total\{code="envelope_insufficient"\} [1-9]/m,
    /^railgate_evaluation_duration_seconds_count [1-9]/m,
    /^railgate_signing_duration_seconds_count [1-9]/m,
    /^railgate_commit_duration_seconds_count [1-9]/m,
    /^railgate_batch_events_count [1-9]/m,
    /^railgate_evidence_waiting 0/m,
    /^railgate_evidence_failures_total 0/m,
    /^railgate_ready 1/m,
    /^railgate_event_followers 0/m,
    /^railgate_info\{version="[^"]+",node_id="[^"]+",policy_digest="sha256:[0-9a-f]{64}"\} 1/m,
    /^railgate_http_request_duration_seconds_count\{method="POST",route="\/v1\/admissions",status="200"\} [1-9]/m,
    /^process_cpu_seconds_total /m,
    /^process_resident_memory_bytes /m,
    /^nodejs_eventloop_lag_seconds /m,
  ])
    t.regex(text, line);
});

test("paths of callers do not become labels", async (t) => {
  await call("GET", "/nowhere/in-particular");
  t.notRegex((await call("GET", "/metrics")).text, /in-particular/);
});

test("unknown paths are 404 problems", async (t) => {
  for (const path of [
    "/v1",
    "/v1/",
    "/v1/admissions/",
    "/V1/admissions",
    "/v1/workloads/a/b",
    "/v1/events/1/2",
    "//v1/events",
    "/v1/admissions/batch/x",
    "/docs/",
  ]) {
    const { status, json, headers } = await call("GET", path);
    t.is(status, 404, path);
    t.is(json.code, "not_found");
    t.is(headers["content-type"], "application/problem+json");
  }
});

test("a wrong method is 405 with what is allowed", async (t) => {
  for (const [method, path, allow] of [
    ["GET", "/", "POST, OPTIONS"],
    ["GET", "/v1/admissions", "POST, OPTIONS"],
    ["PUT", "/v1/admissions", "POST, OPTIONS"],
    ["POST", "/v1/events", "GET, HEAD, OPTIONS"],
    ["DELETE", "/v1/workloads/a", "GET, HEAD, OPTIONS"],
    ["PATCH", "/healthz", "GET, HEAD, OPTIONS"],
    ["TRACE", "/docs", "GET, HEAD, OPTIONS"],
  ]) {
    const { status, json, headers } = await call(method!, path!);
    t.is(status, 405, `${method} ${path}`);
    t.is(json.code, "method_not_allowed");
    t.is(headers.allow, allow);
  }
});

test("HEAD answers as GET does, without the body", async (t) => {
  for (const path of ["/healthz", "/v1/meshes", "/openapi.json", "/docs"]) {
    const [get, head] = [await call("GET", path), await call("HEAD", path)];
    t.is(head.status, 200, path);
    t.is(head.text, "");
    t.is(head.headers["content-length"], get.headers["content-length"]);
    t.is(head.headers["content-type"], get.headers["content-type"]);
  }
});

test("every answer carries the security headers", async (t) => {
  for (const [method, path] of [
    ["GET", "/healthz"],
    ["POST", "/v1/admissions"],
    ["GET", "/nowhere"],
    ["GET", "/docs"],
  ] as const) {
    const { headers } = await call(method, path);
    t.regex(headers["content-security-policy"] as string, /^default-src 'none'/);
    t.is(headers["x-content-type-options"], "nosniff");
    t.is(headers["x-frame-options"], "DENY");
    t.is(headers["cross-origin-resource-policy"], "same-origin");
    t.is(headers["referrer-policy"], "no-referrer");
    t.is(headers["x-powered-by"], undefined);
    t.is(headers["strict-transport-security"], undefined);
    t.truthy(headers["x-request-id"]);
  }
});

test("streams, and answers to what is no request, carry them as well", async (t) => {
  const own = await start();
  await own.call("POST", "/v1/admissions", { body: admissible("streamed") });
  const { status, headers } = await own.call("POST", "/v1/exports", { body: { tenant_id: "acme" } });
  t.is(status, 200);
  t.regex(headers["content-security-policy"] as string, /^default-src 'none'/);
  t.is(headers["cache-control"], "no-store");
  const live = await own.call("HEAD", "/v1/events", { headers: { accept: "text/event-stream" } });
  t.is(live.headers["content-type"], "text/event-stream");
  t.regex(live.headers["content-security-policy"] as string, /^default-src 'none'/);
  t.regex((await own.call("GET", "/metrics")).text, /^railgate_event_followers 0$/m);
  t.regex(await raw(own.port, "hello\r\n\r\n"), /content-security-policy: default-src 'none'/i);
  await own.close();
});

test("the description names every route, and only shapes that it has", async (t) => {
  const { status, json, text } = await call("GET", "/openapi.json");
  t.is(status, 200);
  t.is(json.openapi, "3.1.0");
  for (const path of [
    "/v1/admissions",
    "/v1/admissions/batch",
    "/v1/workloads",
    "/v1/workloads/{id}",
    "/v1/events",
    "/v1/events/{id}",
    "/v1/events/{id}/artifact",
    "/.well-known/jwks.json",
    "/healthz",
    "/readyz",
    "/health",
    "/metrics",
    "/openapi.json",
    "/docs",
  ]) {
    t.true(path in json.paths, path);
  }
  for (const [, name] of text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g))
    t.true(name! in json.components.schemas, name);
  const ids = Object.values(json.paths).flatMap((methods) =>
    Object.values(methods as object).map(({ operationId }) => operationId),
  );
  t.is(new Set(ids).size, ids.length);
  for (const methods of Object.values(json.paths)) {
    for (const operation of Object.values(
      methods as Record<string, { responses: object; parameters?: { in: string; name: string }[] }>,
    )) {
      t.true("503" in operation.responses && "403" in operation.responses);
    }
  }
});

test("every path of the description answers", async (t) => {
  const { json } = await call("GET", "/openapi.json");
  for (const [template, methods] of Object.entries(
    json.paths as Record<string, Record<string, { responses: object }>>,
  )) {
    for (const [method, { responses }] of Object.entries(methods)) {
      const { status } = await call(method.toUpperCase(), template.replace(/\{\w+\}/g, "unknown"));
      t.true(String(status) in responses, `${method} ${template}: ${status}`);
    }
  }
});

test("the reference is one page that needs no script and nothing from elsewhere", async (t) => {
  const { status, text, headers } = await call("GET", "/docs");
  t.is(status, 200);
  t.is(headers["content-type"], "text/html; charset=utf-8");
  t.regex(headers["content-security-policy"] as string, /style-src 'sha256-[A-Za-z0-9+/=]+'/);
  t.notRegex(text, /<script|<link|<img|style="|url\(|https?:\/\/(?!127)/i);
  for (const path of ["/v1/admissions/batch", "/v1/workloads/{id}", "/v1/events/{id}/artifact"])
    t.true(text.includes(path), path);
  for (const [, id] of text.matchAll(/href="#([^"]+)"/g)) t.true(text.includes(`id="${id}"`), id);
});

test("no header comes twice, so that the page's own policy is the one that counts", async (t) => {
  for (const path of ["/docs", "/healthz", "/.well-known/jwks.json", "/nowhere"]) {
    const text = await raw(port, `GET ${path} HTTP/1.1\r\nHost: localhost:${port}\r\nConnection: close\r\n\r\n`);
    const names = text
      .slice(0, text.indexOf("\r\n\r\n"))
      .split("\r\n")
      .slice(1)
      .map((line) => line.slice(0, line.indexOf(":")).toLowerCase());
    t.is(new Set(names).size, names.length, path);
  }
});

test("what is not HTTP is answered with a problem and the connection closed", async (t) => {
  t.regex(await raw(port, "hello\r\n\r\n"), /^HTTP\/1.1 400 Bad Request\r\n[^]*"code":"request_malformed"/);
  t.regex(await raw(port, "GET /healthz HTTP/1.1\r\n\r\n"), /^HTTP\/1.1 400 /);
  t.regex(
    await raw(port, `GET / HTTP/1.1\r\nHost: localhost:${port}\r\nX: ${"x".repeat(40_000)}\r\n\r\n`),
    /^HTTP\/1.1 431 [^]*"code":"headers_too_large"/,
  );
  t.regex(
    await raw(
      port,
      `POST /v1/admissions HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ),
    /^HTTP\/1.1 400 /,
  );
});

test("pipelined requests are answered in order", async (t) => {
  const body = JSON.stringify(admissible("piped"));
  const post = `POST /v1/admissions HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const text = await raw(
    port,
    `${post}GET /healthz HTTP/1.1\r\nHost: localhost:${port}\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: localhost:${port}\r\nConnection: close\r\n\r\n`,
  );
  t.deepEqual(
    [...text.matchAll(/HTTP\/1.1 (\d+)/g)].map(([, status]) => status),
    ["200", "200", "404"],
  );
});

test("a body that is too large is answered, not cut off, and the connection lives on", async (t) => {
  const { status, json } = await call("POST", "/v1/admissions", { body: JSON.stringify({ a: "x".repeat(5_000_000) }) });
  t.is(status, 413);
  t.is(json.code, "request_too_large");
  const chunked =
    "POST /v1/admissions HTTP/1.1\r\nHost: localhost:" +
    port +
    "\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
  const text = await raw(
    port,
    `${chunked}${(2_000_000).toString(16)}\r\n${" ".repeat(2_000_000)}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost:${port}\r\nConnection: close\r\n\r\n`,
  );
  t.deepEqual(
    [...text.matchAll(/HTTP\/1.1 (\d+)/g)].map(([, each]) => each),
    ["413", "200"],
  );
});

test("one that says it is enormous is refused before it is sent", async (t) => {
  const head = `POST /v1/admissions HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n`;
  t.regex(await raw(port, head), /^HTTP\/1.1 413 [^]*Connection: close/);
});

test("Expect: 100-continue is told to go on only where the body is wanted", async (t) => {
  const expecting = (length: number) =>
    new Promise<string>((resolve) => {
      const headers = { "content-type": "application/json", "content-length": String(length), expect: "100-continue" };
      const request = httpRequest({
        port,
        host: "127.0.0.1",
        method: "POST",
        path: "/v1/admissions",
        headers,
        agent: false,
      });
      request.on("continue", () => {
        resolve("continue");
        request.destroy();
      });
      request.on("response", ({ statusCode }) => resolve(String(statusCode)));
      request.on("error", () => {});
      request.flushHeaders();
    });
  t.is(await expecting(10), "continue");
  t.is(await expecting(5_000_000), "413");
});

test.serial("clients that go away half-way are noted, and nothing else happens", async (t) => {
  await using store = await served.store();
  const before = (await store.events({ order: "desc", limit: 1 }))[0]!.position;
  for (const body of ['{"workload":', ""]) {
    const head = `POST /v1/admissions HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\nX-Request-Id: gone\r\n\r\n`;
    await raw(port, head + body, { halfClose: true }).catch(() => {});
  }
  for (let i = 0; i < 3000 && served.logs.filter((each) => each["request_id"] === "gone").length < 2; i++)
    await new Promise((resolve) => setTimeout(resolve, 20));
  t.deepEqual(
    served.logs.filter((each) => each["request_id"] === "gone").map(({ status, level }) => [status, level]),
    [
      [499, "info"],
      [499, "info"],
    ],
  );
  t.is((await store.events({ order: "desc", limit: 1 }))[0]!.position, before);
  t.is((await call("GET", "/healthz")).status, 200);
});

test("closing answers what is under way and then refuses connections", async (t) => {
  const closing = await start();
  const underWay = Array.from({ length: 20 }, (_, i) =>
    closing.call("POST", "/v1/admissions", { body: admissible(`w-${i}`) }),
  );
  await new Promise((resolve) => setTimeout(resolve, 5));
  const closed = closing.close();
  const settled = await Promise.allSettled(underWay);
  await closed;
  const answered = settled.filter((each) => each.status === "fulfilled");
  for (const { value } of answered) t.is(value.status, 200);
  using db = new DatabaseSync(`${closing.dir}/data/railgate.db`, { readOnly: true });
  const stored = db.prepare("SELECT count(*) AS n FROM events WHERE event_type = 'workload.admit'").get()![
    "n"
  ] as number;
  t.true(stored >= answered.length);
  await t.throwsAsync(closing.call("GET", "/healthz"));
});
