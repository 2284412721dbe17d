// Signing records: a compact JWS (RFC 7515, RFC 8037) over an event's canonical bytes.
import { sign, type KeyObject } from "node:crypto";

/** Signs records of one key. */
export interface RecordSigner {
  /** @returns the record of an event's canonical text. */
  sign(eventText: string): string;
  /** As `sign`, on the thread pool: what is left to this thread is a sixth of it. */
  signApart(eventText: string, signed: (error: Error | null, record: string) => void): void;
}

/**
 * @param privateKey Ed25519.
 * @param kid RFC 7638 thumbprint of its public half.
 * @returns what makes the record of an event (spec evidence §2).
 */
export function recordSigner(privateKey: KeyObject, kid: string): RecordSigner {
  const header = Buffer.from(JSON.stringify({ alg: "EdDSA", kid, typ: "railgate-event+jws" })).toString("base64url");
  const inputOf = (eventText: string): string => `${header}.${Buffer.from(eventText).toString("base64url")}`;
  const recordOf = (input: string, signature: Buffer): string => `${input}.${signature.toString("base64url")}`;
  return {
    sign(eventText) {
      const input = inputOf(eventText);
      return recordOf(input, sign(null, Buffer.from(input), privateKey));
    },
    signApart(eventText, signed) {
      const input = inputOf(eventText);
      sign(null, Buffer.from(input), privateKey, (error, signature) =>
        signed(error, error ? "" : recordOf(input, signature)),
      );
    },
  };
}
