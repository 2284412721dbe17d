// Commands on a running node that holds its own data: by --url or variables, with a token and a certificate authority, and what it refuses them.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { admissible, insufficient, start } from "../http/support.ts";
import { emptyDir, railgate } from "./railgate.ts";

const RAILS = [{ rail_id: "hw", level: "hardware_isolated", latency_overhead_us: 0, capacity: 4 }];

test("everything that a data directory can be asked, a running node can", async (t) => {
  const served = await start();
  t.teardown(() => served.close());
  const cwd = emptyDir();
  const env = { RAILGATE_URL: served.url };
  const run = (...args: string[]) => railgate(args, { cwd, env });
  const json = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(...args, "--json");
    t.is(code, 0, stderr);
    return JSON.parse(stdout.trim().split("\n").at(-1)!);
  };
  writeFileSync(join(cwd, "good.json"), JSON.stringify(admissible("pay", "default")));
  writeFileSync(join(cwd, "bad.json"), JSON.stringify(insufficient("pay", "default")));
  writeFileSync(join(cwd, "rails.json"), JSON.stringify({ rails: RAILS }));
  t.is((await json("decide", "good.json", "--dry-run")).decision.dry_run, true);
  const { event } = await json("decide", "good.json");
  t.is(event.actor, "loopback");
  const refused = await run("decide", "bad.json");
  t.deepEqual([refused.code, refused.stderr], [1, ""]);
  t.is((await json("mesh", "apply", "edge", "rails.json", "--yes")).mesh.revision, 1);
  t.is((await json("mesh", "place", "edge", "pay", "hw")).placement.rail_id, "hw");
  t.is((await json("lifecycle", "pay", "create")).workload.state, "created");
  t.like(await json("workloads", "pay"), { workload: { state: "created" }, rails: [{ rail_id: "hw" }] });
  t.regex((await run("workloads")).stdout, /pay +default +created +container/);
  t.regex((await run("mesh", "show", "edge")).stdout, /hw +█+░+ +1\/4/);
  t.is((await json("events", "--limit", "1")).event_type, "workload.envelope.create");
  const followed = await run("events", "--type", "workload.refuse");
  t.regex(followed.stdout, /workload\.refuse +refused +pay +envelope_insufficient +loopback/);
  const page = await run("show", event.id);
  t.is(page.code, 0, page.stderr);
  t.regex(page.stdout, /signature {4}holds[^]*artifact {5}holds[^]*inclusion {4}holds/);
  const { old_kid, new_kid } = await json("keys", "rotate");
  t.regex(
    (await run("keys", "list")).stdout,
    new RegExp(`${old_kid} +event +- +retired [^]*${new_kid} +event +- +active`),
  );
  writeFileSync(join(cwd, "jwks.json"), (await run("keys", "jwks")).stdout);
  t.is((await run("export", "--tenant", "default", "--profile", "ecs-evidence-baseline", "--out", "e.tar.gz")).code, 0);
  const verified = await run("verify", "e.tar.gz", "--jwks", "jwks.json");
  t.is(verified.code, 0, verified.stdout);
  t.is((await run("erase", event.id, "--tenant", "default", "--basis", "request 7")).code, 0);
  t.regex((await run("show", event.id)).stdout, /artifact {5}\? {2}sha256:[0-9a-f]{64} was erased, or is not here/);
  t.is((await run("show", "019ac0de-0000-7000-8000-000000000000")).code, 2);
  t.is((await run("export", "--tenant", "default", "--out", "folder")).code, 2);
});

test("a node that wants to know who asks is shown a token, and an operator's act takes an operator", async (t) => {
  const { exportJWK, generateKeyPair, SignJWT } = await import("jose");
  const { privateKey, publicKey } = await generateKeyPair("ES256");
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), alg: "ES256", kid: "k" }] };
  const served = await start({
    authentication: { jwt: { jwks, issuer: "https://login.example", audience: "railgate" } },
  });
  t.teardown(() => served.close());
  const cwd = emptyDir();
  const token = (claims: { [name: string]: string }, name: string) =>
    new SignJWT(claims)
      .setProtectedHeader({ alg: "ES256", kid: "k" })
      .setSubject(name)
      .setIssuer("https://login.example")
      .setAudience("railgate")
      .setExpirationTime("5m")
      .sign(privateKey);
  writeFileSync(join(cwd, "token"), `${await token({ tenant_id: "acme" }, "ann")}\n`);
  writeFileSync(join(cwd, "operator"), `${await token({ railgate_role: "operator" }, "ops")}\n`);
  writeFileSync(join(cwd, "good.json"), JSON.stringify(admissible("pay", "acme")));
  const stranger = await railgate(["events", "--url", served.url], { cwd });
  t.is(stranger.code, 3);
  t.regex(
    stranger.stderr,
    /^railgate: the server at http:\S+ wants callers to authenticate: --token-file, or --cert and --key\n$/,
  );
  const flags = ["--url", served.url, "--token-file", "token"];
  const admitted = await railgate(["decide", "good.json", "--json", ...flags], { cwd });
  t.like(JSON.parse(admitted.stdout), { event: { actor: "jwt:https://login.example#ann" } }, admitted.stderr);
  const rotating = await railgate(["keys", "rotate", "--json", ...flags], { cwd });
  t.is(rotating.code, 3);
  t.like(JSON.parse(rotating.stdout), { code: "operator_needed" });
  const others = await railgate(["events", "--tenant", "globex", "--json", ...flags], { cwd });
  t.deepEqual([others.code, JSON.parse(others.stdout).code], [3, "tenant_forbidden"]);
  const operator = { cwd, env: { RAILGATE_URL: served.url, RAILGATE_TOKEN_FILE: "operator" } };
  const rotated = await railgate(["keys", "rotate"], operator);
  t.is(rotated.code, 0, rotated.stderr);
  const isolating = await railgate(["node", "partition", "--reason", "drill", "--json", ...flags], { cwd });
  t.deepEqual([isolating.code, JSON.parse(isolating.stdout).code], [3, "operator_needed"]);
  t.is((await railgate(["node", "partition", "--reason", "drill"], operator)).code, 0);
  const status = await railgate(["node", "status", "--json"], operator);
  t.like(JSON.parse(status.stdout).partition.reasons[0], { reason: "operator", problem: "drill" }, status.stdout);
  t.is((await railgate(["node", "rejoin"], operator)).code, 0);
  const seen = await railgate(["events", "--type", "key.rotate", "--tenant", "acme", "--json"], operator);
  t.like(JSON.parse(seen.stdout), { tenant_id: "acme", actor: "jwt:https://login.example#ops" });
});
