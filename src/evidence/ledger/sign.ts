// Signing records: a compact JWS (RFC 7515, RFC 8037) over an event's canonical bytes.
import { sign, type KeyObject } from "node:crypto";

/** Signs one event; synchronous, because it runs on a thread of its own (docs/decisions/0002-committer-thread.md). */
export type RecordSigner = (eventText: string) => string;

/**
 * @param privateKey Ed25519.
 * @param kid RFC 7638 thumbprint of its public half.
 * @returns a function that makes the record of an event (spec evidence §2).
 */
export function recordSigner(privateKey: KeyObject, kid: string): RecordSigner {
  const header = Buffer.from(JSON.stringify({ alg: "EdDSA", kid, typ: "railgate-event+jws" })).toString("base64url");
  return (eventText) => {
    const signingInput = `${header}.${Buffer.from(eventText).toString("base64url")}`;
    return `${signingInput}.${sign(null, Buffer.from(signingInput), privateKey).toString("base64url")}`;
  };
}
