// A key names its successor outside any stream: what ties the keys of a restored node to its old streams (docs/decisions/0051).
import { sign } from "node:crypto";
import { canonicalJson } from "../../core/json.ts";
import type { KeyRow } from "../../store/store.ts";
import { HAND_OVER_TYPE } from "../verify/hand-overs.ts";
import { publicJwk } from "./jwks.ts";
import type { SigningKey } from "./keys.ts";

/** Two node ids where the node goes on under another, else one twice. */
interface Nodes {
  readonly from: string;
  readonly to: string;
}

/** The statement, a compact JWS that the old key signs. */
export function signHandOver(
  old: SigningKey,
  next: Pick<SigningKey, "kid" | "publicJwk">,
  nodes: Nodes,
  nowMs: number,
) {
  const payload = canonicalJson({
    created_at: new Date(nowMs).toISOString(),
    from_kid: old.kid,
    from_node_id: nodes.from,
    jwk: publicJwk(next.publicJwk),
    kid: next.kid,
    node_id: nodes.to,
  });
  const header = canonicalJson({ alg: "EdDSA", kid: old.kid, typ: HAND_OVER_TYPE });
  const input = `${base64url(header)}.${base64url(payload)}`;
  return `${input}.${sign(null, Buffer.from(input), old.privateKey).toString("base64url")}`;
}

const base64url = (text: string): string => Buffer.from(text).toString("base64url");

/** The statements that lead from a key of a node to later ones, in order; none where there is none. */
export function handOversFrom(rows: readonly KeyRow[], nodeId: string, kid: string): string[] {
  const known = rows.flatMap(({ hand_over }) =>
    hand_over === undefined ? [] : [{ text: hand_over, ...said(hand_over) }],
  );
  const found: string[] = [];
  for (let [node, key] = [nodeId, kid]; found.length < known.length; ) {
    const next = known.find(({ from_node_id, from_kid }) => from_node_id === node && from_kid === key);
    if (next === undefined) break;
    found.push(next.text);
    [node, key] = [next.node_id, next.kid];
  }
  return found;
}

type Said = { readonly [name in "from_kid" | "from_node_id" | "kid" | "node_id"]: string };

const said = (statement: string): Said =>
  JSON.parse(Buffer.from(statement.split(".")[1]!, "base64url").toString("utf8")) as Said;
