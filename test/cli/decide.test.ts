// `railgate decide`: what a person reads, what a program gets, what stands in the evidence afterwards.
import { createServer, type RequestListener, type Server } from "node:http";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { stringify } from "yaml";
import { DataDirLock } from "../../src/store/lock.ts";
import { emptyDir, railgate, railgateOnTerminal, says, start } from "./railgate.ts";
import { admissible, insufficient } from "../http/support.ts";

function directoryWith(files: Record<string, unknown>): string {
  const cwd = emptyDir();
  for (const [name, content] of Object.entries(files))
    writeFileSync(join(cwd, name), typeof content === "string" ? content : JSON.stringify(content));
  return cwd;
}

async function recorded(cwd: string): Promise<{ event_type: string; id: string; sequence: number }[]> {
  const { stdout } = await railgate(["events", "--json", "--order", "asc"], { cwd });
  return stdout
    .trim()
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as never);
}

test("an admission is explained, evidenced, and exits 0", async (t) => {
  const cwd = directoryWith({ "request.json": admissible() });
  const { code, stdout, stderr } = await railgate(["decide", "request.json"], { cwd });
  t.deepEqual([code, stderr], [0, ""], stderr + stdout);
  t.regex(
    stdout,
    /^Admitted {2}payments-api of tenant acme\n\nEnvelope {2}container declared, container required\nRail {6}sandbox_isolated or stricter\n\nReceipt {3}event \S+, number 0 of acme\/node-\w+\n$/,
  );
  const events = await recorded(cwd);
  t.deepEqual(
    events.map(({ event_type }) => event_type),
    ["node.start", "policy.activate", "workload.admit"],
  );
  t.true(stdout.includes(events[2]!.id));
});

test("a refusal says what, where, and how to cure it, and exits 1", async (t) => {
  const cwd = directoryWith({ "request.json": insufficient() });
  const { code, stdout } = await railgate(["decide", "request.json"], { cwd });
  t.is(code, 1);
  t.regex(stdout, /^Refused {2}payments-api of tenant acme\n/);
  t.regex(
    stdout,
    /Envelope {2}container declared, tee required\n {10}classification is restricted, which asks for tee\n/,
  );
  t.regex(stdout, /^ENV-03 {2}.+ {2}envelope_insufficient\n {2}What {3}.+/m);
  t.regex(stdout, /^ {2}Where {2}\/workload\/envelope\/kind\n {2}Found {2}"container"\n {2}Cure {3}.+/m);
  t.regex(stdout, /Receipt {3}event /);
});

test("a missing member is shown as missing", async (t) => {
  const request = admissible();
  delete request.workload["network"];
  const { stdout } = await railgate(["decide", "--dry-run", "-"], { input: JSON.stringify(request) });
  t.regex(stdout, /^CTR-05 [\s\S]*Where {2}\/workload\/network\S*\n {2}Found {2}nothing\n/m);
});

test("--json gives decision, event and receipt on one line", async (t) => {
  const cwd = directoryWith({ "request.json": insufficient() });
  const { code, stdout } = await railgate(["decide", "--json", "request.json"], { cwd });
  t.is(code, 1);
  const answer = JSON.parse(stdout) as {
    decision: { outcome: string; refusals: { rule: string; solution: string }[] };
    event: { id: string; event_type: string };
    receipt: string;
  };
  t.is(answer.decision.outcome, "refused");
  t.true(answer.decision.refusals.some(({ rule, solution }) => rule === "ENV-03" && solution !== ""));
  t.is(answer.event.event_type, "workload.refuse");
  t.deepEqual(JSON.parse(Buffer.from(answer.receipt.split(".")[1]!, "base64url").toString()), answer.event);
  t.is(stdout.trim().split("\n").length, 1);
});

test("JSON, YAML and standard input are the same request", async (t) => {
  const request = insufficient();
  const cwd = directoryWith({
    "a.json": request,
    "b.yaml": stringify(request),
    "c.yml": JSON.stringify(request),
    d: stringify(request),
  });
  const at = ["decide", "--dry-run", "--json", "--at", "2026-11-25T08:00:00Z"];
  const [json, ...others] = await Promise.all([
    railgate([...at, "a.json"], { cwd }),
    railgate([...at, "b.yaml"], { cwd }),
    railgate([...at, "c.yml"], { cwd }),
    railgate([...at, "d"], { cwd }),
    railgate([...at, "-"], { input: JSON.stringify(request) }),
    railgate([...at, "-"], { input: stringify(request) }),
  ]);
  t.is(json.code, 1);
  for (const other of others) t.deepEqual(other, json);
});

test("a dry run leaves nothing behind, and says so", async (t) => {
  const cwd = directoryWith({ "request.json": admissible() });
  const { code, stdout } = await railgate(["decide", "--dry-run", "request.json"], { cwd });
  t.is(code, 0);
  t.regex(stdout, /Dry run: nothing was recorded, so nothing is admitted\.\n$/);
  t.is((await railgate(["events"], { cwd })).code, 3);
  t.like(JSON.parse((await railgate(["decide", "--dry-run", "--json", "request.json"], { cwd })).stdout), {
    decision: { outcome: "accepted", dry_run: true },
  });
});

test("a dry run decides as at the time that is given", async (t) => {
  const request = admissible();
  request.workload["envelope"] = {
    kind: "tee",
    tee: { platform: "amd-sev-snp", reattestation_interval: "PT15M", images: [] },
  };
  const { stdout } = await railgate(["decide", "--dry-run", "--json", "--at", "2026-01-01T00:00:00Z", "-"], {
    input: JSON.stringify({
      ...request,
      attestation: {
        report_ref: "r",
        platform_type: "amd-sev-snp",
        result: "pass",
        measured_at: "2025-12-31T22:00:00Z",
      },
    }),
  });
  const { decision } = JSON.parse(stdout) as { decision: { refusals: { rule: string }[] } };
  t.true(decision.refusals.some(({ rule }) => rule === "TEE-03"));
});

const MALFORMED: [name: string, input: string, says: RegExp][] = [
  ["a key twice", '{"workload": 1, "workload": 2}', /\/workload {2}duplicate key/],
  ["a key twice in YAML", "workload: 1\nworkload: 2", /duplicate key at line 2, column 1/],
  ["an unknown field", JSON.stringify({ ...admissible(), wrkload: 1 }), /\/wrkload {2}unknown field/],
  ["a missing one", '{"workload": {"workload_id": "a"}}', /\/workload\/tenant_id {2}/],
  ["no JSON", "{", /not JSON: .* at line 1/],
  ["no YAML", "a: [", /not YAML/],
  ["nothing", "", /not JSON: unexpected end/],
  ["two documents", "a: 1\n---\nb: 1", /more than one YAML document/],
  [
    "a big number in YAML",
    "workload: {workload_id: a, tenant_id: b, risk: 12345678901234567890}",
    /\/workload\/risk {2}number beyond/,
  ],
  ["no number in YAML", "workload: .nan", /a number that JSON doesn't have/],
  ["bytes that are no text", "workload: \uD800", /./],
  ["an endless alias", "a: &a [*a, *a]", /an alias that/],
];
for (const [name, input, pattern] of MALFORMED) {
  test(`malformed: ${name}`, async (t) => {
    const { code, stdout, stderr } = await railgate(["decide", "-"], { input });
    t.deepEqual([code, stdout], [2, ""], stderr);
    t.regex(stderr, pattern);
    t.notRegex(stderr, /^\s+at /m);
  });
}

test("what is malformed is an object for programs, with its pointers", async (t) => {
  const { code, stdout } = await railgate(["decide", "--json", "-"], {
    input: JSON.stringify({ ...admissible(), wrkload: 1 }),
  });
  t.is(code, 2);
  t.like(JSON.parse(stdout), {
    code: "request_invalid",
    errors: [{ pointer: "/wrkload", message: "unknown field; did you mean `workload`?" }],
  });
});

test("a request larger than the limit is not read", async (t) => {
  const { code, stderr } = await railgate(["decide", "-"], {
    cwd: directoryWith({ "opa.yaml": "railgate: { limits: { body_bytes_max: 10 } }" }),
    input: JSON.stringify(admissible()),
  });
  t.is(code, 2);
  t.regex(stderr, /larger than 10 bytes/);
});

test("what a caller wrote can't play tricks on the terminal", async (t) => {
  const request = admissible();
  request.workload["risk"] = "\u001b[31mlow\u202e";
  const { stdout } = await railgate(["decide", "--dry-run", "-"], { input: JSON.stringify(request) });
  t.notRegex(stdout, /[\u001b\u202e]/);
  t.regex(stdout, /\\u\{1b\}\[31mlow\\u\{202e\}/);
});

test("colour is for a terminal, and not with NO_COLOR or --json", async (t) => {
  const cwd = directoryWith({ "request.json": insufficient() });
  const args = ["decide", "--dry-run", "request.json"];
  const seen = await railgateOnTerminal(args, { cwd });
  t.is(seen.code, 1);
  t.regex(seen.stdout, /\x1b\[31m\x1b\[1mRefused\x1b\[22m\x1b\[39m/);
  t.notRegex((await railgateOnTerminal(args, { cwd, env: { NO_COLOR: "1" } })).stdout, /\x1b\[\d/);
  t.notRegex((await railgateOnTerminal([...args, "--json"], { cwd })).stdout, /\x1b\[\d/);
  t.notRegex((await railgate(args, { cwd })).stdout, /\x1b/);
});

test("on a terminal no line is longer than it, or than is easy to read; elsewhere none is broken", async (t) => {
  const cwd = directoryWith({ "request.json": { workload: { workload_id: "a", tenant_id: "b" } } });
  const args = ["decide", "--dry-run", "request.json"];
  const longest = ({ stdout }: { stdout: string }) =>
    Math.max(
      ...stdout
        .replaceAll(/\x1b\[\d+m/g, "")
        .split(/\r?\n/)
        .map((line) => line.length),
    );
  t.true(longest(await railgateOnTerminal(args, { cwd }, 60)) <= 60);
  t.true(longest(await railgateOnTerminal(args, { cwd }, 400)) <= 100);
  t.true(longest(await railgate(args, { cwd })) > 100);
});

async function listening(listener?: RequestListener): Promise<{ server: Server; url: string }> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

async function serving(
  t: ExecutionContext,
  answer: { status: number; body: unknown },
): Promise<{ cwd: string; asked: { url: string; body: string }[] }> {
  const asked: { url: string; body: string }[] = [];
  const { server, url } = await listening(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    asked.push({ url: request.url ?? "", body });
    response.writeHead(answer.status, { "content-type": "application/json" }).end(JSON.stringify(answer.body));
  });
  const cwd = directoryWith({ "request.yaml": stringify(admissible()) });
  const lock = DataDirLock.acquire(join(cwd, "data"), "2026-11-25T08:00:00Z");
  lock.listening({ url });
  t.teardown(() => {
    lock.release();
    server.close();
  });
  return { cwd, asked };
}

const ACCEPTED = {
  outcome: "accepted",
  envelope: { declared: "container", required: "container", triggers: [] },
  refusals: [],
  obligations: [],
  rail: { least_level: "shared" },
};

test("when a server holds the data directory, it is asked", async (t) => {
  const { cwd, asked } = await serving(t, {
    status: 200,
    body: { decision: ACCEPTED, event: { id: "e-1", sequence: 4, chain_id: "acme/n" }, receipt: "a.b.c" },
  });
  const { code, stdout, stderr } = await railgate(["decide", "request.yaml"], { cwd });
  t.is(code, 0);
  t.regex(stdout, /Receipt {3}event e-1, number 4 of acme\/n/);
  t.regex(stderr, /^Decided by the server at http:\/\/127\.0\.0\.1:\d+, which holds the data directory\.\n$/);
  t.deepEqual(
    asked.map(({ url, body }) => ({ url, body: JSON.parse(body) as unknown })),
    [{ url: "/v1/admissions", body: admissible() }],
  );
});

for (const [status, body, exit, pattern] of [
  [401, {}, 3, /wants callers to authenticate/],
  [503, { code: "evidence_unavailable", detail: "the disk is full" }, 3, /answered 503: the disk is full/],
  [422, { code: "request_invalid", errors: [{ pointer: "/x", message: "unknown field" }] }, 2, /\/x {2}unknown field/],
  [200, { unheard: "of" }, 3, /answered 200/],
] as const) {
  test(`when the server that is asked answers ${status} ${JSON.stringify(body)}`, async (t) => {
    const { cwd } = await serving(t, { status, body });
    const { code, stderr } = await railgate(["decide", "request.yaml"], { cwd });
    t.is(code, exit);
    t.regex(stderr, pattern);
  });
}

test("a data directory that is held by one that can't be asked is said to be so", async (t) => {
  const cwd = directoryWith({ "request.json": admissible() });
  const lock = DataDirLock.acquire(join(cwd, "data"), "2026-11-25T08:00:00Z");
  t.teardown(() => lock.release());
  const silent = await railgate(["decide", "request.json"], { cwd });
  t.is(silent.code, 3);
  t.regex(
    silent.stderr,
    /^railgate: the data directory \/.*\/data is in use by process \d+ since 2026-11-25T08:00:00Z; stop it, or /,
  );
  const { server, url } = await listening();
  server.close();
  lock.listening({ url });
  const deaf = await railgate(["decide", "request.json"], { cwd });
  t.is(deaf.code, 3);
  t.regex(
    deaf.stderr,
    /the server at http:\/\/127\.0\.0\.1:\d+, which holds the data directory, can't be asked \(\w+\); stop it, or /,
  );
});

test.serial("commands that come together take their turns", async (t) => {
  const cwd = directoryWith({ "request.json": admissible() });
  const ran = await Promise.all([1, 2, 3].map(() => railgate(["decide", "request.json"], { cwd })));
  t.deepEqual(
    ran.map(({ code, stderr }) => [code, stderr]),
    [
      [0, ""],
      [0, ""],
      [0, ""],
    ],
  );
  t.is((await recorded(cwd)).filter(({ event_type }) => event_type === "workload.admit").length, 3);
});

test("a data directory that can't be written is said to be so", async (t) => {
  const cwd = directoryWith({ "request.json": admissible(), data: "a file" });
  const { code, stderr, stdout } = await railgate(["decide", "request.json"], { cwd });
  t.deepEqual([code, stdout], [3, ""]);
  t.regex(stderr, /^railgate: .*data.*\n$/);
});

test("without a policy everything is refused, and it is evidenced", async (t) => {
  const cwd = directoryWith({ "request.json": admissible() });
  mkdirSync(join(cwd, "bundle"));
  const { publicKey } = (await import("node:crypto")).generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = (publicKey.export({ type: "spki", format: "pem" }) as string).trim().replaceAll("\n", "\n      ");
  writeFileSync(
    join(cwd, "opa.yaml"),
    `keys:\n  k:\n    algorithm: ES256\n    key: |\n      ${pem}\nbundles: { b: { resource: "file://${cwd}/nowhere.tar.gz" } }\n`,
  );
  const { code, stdout } = await railgate(["decide", "request.json"], { cwd });
  t.is(code, 1);
  t.regex(stdout, /^POL-01 {2}/m);
  t.deepEqual(
    (await recorded(cwd)).map(({ event_type }) => event_type),
    ["node.start", "policy.reject", "workload.refuse"],
  );
});

test("the real server, asked over HTTP, records it", async (t) => {
  const cwd = directoryWith({ "request.json": admissible() });
  const server = start(["serve", "--listen", "127.0.0.1:0", "--json"], { cwd });
  t.teardown(() => server.kill("SIGKILL"));
  await says(server, /http:\/\/127\.0\.0\.1:\d+/);
  const { code, stderr } = await railgate(["decide", "request.json"], { cwd });
  t.is(code, 0, stderr);
  t.regex(stderr, /^Decided by the server at http:/);
  t.is((await recorded(cwd)).at(-1)?.event_type, "workload.admit");
});
