// Cerbos' server beside ours, where its npm package can be had: the same input, a policy of the same conditions in CEL, its decision log on.
// It is fetched once into the user's cache; nothing else needs it.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { checkAnswers, checkLog } from "./cerbos-checks.ts";
import { freePort, start, type Server } from "./server.ts";

const PACKAGE = "@cerbos/cerbos-linux-x64";
const VERSION = "0.55.0";
export const CERBOS_PATH = "/api/check/resources";
/** Its own, while nobody sets others; it listens on loopback. */
const ADMIN = { authorization: `Basic ${Buffer.from("cerbos:cerbosAdmin").toString("base64")}` };
const LOG_PATH = "/admin/auditlog/list/KIND_DECISION?tail=1";
const JSON_HEADERS = { "content-type": "application/json" };

/** What one of our accepted containers must hold: each line is what a rule of the law asks of it. */
const CONDITIONS = [
  // ENV-01, ENV-02, ENV-04: declared, known and classified.
  'w.envelope.kind == "container"',
  'w.classification in ["public", "internal", "confidential", "restricted", "secret"]',
  'w.risk in ["low", "medium", "high"]',
  'w.tenant_tier in ["standard", "regulated", "sovereign"]',
  'w.governance_profile in ["baseline", "admissible", "ncp", "regulated-ml"]',
  // ENV-03: nothing asks for a stronger envelope.
  'w.classification in ["public", "internal"] && w.risk in ["low", "medium"]',
  'w.governance_profile in ["baseline", "admissible"] && w.tenant_tier == "standard"',
  // CTR-01 to CTR-04.
  'c.runtime in ["gvisor", "kata", "runc-hardened"]',
  'c.seccomp == "RuntimeDefault" || c.seccomp.startsWith("Localhost/") || c.apparmor == "runtime/default" || c.apparmor.startsWith("localhost/")',
  'c.read_only_root_filesystem || (c.writable_justification != null && c.writable_justification != "")',
  "!c.privileged && !c.allow_privilege_escalation && c.run_as_non_root",
  "size(c.host_namespaces) == 0 && size(c.host_paths) == 0",
  'c.added_capabilities.all(x, x in ["NET_BIND_SERVICE"])',
  // CTR-05, TEN-01.
  'w.network.policy_id != "" && w.network.default_deny && w.network.tenant_isolated',
  'p.tenants_on_host.all(x, x == w.tenant_id) || p.tenancy == "shared"',
  "R.attr.facts.caller == null || R.attr.facts.caller.tenant_id == w.tenant_id",
  // JUR-01, JUR-02.
  "size(w.jurisdictions) == 0 || p.jurisdiction in w.jurisdictions",
  'w.residency.exists(x, x == p.jurisdiction || (x == "EU" && p.jurisdiction in ["AT", "BE", "DE", "ES", "FR", "IE", "IT", "NL", "PL", "SE"]))',
  'w.dependencies.all(d, d.local || (has(d.jurisdiction) && d.jurisdiction in ["AT", "BE", "DE", "ES", "FR", "IE", "IT", "NL", "PL", "SE"]))',
  // DEP-01, DEP-02.
  '["runtime", "image_registry"].all(k, w.dependencies.exists(d, d.kind == k))',
  "w.dependencies.all(d, d.available)",
  // SUP-01, SUP-02.
  "size(c.images) > 0 && size(R.attr.facts.artifacts) > 0 && R.attr.facts.artifacts.all(a, a.pinned)",
  "c.images.all(i, i.provenance.verified)",
  // AUT-01, EXC-*.
  'R.attr.facts.authority == null && !(w.tenant_tier in ["regulated"])',
  "size(R.attr.facts.exceptions) == 0",
  // POL-02, PAR-01.
  'R.attr.context.partition.state == "connected" || w.crp.designated',
  "R.attr.context.policy.age_s == null || R.attr.context.policy.age_s < 86400",
];

const POLICY = {
  apiVersion: "api.cerbos.dev/v1",
  resourcePolicy: {
    resource: "workload",
    version: "default",
    variables: {
      local: {
        w: "request.resource.attr.request.workload",
        c: "request.resource.attr.request.workload.envelope.container",
        p: "request.resource.attr.request.placement",
      },
    },
    rules: [
      {
        actions: ["admit"],
        effect: "EFFECT_ALLOW",
        roles: ["host"],
        condition: { match: { all: { of: CONDITIONS.map((each) => ({ expr: named(each) })) } } },
      },
    ],
  },
};

/** Variables are asked for by `V`. */
function named(condition: string): string {
  return condition.replaceAll(/\b([wcp])\./g, "V.$1.");
}

/** What it is asked: whether the host may admit the workload, with what our law is told of it. */
export function cerbosBody(input: unknown, requestId = "bench"): string {
  return JSON.stringify({
    requestId,
    principal: { id: "bench", roles: ["host"], attr: {} },
    resources: [{ resource: { kind: "workload", id: "payments-api", attr: input }, actions: ["admit"] }],
  });
}

/** Cerbos' binary; undefined, said on standard error, where the package cannot be had. */
function cerbosBinary(): string | undefined {
  const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "railgate", `cerbos-${VERSION}`);
  const binary = join(cache, "cerbos-linux-x64");
  if (existsSync(binary)) return binary;
  mkdirSync(cache, { recursive: true });
  const room = mkdtempSync(join(cache, ".fetch-"));
  try {
    console.error(`fetching ${PACKAGE}@${VERSION} (32 MB) …`);
    const packed = run("npm", ["pack", "--loglevel=error", "--fetch-retries=1", `${PACKAGE}@${VERSION}`], room);
    run("tar", ["xzf", packed.trim(), "--strip-components=1"], room);
    renameSync(join(room, "cerbos-linux-x64"), binary);
    return binary;
  } catch (error) {
    console.error(`Cerbos is not measured: ${PACKAGE}@${VERSION} cannot be had: ${(error as Error).message}`);
    return undefined;
  } finally {
    rmSync(room, { recursive: true });
  }
}

/** @returns its standard output. @throws Error what it said first, or why it could not be run. */
function run(command: string, args: readonly string[], cwd: string): string {
  const { error, status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8" });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ended with ${status}: ${stderr.split("\n", 1)[0]}`);
  return stdout;
}

/**
 * Starts it, and sees that it is asked what our law is. When it is stopped, its decision log must have what it was asked.
 * @param law whether our law admits an input.
 * @returns undefined where it cannot be had. @throws Error the comparison would be void.
 */
export async function cerbosServer(
  scratch: string,
  input: unknown,
  law: (input: unknown) => boolean,
): Promise<Server | undefined> {
  const binary = cerbosBinary();
  if (binary === undefined) return undefined;
  const directory = mkdtempSync(join(scratch, "cerbos-"));
  const [http, grpc] = [await freePort(), await freePort()];
  const file = join(directory, "config.yaml");
  writeFileSync(file, JSON.stringify(configIn(directory, http, grpc)));
  const url = `http://127.0.0.1:${http}`;
  const server = await start(binary, ["server", `--config=${file}`, "--log-level=error"], {}, url, {
    path: CERBOS_PATH,
    body: cerbosBody(input),
  });
  try {
    await checkAnswers(input, { law, cerbos: (asked, requestId) => admits(url, cerbosBody(asked, requestId)) });
  } catch (error) {
    await server.stop();
    throw error;
  }
  return {
    ...server,
    stop: () => checkLog(() => loggedAt(url)).finally(() => server.stop()),
  };
}

/** Its policy beside it, and all decisions in its log. */
function configIn(directory: string, http: number, grpc: number): object {
  const policies = join(directory, "policies");
  mkdirSync(policies);
  writeFileSync(join(policies, "workload.json"), JSON.stringify(POLICY));
  return {
    server: {
      httpListenAddr: `127.0.0.1:${http}`,
      grpcListenAddr: `127.0.0.1:${grpc}`,
      adminAPI: { enabled: true },
    },
    storage: { driver: "disk", disk: { directory: policies, watchForChanges: false } },
    telemetry: { disabled: true },
    audit: {
      enabled: true,
      accessLogsEnabled: false,
      decisionLogsEnabled: true,
      backend: "local",
      local: { storagePath: join(directory, "audit") },
    },
  };
}

async function admits(url: string, body: string): Promise<boolean> {
  const answer = await fetch(url + CERBOS_PATH, { method: "POST", body, headers: JSON_HEADERS });
  const { results } = (await answer.json()) as { results?: { actions: { admit: string } }[] };
  return results?.[0]?.actions.admit === "EFFECT_ALLOW";
}

/** How many decisions its log has of those that were asked for, as far as one is looked for. */
async function loggedAt(url: string): Promise<number> {
  const answer = await fetch(url + LOG_PATH, { headers: ADMIN });
  return (await answer.text()).split('"decisionLogEntry"').length - 1;
}
