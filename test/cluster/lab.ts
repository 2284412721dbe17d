// A control plane and a Railgate node beside it, put together from deploy/kubernetes as docs/kubernetes.md tells an operator to.
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { loadConfig } from "../../src/node/config/config.ts";
import { serve, type Served } from "../../src/http/server.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import { Certificates } from "./certificates.ts";
import { ControlPlane, run, until, type Ran } from "./control-plane.ts";
import { freePort } from "../port.ts";

export type Json = { [member: string]: any };

const DEPLOY = join(import.meta.dirname, "../../deploy/kubernetes");
const MAIN = join(import.meta.dirname, "../../src/cli/main.ts");
/** Whom the node's watch is to the API server: the account that the manifests give their pods. */
const ACCOUNT = "/CN=system:serviceaccount:railgate-system:railgate";

const documents = (yaml: string): Json[] => parseAllDocuments(yaml).map((document) => document.toJS() as Json);

export class Lab {
  readonly dir: string;
  readonly plane: ControlPlane;
  readonly #certificates: Certificates;
  readonly #port: number;
  readonly #settings: string;
  #served: Served | undefined;

  private constructor(dir: string, plane: ControlPlane, certificates: Certificates, port: number) {
    this.dir = dir;
    this.plane = plane;
    this.#certificates = certificates;
    this.#port = port;
    this.#settings = join(dir, "opa.yaml");
    const { cert, key } = certificates.issue("railgate", "/CN=railgate");
    const railgate = {
      listen: `127.0.0.1:${port}`,
      data_dir: this.dataDir,
      log_level: "info",
      tls: { cert, key, client_ca: certificates.ca },
      authentication: { mtls: {} },
      kubernetes: { kubeconfig: certificates.kubeconfig(plane.url, "watch", ACCOUNT) },
    };
    writeFileSync(this.#settings, JSON.stringify({ railgate }));
  }

  /** etcd and an API server run; Railgate does not, and nobody asks it. @param bin the folder of binaries. */
  static async open(bin: string, dir: string): Promise<Lab> {
    const certificates = new Certificates(dir);
    const lab = new Lab(dir, await ControlPlane.prepare(bin, dir, certificates), certificates, await freePort());
    lab.plane.startEtcd();
    await lab.plane.startServer(lab.#admission(undefined));
    return lab;
  }

  async close(): Promise<void> {
    await this.stopRailgate();
    await this.plane.close();
  }

  get dataDir(): string {
    return join(this.dir, "data");
  }

  async startRailgate(): Promise<void> {
    this.#served = await serve(loadConfig({ env: {}, cwd: this.dir, flags: { configFile: this.#settings } }), {
      signals: false,
      logTo: { write: (line) => appendFileSync(join(this.dir, "railgate.log"), line) },
    });
  }

  async stopRailgate(): Promise<void> {
    await this.#served?.close();
    this.#served = undefined;
  }

  /** What is on record of a tenant, newest first. */
  async events(tenantId: string): Promise<readonly EvidenceEvent[]> {
    return (await this.#served!.railgate.events({ tenant_id: tenantId, limit: 1000 })).items;
  }

  railgate(...args: string[]): Promise<Ran> {
    return run(process.execPath, [MAIN, ...args]);
  }

  kubeconfig(name: string): string {
    return this.#certificates.kubeconfig(this.plane.url, name, `/CN=${name}`);
  }

  /** Everything in deploy/kubernetes/base as kubectl builds it; the webhook asked by URL, since no pod runs here that a Service could lead to. */
  async manifests(): Promise<Json[]> {
    const { code, out, err } = await this.plane.kubectl("kustomize", join(DEPLOY, "base"));
    if (code !== 0) throw new Error(err);
    return documents(out).map((object) => this.#byUrl(object));
  }

  /** The API server anew, with the webhook in files of its own in place of an object. */
  async restartWithStaticWebhook(): Promise<void> {
    const folder = join(this.dir, "static");
    mkdirSync(folder, { recursive: true });
    const [webhook] = documents(readFileSync(join(DEPLOY, "static/railgate.yaml"), "utf8")) as [Json];
    writeFileSync(join(folder, "railgate.yaml"), JSON.stringify(this.#byUrl(webhook)));
    await this.plane.stopServer();
    await this.plane.startServer(this.#admission(folder));
  }

  async untilReviewed(): Promise<void> {
    const refused = async () =>
      (await this.plane.kubectl("run", "probe", "--image=probe", "--privileged", "-n=shop", "--dry-run=server"))
        .code !== 0;
    await until("the webhook is asked", refused);
  }

  #byUrl(object: Json): Json {
    if (object["kind"] !== "ValidatingWebhookConfiguration") return object;
    const clientConfig = {
      url: `https://127.0.0.1:${this.#port}/v1/kubernetes/admission`,
      caBundle: this.#certificates.caBase64,
    };
    return { ...object, webhooks: (object["webhooks"] as Json[]).map((webhook) => ({ ...webhook, clientConfig })) };
  }

  /** The files in deploy/kubernetes/apiserver, about this folder and this port. */
  #admission(staticManifestsDir: string | undefined): string {
    const text = (file: string) => readFileSync(join(DEPLOY, "apiserver", file), "utf8");
    const [asked, credentials] = [join(this.dir, "admission.json"), join(this.dir, "webhook.kubeconfig")];
    const [config] = documents(text("admission.yaml")) as [Json];
    const plugin = config["plugins"][0].configuration as Json;
    plugin["kubeConfigFile"] = credentials;
    if (staticManifestsDir !== undefined) plugin["staticManifestsDir"] = staticManifestsDir;
    writeFileSync(asked, JSON.stringify(config));
    const { cert, key } = this.#certificates.issue("webhook", "/CN=kube-apiserver/OU=webhook");
    const [kubeconfig] = documents(text("webhook.kubeconfig")) as [Json];
    const [user] = kubeconfig["users"] as [Json];
    user["name"] = `127.0.0.1:${this.#port}`;
    user["user"] = { "client-certificate": cert, "client-key": key };
    writeFileSync(credentials, JSON.stringify(kubeconfig));
    return asked;
  }
}
