// Calls that another site made a browser send, or that were meant for another server, are turned away on loopback.
import { networkInterfaces } from "node:os";
import test from "ava";
import { raw, send, start } from "./support.ts";

const served = await start();
const { call, port } = served;
test.after.always(() => served.close());

for (const host of [
  `localhost:${port}`,
  `LOCALHOST:${port}`,
  `127.0.0.1:${port}`,
  `127.9.8.7:${port}`,
  `[::1]:${port}`,
]) {
  test(`Host ${host.replace(String(port), "<port>")} is ours`, async (t) => {
    t.is((await call("GET", "/v1/events", { headers: { host } })).status, 200);
  });
}

const foreign = [
  "evil.example",
  `evil.example:${port}`,
  "localhost",
  "127.0.0.1",
  `127.0.0.1:${port + 1}`,
  `localhost.evil.example:${port}`,
  `127.0.0.1.nip.io:${port}`,
  `localhost.:${port}`,
  `10.0.0.1:${port}`,
  `0.0.0.0:${port}`,
  `[::]:${port}`,
  `[::ffff:127.0.0.1]:${port}`,
  `user@localhost:${port}`,
  `localhost:0${port}x`,
  `2130706433:${port}`,
];
for (const host of foreign) {
  test(`Host "${host.replace(String(port), "<port>")}" is refused, whatever is asked`, async (t) => {
    for (const [method, path] of [
      ["GET", "/v1/events"],
      ["GET", "/healthz"],
      ["POST", "/v1/admissions"],
      ["GET", "/nowhere"],
      ["PUT", "/metrics"],
    ] as const) {
      const { status, json } = await call(method, path, { headers: { host } });
      t.is(status, 403, `${method} ${path}`);
      t.is(json.code, "host_forbidden");
    }
  });
}

test("an absolute target must be ours as well", async (t) => {
  t.regex(
    await raw(
      port,
      `GET http://evil.example/v1/events HTTP/1.1\r\nHost: localhost:${port}\r\nConnection: close\r\n\r\n`,
    ),
    /^HTTP\/1.1 403 [^]*host_forbidden/,
  );
  t.regex(
    await raw(
      port,
      `GET http://localhost:${port}/v1/events HTTP/1.1\r\nHost: localhost:${port}\r\nConnection: close\r\n\r\n`,
    ),
    /^HTTP\/1.1 200 /,
  );
});

test("HTTP/1.0 without a Host is refused, and so is an empty one", async (t) => {
  t.regex(await raw(port, "GET /v1/events HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n"), /^HTTP\/1.1 403 /);
  t.regex(await raw(port, "GET /v1/events HTTP/1.0\r\n\r\n"), /^HTTP\/1.1 403 /);
});

test("our own origin may call", async (t) => {
  for (const host of [`localhost:${port}`, `127.0.0.1:${port}`]) {
    t.is((await call("GET", "/v1/events", { headers: { host, origin: `http://${host}` } })).status, 200);
  }
});

for (const origin of [
  `http://127.0.0.1:${port + 1}`,
  "http://127.0.0.1",
  `https://127.0.0.1:${port}`,
  "https://evil.example",
  "null",
  `http://127.0.0.1:${port}.evil.example`,
  "file://",
  "",
]) {
  test(`Origin "${origin.replace(String(port), "<port>")}" is refused`, async (t) => {
    for (const method of ["GET", "POST", "OPTIONS"]) {
      const { status, headers, json } = await call(method, "/v1/admissions", {
        headers: { host: `127.0.0.1:${port}`, origin },
      });
      t.is(status, 403, method);
      t.is(json.code, "origin_forbidden");
      t.is(headers["access-control-allow-origin"], undefined);
    }
  });
}

test("nothing is shared across origins", async (t) => {
  const headers = { origin: `http://127.0.0.1:${port}`, "access-control-request-method": "POST" };
  const answer = await call("OPTIONS", "/v1/admissions", { headers });
  t.is(answer.status, 204);
  t.is(answer.headers.allow, "POST, OPTIONS");
  t.deepEqual(
    Object.keys(answer.headers).filter((name) => name.startsWith("access-control")),
    [],
  );
});

const hasIpv6 = Object.values(networkInterfaces())
  .flat()
  .some((each) => each?.address === "::1");
test("IPv6 loopback is loopback too, where there is one", async (t) => {
  if (!hasIpv6) return void t.pass("this machine has no IPv6");
  const six = await start({ listen: "[::1]:0" });
  t.is(six.url, `http://[::1]:${six.port}`);
  t.is((await six.call("GET", "/readyz")).status, 200);
  t.is((await six.call("GET", "/readyz", { headers: { host: `localhost:${six.port}` } })).status, 200);
  await six.close();
});

test("a port in use is said so, and the data directory is let go of", async (t) => {
  const error = await t.throwsAsync(start({ listen: `127.0.0.1:${port}` }), { code: "listen_failed" });
  t.regex(error!.message, new RegExp(`port ${port} is in use`));
  t.is((await send(served.url, "GET", "/healthz")).status, 200);
});

test("settings that ask for what is not built are refused, not passed over", async (t) => {
  const key =
    "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE4K0BNjyXp2PbqmR1ykeYO0HyR3DOEe3tdyjwXgA7iNJPXy8bHsr2bXQk+9zkpZgxGqvSi2yFSu/AKpKgVKQ4fA==\n-----END PUBLIC KEY-----\n";
  const more = {
    services: { control: { url: "https://control.example" } },
    keys: { release: { algorithm: "ES256", key } },
    bundles: { authz: { service: "control" } },
  };
  await t.throwsAsync(start({}, {}, more), { code: "config_invalid" });
});
