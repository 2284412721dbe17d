// Nobody's pace but one's own: whoever sends or reads slowly, or too much at once, costs itself the answer and others nothing.
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import ava from "ava";
import { spawnServer } from "../host/process.ts";
import { admissible, emptyDir, send, start, type Started } from "./support.ts";
import { spawn } from "../spawn.ts";
import { comes, ranMs, until } from "../until.ts";

/** One after the other: they are about time. */
const test = ava.serial;

const QUICK = { bodyMsMax: 400, waitMsMax: 300, paceAfterMs: 300, yieldAfterMs: 100, checkEveryMs: 20 };

interface Lasted {
  readonly tookMs: number;
  /** Those of them in which this process ran. */
  readonly ranMs: number;
}

interface Bare {
  readonly socket: Socket;
  /** What came back so far. */
  text(): string;
  /** When the other side has closed it. */
  readonly closed: Promise<Lasted>;
}

/** Sooner than where no limits are given. */
const SOON_MS = 9000;

/** A connection on which only `bytes` are sent, and from which nothing is read after the first that comes if `deaf`. */
function bare({ port }: { port: number }, bytes: string, { deaf = false } = {}): Bare {
  const [beganMs, ranBeforeMs] = [performance.now(), ranMs()];
  let text = "";
  const socket = createConnection({ host: "127.0.0.1", port });
  socket.write(bytes);
  socket.on("data", (data) => {
    text += data.toString("latin1");
    if (deaf) socket.pause();
  });
  socket.on("error", () => {});
  const closed = new Promise<Lasted>((resolve) =>
    socket.on("close", () => resolve({ tookMs: performance.now() - beganMs, ranMs: ranMs() - ranBeforeMs })),
  );
  return { socket, text: () => text, closed };
}

const head = ({ port }: Started, method: string, path: string, more: Record<string, string> = {}) =>
  `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${Object.entries(more)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("")}\r\n`;

/** Sends a byte now and then until the connection ends. */
function drip({ socket }: Bare, everyMs: number): void {
  const dripping = setInterval(() => socket.write("x"), everyMs);
  socket.on("close", () => clearInterval(dripping));
}

test("a body that does not come is given up, and said so", async (t) => {
  const served = await start({}, { peers: QUICK });
  const slow = bare(
    served,
    head(served, "POST", "/v1/admissions", { "content-type": "application/json", "content-length": "100" }),
  );
  drip(slow, 30);
  const lasted = await slow.closed;
  t.regex(slow.text(), /^HTTP\/1.1 408 [^]*"code":"request_timeout"/);
  t.true(lasted.ranMs < SOON_MS, `${lasted.ranMs} ms`);
  await served.close();
});

test("records of a node that do not come are given up as any body is, and its turn is free again", async (t) => {
  const served = await start({}, { peers: QUICK });
  const path = "/v1/streams/acme%2Fedge/records";
  const slow = Array.from({ length: 16 }, () =>
    bare(served, head(served, "POST", path, { "content-type": "application/json", "content-length": "100" })),
  );
  for (const each of slow) drip(each, 30);
  for (const each of slow) {
    await each.closed;
    t.regex(each.text(), /^HTTP\/1.1 (?:408 [^]*"code":"request_timeout"|503 [^]*"code":"records_busy")/);
  }
  t.true(slow.some((each) => each.text().startsWith("HTTP/1.1 408 ")));
  t.is((await served.call("POST", path, { body: {} })).status, 422);
  await served.close();
});

test("what comes behind a body that was given up is not carried out", async (t) => {
  const served = await start({}, { peers: QUICK });
  const admission = JSON.stringify(admissible("behind"));
  const begin = (length: number) =>
    head(served, "POST", "/v1/admissions", { "content-type": "application/json", "content-length": `${length}` });
  const socket = createConnection({ host: "127.0.0.1", port: served.port, allowHalfOpen: true });
  let said = "";
  socket.on("data", (data) => (said += data.toString("latin1"))).on("error", () => {});
  socket.write(`${begin(10)}12345`);
  await once(socket, "end");
  t.regex(said, /^HTTP\/1.1 408 /);
  socket.write(`67890${begin(admission.length)}${admission}`);
  // Until it is closed on the other side, too.
  await until(() => !socket.write("x") || socket.destroyed);
  t.is((await served.call("GET", "/v1/workloads/behind?tenant_id=acme")).status, 404);
  await served.close();
});

for (const [what, method, path, more] of [
  ["at no path", "POST", "/nowhere", {}],
  ["that a GET brings along", "GET", "/healthz", {}],
  ["of a wrong type", "POST", "/v1/admissions", { "content-type": "text/plain" }],
  ["for a method that is not taken", "PUT", "/v1/admissions", {}],
  ["to be verified, of a wrong type", "POST", "/v1/verify", {}],
] as const) {
  test(`a body ${what} is answered at once, and the connection goes unless the rest comes`, async (t) => {
    const served = await start({}, { peers: QUICK });
    const sent = bare(served, head(served, method, path, { ...more, "content-length": "1000" }));
    drip(sent, 30);
    await until(() => sent.text().includes("\r\n\r\n"));
    const lasted = await sent.closed;
    t.true(lasted.tookMs > 250 && lasted.ranMs < SOON_MS, JSON.stringify(lasted));
    await served.close();
  });
}

test("a body that nobody reads and that comes leaves the connection good for the next request", async (t) => {
  const served = await start({}, { peers: QUICK });
  const sent = bare(
    served,
    `${head(served, "POST", "/nowhere", { "content-length": "5" })}12345${head(served, "GET", "/healthz")}`,
  );
  await until(() => /^HTTP\/1.1 404 [^]*HTTP\/1.1 200 /.test(sent.text()));
  await sleep(600);
  t.false(sent.socket.destroyed);
  sent.socket.destroy();
  await served.close();
});

test("before anyone has logged in, too", async (t) => {
  const jwks = { keys: [{ kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }] };
  const served = await start(
    { authentication: { jwt: { jwks, issuer: "https://login.example", audience: "railgate" } } },
    { peers: QUICK },
  );
  const many = Array.from({ length: 20 }, () =>
    bare(served, head(served, "POST", "/v1/admissions", { "transfer-encoding": "chunked" })),
  );
  const lasted = await Promise.all(many.map(({ closed }) => closed));
  t.true(Math.max(...lasted.map((each) => each.ranMs)) < SOON_MS);
  for (const each of many) t.regex(each.text(), /^HTTP\/1.1 401 /);
  await served.close();
});

test("an answer that is not read is given up", async (t) => {
  const served = await start({}, { peers: { ...QUICK, bodyMsMax: 30_000, bytesPerSecondMin: 64 * 1024 * 1024 } });
  const items = Array.from({ length: 400 }, (_, i) => admissible(`big-${i}`));
  for (let i = 0; i < 3; i++)
    t.is((await served.call("POST", "/v1/admissions/batch", { body: { items } })).status, 200);
  const deaf = bare(served, head(served, "GET", "/v1/events?limit=1000").repeat(12), { deaf: true });
  await until(() => deaf.text() !== "", "the begin of an answer");
  await until(async () => (await connections(served)) === 1);
  t.pass();
  deaf.socket.destroy();
  await served.close();
});

const connections = async (served: Started): Promise<number> =>
  Number(/^railgate_http_connections (\d+)$/m.exec((await served.call("GET", "/metrics")).text)![1]);

test("slow senders and deaf readers keep exports and verification from nobody", async (t) => {
  const served = await start({}, { peers: { ...QUICK, bodyMsMax: 60_000, waitMsMax: 30_000, paceAfterMs: 30_000 } });
  const items = Array.from({ length: 400 }, (_, i) => admissible(`load-${i}`));
  for (let i = 0; i < 6; i++) await served.call("POST", "/v1/admissions/batch", { body: { items } });
  const gzip = { "content-type": "application/gzip", "content-length": "100000" };
  const slow = Array.from({ length: 4 }, () => bare(served, head(served, "POST", "/v1/verify", gzip)));
  for (const each of slow) drip(each, 20);
  await sleep(300);
  const exported = await served.call("POST", "/v1/exports", { body: { tenant_id: "acme" } });
  t.is(exported.status, 200);
  const verified = await served.call("POST", "/v1/verify", {
    body: exported.bytes,
    headers: { "content-type": "application/gzip" },
  });
  t.is(verified.status, 200);
  t.like(verified.json, { export: { tenant_id: "acme" } });
  for (const { socket } of slow) socket.destroy();
  await served.close();
});

test("an archive that comes too slowly is a 408, not one that does not verify", async (t) => {
  const served = await start({}, { peers: QUICK });
  const slow = bare(
    served,
    head(served, "POST", "/v1/verify", { "content-type": "application/gzip", "content-length": "100000" }),
  );
  drip(slow, 20);
  await slow.closed;
  t.regex(slow.text(), /^HTTP\/1.1 408 [^]*"code":"request_timeout"/);
  await served.close();
});

test("one tenant has no more turns than its share, and others have theirs meanwhile", async (t) => {
  const served = await start({}, { follow: { clientsMax: 4, tenantClientsMax: 2 } });
  const follow = (tenant: string) =>
    bare(served, head(served, "GET", `/v1/events?tenant_id=${tenant}`, { accept: "text/event-stream" }));
  const acme = [follow("acme"), follow("acme"), follow("acme")];
  const turnedAway = (each: Bare) => /"code":"streams_exhausted"/.test(each.text());
  await until(() => acme.every((each) => each.text().includes("\r\n\r\n")) && acme.some(turnedAway));
  const answered = acme.map((each) => /^HTTP\/1.1 (\d+)/.exec(each.text())![1]).sort();
  t.deepEqual(answered, ["200", "200", "503"]);
  t.true(acme.some((each) => turnedAway(each) && /^Retry-After: \d/im.test(each.text())));
  const other = follow("globex");
  await until(() => other.text().includes("\r\n\r\n"));
  t.regex(other.text(), /^HTTP\/1.1 200/);
  for (const { socket } of [...acme, other]) socket.destroy();
  await served.close();
});

test("three hundred bodies of a mebibyte at once: some are told to ask again, and others are answered meanwhile", async (t) => {
  const server = await spawnServer(emptyDir());
  const figure = async (name: string): Promise<number> =>
    Number(new RegExp(`^${name} ([0-9.e+]+)$`, "m").exec((await send(server.url, "GET", "/metrics")).text)![1]);
  let sent = 0;
  const admits = async () =>
    t.is((await send(server.url, "POST", "/v1/admissions", { body: admissible(`meanwhile-${sent++}`) })).status, 200);
  const used = () => figure("process_cpu_seconds_total");
  /** Of processor, for some of them and as many admissions, one after the other. */
  const alone = async (count: number): Promise<number> => {
    const before = await used();
    for (let n = 0; n < count; n++) {
      t.is((await send(server.url, "POST", "/v1/admissions", { body: LARGE })).status, 422);
      await admits();
    }
    return (await used()) - before;
  };
  await alone(10);
  const one = (await alone(20)) / 20;
  const [bytes, seconds, before] = [await figure("process_resident_memory_bytes"), await used(), sent];
  let most = 0;
  const flood = comes("an answer to each", spawned(FLOOD, server.url)).finally(() => (flooding = false));
  let [flooding, longest] = [true, 0];
  while (flooding) {
    const began = performance.now();
    await admits();
    longest = Math.max(longest, performance.now() - began);
    most = Math.max(most, (await figure("process_resident_memory_bytes")) - bytes);
  }
  const answers = JSON.parse(await flood) as { status: number; problem: Record<string, string>; retry?: string }[];
  const cpu = (await used()) - seconds;
  // Those that are turned away cost less than those that are read: a third to a half of this was seen.
  const cpuMax = 0.8 * one * (300 + sent - before);
  const turnedAway = answers.filter(({ status }) => status === 503);
  t.log(
    `longest wait ${Math.round(longest)} ms, ${cpu.toFixed(1)} s of processor of ${cpuMax.toFixed(1)}, ${Math.round(most / 2 ** 20)} MiB, told to ask again: ${turnedAway.length}`,
  );
  t.deepEqual(
    [...new Set(answers.map(({ status }) => status))].filter((status) => status !== 422 && status !== 503),
    [],
  );
  for (const { problem, retry } of turnedAway) {
    t.is(problem["code"], "bodies_exhausted");
    t.regex(problem["detail"]!, /67108864 bytes/);
    t.truthy(retry);
  }
  t.true(most < 500 * 2 ** 20);
  t.true(cpu < cpuMax, `${cpu} s, and ${cpuMax} s at most`);
  await server.stop();
});

const LARGE = JSON.stringify({ workload: { note: "x".repeat(1024 * 1024 - 40) } });

/** Sends them all at once, and writes what came back. */
const FLOOD = `
  import { request } from "node:http";
  const url = process.argv[1];
  const body = Buffer.from(JSON.stringify({ workload: { note: "x".repeat(1024 * 1024 - 40) } }));
  const headers = { "content-type": "application/json", "content-length": body.length };
  const one = () => new Promise((resolve, reject) => {
    const req = request(url + "/v1/admissions", { method: "POST", agent: false, headers }, (res) => {
      let text = "";
      res.on("data", (data) => (text += data));
      res.on("end", () => resolve({ status: res.statusCode, problem: JSON.parse(text), retry: res.headers["retry-after"] }));
    });
    req.on("error", reject);
    req.end(body);
  });
  console.log(JSON.stringify(await Promise.all(Array.from({ length: 300 }, one))));
`;

async function spawned(script: string, ...args: string[]): Promise<string> {
  const child = spawn(process.execPath, ["--input-type=module", "-e", script, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  return text(child.stdout);
}

test("bodies held together are bounded, whatever each of them is", async (t) => {
  // Each thread has its share of them, and room for a body.
  const served = await start({ threads: 1, limits: { body_bytes_max: 1000 } }, { peers: { heldBytesMax: 2000 } });
  const held = Array.from({ length: 4 }, () =>
    bare(
      served,
      `${head(served, "POST", "/v1/admissions", { "content-type": "application/json", "content-length": "600" })}${" ".repeat(599)}`,
    ),
  );
  await until(() => held.some((each) => each.text() !== ""));
  t.deepEqual(held.map((each) => each.text().slice(9, 12)).sort(), ["", "", "", "503"]);
  for (const { socket } of held) socket.destroy();
  await until(async () => (await served.call("POST", "/v1/admissions", { body: " ".repeat(500) })).status === 400);
  t.pass();
  await served.close();
});

test("what comes of a body that was refused is not held against others", async (t) => {
  const served = await start({ threads: 1, limits: { body_bytes_max: 1000 } }, { peers: { heldBytesMax: 2000 } });
  const begin = (length: number): Bare => {
    const headers = { "content-type": "application/json", "content-length": `${length}` };
    return bare(served, `${head(served, "POST", "/v1/admissions", headers)}${" ".repeat(599)}`);
  };
  for (let round = 0; round < 5; round++) {
    const held = Array.from({ length: 4 }, () => begin(1000));
    await until(() => held.some((each) => each.text() !== ""));
    const refused = held.find((each) => each.text() !== "")!;
    t.regex(refused.text(), /^HTTP\/1.1 503 [^]*"code":"bodies_exhausted"/);
    for (const each of held) if (each !== refused) each.socket.destroy();
    await until(async () => (await served.call("POST", "/v1/admissions", { body: " ".repeat(500) })).status === 400);
    // The rest of it, and a request behind it, which is answered when that has come.
    refused.socket.write(`${" ".repeat(401)}${head(served, "GET", "/healthz")}`);
    await until(() => refused.text().includes("HTTP/1.1 200 "));
    refused.socket.destroy();
  }
  t.is((await served.call("POST", "/v1/admissions", { body: " ".repeat(1000) })).status, 400);
  await served.close();
});

test("two Host headers are none", async (t) => {
  const served = await start();
  const two = bare(
    served,
    `GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:${served.port}\r\nhost: evil.example\r\nConnection: close\r\n\r\n`,
  );
  await two.closed;
  t.regex(two.text(), /^HTTP\/1.1 400 [^]*"code":"request_malformed"/);
  await served.close();
});
