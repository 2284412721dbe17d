// Certificates for tests: two authorities of one name, a server on loopback, and clients.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Makes them in a directory. @returns the text of one, `ca.crt`, `server.key` and so on. */
export function certificates(dir: string) {
  const ssl = (...args: string[]) => execFileSync("openssl", args, { cwd: dir, stdio: "pipe" });
  const make = (name: string, subject: string, by: string | null, more: string[] = []) => {
    ssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", `${name}.key`);
    if (by === null)
      return ssl("req", "-x509", "-new", "-key", `${name}.key`, "-subj", subject, "-days", "2", "-out", `${name}.crt`);
    ssl("req", "-new", "-key", `${name}.key`, "-subj", subject, "-out", `${name}.csr`);
    return ssl(
      "x509",
      "-req",
      "-in",
      `${name}.csr`,
      "-CA",
      `${by}.crt`,
      "-CAkey",
      `${by}.key`,
      "-CAcreateserial",
      "-days",
      "2",
      "-out",
      `${name}.crt`,
      ...more,
    );
  };
  writeFileSync(join(dir, "san"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
  make("ca", "/CN=ca", null);
  make("strange-ca", "/CN=ca", null);
  make("server", "/CN=localhost", "ca", ["-extfile", "san"]);
  make("client", "/O=acme/CN=deployer", "ca");
  make("no-tenant", "/CN=deployer", "ca");
  make("operator", "/OU=operator/CN=olga", "ca");
  make("stranger", "/O=acme/CN=deployer", "strange-ca");
  return (name: string) => readFileSync(join(dir, name), "utf8");
}
