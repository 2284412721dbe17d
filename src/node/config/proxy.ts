// Which proxy a service is reached by: from HTTP_PROXY, HTTPS_PROXY and NO_PROXY, as OPA, and so Go, reads them.
import { BlockList, isIP } from "node:net";
import { ConfigError } from "../../core/errors.ts";
import type { Environment } from "./types.ts";

const PROTOCOLS: readonly string[] = ["http:", "https:"];
const PORTS: Readonly<Record<string, string>> = { "http:": "80", "https:": "443" };

/**
 * The upper case of a variable comes first. What is on this machine is never asked by a proxy.
 * Source: golang.org/x/net/http/httpproxy, `Config`.
 * @param url of the service. @returns the proxy's URL; undefined: it is reached directly.
 * @throws ConfigError the variable names what is no proxy.
 */
export function proxyFor(url: string, env: Environment): string | undefined {
  const { protocol, hostname, port } = new URL(url);
  const names = protocol === "https:" ? ["HTTPS_PROXY", "https_proxy"] : ["HTTP_PROXY", "http_proxy"];
  const name = names.find((each) => env[each]);
  if (name === undefined) return undefined;
  const host = hostname.replace(/^\[|\]$/g, "").toLowerCase();
  if (isLoopback(host)) return undefined;
  const exempt = (env["NO_PROXY"] || env["no_proxy"] || "").split(",").map((entry) => entry.trim().toLowerCase());
  if (exempt.some((entry) => isExempt(entry, host, port || PORTS[protocol]!))) return undefined;
  const given = env[name]!;
  const proxy = URL.parse(given.includes("://") ? given : `http://${given}`);
  // Not told: it may hold a password.
  if (proxy === null || !PROTOCOLS.includes(proxy.protocol))
    throw new ConfigError(name, "names no proxy that is asked over http or https");
  return proxy.href;
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

const isLoopback = (host: string): boolean => host === "localhost" || isWithin(LOOPBACK, host);

const isWithin = (list: BlockList, host: string): boolean =>
  isIP(host) !== 0 && list.check(host, isIP(host) === 4 ? "ipv4" : "ipv6");

/** One entry of NO_PROXY: `*`, an address, a network, a name with all below it, or, behind a dot, what is below it; each but a network with or without a port. */
function isExempt(entry: string, host: string, port: string): boolean {
  if (entry === "") return false;
  if (entry === "*") return true;
  const network = networkOf(entry);
  if (network) return isWithin(network, host);
  const [, bracketed, bare = "", only] = /^(?:\[([^\]]*)\]|([^:]*|[^:]*:[^:]*:.*?))(?::(\d+))?$/.exec(entry) ?? [];
  if (only !== undefined && only !== port) return false;
  const name = (bracketed ?? bare).replace(/^\*(?=\.)/, "");
  if (isIP(name) !== 0 || isIP(host) !== 0) return name === host;
  if (name.startsWith(".")) return host.endsWith(name);
  return host === name || host.endsWith(`.${name}`);
}

function networkOf(entry: string): BlockList | undefined {
  const [, address = "", bits] = /^(.*)\/(\d{1,3})$/.exec(entry) ?? [];
  const version = isIP(address);
  if (version === 0 || Number(bits) > (version === 4 ? 32 : 128)) return undefined;
  const list = new BlockList();
  list.addSubnet(address, Number(bits), version === 4 ? "ipv4" : "ipv6");
  return list;
}
