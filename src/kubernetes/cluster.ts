// A cluster's API server, asked as the kubeconfig or the pod's own account says; answers are plain JSON, as they came.
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest, type RequestOptions } from "node:https";
import type { KubeConfig } from "@kubernetes/client-node";
import { ConfigError, RailgateError } from "../core/errors.ts";

/** Where the cluster is, and who asks it. */
export interface ClusterOptions {
  /** A file; undefined with `inCluster`: the pod's own account. */
  readonly kubeconfig?: string | undefined;
  readonly inCluster?: boolean | undefined;
  /** Of the kubeconfig; default: the one that is current there. */
  readonly context?: string | undefined;
}

/** The API server cannot be asked, or says no. */
export class ClusterError extends RailgateError {
  static override code: string = "cluster_unavailable";
  /** HTTP; undefined where there was no answer. */
  readonly status: number | undefined;

  constructor(message: string, status?: number, options?: { cause?: unknown }) {
    super(message, options);
    this.status = status;
  }
}

const TIMEOUT_MS = 60_000;

export class Cluster {
  readonly #config: KubeConfig;
  readonly #server: URL;

  private constructor(config: KubeConfig, server: URL) {
    this.#config = config;
    this.#server = server;
  }

  /** @throws ConfigError there is no such cluster to be asked. */
  static async open({ kubeconfig, inCluster, context }: ClusterOptions): Promise<Cluster> {
    const { KubeConfig } = await import("@kubernetes/client-node");
    const config = new KubeConfig();
    try {
      if (inCluster) config.loadFromCluster();
      else if (kubeconfig !== undefined) config.loadFromFile(kubeconfig);
      else config.loadFromDefault();
      if (context !== undefined) config.setCurrentContext(context);
      const server = config.getCurrentCluster()?.server;
      if (server === undefined)
        throw new TypeError(`it names no cluster under the context ${config.getCurrentContext()}`);
      return new Cluster(config, new URL(server));
    } catch (cause) {
      throw new ConfigError("railgate.kubernetes", `the cluster can't be found: ${(cause as Error).message}`, {
        cause,
      });
    }
  }

  /** What it answers to a GET, as it arrives. @throws ClusterError */
  async get(path: string, signal?: AbortSignal): Promise<IncomingMessage> {
    return this.#ask("GET", path, undefined, signal);
  }

  /** @throws ClusterError */
  async json(path: string): Promise<unknown> {
    return readJson(await this.get(path, AbortSignal.timeout(TIMEOUT_MS)));
  }

  /** Writes an object by server-side apply. @throws ClusterError */
  async apply(path: string, object: object): Promise<void> {
    const query = "?fieldManager=railgate&force=true";
    (await this.#ask("PATCH", path + query, JSON.stringify(object), AbortSignal.timeout(TIMEOUT_MS))).resume();
  }

  async #ask(method: string, path: string, body: string | undefined, signal?: AbortSignal): Promise<IncomingMessage> {
    const options: RequestOptions = { method, signal, headers: {} };
    await this.#config.applyToHTTPSOptions(options);
    const headers = {
      ...(options.headers as Record<string, string>),
      Accept: "application/json",
      ...(body !== undefined && { "Content-Type": "application/apply-patch+yaml" }),
    };
    const url = new URL(this.#server.pathname.replace(/\/$/, "") + path, this.#server);
    const request = url.protocol === "http:" ? httpRequest : httpsRequest;
    // An agent for TLS can't be used without it.
    const { agent, ...plain } = options;
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const asked = request(url, { ...(url.protocol === "http:" ? plain : { ...plain, agent }), headers }, resolve);
    asked.on("error", reject).end(body);
    const answer = await promise.catch((cause: Error) => {
      throw new ClusterError(`${url.origin} can't be asked: ${cause.message}`, undefined, { cause });
    });
    const { statusCode = 0 } = answer;
    if (statusCode >= 200 && statusCode < 300) return answer;
    const { message = "" } = ((await readJson(answer).catch(() => ({}))) ?? {}) as { message?: string };
    throw new ClusterError(`${url.origin} answers ${statusCode} to ${method} ${path}: ${message}`, statusCode);
  }
}

async function readJson(answer: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  try {
    for await (const part of answer) parts.push(part as Buffer);
    return JSON.parse(Buffer.concat(parts).toString("utf8")) as unknown;
  } catch (cause) {
    throw new ClusterError(`its answer can't be read: ${(cause as Error).message}`, answer.statusCode, { cause });
  }
}
