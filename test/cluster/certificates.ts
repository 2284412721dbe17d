// One authority, and certificates of it for everybody in a cluster on loopback; made by openssl.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

export class Certificates {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
    this.#openssl("req", "-x509", ...EC, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=cluster", "-days", "2");
    writeFileSync(join(dir, "san"), "subjectAltName=IP:127.0.0.1");
  }

  get ca(): string {
    return join(this.#dir, "ca.crt");
  }

  get caBase64(): string {
    return readFileSync(this.ca).toString("base64");
  }

  /** @param subject as openssl writes it: `/CN=…/OU=…`. */
  issue(name: string, subject: string): { readonly cert: string; readonly key: string } {
    this.#openssl("req", ...EC, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", subject);
    const signed = ["-in", `${name}.csr`, "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "san"];
    this.#openssl("x509", "-req", ...signed, "-out", `${name}.crt`, "-days", "1");
    return { cert: join(this.#dir, `${name}.crt`), key: join(this.#dir, `${name}.key`) };
  }

  /** The kubeconfig of somebody whom the API server knows by a certificate. */
  kubeconfig(server: string, name: string, subject: string): string {
    const { cert, key } = this.issue(name, subject);
    const file = join(this.#dir, `${name}.kubeconfig`);
    writeFileSync(
      file,
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        clusters: [{ name: "it", cluster: { server, "certificate-authority": this.ca } }],
        users: [{ name, user: { "client-certificate": cert, "client-key": key } }],
        contexts: [{ name: "it", context: { cluster: "it", user: name } }],
        "current-context": "it",
      }),
    );
    return file;
  }

  #openssl(...args: string[]): void {
    execFileSync("openssl", args, { cwd: this.#dir, stdio: "pipe" });
  }
}
