// URIs as Go's net/url reads them, which is what policies were written against: more lenient than RFC 3986 in places, stricter in others.
import { BuiltinError } from "./errors.ts";
import { parseV6 } from "./net.ts";
import { decodeText, encodeText } from "./utf8.ts";

const CONTROL = /[\0-\x1f\x7f]/;
const HOST = /^(?:[\w.~!$&'()*+,;=:[\]<>"-]|[^\0-\x7f]|%(?:25|[89a-fA-F][\da-fA-F]))*$/;
const USER = /^[\w.~:!$&'()*+,;=%@-]*$/;
const PORT = /^(?::\d*)?$/;
const PATH_PLAIN = /[\w.~$&+,/:;=@-]/;

/** The parts that there are. @throws BuiltinError where it is no URI. */
export function parseUri(uri: string): { [part: string]: string } {
  const hash = uri.indexOf("#");
  const [before, fragment] = hash < 0 ? [uri, ""] : [uri.slice(0, hash), uri.slice(hash + 1)];
  if (CONTROL.test(before)) throw new BuiltinError("net/url: invalid control character in URL");
  const parts = { ...withoutFragment(before), fragment: unescape(fragment) };
  return Object.fromEntries(Object.entries(parts).filter(([, part]) => part !== ""));
}

function withoutFragment(uri: string): { [part: string]: string } {
  if (uri === "*") return { path: "*", raw_path: "*" };
  const [scheme, afterScheme] = schemeOf(uri);
  const query = afterScheme.indexOf("?");
  const raw_query = query < 0 ? "" : afterScheme.slice(query + 1);
  const rest = query < 0 ? afterScheme : afterScheme.slice(0, query);
  if (!rest.startsWith("/")) {
    if (scheme !== "") return { scheme, raw_query };
    if (rest.split("/", 1)[0]!.includes(":")) throw new BuiltinError("first path segment in URL cannot contain colon");
  }
  if (!rest.startsWith("//") || (scheme === "" && rest.startsWith("///")))
    return { scheme, raw_query, ...pathOf(rest) };
  const slash = rest.indexOf("/", 2);
  const authority = slash < 0 ? rest.slice(2) : rest.slice(2, slash);
  return { scheme, raw_query, ...authorityOf(scheme, authority), ...pathOf(slash < 0 ? "" : rest.slice(slash)) };
}

function schemeOf(uri: string): [scheme: string, rest: string] {
  if (uri.startsWith(":")) throw new BuiltinError("missing protocol scheme");
  const [whole, scheme] = /^([a-zA-Z][a-zA-Z\d+.-]*):/.exec(uri) ?? [];
  return whole === undefined ? ["", uri] : [scheme!.toLowerCase(), uri.slice(whole.length)];
}

/** `raw_path` is as it was written where that says more than the path escaped anew. */
function pathOf(written: string): { path: string; raw_path: string } {
  const path = unescape(written);
  return { path, raw_path: written === escapedPath(path) ? path : written };
}

function escapedPath(path: string): string {
  let escaped = "";
  for (const byte of encodeText(path)) {
    const character = String.fromCharCode(byte);
    escaped +=
      byte < 0x80 && PATH_PLAIN.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return escaped;
}

function authorityOf(scheme: string, authority: string): { hostname: string; port: string } {
  const at = authority.lastIndexOf("@");
  const user = at < 0 ? "" : authority.slice(0, at);
  if (!USER.test(user)) throw new BuiltinError("net/url: invalid userinfo");
  unescape(user);
  const host = hostOf(scheme, authority.slice(at + 1));
  const [, name, port] = /^(.*?)(?::(\d*))?$/s.exec(host)!;
  const colon = port === undefined ? host : name!;
  return { hostname: colon.replace(/^\[(.*)\]$/s, "$1"), port: port ?? "" };
}

/** The host with its port, unescaped. */
function hostOf(scheme: string, host: string): string {
  const bracket = host.lastIndexOf("[");
  if (bracket > 0) throw new BuiltinError("invalid IP-literal");
  if (bracket === 0) return literalOf(host);
  const [first, last] = [host.indexOf(":"), host.lastIndexOf(":")];
  const colon = scheme === "http" || scheme === "https" ? first : last;
  if (first >= 0 && !PORT.test(host.slice(colon)))
    throw new BuiltinError(`invalid port ${JSON.stringify(host.slice(colon))} after host`);
  return unescapedHost(host);
}

function literalOf(host: string): string {
  const end = host.lastIndexOf("]");
  if (end < 0) throw new BuiltinError("missing ']' in host");
  if (!PORT.test(host.slice(end + 1)))
    throw new BuiltinError(`invalid port ${JSON.stringify(host.slice(end + 1))} after host`);
  const [, address, zone] = /^(.*?)(%25.*)?$/s.exec(host.slice(1, end))!;
  const name = unescapedHost(address!) + unescape(zone ?? "");
  const [, bits, scope] = /^([^%]*)(?:%(.*))?$/s.exec(name)!;
  if (parseV6(bits!) === undefined || scope === "") throw new BuiltinError("invalid host");
  return `[${name}]${host.slice(end + 1)}`;
}

function unescapedHost(host: string): string {
  if (!HOST.test(host)) throw new BuiltinError("invalid character in host name");
  return unescape(host);
}

/** `%xx` as the byte that it stands for. @throws BuiltinError for a `%` with anything else behind it. */
export function unescape(escaped: string): string {
  if (!escaped.includes("%")) return escaped;
  const wrong = /%(?![\da-fA-F]{2}).{0,2}/s.exec(escaped);
  if (wrong) throw new BuiltinError(`invalid URL escape ${JSON.stringify(wrong[0])}`);
  const bytes: number[] = [];
  const encoded = encodeText(escaped);
  for (let at = 0; at < encoded.length; at++) {
    if (encoded[at] !== 0x25) bytes.push(encoded[at]!);
    else bytes.push(Number.parseInt(String.fromCharCode(encoded[++at]!, encoded[++at]!), 16));
  }
  return decodeText(Uint8Array.from(bytes));
}
