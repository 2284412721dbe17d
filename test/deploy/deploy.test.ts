// What deploy/ holds does what it says: the image's files are there and its command starts a node, so does the unit's, and dashboard and rules name metrics that exist.
import { spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, globSync, mkdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import test, { type ExecutionContext } from "ava";
import { parse } from "yaml";
import { ensureBin } from "../../scripts/build.js";
import { admissible, emptyDir, start } from "../http/support.ts";
import { noPostgres, testServer } from "../postgres/server.ts";
import { spawn } from "../spawn.ts";
import { comes } from "../until.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const read = (name: string) => readFileSync(join(ROOT, name), "utf8");
process.setMaxListeners(100);
test.before(async () => void (await ensureBin()));

/** Instructions of a Dockerfile, in order. */
const instructions = read("deploy/Dockerfile")
  .replaceAll(/^#.*\n/gm, "")
  .replaceAll("\\\n", " ")
  .split("\n")
  .filter((line) => line.trim() !== "")
  .map((line) => {
    const [, name = "", rest = ""] = /^([A-Z]+) (.*)$/.exec(line.trim()) ?? [];
    return { name, rest };
  });
const ofName = (wanted: string) => instructions.filter(({ name }) => name === wanted).map(({ rest }) => rest);
/** From the checkout, not from another stage. */
const copied = ofName("COPY")
  .filter((rest) => !rest.includes("--from="))
  .map((rest) => rest.split(" "));

/** The image's own files, as they would lie in it, under a folder. */
function assembled(): string {
  const image = emptyDir();
  const home = join(image, "opt/railgate");
  mkdirSync(home, { recursive: true });
  for (const words of copied) {
    const [to, ...from] = words.toReversed();
    for (const name of from)
      cpSync(join(ROOT, name), to!.endsWith("/") ? join(home, to!, basename(name)) : join(home, to!), {
        recursive: true,
      });
  }
  return image;
}

/** Runs a command of an image or a unit: its Node is this one, its folders lie under another. */
async function started(t: ExecutionContext, command: readonly string[], image: string, env: Record<string, string>) {
  const [node, ...args] = command.map((word) => word.replace("/opt/railgate", join(image, "opt/railgate")));
  t.is(basename(node!), "node", "never npm");
  const child = spawn(process.execPath, args, { cwd: image, env, stdio: ["ignore", "pipe", "inherit"] });
  t.teardown(() => child.kill("SIGKILL"));
  for await (const line of createInterface({ input: child.stdout }))
    if ((JSON.parse(line) as { msg: string }).msg === "listening") break;
  child.stdout.resume();
  return child;
}

async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await comes("it ends", once(child, "exit"));
  return child.exitCode;
}

test("the image is built of what a checkout has, and nothing else gets near it", (t) => {
  t.true(copied.length > 3);
  const given = read(".dockerignore")
    .split("\n")
    .filter((line) => line.startsWith("!"));
  const names = copied.flatMap((words) => words.slice(0, -1));
  for (const name of names) t.true(existsSync(join(ROOT, name)), name);
  t.deepEqual(given.map((line) => line.slice(1)).sort(), [...names].sort());
  t.deepEqual(read(".dockerignore").split("\n")[1], "*");
  // Nothing is fetched, and what runs in the build has no shell.
  for (const rest of ofName("RUN")) t.true(rest.startsWith("["), rest);
  for (const { name, rest } of instructions) {
    t.not(name, "ADD");
    t.notRegex(rest, /\b(?:curl|wget|apt-get|npm)\b/);
  }
});

test("the image runs as nobody, by exec form, with a check of its health", (t) => {
  const last = instructions.slice(instructions.findLastIndex(({ name }) => name === "FROM"));
  const value = (wanted: string) => last.find(({ name }) => name === wanted)?.rest ?? "";
  t.regex(value("USER"), /^[1-9]\d{3,}:[1-9]\d{3,}$/);
  t.is(
    last.some(({ name }) => name === "RUN"),
    false,
  );
  for (const name of ["ENTRYPOINT", "CMD"]) t.true(Array.isArray(JSON.parse(value(name))), name);
  t.regex(value("HEALTHCHECK"), /CMD \["node", /);
  t.is(ofName("FROM").length, 2);
});

test("the image's command starts a node on files that cannot be written, and its check says whether it lives", async (t) => {
  t.timeout(120_000);
  const image = assembled();
  spawnSync("chmod", ["-R", "a-w", join(image, "opt")]);
  t.teardown(() => spawnSync("chmod", ["-R", "u+w", image]));
  const [entry, cmd, check] = ["ENTRYPOINT", "CMD", "HEALTHCHECK"].map((name) => {
    const rest = ofName(name).at(-1)!;
    return JSON.parse(rest.slice(rest.indexOf("["))) as string[];
  });
  const env = { RAILGATE_DATA_DIR: join(image, "data"), RAILGATE_LISTEN: "127.0.0.1:0" };
  const child = await started(t, [...entry!, ...cmd!], image, env);
  const healthy = () =>
    spawnSync(
      process.execPath,
      check!.slice(1).map((word) => word.replace("/opt/", `${image}/opt/`)),
      { env },
    ).status;
  t.is(healthy(), 0);
  child.kill("SIGTERM");
  t.is(await ended(child), 0);
  t.is(healthy(), 1);
});

/** Directives by name; what is given twice is a list. */
const unit = Map.groupBy(
  read("deploy/railgate.service")
    .split("\n")
    .filter((line) => /^\w+=/.test(line)),
  (line) => line.slice(0, line.indexOf("=")),
);
const directive = (name: string) => unit.get(name)?.map((line) => line.slice(name.length + 1)) ?? [];

test("the unit holds what hardens it, and nothing that would keep WASM from running", (t) => {
  for (const name of [
    "NoNewPrivileges",
    "ProtectHome",
    "ProtectClock",
    "ProtectHostname",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "ProtectControlGroups",
    "PrivateTmp",
    "PrivateDevices",
    "PrivateUsers",
    "RestrictNamespaces",
    "RestrictRealtime",
    "RestrictSUIDSGID",
    "LockPersonality",
  ])
    t.deepEqual(directive(name), ["yes"], name);
  t.deepEqual(directive("ProtectSystem"), ["strict"]);
  t.deepEqual(directive("CapabilityBoundingSet"), [""]);
  t.deepEqual(directive("StateDirectoryMode"), ["0700"]);
  t.deepEqual(directive("UMask"), ["0077"]);
  t.deepEqual(directive("MemoryDenyWriteExecute"), []);
  t.deepEqual(directive("Environment"), [`RAILGATE_DATA_DIR=/var/lib/${directive("StateDirectory")[0]}`]);
  t.false(["root", "", undefined].includes(directive("User")[0]));
  const { status, stderr, error } = spawnSync("systemd-analyze", ["verify", join(ROOT, "deploy/railgate.service")], {
    encoding: "utf8",
  });
  // It wants the program to be installed on this machine.
  if (error) t.log("systemd-analyze is not here: directives alone were looked at");
  else t.true(status === 0 || /is not executable/.test(stderr), stderr);
});

test("the unit's command starts a node, its reload ends nothing, its stop does", async (t) => {
  t.timeout(120_000);
  const image = assembled();
  const command = directive("ExecStart")[0]!.split(" ");
  t.is(command[0], "/usr/bin/node");
  const child = await started(t, command, image, {
    RAILGATE_DATA_DIR: join(image, "data"),
    RAILGATE_LISTEN: "127.0.0.1:0",
  });
  t.regex(directive("ExecReload")[0]!, /^\/bin\/kill -HUP \$MAINPID$/);
  child.kill("SIGHUP");
  child.kill("SIGTERM");
  t.is(await ended(child), 0);
});

/** Names of metrics in an expression; those of a histogram's parts are its own. */
const metricsIn = (text: string): string[] =>
  [...text.matchAll(/\b(?:railgate|process|nodejs)_\w+/g)].map(([name]) => name);

const missing = noPostgres();
if (missing !== undefined) console.warn(missing);

/** Metrics of a node that has decided, and of what kind each is. */
async function kindsOf(settings: object): Promise<Map<string, string>> {
  const served = await start({ diagnostics: { listen: "127.0.0.1:0" }, ...settings });
  await served.call("POST", "/v1/admissions", { body: admissible() });
  const scraped = await (await fetch(`${served.diagnosticsUrl}/metrics`)).text();
  await served.close();
  return new Map([...scraped.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, kind]) => [name!, kind!]));
}

test("dashboard and rules name metrics that exist, and every metric is explained", async (t) => {
  const kinds = await kindsOf({});
  t.true(kinds.size > 20);
  if (missing === undefined)
    for (const [name, kind] of await kindsOf({ store: { url: await (await testServer()).url() } }))
      kinds.set(name, kind);
  const exists = (name: string): boolean => {
    const histogram = /^(.*)_(?:bucket|sum|count)$/.exec(name)?.[1];
    return kinds.has(name) || (histogram !== undefined && kinds.get(histogram) === "histogram");
  };
  const dashboard = JSON.parse(read("deploy/grafana/railgate.json")) as {
    panels: { targets?: { expr: string }[] }[];
    templating: { list: { query: unknown }[] };
    annotations: { list: { expr: string }[] };
  };
  const rules = parse(read("deploy/prometheus/railgate.rules.yaml")) as {
    groups: {
      rules: {
        expr: string;
        alert?: string;
        labels?: object;
        annotations?: { summary?: string; description?: string };
      }[];
    }[];
  };
  const all = rules.groups.flatMap((group) => group.rules);
  const expressions = [
    ...dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
    ...dashboard.annotations.list.map(({ expr }) => expr),
    ...dashboard.templating.list.map(({ query }) => JSON.stringify(query)),
    ...all.map(({ expr }) => expr),
  ];
  t.true(expressions.length > 30);
  for (const expression of expressions)
    for (const name of metricsIn(expression))
      if (missing === undefined || !name.startsWith("railgate_store_"))
        t.true(exists(name), `${name} in ${expression}`);
  for (const { alert, labels, annotations } of all)
    if (alert !== undefined) t.true(labels !== undefined && !!annotations?.summary && !!annotations.description, alert);
  const page = read("docs/operate.md");
  for (const name of kinds.keys())
    if (name.startsWith("railgate_")) t.true(page.includes(`\`${name}`), `${name} in docs/operate.md`);
  t.is(globSync("deploy/**/*", { cwd: ROOT }).length > 5, true);
});
