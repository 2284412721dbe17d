// Which route a call comes to: the one that express would come to, whether it is found by its path as it stands or by express.
import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import test from "ava";
import { makeApp } from "../../src/http/app.ts";
import type { Door } from "../../src/http/call/door.ts";
import type { Route } from "../../src/http/call/route.ts";

const ROUTES = [
  { method: "POST", path: "/v1/plain" },
  { method: "POST", path: "/v1/plain", summary: "twice" },
  { method: "POST", path: "/v1/open/*path" },
  { method: "POST", path: "/v1/open/own" },
  { method: "GET", path: "/v1/things/:id" },
  { method: "GET", path: "/v1/things/own" },
  { method: "GET", path: "/v1/*rest" },
].map((route) => ({ tag: "", summary: "", answers: {}, ...route }) as Route);

/** Answers which route it is, and with what parameters. */
const door = {
  serve: (route: Route) => (req: { params?: object }, res: { end(text: string): void }) =>
    res.end(`${ROUTES.indexOf(route)} ${JSON.stringify(req.params ?? {})}`),
} as unknown as Door;

test("by its path as it stands or by express, the same route", async (t) => {
  const server = createServer(makeApp(door, ROUTES)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const route = async (method: string, path: string) => (await fetch(base + path, { method })).text();
  try {
    t.is(await route("POST", "/v1/plain"), "0 {}", "the first of two");
    t.is(await route("POST", "/v1/plain?dry_run=true"), "0 {}");
    t.is(await route("GET", "/v1/things/own"), '4 {"id":"own"}', "a pattern that stands before it");
    t.is(await route("GET", "/v1/things/a%2Fb"), '4 {"id":"a/b"}');
    for (const [path, parts] of [
      ["own", ["own"]],
      ["a/b.c/d-e_f?x=%2F", ["a", "b.c", "d-e_f"]],
      ["a%2Fb/c", ["a/b", "c"]],
      ["a~/b", ["a~", "b"]],
    ] as const) {
      t.is(await route("POST", `/v1/open/${path}`), `2 ${JSON.stringify({ path: parts })}`, path);
    }
    t.is(await route("GET", "/v1/open/a"), '6 {"rest":["open","a"]}', "another method");
    for (const [method, path] of [
      ["PUT", "/v1/plain"],
      ["POST", "/v1/open"],
      ["POST", "/v1/Open/a"],
      ["POST", "/v1/Plain"],
      ["POST", "/v1/plain/"],
      ["POST", "/v1/plai%6e"],
      ["POST", "//v1/plain"],
    ] as const)
      t.true((await route(method, path)).startsWith("-1 "), `${method} ${path} is at none of them`);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
