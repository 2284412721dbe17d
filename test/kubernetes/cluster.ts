// As much of an API server as is listed and watched: pages, a watch that can be broken off, and reports that are written.
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

type Json = { [member: string]: any };

export interface FakeCluster {
  readonly url: string;
  /** By path. */
  readonly lists: Map<string, Json[]>;
  /** What was asked, in order. */
  readonly asked: string[];
  /** By path. */
  readonly applied: Map<string, Json>;
  /** How many watches are open. */
  readonly watches: Set<ServerResponse>;
  /** Tells every watch. */
  tell(type: string, object: Json): void;
  /** Whether it answers anything but 503. */
  up: boolean;
  /** A kubeconfig that names it, in a folder. */
  kubeconfig(dir: string): string;
  close(): Promise<void>;
}

export async function fakeCluster(): Promise<FakeCluster> {
  const lists = new Map<string, Json[]>();
  const [asked, applied, watches] = [[] as string[], new Map<string, Json>(), new Set<ServerResponse>()];
  let version = 1;
  const server = createServer((req, res) => {
    const { pathname, searchParams: query } = new URL(req.url!, "http://x");
    asked.push(`${req.method} ${req.url}`);
    if (!cluster.up) return void res.writeHead(503).end('{"message":"away"}');
    if (req.method === "PATCH") {
      let body = "";
      req.on("data", (part: Buffer) => (body += part.toString()));
      return void req.on("end", () => {
        applied.set(pathname, JSON.parse(body));
        res.end("{}");
      });
    }
    if (query.get("watch")) {
      watches.add(res.writeHead(200));
      res.flushHeaders();
      return void res.on("close", () => watches.delete(res));
    }
    const items = lists.get(pathname) ?? [];
    const from = Number(query.get("continue") ?? 0);
    const to = from + Number(query.get("limit") ?? items.length);
    const metadata = {
      resourceVersion: String(version),
      ...(to < items.length && { continue: String(to), remainingItemCount: items.length - to }),
    };
    res.end(JSON.stringify({ metadata, items: items.slice(from, to) }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const cluster: FakeCluster = {
    url,
    lists,
    asked,
    applied,
    watches,
    up: true,
    tell(type, object) {
      const told = {
        type,
        object: { ...object, metadata: { ...object["metadata"], resourceVersion: String(++version) } },
      };
      for (const res of watches) res.write(`${JSON.stringify(told)}\n`);
    },
    kubeconfig(dir) {
      const file = join(dir, "kubeconfig.json");
      const contexts = [{ name: "c", context: { cluster: "c", user: "u" } }];
      const clusters = [{ name: "c", cluster: { server: url, "insecure-skip-tls-verify": true } }];
      const config = {
        apiVersion: "v1",
        kind: "Config",
        "current-context": "c",
        contexts,
        clusters,
        users: [{ name: "u", user: {} }],
      };
      writeFileSync(file, JSON.stringify(config));
      return file;
    },
    async close() {
      for (const res of watches) res.destroy();
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  return cluster;
}
