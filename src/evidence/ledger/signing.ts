// Signing a batch: on the thread that commits, or, where there are processors to spare, on the thread pool.
import { createPrivateKey } from "node:crypto";
import type { RecordKey } from "./entry.ts";
import type { LinkedAppend } from "./messages.ts";
import { recordSigner, type RecordSigner } from "./sign.ts";

/** Fewer are signed sooner than they are handed over. */
const SIGNED_APART_MIN = 2;

export type Signed = { readonly records: readonly string[]; readonly signingMs: number } | { readonly error: unknown };

export const NOTHING_SIGNED = { records: [], signingMs: 0 };

export class BatchSigner {
  /** Of what comes next; an event may name another one for what is behind it. */
  signer: RecordSigner;
  readonly #onPool: boolean;

  constructor(key: RecordKey, onPool: boolean) {
    this.signer = signerOf(key);
    this.#onPool = onPool;
  }

  /** Begun at once, in order. */
  async sign(events: readonly LinkedAppend[]): Promise<Signed> {
    const started = performance.now();
    const apart = this.#onPool && events.length >= SIGNED_APART_MIN;
    try {
      const records = apart ? await this.#signApart(events) : events.map((event) => this.#signHere(event));
      return { records, signingMs: performance.now() - started };
    } catch (error) {
      return { error };
    }
  }

  #signHere({ text, signNextWith }: LinkedAppend): string {
    const record = this.signer.sign(text);
    if (signNextWith) this.signer = signerOf(signNextWith);
    return record;
  }

  #signApart(events: readonly LinkedAppend[]): Promise<string[]> {
    const { promise, resolve, reject } = Promise.withResolvers<string[]>();
    const records = events.map(() => "");
    let left = events.length;
    events.forEach(({ text, signNextWith }, i) => {
      this.signer.signApart(text, (error, record) => {
        if (error) return reject(error);
        records[i] = record;
        if (--left === 0) resolve(records);
      });
      if (signNextWith) this.signer = signerOf(signNextWith);
    });
    return promise;
  }
}

function signerOf(key: RecordKey): RecordSigner {
  return recordSigner(createPrivateKey({ key: key.privateJwk, format: "jwk" }), key.kid);
}
