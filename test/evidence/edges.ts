// Nodes that send their records to another: real ones, what they would send, and what a forger with their keys could make of it.
import { createPrivateKey, sign, type KeyObject } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf, eventTextOf } from "../../src/core/event.ts";
import { canonicalJson } from "../../src/core/json.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import type { Replication } from "../../src/core/schema/replication.ts";
import { keyFile } from "../../src/evidence/keys/keys.ts";
import { outgoing, SentBlobs } from "../../src/evidence/upstream/outgoing.ts";
import { RailgateNode, type NodeOptions } from "../../src/node/open.ts";
import type { Answered } from "../http/support.ts";
import { admit } from "./exports.ts";

const scratches: string[] = [];
process.on("exit", () => {
  for (const dir of scratches) rmSync(dir, { recursive: true, force: true });
});

/** Gone again when the tests end. */
export function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), "railgate-edge-"));
  scratches.push(dir);
  return dir;
}

export const openEdge = (dir: string, nodeId: string, options: Partial<NodeOptions> = {}): Promise<RailgateNode> =>
  RailgateNode.open({ dataDir: dir, nodeId, ...options });

/** A node that has decided on so many workloads of acme, open. */
export async function edgeWith(count: number, nodeId: string, options: Partial<NodeOptions> = {}) {
  const dir = scratch();
  const node = await openEdge(dir, nodeId, options);
  await admit(node, count);
  return { dir, node };
}

/** Two nodes of one id that went apart: a data directory that was copied, and both copies opened. */
export async function twins(count: number, nodeId: string) {
  const { dir, node } = await edgeWith(count, nodeId);
  await node.close();
  const copy = scratch();
  cpSync(dir, copy, { recursive: true });
  return { one: await openEdge(dir, nodeId), other: await openEdge(copy, nodeId) };
}

/** What the node would send of a stream from a place on. */
export async function bodyOf(node: RailgateNode, chainId: string, from = 0): Promise<Replication> {
  return (await outgoing(node.store, (await node.store.log.stream(chainId))!, from, new SentBlobs())).body;
}

export const recordsPath = (chainId: string): string => `/v1/streams/${encodeURIComponent(chainId)}/records`;

type Calls = { call(method: string, path: string, call?: object): Promise<Answered> };

export const post = (to: Calls, chainId: string, body: object, headers: object = {}): Promise<Answered> =>
  to.call("POST", recordsPath(chainId), { body, headers });

/** Sends all of a node's streams. @returns the last answer. */
export async function sendAll(to: Calls, node: RailgateNode): Promise<Answered | undefined> {
  let last: Answered | undefined;
  for (const { chain_id, size } of await node.store.log.streams())
    for (let from = 0; from < size; from += 512) last = await post(to, chain_id, await bodyOf(node, chain_id, from));
  return last;
}

/** The private event key of a node's data directory. */
export function eventKeyOf(dir: string): { readonly key: KeyObject; readonly kid: string } {
  const jwk = JSON.parse(readFileSync(keyFile(dir, "event"), "utf8"));
  const kid = digestKid(jwk.x);
  return { key: createPrivateKey({ key: jwk, format: "jwk" }), kid };
}

const digestKid = (x: string): string =>
  Buffer.from(digestOf(`{"crv":"Ed25519","kty":"OKP","x":"${x}"}`).slice(7), "hex").toString("base64url");

export const eventIn = (record: string): EvidenceEvent => JSON.parse(eventTextOf(record)) as EvidenceEvent;

/** A record of an event that was altered, hashed anew, and signed by whoever holds the key. */
export function forged(
  record: string,
  change: Partial<EvidenceEvent>,
  { key, kid }: { key: KeyObject; kid: string },
): string {
  const { event_hash: _, ...event } = { ...eventIn(record), ...change };
  const text = canonicalJson({ ...event, event_hash: digestOf(canonicalJson(event)) });
  const input = [JSON.stringify({ alg: "EdDSA", kid, typ: "railgate-event+jws" }), text]
    .map((part) => Buffer.from(part).toString("base64url"))
    .join(".");
  return `${input}.${sign(null, Buffer.from(input), key).toString("base64url")}`;
}
