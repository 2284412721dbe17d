// An export to test with, made by a real node, and the means to tamper with it: as an outsider, and as one who holds the keys.
import { containerRequest } from "../core/requests.ts";
import { admit as admitOne } from "../gate/commands.ts";
import { createHash, createPrivateKey, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import canonicalize from "canonicalize";
import { parseAdmissionRequest } from "../../src/core/request.ts";
import { prepareExport, type ExportRequest, type PreparedExport } from "../../src/evidence/export/export.ts";
import { keyFile } from "../../src/evidence/keys/keys.ts";
import { RailgateNode, type NodeOptions } from "../../src/node/open.ts";

export type Files = Map<string, Buffer>;
export type Json = Record<string, any>;

/** Whose the keys are is no matter here. */
export const TRUSTING = { trustEmbeddedKeys: true };

/** A container that is admitted; one that is `secret` must be a TEE, and is refused. */
export function request(workload_id: string, tenant_id = "acme", classification = "internal"): Json {
  const { crp: _, jurisdictions: _also, residency: _too, ...workload } = containerRequest().workload;
  return { workload: { ...workload, workload_id, tenant_id, classification } };
}

/** A node over a directory that goes when the work is done. */
export async function withNode<T>(
  work: (node: RailgateNode, dir: string) => Promise<T>,
  options: Partial<NodeOptions> = {},
): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), "railgate-export-test-"));
  try {
    await using node = await RailgateNode.open({ dataDir: join(dir, "data"), nodeId: "node-1", ...options });
    return await work(node, dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

export async function admit(node: RailgateNode, count: number, tenant = "acme", first = 0): Promise<void> {
  for (let i = first; i < first + count; i++) {
    await admitOne(node, parseAdmissionRequest(request(`w${i}`, tenant, i % 3 === 0 ? "secret" : "internal")));
  }
}

export const asked = (more: Partial<ExportRequest> = {}): ExportRequest => ({
  tenantId: "acme",
  evidenceProfileId: "ecs-evidence-admissible",
  actor: "test",
  ...more,
});

export async function filesOf(prepared: PreparedExport): Promise<Files> {
  const files: Files = new Map();
  for await (const file of prepared.files()) {
    const parts: Uint8Array[] = [];
    for await (const part of file.open()) parts.push(part);
    files.set(file.name, Buffer.concat(parts));
  }
  return files;
}

export async function exportFiles(node: RailgateNode, more: Partial<ExportRequest> = {}): Promise<Files> {
  using prepared = await prepareExport(node, asked(more));
  return await filesOf(prepared);
}

/** The keys that a node signs with. */
export interface Keys {
  readonly event: KeyObject;
  readonly log: KeyObject;
  readonly kid: string;
}

export async function keysOf(dir: string, node: RailgateNode): Promise<Keys> {
  const read = (role: "event" | "log") =>
    createPrivateKey({ key: JSON.parse(readFileSync(keyFile(join(dir, "data"), role), "utf8")), format: "jwk" });
  return { event: read("event"), log: read("log"), kid: (await node.jwks()).keys[0]!["kid"] as string };
}

export interface Attacker {
  readonly key: KeyObject;
  readonly jwk: Json;
}

export function makeAttacker(): Attacker {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const { x } = publicKey.export({ format: "jwk" });
  const kid = createHash("sha256").update(`{"crv":"Ed25519","kty":"OKP","x":"${x}"}`).digest("base64url");
  return { key: privateKey, jwk: { kty: "OKP", crv: "Ed25519", x, kid, alg: "EdDSA", use: "sig" } };
}

export const sha256 = (data: string | Uint8Array): string =>
  `sha256:${createHash("sha256").update(data).digest("hex")}`;
export const canonical = (value: unknown): string => canonicalize(value)!;
export const base64url = (data: string | Uint8Array): string => Buffer.from(data).toString("base64url");

export function jws(header: Json, payload: string | Uint8Array, key: KeyObject): string {
  const input = `${base64url(JSON.stringify(header))}.${base64url(payload)}`;
  return `${input}.${base64url(sign(null, Buffer.from(input), key))}`;
}

/** RFC 6962, as simply as it can be written. */
export function merkleRoot(leaves: readonly Uint8Array[]): Buffer {
  const hash = (...parts: Uint8Array[]) => createHash("sha256").update(Buffer.concat(parts)).digest();
  const root = (hashes: Buffer[]): Buffer => {
    if (hashes.length === 1) return hashes[0]!;
    const split = 2 ** Math.ceil(Math.log2(hashes.length) - 1);
    return hash(Buffer.of(1), root(hashes.slice(0, split)), root(hashes.slice(split)));
  };
  return root(leaves.map((leaf) => hash(Buffer.of(0), leaf)));
}

/** An export that is changed, file by file. */
export class Tampering {
  readonly files: Files;
  readonly keys: Keys;
  /** Another tenant's export of the same node. */
  readonly other: Files;

  constructor(files: Files, other: Files, keys: Keys) {
    this.files = new Map(files);
    this.other = other;
    this.keys = keys;
  }

  text(name: string): string {
    return this.files.get(name)!.toString("utf8");
  }

  set(name: string, content: string | Uint8Array): void {
    this.files.set(name, Buffer.from(content));
  }

  /** Changes a file's lines. */
  lines(name: string, change: (lines: string[]) => void): void {
    const lines = this.text(name).split("\n").slice(0, -1);
    change(lines);
    this.set(name, lines.map((line) => `${line}\n`).join(""));
  }

  json(name: string, change: (value: Json) => void): void {
    const value = JSON.parse(this.text(name)) as Json;
    change(value);
    this.set(name, canonical(value));
  }

  /** Changes an event, and makes its hash right again where `rehash`. */
  event(index: number, change: (event: Json) => void, rehash = false): void {
    this.lines("events.jsonl", (lines) => {
      const event = JSON.parse(lines[index]!) as Json;
      change(event);
      if (rehash) {
        const { event_hash: _, ...rest } = event;
        event["event_hash"] = sha256(canonical(rest));
      }
      lines[index] = canonical(event);
    });
  }

  /** What the holder of the event key could do: digests, segment and manifest made right again. */
  seal(key = this.keys.event, kid = this.keys.kid): this {
    if (this.files.has("chain-segment.json")) {
      this.json("chain-segment.json", (segment) => {
        if (segment["signature"] === undefined) return;
        const { events: _, signature: __, ...rest } = segment;
        segment["signature"] = { key_id: kid, signature: base64url(sign(null, Buffer.from(canonical(rest)), key)) };
      });
    }
    return this.sealManifest(key, kid);
  }

  /** The segment's digest stands in two places. */
  #referToSegment(): void {
    const segment = this.files.get("chain-segment.json");
    for (const name of ["verifier-inputs.json", "manifest.json"]) {
      if (segment === undefined || !this.files.has(name)) continue;
      this.set(name, this.text(name).replace(/(?<=eosc:\/\/evidence\/chain\/)sha256:[0-9a-f]{64}/, sha256(segment)));
    }
  }

  sealManifest(key = this.keys.event, kid = this.keys.kid): this {
    this.#referToSegment();
    if (!this.files.has("manifest.json")) return this;
    this.json("manifest.json", (manifest) => {
      for (const [name, content] of this.files)
        if (name in manifest["files"] && !name.startsWith("artifacts/")) manifest["files"][name] = sha256(content);
      const { signatures: _, ...rest } = manifest;
      manifest["signatures"] = [{ key_id: kid, signature: base64url(sign(null, Buffer.from(canonical(rest)), key)) }];
    });
    return this;
  }

  /** As {@link sealManifest}, but only what anybody can do. */
  digests(): this {
    this.json("manifest.json", (manifest) => {
      for (const [name, content] of this.files)
        if (name in manifest["files"]) manifest["files"][name] = sha256(content);
    });
    return this;
  }
}
