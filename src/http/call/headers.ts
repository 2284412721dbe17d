// Security headers: Helmet's, with a content policy that lets nothing in; worked out once, since they are always the same.
import type { IncomingMessage, ServerResponse } from "node:http";
import helmet from "helmet";

/** What an answer of JSON may load or be framed by: nothing. */
const API_POLICY = { defaultSrc: ["'none'"], baseUri: ["'none'"], formAction: ["'none'"], frameAncestors: ["'none'"] };

/** @param tls whether browsers are told to come back by TLS only. */
export function securityHeaders(tls: boolean): Readonly<Record<string, string>> {
  const set: Record<string, string> = {};
  const response = { setHeader: (name: string, value: string) => (set[name] = value), removeHeader: () => undefined };
  const middleware = helmet({
    contentSecurityPolicy: { useDefaults: false, directives: API_POLICY },
    strictTransportSecurity: tls,
    xFrameOptions: { action: "deny" },
    referrerPolicy: { policy: "no-referrer" },
  });
  middleware({} as IncomingMessage, response as unknown as ServerResponse, (error) => {
    if (error !== undefined) throw error as Error;
  });
  return set;
}
