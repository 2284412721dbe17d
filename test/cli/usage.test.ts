// The command line as such: help, mistakes, exit codes, settings, completion.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { emptyDir, railgate, railgateOnTerminal } from "./railgate.ts";

const COMMANDS = ["serve", "decide", "events", "keys", "doctor", "completion"];

test("help says what there is, on standard output", async (t) => {
  const { code, stdout, stderr } = await railgate(["--help"]);
  t.is(code, 0);
  t.is(stderr, "");
  for (const command of COMMANDS) t.regex(stdout, new RegExp(`^  ${command} `, "m"));
  t.regex(stdout, /Exit codes: 0 done or admitted, 1 refused or failed verification, 2 used wrongly, 3 cannot run/);
});

test("the version is the package's", async (t) => {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  t.deepEqual(await railgate(["--version"]), { code: 0, stdout: `${version}\n`, stderr: "" });
});

for (const command of ["serve", "decide", "events", "keys list", "doctor", "completion"]) {
  test(`${command}: has help and --json`, async (t) => {
    const { code, stdout } = await railgate([...command.split(" "), "--help"]);
    t.is(code, 0);
    t.regex(stdout, /--json/);
  });
}

const MISTAKES: [args: string[], says: RegExp][] = [
  [[], /Usage: railgate/],
  [["keys"], /Usage: railgate keys/],
  [["decid"], /^railgate: unknown command 'decid'\n\(Did you mean decide\?\)/],
  [["decide"], /^railgate: missing required argument 'request'/],
  [["decide", "a", "b"], /^railgate: too many arguments/],
  [["events", "--limt", "1"], /^railgate: unknown option '--limt'\n\(Did you mean --limit\?\)/],
  [
    ["events", "--limit", "0"],
    /^railgate: option '--limit <n>' argument '0' is invalid\. It must be a whole number, 1 or more/,
  ],
  [
    ["events", "--outcome", "maybe"],
    /^railgate: option '--outcome <outcome>' argument 'maybe' is invalid\. Allowed choices are accepted, refused, failed/,
  ],
  [["events", "--since", "yesterday"], /^railgate: --since: "yesterday" is neither an RFC 3339 time/],
  [["completion", "csh"], /^railgate: command-argument value 'csh' is invalid/],
  [["decide", "nowhere.json"], /^railgate: there is no file nowhere\.json\n$/],
  [["decide", "/"], /^railgate: can't read \/ \(EISDIR\)\n$/],
  [["decide", "--at", "2026-01-01T00:00:00Z", "x.json"], /^railgate: --at needs --dry-run/],
  [["decide", "--dry-run", "--at", "noon", "x.json"], /^railgate: --at: "noon" is no RFC 3339 time/],
  [
    ["events", "--type", "nothing", "--url", "http://127.0.0.1:9", "--data-dir", "x"],
    /^railgate: --url: names a running node/,
  ],
  [["events", "--url", "here"], /^railgate: --url: is no http or https URL/],
  [
    ["keys", "jwks", "--url", "https://localhost:9", "--ca", "nowhere.pem"],
    /^railgate: --ca: can't read .*nowhere\.pem \(ENOENT\)/,
  ],
  [["show", "payments"], /^railgate: payments is neither an export nor the id of an event/],
  [["doctor", "-c", "nowhere.yaml"], /^railgate: --config-file: there is no file nowhere\.yaml\n$/],
  [["serve", "--listen", "here"], /^railgate: --listen: "here" is not "host:port"/],
  [
    ["serve", "--listen", "0.0.0.0:0"],
    /^railgate: --listen: 0\.0\.0\.0 can be reached by others; set railgate\.tls\.cert/,
  ],
];
for (const [args, says] of MISTAKES) {
  test(`used wrongly: railgate ${args.join(" ")}`, async (t) => {
    const { code, stdout, stderr } = await railgate(args);
    t.is(code, 2);
    t.is(stdout, "");
    t.regex(stderr, says);
    t.notRegex(stderr, /^\s+at /m);
  });
}

test("a mistake in settings is one line, and an object for programs", async (t) => {
  const cwd = emptyDir();
  writeFileSync(join(cwd, "opa.yaml"), "railgate:\n  lisen: x\n");
  const { code, stdout, stderr } = await railgate(["doctor", "--json"], { cwd });
  t.is(code, 2);
  t.regex(stderr, /^railgate: railgate\.lisen: unknown setting, did you mean "listen"\? \(.*opa\.yaml, line 2\)\n$/);
  t.like(JSON.parse(stdout), { code: "config_invalid" });
});

test("used wrongly is an object for programs, whoever noticed it", async (t) => {
  for (const args of [["events", "--limt", "1"], ["events", "--limit", "0"], ["decide"], ["decide", "nowhere.json"]]) {
    const { code, stdout } = await railgate([...args, "--json"]);
    t.is(code, 2);
    t.like(JSON.parse(stdout), { code: "used_wrongly" });
  }
});

test("a stack trace is shown to those who ask for it", async (t) => {
  const { stderr } = await railgate(["doctor", "-c", "nowhere.yaml"], { env: { RAILGATE_LOG_LEVEL: "debug" } });
  t.regex(stderr, /^\s+at /m);
});

test("without evidence there is nothing to list", async (t) => {
  for (const args of [["events"], ["keys", "list"]]) {
    const { code, stderr } = await railgate(args);
    t.is(code, 3);
    t.regex(
      stderr,
      /^railgate: \/.*\/data holds no evidence yet; name the data directory with --data-dir or RAILGATE_DATA_DIR\n$/,
    );
  }
});

test("bash completes commands, then options, then choices", async (t) => {
  const { stdout: script } = await railgate(["completion", "bash"]);
  const complete = (...words: string[]) => {
    const probe = `${script}\nCOMP_WORDS=(railgate ${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length}; _railgate; echo "\${COMPREPLY[@]}"`;
    return spawnSync("bash", ["-c", probe], { encoding: "utf8" }).stdout.trim().split(" ");
  };
  t.deepEqual(complete("de"), ["decide"]);
  t.true(COMMANDS.every((command) => complete("").includes(command)));
  t.deepEqual(complete("decide", "--dr"), ["--dry-run"]);
  t.deepEqual(complete("decide", "--json", "--dr"), ["--dry-run"]);
  t.deepEqual(complete("keys", "l"), ["list"]);
  t.deepEqual(complete("keys", "list", "--js"), ["--json"]);
  t.deepEqual(complete("completion", "z"), ["zsh"]);
});

test("zsh and fish get scripts of their own", async (t) => {
  t.regex(
    (await railgate(["completion", "zsh"])).stdout,
    /^#compdef railgate\n[\s\S]*bashcompinit[\s\S]*complete .* railgate/,
  );
  t.regex(
    (await railgate(["completion", "fish"])).stdout,
    /complete -c railgate -n '__fish_seen_subcommand_from keys; and __fish_seen_subcommand_from list' -l json/,
  );
  t.like(JSON.parse((await railgate(["completion", "fish", "--json"])).stdout), { shell: "fish" });
});

test("a reader that has seen enough is no error", async (t) => {
  const { stderr, code } = await railgateOnTerminal(["--help"]);
  t.deepEqual([stderr, code], ["", 0]);
});

test("the reference names every command and option", async (t) => {
  const doc = readFileSync(new URL("../../docs/cli.md", import.meta.url), "utf8");
  for (const command of [
    "serve",
    "decide",
    "events",
    "keys list",
    "doctor",
    "completion",
    "show",
    "export",
    "keys jwks",
    "keys rotate",
    "challenge",
    "attestation inspect",
    "erase",
    "workloads",
    "lifecycle",
    "mesh show",
    "mesh apply",
    "mesh place",
    "mesh elevate",
    "mesh remove",
    "init",
    "test",
    "try",
    "check",
    "bundle build",
    "bundle sign",
    "bundle verify",
    "bundle inspect",
    "bundle diff",
    "policy list",
    "policy submit",
    "policy activate",
    "policy shadow",
    "policy differences",
    "policy deprecate",
  ]) {
    t.true(doc.includes(`railgate ${command}`), command);
    const { stdout } = await railgate([...command.split(" "), "--help"]);
    for (const [option] of stdout.matchAll(/--[a-z-]+/g)) t.true(doc.includes(option), `${command} ${option}`);
  }
});
