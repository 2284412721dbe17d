// A real listener over a data directory of its own, and calls to it in which every header can be chosen.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type Agent, request as httpRequest, type IncomingHttpHeaders, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compactVerify, createLocalJWKSet } from "jose";
import { loadConfig } from "../../src/node/config/config.ts";
import { eventTextOf } from "../../src/core/event.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import type { AdmissionRequest } from "../../src/core/schema/request.ts";
import { serve, type ServeOptions, type Served } from "../../src/http/server.ts";
import type { SharedClock } from "../../src/http/threads/shared-clock.ts";
import { openReader } from "../../src/store/open.ts";
import type { StoreReader } from "../../src/store/store.ts";
import { containerRequest } from "../core/requests.ts";
import { until } from "../until.ts";

export interface Answered {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly bytes: Buffer;
  /** The body as JSON, whatever it is. */
  readonly json: any;
}

export interface Call {
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string | Uint8Array | object;
  readonly tls?: RequestOptions & { ca?: string; cert?: string; key?: string };
  readonly agent?: Agent;
}

export interface Started extends Served {
  readonly dir: string;
  readonly port: number;
  /** Lines of the log, parsed. */
  readonly logs: Record<string, any>[];
  /** What is committed, read beside the server. */
  store(): Promise<StoreReader>;
  call(method: string, path: string, call?: Call): Promise<Answered>;
}

const dirs: string[] = [];
process.on("exit", () => {
  for (const dir of dirs) rmSync(dir, { recursive: true, force: true });
});

/** Gone again when the tests end. */
export function emptyDir(): string {
  const dir = mkdtempSync(join(tmpdir(), "railgate-http-"));
  dirs.push(dir);
  return dir;
}

/** `RAILGATE_TEST_THREADS=3 npx ava test/http/…`: the same of several threads. */
const THREADS = process.env["RAILGATE_TEST_THREADS"] ? { threads: Number(process.env["RAILGATE_TEST_THREADS"]) } : {};

/** Serves on a port of its own; `settings` is what stands in opa.yaml under `railgate`, `more` beside it. */
export async function start(settings: object = {}, options: ServeOptions = {}, more: object = {}): Promise<Started> {
  const dir = emptyDir();
  writeFileSync(
    join(dir, "opa.yaml"),
    JSON.stringify({ railgate: { listen: "127.0.0.1:0", ...THREADS, ...settings }, ...more }),
  );
  const logs: Record<string, any>[] = [];
  const logTo = { write: (line: string) => void logs.push(JSON.parse(line)) };
  const config = loadConfig({ env: {}, cwd: dir });
  const served = await serve(config, { signals: false, logTo, ...options });
  return {
    ...served,
    dir,
    logs,
    store: () => openReader(config.dataDir),
    port: Number(new URL(served.url).port),
    call: (method, path, call) => send(served.url, method, path, call),
  };
}

/** One call; objects are sent as JSON. Rejects when the connection breaks before an answer. */
export function send(
  base: string,
  method: string,
  path: string,
  { headers = {}, body, tls, agent }: Call = {},
): Promise<Answered> {
  const { protocol, hostname, port } = new URL(base);
  const isText = typeof body === "string" || body instanceof Uint8Array;
  const bytes = body === undefined ? undefined : Buffer.from(isText ? (body as string) : JSON.stringify(body));
  const sent = {
    ...(bytes && { "content-type": "application/json", "content-length": String(bytes.length) }),
    ...headers,
  };
  const options = {
    method,
    path,
    port,
    hostname: hostname.replace(/^\[|\]$/g, ""),
    headers: sent,
    agent: agent ?? false,
    ...tls,
  };
  return new Promise((resolve, reject) => {
    const request = (protocol === "https:" ? httpsRequest : httpRequest)(options, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => resolve(answered(response.statusCode!, response.headers, Buffer.concat(chunks))));
    });
    request.on("error", reject);
    request.end(bytes);
  });
}

/** Waits until each stream of a server has a checkpoint of all that is committed: nothing of it is still to be written. */
export async function checkpointed(base: string): Promise<void> {
  await until(async () => {
    for (const { chain_id, size } of (await send(base, "GET", "/v1/streams")).json.items) {
      const { text } = await send(base, "GET", `/v1/streams/${encodeURIComponent(chain_id)}/checkpoint`);
      if (Number(text.split("\n")[1]) !== size) return false;
    }
    return true;
  }, "checkpoints of all that is committed");
}

export function answered(status: number, headers: IncomingHttpHeaders, bytes: Buffer): Answered {
  const text = bytes.toString("utf8");
  return {
    status,
    headers,
    text,
    bytes,
    get json() {
      return JSON.parse(text);
    },
  };
}

/** Sends bytes on a bare connection. @returns all that came back until the other side closed it. */
export function raw(
  port: number,
  bytes: string | Buffer,
  { host = "127.0.0.1", halfClose = false } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host, port, allowHalfOpen: true }, () =>
      halfClose ? socket.end(bytes) : socket.write(bytes),
    );
    let text = "";
    socket.on("data", (data) => (text += data.toString("latin1")));
    socket.on("error", reject);
    socket.on("end", () => {
      socket.end();
      resolve(text);
    });
  });
}

/** A clock that stands still, for `serve` and all its threads. */
export class Clock {
  readonly shared: SharedClock = new BigInt64Array(new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT));

  constructor(ms: number) {
    this.ms = ms;
  }

  get ms(): number {
    return Number(Atomics.load(this.shared, 0));
  }

  set ms(ms: number) {
    Atomics.store(this.shared, 0, BigInt(ms));
  }
}

/** The order of a listing over several streams, oldest first. */
export function byTime(a: EvidenceEvent, b: EvidenceEvent): number {
  const [one, other] = [a, b].map(({ occurred_at, chain_id }) => `${occurred_at} ${chain_id}`) as [string, string];
  return one === other ? a.sequence - b.sequence : one < other ? -1 : 1;
}

/** A request that the shipped law admits. */
export function admissible(workload_id = "payments-api", tenant_id = "acme"): AdmissionRequest {
  const { correlation_id: _, ...request } = containerRequest();
  return {
    ...request,
    workload: { ...request.workload, workload_id, tenant_id },
    placement: { ...request.placement, tenants_on_host: [tenant_id] },
  };
}

/** One that it refuses (ENV-03): restricted data wants a TEE. */
export function insufficient(workload_id = "payments-api", tenant_id = "acme"): AdmissionRequest {
  const request = admissible(workload_id, tenant_id);
  return { ...request, workload: { ...request.workload, classification: "restricted" } };
}

/**
 * All events of a data directory, in order of commit.
 * @throws Error where a signature fails, a chain has a gap or a fork, or an id comes twice.
 */
export async function verifiedEvents(dir: string): Promise<EvidenceEvent[]> {
  await using store = await openReader(join(dir, "data", "railgate.db"));
  const keys = createLocalJWKSet({ keys: (await store.keys()).map(({ jwk }) => ({ ...jwk })) as never });
  const heads = new Map<string, { sequence: number; hash: string }>();
  const events: EvidenceEvent[] = [];
  const rows = await store.events({ order: "asc", limit: 1_000_000 });
  for (const { record } of rows) {
    await compactVerify(record, keys);
    const event = JSON.parse(eventTextOf(record)) as EvidenceEvent;
    const head = heads.get(event.chain_id);
    if (event.sequence !== (head?.sequence ?? -1) + 1)
      throw new Error(`${event.chain_id} has ${event.sequence} after ${head?.sequence}`);
    if (event.prev_hash !== (head?.hash ?? null)) throw new Error(`${event.chain_id} is broken at ${event.sequence}`);
    heads.set(event.chain_id, { sequence: event.sequence, hash: event.event_hash });
    events.push(event);
  }
  if (new Set(events.map(({ id }) => id)).size !== events.length) throw new Error("an id comes twice");
  return events;
}
