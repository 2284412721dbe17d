// A policy that is nobody's of ours, built and signed by OPA's command line; a real OPA server and a Railgate that both answer from it.
import { generateKeyPairSync } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { ensureOpa, runOpa as runToEnd } from "../../src/workshop/opa.ts";
import type { ServeOptions } from "../../src/http/server.ts";
import { answered, emptyDir, start, type Answered, type Call, type Started } from "./support.ts";

const SOURCES: Readonly<Record<string, string>> = {
  "app/authz/authz.rego": `package app.authz

default allow := false

allow if input.user == "alice"

allow if data.app.roles[input.user] == "admin"

# METADATA
# description: fails where it is asked to
conflict := 1 if input.c

conflict := 2 if input.c

keys := {k: v | some pair in input.pairs; k := pair[0]; v := pair[1]}

undef if input.never

nothing := null

echo := input

numbers := {"exact": 12345678901234567890, "half": 0.5, "one": 1.0, "sum": 9007199254740993 + input.n}

set := {3, 1, 2, "b", "a", true, null, [2], [1], {"k": 1}, {2, 1}, set()}

nested := object.union({"list": [10, {"deep": {"er": "<&> \\u2028 é 😀"}}], "keyed": {1: "one", "x": "text", true: "yes"}}, {"set": {x | some x in input.items}})

number := to_number(input.s)

# METADATA
# labels:
#   team: x
labelled := true
`,
  "app/authzen/authzen.rego": `package app.authzen

import data.app.roles

default decision := false

decision if roles[input.subject.id] == "admin"

decision := {"decision": true, "context": {"reason": "owner"}} if {
	input.resource.properties.owner == input.subject.id
	not roles[input.subject.id]
}

decision := "odd" if input.action.name == "odd"

decision := 1 if input.action.name == "clash"

decision := 2 if input.action.name == "clash"
`,
  "system/system.rego": `package system

main := {"hello": input.user} if input.user
`,
  "system/health/health.rego": `package system.health

live if input.plugins_ready

ready := input.plugin_state
`,
};
import { spawn } from "../spawn.ts";
import { comes, until } from "../until.ts";
const DATA = { app: { roles: { root: "admin" } } };

const ENTRYPOINTS = [
  ...["allow", "conflict", "keys", "undef", "nothing", "echo", "numbers", "set", "nested", "number", "labelled"].map(
    (rule) => `app/authz/${rule}`,
  ),
  "app/authzen/decision",
  "system/main",
  "system/health/live",
  "system/health/ready",
];

const KEY_ID = "release";

/** What OPA built and signed. */
export interface OpaBundle {
  readonly folder: string;
  readonly file: string;
  /** `bundles` and `keys`, as both have them. */
  readonly settings: { readonly bundles: object; readonly keys: object };
}

export async function opaRun(...args: string[]): Promise<string> {
  const run = await runToEnd(args);
  if (run.status !== 0) throw new Error(`opa ${args.join(" ")}: ${run.stderr}${run.stdout}`);
  return run.stdout;
}

/** Built for WASM, with the sources in it as OPA leaves them, and signed. */
export async function opaBundle(): Promise<OpaBundle> {
  const folder = emptyDir();
  const sources = join(folder, "sources");
  for (const [name, text] of Object.entries({ ...SOURCES, "data.json": JSON.stringify(DATA) })) {
    mkdirSync(join(sources, name, ".."), { recursive: true });
    writeFileSync(join(sources, name), text);
  }
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const [key, file] = [join(folder, "key.pem"), join(folder, "bundle.tar.gz")];
  writeFileSync(key, privateKey.export({ type: "pkcs8", format: "pem" }));
  const entrypoints = ENTRYPOINTS.flatMap((entrypoint) => ["-e", entrypoint]);
  const pem = publicKey.export({ type: "spki", format: "pem" });
  const signing = ["--signing-key", key];
  await opaRun("build", "-t", "wasm", "-b", sources, "--revision", "r1", ...entrypoints, ...signing, "-o", file);
  const settings = {
    bundles: { app: { resource: `file://${file}`, signing: { keyid: KEY_ID } } },
    keys: { [KEY_ID]: { key: pem, algorithm: "RS256" } },
  };
  return { folder, file, settings };
}

/** A Railgate that runs that bundle. */
export function startOver({ settings }: OpaBundle, own: object = {}, options: ServeOptions = {}): Promise<Started> {
  return start(own, options, settings);
}

export interface OpaServer {
  call(method: string, path: string, call?: Call): Promise<Answered>;
  close(): Promise<void>;
}

/** OPA's server over the same sources; decisions logged, so that each has an id. */
export function startOpa({ folder }: OpaBundle): Promise<OpaServer> {
  return runOpa(folder, ["--set", "decision_logs.console=true", join(folder, "sources")]);
}

/** OPA's server, at a socket in a folder. */
export async function runOpa(folder: string, args: readonly string[]): Promise<OpaServer> {
  const socket = join(folder, "opa.sock");
  const all = ["run", "--server", "--addr", `unix://${socket}`, "--log-level", "error", ...args];
  const child = spawn(await ensureOpa(), all, { stdio: "ignore" });
  const ended = new Promise<void>((resolve) => child.on("exit", () => resolve()));
  const call = (method: string, path: string, given: Call = {}) => ask(socket, method, path, given);
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`OPA ended with ${child.exitCode}`);
    return existsSync(socket) && (await call("GET", "/health").catch(() => undefined));
  }, "OPA answers");
  return {
    call,
    close: () => {
      child.kill();
      return comes("OPA ends", ended);
    },
  };
}

function ask(socketPath: string, method: string, path: string, { headers = {}, body }: Call): Promise<Answered> {
  const isText = typeof body === "string" || body instanceof Uint8Array;
  const bytes = body === undefined ? undefined : Buffer.from(isText ? (body as string) : JSON.stringify(body));
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, method, path, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => resolve(answered(response.statusCode!, response.headers, Buffer.concat(chunks))));
    });
    asked.on("error", reject);
    asked.end(bytes);
  });
}

export const bundleBytes = ({ file }: OpaBundle): Uint8Array => readFileSync(file);
