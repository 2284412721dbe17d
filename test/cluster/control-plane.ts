// A cluster without nodes: etcd and an API server as processes on loopback, and kubectl that asks it.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Certificates } from "./certificates.ts";
import { freePort } from "../port.ts";

/** What a command wrote, and how it ended. */
export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

const READY_MS_MAX = 180_000;
/** Who asked for what, and the annotations of webhooks. */
const AUDIT_POLICY = { apiVersion: "audit.k8s.io/v1", kind: "Policy", rules: [{ level: "Metadata" }] };

interface Ports {
  readonly api: number;
  readonly etcd: number;
  readonly peer: number;
}

export class ControlPlane {
  readonly url: string;
  readonly admin: string;
  readonly #bin: string;
  readonly #dir: string;
  readonly #certificates: Certificates;
  readonly #ports: Ports;
  #etcd: ChildProcess | undefined;
  #server: ChildProcess | undefined;

  private constructor(bin: string, dir: string, certificates: Certificates, ports: Ports) {
    this.#bin = bin;
    this.#dir = dir;
    this.#certificates = certificates;
    this.#ports = ports;
    this.url = `https://127.0.0.1:${ports.api}`;
    this.admin = certificates.kubeconfig(this.url, "admin", "/O=system:masters/CN=admin");
  }

  /** Nothing runs yet. @param bin the folder of binaries. */
  static async prepare(bin: string, dir: string, certificates: Certificates): Promise<ControlPlane> {
    const [api, etcd, peer] = [await freePort(), await freePort(), await freePort()];
    return new ControlPlane(bin, dir, certificates, { api, etcd, peer });
  }

  startEtcd(): void {
    const [client, peer] = [`http://127.0.0.1:${this.#ports.etcd}`, `http://127.0.0.1:${this.#ports.peer}`];
    this.#etcd = this.#spawn("etcd", {
      name: "it",
      "data-dir": join(this.#dir, "etcd"),
      "listen-client-urls": client,
      "advertise-client-urls": client,
      "listen-peer-urls": peer,
      "initial-advertise-peer-urls": peer,
      "initial-cluster": `it=${peer}`,
      "unsafe-no-fsync": "true",
    });
  }

  /**
   * Whatever would refuse first what Railgate shall be seen to refuse is off, Kubernetes' own PodSecurity too; ServiceAccount too, since without
   * controllers no namespace has an account.
   * @param admission the file of its AdmissionConfiguration.
   */
  async startServer(admission: string): Promise<void> {
    const { cert, key } = this.#certificates.issue("apiserver", "/CN=kube-apiserver");
    const account = this.#certificates.issue("accounts", "/CN=service-accounts");
    const auditPolicy = join(this.#dir, "audit-policy.json");
    writeFileSync(auditPolicy, JSON.stringify(AUDIT_POLICY));
    this.#server = this.#spawn("kube-apiserver", {
      "etcd-servers": `http://127.0.0.1:${this.#ports.etcd}`,
      "bind-address": "127.0.0.1",
      "advertise-address": "127.0.0.1",
      "secure-port": String(this.#ports.api),
      "endpoint-reconciler-type": "none",
      "service-cluster-ip-range": "10.0.0.0/24",
      "tls-cert-file": cert,
      "tls-private-key-file": key,
      "client-ca-file": this.#certificates.ca,
      "service-account-issuer": "https://kubernetes.default.svc",
      "service-account-key-file": account.cert,
      "service-account-signing-key-file": account.key,
      "authorization-mode": "RBAC",
      "allow-privileged": "true",
      "disable-admission-plugins": "PodSecurity,ServiceAccount",
      "admission-control-config-file": admission,
      "audit-policy-file": auditPolicy,
      "audit-log-path": this.#auditLog,
    });
    await until("the API server is ready", async () => (await this.kubectl("get", "--raw", "/readyz")).code === 0);
  }

  /** At once: asked to end, it waits a minute for whoever watches it, and all that it knows is in etcd. */
  async stopServer(): Promise<void> {
    await end(this.#server, "SIGKILL");
    this.#server = undefined;
  }

  async close(): Promise<void> {
    await this.stopServer();
    await end(this.#etcd, "SIGTERM");
  }

  kubectl(...args: string[]): Promise<Ran> {
    return run(join(this.#bin, "kubectl"), [`--kubeconfig=${this.admin}`, ...args]);
  }

  /** `kubectl <args> -f -` of an object or several. */
  send(objects: object | readonly object[], ...args: string[]): Promise<Ran> {
    const items = Array.isArray(objects) ? (objects as object[]) : [objects];
    const list = items.length === 1 ? items[0] : { apiVersion: "v1", kind: "List", items };
    return run(join(this.#bin, "kubectl"), [`--kubeconfig=${this.admin}`, ...args, "-f", "-"], JSON.stringify(list));
  }

  /** What the API server's audit log says of requests for objects of a namespace. */
  audited(namespace: string): { readonly annotations?: { readonly [name: string]: string } }[] {
    const lines = readFileSync(this.#auditLog, "utf8").trimEnd().split("\n");
    return lines
      .map((line) => JSON.parse(line) as { objectRef?: { namespace?: string }; annotations?: Record<string, string> })
      .filter(({ objectRef }) => objectRef?.namespace === namespace);
  }

  get #auditLog(): string {
    return join(this.#dir, "audit.log");
  }

  #spawn(name: string, flags: { readonly [name: string]: string }): ChildProcess {
    const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
    const child = spawn(join(this.#bin, name), args, { cwd: this.#dir, stdio: ["ignore", "pipe", "pipe"] });
    const log = createWriteStream(join(this.#dir, `${name}.log`), { flags: "a" });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    process.on("exit", () => child.kill("SIGKILL"));
    return child;
  }
}

async function end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill(signal);
  await ended;
}

/** Not synchronous, since what it asks may ask this process. */
export async function run(command: string, args: readonly string[], input = ""): Promise<Ran> {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
  let [out, err] = ["", ""];
  child.stdout.on("data", (data: Buffer) => (out += data.toString()));
  child.stderr.on("data", (data: Buffer) => (err += data.toString()));
  child.stdin.end(input);
  const [code] = (await once(child, "close")) as [number | null];
  return { code, out, err };
}

/** @throws Error it does not come true in three minutes. */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const started = Date.now(); Date.now() - started < READY_MS_MAX; await sleep(500)) if (await holds()) return;
  throw new Error(`it does not come true that ${what}`);
}
