// Which proxy a service is reached by, as Go's programs read it from the environment.
import test from "ava";
import { ConfigError } from "../../src/core/errors.ts";
import { proxyFor } from "../../src/node/config/proxy.ts";

const BY = { HTTP_PROXY: "plain.example:3128", HTTPS_PROXY: "http://secure.example:3129" };

test("by the scheme of what is asked; upper case comes first; a proxy without a scheme is asked over http", (t) => {
  t.is(proxyFor("http://hub.example", BY), "http://plain.example:3128/");
  t.is(proxyFor("https://hub.example/v1", BY), "http://secure.example:3129/");
  t.is(proxyFor("https://hub.example", { HTTP_PROXY: "plain.example" }), undefined);
  t.is(proxyFor("http://hub.example", { http_proxy: "a.example", HTTP_PROXY: "" }), "http://a.example/");
  t.is(proxyFor("http://hub.example", { http_proxy: "a.example", HTTP_PROXY: "b.example" }), "http://b.example/");
  t.is(proxyFor("http://hub.example", { HTTP_PROXY: "https://u:p@a.example" }), "https://u:p@a.example/");
});

test("what is on this machine is asked directly", (t) => {
  for (const host of ["localhost", "LOCALHOST:81", "127.0.0.1:8181", "127.9.9.9", "[::1]:81"])
    t.is(proxyFor(`http://${host}`, BY), undefined, host);
  t.truthy(proxyFor("http://localhost.example", BY));
});

test("NO_PROXY: names with all below them, addresses, networks, ports", (t) => {
  for (const [host, entries, direct] of [
    ["hub.example", "*", true],
    ["hub.example", "other.example, hub.example", true],
    ["a.hub.example", "hub.example", true],
    ["thub.example", "hub.example", false],
    ["hub.example", ".hub.example", false],
    ["a.hub.example", ".hub.example", true],
    ["a.hub.example", "*.hub.example", true],
    ["hub.example", "*.hub.example", false],
    ["HUB.example", "hub.EXAMPLE", true],
    ["hub.example:8181", "hub.example:8181", true],
    ["hub.example:8181", "hub.example:80", false],
    ["hub.example", "hub.example:80", true],
    ["10.1.2.3", "10.0.0.0/8", true],
    ["11.1.2.3", "10.0.0.0/8", false],
    ["10.1.2.3", "10.1.2.3", true],
    ["10.1.2.3:81", "10.1.2.3:80", false],
    ["10.1.2.30", "10.1.2.3", false],
    ["[fd00::1]:81", "fd00::/8", true],
    ["[fd00::1]:81", "[fd00::1]:81", true],
    ["[fd00::1]", "fd00::1", true],
    ["hub.example", "", false],
    ["hub.example", ", ,", false],
  ] as const) {
    t.is(proxyFor(`http://${host}`, { ...BY, NO_PROXY: entries }) === undefined, direct, `${host} and ${entries}`);
    t.is(proxyFor(`http://${host}`, { ...BY, no_proxy: entries }) === undefined, direct, `${host} and ${entries}`);
  }
});

test("what is no proxy is refused by the variable's name, and not shown", (t) => {
  for (const HTTP_PROXY of ["socks5://a.example", "http://", "ftp://user:secret@a.example"]) {
    const error = t.throws(() => proxyFor("http://hub.example", { HTTP_PROXY }), { instanceOf: ConfigError });
    t.regex(error!.message, /HTTP_PROXY/);
    t.notRegex(error!.message, /secret|example/);
  }
  t.is(proxyFor("http://localhost", { HTTP_PROXY: "socks5://a.example" }), undefined);
});
