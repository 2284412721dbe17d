// Who is calling: on loopback anyone, through a browser or not, as long as the call was meant for us; elsewhere whoever proves it.
import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import { createLocalJWKSet, errors, jwtVerify, type JWTPayload, type JWTVerifyGetKey } from "jose";
import type { Config, Jwks } from "../../node/config/config.ts";
import { SIGNATURE_ALGORITHMS } from "../../core/algorithms.ts";
import { hostCaller, nodeCaller, operatorCaller, tenantCaller, webhookCaller, type Caller } from "../../core/caller.ts";
import { HttpError } from "./problem.ts";
import { isIdentifier } from "./query.ts";

/** Where this listener is; its port is known for sure once it listens. */
export interface Whereabouts {
  readonly port: number;
  readonly tls: boolean;
}

export interface Doorkeeper {
  /**
   * That the call was meant for this listener, and no other site made a browser send it.
   * @throws HttpError 403 `host_forbidden`, `origin_forbidden`
   */
  checkSource(req: IncomingMessage): void;
  /** @throws HttpError 401 `unauthenticated` */
  authenticate(req: IncomingMessage): Proven | Promise<Proven>;
  /** Whether callers have to prove who they are. */
  readonly authenticates: boolean;
  /** From now on callers' tokens are verified by these keys, and no others. */
  readonly renew?: ((jwks: Jwks) => void) | undefined;
}

/** Who is calling, and until when that is proven, in milliseconds since the epoch. */
export interface Proven {
  readonly caller: Caller;
  readonly untilMs: number;
}

/** Anyone who can open a connection to this machine's loopback. */
const LOOPBACK: Proven = { caller: hostCaller("loopback"), untilMs: Number.POSITIVE_INFINITY };

type Authentication = NonNullable<Config["authentication"]>;

/** @param certified in place of the connection's own certificate: who proved by one who it is. */
export function makeDoorkeeper(
  config: Pick<Config, "listen" | "behindProxy" | "authentication">,
  whereabouts: Whereabouts,
  certified?: (req: IncomingMessage) => Proven | undefined,
): Doorkeeper {
  const { listen, behindProxy, authentication } = config;
  // Behind a proxy the Host is the proxy's; but then only those who prove who they are may do without this check.
  const checksSource = listen.loopback && !(behindProxy && authentication);
  const byToken = authentication?.jwt && makeJwtAuthenticator(authentication.jwt);
  return {
    checkSource: checksSource ? (req) => checkSource(req, whereabouts) : () => {},
    authenticate: authentication ? makeAuthenticator(authentication, byToken?.authenticate, certified) : () => LOOPBACK,
    authenticates: authentication !== undefined,
    renew: byToken?.renew,
  };
}

const AUTHORITY = /^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(?::(\d{1,5}))?$/i;
const ABSOLUTE_TARGET = /^https?:\/\/([^/?#]*)/i;

/**
 * Against DNS rebinding and cross-site requests: the Host is a loopback name with our port, and a browser's Origin, where
 * there is one, is that same host.
 */
function checkSource({ url = "", headers: { host, origin } }: IncomingMessage, { port, tls }: Whereabouts): void {
  // An absolute target overrides the header (RFC 9112 §3.2.2), so both must be ours.
  const named = url.startsWith("/") ? undefined : ABSOLUTE_TARGET.exec(url)?.[1];
  if (!isOurs(host, port, tls) || (named !== undefined && !isOurs(named, port, tls))) {
    throw new HttpError(
      "host_forbidden",
      `This listener is localhost, 127.0.0.1 or [::1], port ${port}; the request's Host is another.`,
    );
  }
  if (origin !== undefined && origin.toLowerCase() !== `${tls ? "https" : "http"}://${host!.toLowerCase()}`) {
    throw new HttpError("origin_forbidden", "Pages of another origin may not use this listener.");
  }
}

function isOurs(host: string | undefined, port: number, tls: boolean): boolean {
  const parts = AUTHORITY.exec(host ?? "");
  if (parts === null) return false;
  return Number(parts[2] ?? (tls ? 443 : 80)) === port;
}

const CLOCK_TOLERANCE_S = 30;
const TOKENS_KEPT_MAX = 1000;
/** The roles, as a token's claim or a certificate's OU has them; of a node, also who it is. Source: api.md §2. */
const ROLES: ReadonlyMap<unknown, (actor: string, nodeId: string | undefined) => Caller | undefined> = new Map([
  ["operator", operatorCaller],
  ["webhook", webhookCaller],
  [
    "node",
    (actor: string, nodeId: string | undefined) => (nodeId === undefined ? undefined : nodeCaller(nodeId, actor)),
  ],
]);
/** The claim that names a caller whose role is `node`. */
const NODE_CLAIM = "node_id";
const SUBJECT_LENGTH_MAX = 255;

function makeAuthenticator(
  { jwt, mtls }: Authentication,
  byToken: ByToken["authenticate"] | undefined,
  certified: (req: IncomingMessage) => Proven | undefined = (req) => certificateProof(req, mtls),
): Doorkeeper["authenticate"] {
  const scheme = jwt ? 'Bearer realm="railgate"' : 'TLS-Client-Certificate realm="railgate"';
  return (req) => {
    const authorization = req.headers.authorization;
    if (byToken && authorization !== undefined) return byToken(authorization);
    const proven = mtls && certified(req);
    if (proven && Date.now() < proven.untilMs) return proven;
    const wanted = [jwt && "a bearer token", mtls && "a client certificate"].filter(Boolean).join(" or ");
    throw new HttpError("unauthenticated", `Send ${wanted}.`, { "WWW-Authenticate": scheme });
  };
}

type Jwt = NonNullable<Authentication["jwt"]>;

interface ByToken {
  authenticate(authorization: string): Proven | Promise<Proven>;
  renew(jwks: Jwks): void;
}

/** A verified token is good until it expires, or until other keys are given. */
function makeJwtAuthenticator(jwt: Jwt): ByToken {
  const pinned = (jwks: Jwks) => ({
    keys: createLocalJWKSet({ keys: jwks.keys.map((key) => ({ ...key })) as never }),
    kept: new Map<string, Proven>(),
  });
  let using = pinned(jwt.jwks);
  const authenticate = (authorization: string): Proven | Promise<Proven> => {
    // What these keys vouched for is forgotten with them.
    const { keys, kept } = using;
    const token = /^Bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$/i.exec(authorization)?.[1];
    if (token === undefined) throw invalidToken("it is no bearer token in JWT form");
    const known = kept.get(token);
    if (known && Date.now() < known.untilMs) return known;
    kept.delete(token);
    return verifyToken(token, keys, jwt).then((payload) => {
      const proven = { caller: tokenCaller(payload, jwt), untilMs: payload.exp! * 1000 };
      if (kept.size >= TOKENS_KEPT_MAX) kept.clear();
      kept.set(token, proven);
      return proven;
    });
  };
  return { authenticate, renew: (jwks) => void (using = pinned(jwks)) };
}

async function verifyToken(token: string, keys: JWTVerifyGetKey, { issuer, audience }: Jwt): Promise<JWTPayload> {
  const options = {
    issuer,
    audience,
    algorithms: [...SIGNATURE_ALGORITHMS],
    requiredClaims: ["exp", "sub"],
    clockTolerance: CLOCK_TOLERANCE_S,
  };
  try {
    return (await jwtVerify(token, keys, options)).payload;
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw invalidToken(reasonOf(error));
    // Keys without ids: any of them may be the one.
    for await (const key of error) {
      try {
        return (await jwtVerify(token, key, options)).payload;
      } catch (failure) {
        if (!(failure instanceof errors.JWSSignatureVerificationFailed)) throw invalidToken(reasonOf(failure));
      }
    }
    throw invalidToken("its signature does not verify");
  }
}

/** What may be told to a stranger: jose's messages name claims and checks, never keys or values. */
const reasonOf = (error: unknown): string =>
  error instanceof errors.JOSEError ? error.message : "it cannot be verified";

function tokenCaller(payload: JWTPayload, { issuer, tenantClaim, operatorClaim }: Jwt): Caller {
  if (!isName(payload.sub)) throw invalidToken('its claim "sub" is no name');
  const actor = `jwt:${issuer}#${payload.sub}`;
  const role = ROLES.get(payload[operatorClaim]);
  const caller = role?.(actor, identifierIn(payload[NODE_CLAIM]));
  if (caller !== undefined) return caller;
  if (role !== undefined) throw invalidToken(`its claim "${NODE_CLAIM}" is no node`);
  const tenantId = payload[tenantClaim];
  if (typeof tenantId !== "string" || !isIdentifier(tenantId))
    throw invalidToken(`its claim "${tenantClaim}" is no tenant`);
  return tenantCaller(tenantId, actor);
}

const identifierIn = (value: unknown): string | undefined =>
  typeof value === "string" && isIdentifier(value) ? value : undefined;

/** What can stand in evidence, as the name of who acted. */
function isName(text: unknown): text is string {
  return (
    typeof text === "string" &&
    text !== "" &&
    text.length <= SUBJECT_LENGTH_MAX &&
    /^[^\p{C}\p{Zl}\p{Zp}]+$/u.test(text)
  );
}

/** RFC 6750 §3. */
function invalidToken(reason: string): HttpError {
  const description = reason.replaceAll(/[^ !#-[\]-~]/g, "'");
  return new HttpError("unauthenticated", `The bearer token is not accepted: ${reason}.`, {
    "WWW-Authenticate": `Bearer realm="railgate", error="invalid_token", error_description="${description}"`,
  });
}

/** Who has shown a certificate on the connection, where callers may. */
export const certificateProof = ({ socket }: IncomingMessage, mtls: Authentication["mtls"]): Proven | undefined =>
  mtls && certificateCaller(socket as TLSSocket, mtls.tenantFrom);

const certificateCallers = new WeakMap<TLSSocket, Proven>();

/** The caller by its client certificate, which the TLS layer checked against `tls.client_ca`; undefined where there is none. */
function certificateCaller(socket: TLSSocket, tenantFrom: "O" | "OU" | "CN"): Proven | undefined {
  const known = certificateCallers.get(socket);
  if (known) return known;
  if (!socket.authorized) return undefined;
  const { subject, fingerprint256, valid_to } = socket.getPeerCertificate();
  const name: unknown = subject?.CN;
  const actor = `mtls:${isName(name) ? name : fingerprint256}`;
  const tenantId: unknown = subject?.[tenantFrom];
  const role = ROLES.get(subject?.OU);
  const tenant = identifierIn(tenantId);
  const byTenant = tenant === undefined ? undefined : tenantCaller(tenant, actor);
  const acting = role ? role(actor, identifierIn(name)) : byTenant;
  if (acting === undefined) return undefined;
  const proven = { caller: acting, untilMs: Date.parse(valid_to) };
  certificateCallers.set(socket, proven);
  return proven;
}
