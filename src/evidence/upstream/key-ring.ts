// Whose records are believed: the keys of other nodes, as configured, as trusted on first use, and as each key names the next.
import { createPublicKey, type KeyObject } from "node:crypto";
import type { KeyRow } from "../../store/store.ts";
import { nextHolder, type Holder } from "../verify/hand-overs.ts";
import { publicKeyOf, thumbprint } from "../verify/keys.ts";
import { NODE_PRIMITIVES } from "../verify/node-primitives.ts";

/** A node whose records may be sent here, as the settings say. */
export interface KnownNode {
  readonly nodeId: string;
  /** Its event keys; undefined: trusted on first use, where that may be. */
  readonly keys?: readonly { readonly [member: string]: unknown }[] | undefined;
  /** Nodes that may bring its records besides itself. */
  readonly via: readonly string[];
}

type Jwk = { readonly [member: string]: unknown };

/** What the first record of a stream may be believed on. */
export interface Introduction {
  readonly nodeId: string;
  /** That the record names. */
  readonly kid: string;
  readonly jwks: readonly Jwk[];
  readonly handOvers: readonly string[];
  /** Whether a node that nobody has heard of is believed. */
  readonly firstUse: boolean;
}

export class KeyRing {
  /** By kid. */
  readonly #rows: ReadonlyMap<string, KeyRow>;
  readonly #nodes: readonly KnownNode[];
  readonly #found: KeyRow[] = [];
  readonly #nowMs: number;

  constructor(rows: readonly KeyRow[], nodes: readonly KnownNode[], nowMs: number) {
    this.#rows = new Map(rows.map((row) => [row.kid, row]));
    this.#nodes = nodes;
    this.#nowMs = nowMs;
  }

  /** Keys that were not known before, to be kept with the records that they signed. */
  get found(): readonly KeyRow[] {
    return this.#found;
  }

  /** A key that signs for this node; undefined where it does not, or nobody knows. */
  key(nodeId: string, kid: string): KeyObject | undefined {
    const row = this.#row(nodeId, kid);
    return row && objectOf(row.jwk);
  }

  /** Another key signs for this node from now on: its own records say so. @returns false where it is no key, or somebody else's. */
  succeed(nodeId: string, kid: string, jwk: unknown, retired: string): boolean {
    const named = typeof jwk === "object" && jwk !== null ? (jwk as Jwk) : {};
    if (this.#row(nodeId, kid)) return true;
    if (thumbprintOf(named) !== kid || this.#isOthers(kid)) return false;
    this.#keep(nodeId, kid, named);
    const before = this.#row(nodeId, retired);
    if (before && before.retired_at_ms === null) this.#found.push({ ...before, retired_at_ms: this.#nowMs });
    return true;
  }

  /** Whether the signer of a stream's first record is believed; where it is, {@link key} knows it. */
  async introduce({ nodeId, kid, jwks, handOvers, firstUse }: Introduction): Promise<boolean> {
    if (this.#row(nodeId, kid)) return true;
    if (this.#isOthers(kid)) return false;
    const configured = this.#nodes.find((node) => node.nodeId === nodeId)?.keys;
    const pinned = configured?.find((jwk) => thumbprintOf(jwk) === kid);
    if (pinned) return this.#keep(nodeId, kid, pinned);
    if (await this.#handedOver(nodeId, kid, handOvers)) return true;
    const unheard = configured === undefined && ![...this.#rows.values()].some(isOf(nodeId));
    const given = jwks.find((jwk) => thumbprintOf(jwk) === kid);
    return firstUse && unheard && given !== undefined && this.#keep(nodeId, kid, given);
  }

  /** Follows statements from any key that is believed, of this node or of the one that it was before. */
  async #handedOver(nodeId: string, kid: string, statements: readonly string[]): Promise<boolean> {
    let holders = this.#holders();
    for (const statement of statements) {
      for (const holder of holders) {
        const next = await nextHolder(statement, holder, NODE_PRIMITIVES);
        if (next === undefined) continue;
        if (next.nodeId === nodeId && next.kid === kid) return this.#keep(nodeId, kid, jwkOf(next), statement);
        holders = [...holders, next];
        break;
      }
    }
    return false;
  }

  #holders(): Holder[] {
    const pinned = this.#nodes.flatMap(({ nodeId, keys = [] }) => keys.flatMap((jwk) => holderOf(nodeId, jwk)));
    const known = [...this.#rows.values()].filter(({ role }) => role === "peer");
    return [...pinned, ...known.flatMap(({ node_id, jwk }) => holderOf(node_id!, jwk))];
  }

  #row(nodeId: string, kid: string): KeyRow | undefined {
    const row = this.#found.findLast((found) => found.kid === kid) ?? this.#rows.get(kid);
    return row && isOf(nodeId)(row) ? row : undefined;
  }

  /** A key that is this node's own, or another's, signs for nobody else. */
  #isOthers(kid: string): boolean {
    return this.#rows.has(kid) || this.#found.some((found) => found.kid === kid);
  }

  #keep(node_id: string, kid: string, { kty, crv, x }: Jwk, hand_over?: string): true {
    this.#found.push({
      kid,
      role: "peer",
      node_id,
      jwk: { kty, crv, x, kid, alg: "EdDSA", use: "sig" },
      ...(hand_over !== undefined && { hand_over }),
      created_at_ms: this.#nowMs,
      retired_at_ms: null,
    });
    return true;
  }
}

const isOf =
  (nodeId: string) =>
  ({ role, node_id }: KeyRow): boolean =>
    role === "peer" && node_id === nodeId;

/** undefined for what is no public Ed25519 key. */
function thumbprintOf(jwk: Jwk): string | undefined {
  return publicKeyOf(jwk) === undefined || "d" in jwk ? undefined : thumbprint(jwk, NODE_PRIMITIVES);
}

function holderOf(nodeId: string, jwk: Jwk): Holder[] {
  const [publicKey, kid] = [publicKeyOf(jwk), thumbprintOf(jwk)];
  return publicKey && kid !== undefined ? [{ nodeId, kid, publicKey }] : [];
}

const jwkOf = ({ publicKey }: Holder): Jwk => ({
  kty: "OKP",
  crv: "Ed25519",
  x: Buffer.from(publicKey).toString("base64url"),
});

const OBJECTS_MAX = 1024;
const objects = new Map<string, KeyObject>();

function objectOf({ kty, crv, x }: Jwk): KeyObject {
  const name = String(x);
  let object = objects.get(name);
  if (object === undefined) {
    if (objects.size >= OBJECTS_MAX) objects.clear();
    objects.set(name, (object = createPublicKey({ key: { kty, crv, x } as never, format: "jwk" })));
  }
  return object;
}
