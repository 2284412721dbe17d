// The key that signs this node's events, and its succession: a rotation is an event that the old key signs (spec evidence §5).
import { sign } from "node:crypto";
import { KeyError } from "../../core/errors.ts";
import { type SignedBytes, WHOLE_BYTES_MAX, wholeOf } from "../verify/primitives.ts";
import type { KeyRow, StoreReader } from "../../store/store.ts";
import { adoptKey, loadGivenKey, makeNextKey, type KeySource, type SigningKey } from "./keys.ts";
import { signHandOver } from "./hand-over.ts";
import type { Entry } from "../ledger/entry.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { THE_NODE, type Recorder } from "../ledger/recorder.ts";

export interface RotateOptions {
  readonly actor?: string | undefined;
  /** Since when someone else may have signed with the old key (RFC 3339). */
  readonly compromisedSince?: string | undefined;
  /** The thumbprint of the new key, where keys come from a folder; else a new one is made. */
  readonly to?: string | undefined;
}

export interface Rotated {
  readonly old_kid: string;
  readonly new_kid: string;
  /** In how many streams it is on record. */
  readonly streams: number;
}

export interface EventKeyParts {
  readonly dataDir: string;
  readonly nodeId: string;
  /** Where the key is given from; absent: the node makes its keys itself. */
  readonly source: KeySource | undefined;
  readonly store: StoreReader;
  readonly ledger: Ledger;
  readonly recorder: Recorder;
  readonly now: () => number;
}

const DSSE = Buffer.from("DSSEv1 ");

export class EventKey {
  readonly #parts: EventKeyParts;
  #key: SigningKey;
  #rotating: Promise<void> = Promise.resolve();

  constructor(parts: EventKeyParts, key: SigningKey) {
    this.#parts = parts;
    this.#key = key;
  }

  /** Signs what no record can be: canonical JSON begins with a brace, a record's signing input never does. */
  async sign(canonicalJson: SignedBytes): Promise<{ readonly kid: string; readonly signature: Uint8Array }> {
    const { kid, privateKey } = this.#key;
    const [first] = canonicalJson.pieces();
    if (first?.[0] !== "{".charCodeAt(0)) throw new TypeError("only JSON objects are signed beside records");
    if (canonicalJson.length <= WHOLE_BYTES_MAX)
      return { kid, signature: sign(null, wholeOf(canonicalJson.pieces(), canonicalJson.length), privateKey) };
    const { signEd25519Pieces } = await import("../verify/ed25519-pieces.ts");
    return { kid, signature: signEd25519Pieces(privateKey, canonicalJson) };
  }

  /** Signs what DSSE encodes (its `PAE`), of statements for other tools: a record's signing input never begins so. */
  signDsse(preAuthEncoding: Uint8Array): { readonly kid: string; readonly signature: Uint8Array } {
    if (!Buffer.from(preAuthEncoding).subarray(0, DSSE.length).equals(DSSE)) throw new TypeError("no DSSE encoding");
    return { kid: this.#key.kid, signature: sign(null, preAuthEncoding, this.#key.privateKey) };
  }

  /** See RailgateNode.rotateKey. */
  rotate(options: RotateOptions): Promise<Rotated> {
    // One after the other: each retires the key that the one before it brought.
    const rotated = this.#rotating.then(() => this.#rotate(options));
    this.#rotating = rotated.then(
      () => {},
      () => {},
    );
    return rotated;
  }

  async #rotate(options: RotateOptions): Promise<Rotated> {
    const { dataDir, nodeId, source, store, ledger, recorder, now } = this.#parts;
    const [old, next, nowMs] = [this.#key, await this.#nextKey(options.to), now()];
    const known = (await store.keys()).find(({ kid }) => kid === old.kid)!;
    const rows: KeyRow[] = [
      { ...known, retired_at_ms: nowMs },
      {
        kid: next.kid,
        role: "event",
        jwk: next.publicJwk,
        hand_over: signHandOver(old, next, { from: nodeId, to: nodeId }, nowMs),
        created_at_ms: nowMs,
        retired_at_ms: null,
      },
    ];
    const details = {
      old_kid: old.kid,
      new_kid: next.kid,
      new_jwk: next.publicJwk,
      retired_at: new Date(nowMs).toISOString(),
      ...(options.compromisedSince !== undefined && { compromised_at: options.compromisedSince }),
    };
    const by = { ...THE_NODE, actor: options.actor ?? THE_NODE.actor };
    const entry: Entry = {
      ...recorder.entry("key.rotate", details, by, undefined, nowMs),
      keys: rows,
      signNextWith: { privateJwk: next.privateKey.export({ format: "jwk" }), kid: next.kid },
    };
    const receipts = await ledger.appendEverywhere(entry);
    this.#key = next;
    if (!source) adoptKey(dataDir, next.kid);
    return { old_kid: old.kid, new_kid: next.kid, streams: receipts.length };
  }

  async #nextKey(to: string | undefined): Promise<SigningKey> {
    const { dataDir, source, store } = this.#parts;
    if (!source && to === undefined) return makeNextKey(dataDir);
    if (!source) throw new KeyError("this node makes its keys itself; none can be named");
    if (!("directory" in source))
      throw new KeyError(
        `the event key comes from ${source.name}, which holds one only; keys that are to be rotated come from a folder (railgate.evidence.event_key.directory)`,
      );
    if (to === undefined || to === this.#key.kid)
      throw new KeyError(`name the key in ${source.name} that is to sign from now on`);
    if ((await store.keys()).some(({ kid }) => kid === to))
      throw new KeyError(`${to} was in use before; a key that was retired never signs again`);
    return loadGivenKey(source, to);
  }
}
