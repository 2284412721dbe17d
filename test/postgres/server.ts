// A PostgreSQL of the tests' own: one for all files of a run, on a socket in a temporary folder, gone with the run.
import { randomUUID } from "node:crypto";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";

export interface TestServer {
  /** Folder of its socket, `.s.PGSQL.5432`. */
  readonly socketDir: string;
  /** Of a database, made anew where no name is given. */
  url(database?: string): Promise<string>;
}

export interface OwnServer extends TestServer {
  /** Starts it again. */
  start(): Promise<void>;
  /** Pauses all of its processes, or lets them go on. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void;
  /** Ends it as a machine dies. */
  kill(): void;
  /** Ends it, and what it holds is gone. */
  stop(): void;
  /** A copy that follows it as a standby, started. */
  standby(): Promise<OwnServer>;
  /** Commits wait for a standby from now on, and one is there; or they wait for none. */
  waitsForStandby(is: boolean): Promise<void>;
  /** A standby that is the primary from now on. */
  promote(): void;
}

/** Where the server's programs are; undefined: nowhere. */
export function postgresPrograms(): string | undefined {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const places = [
    ...(process.env["PATH"] ?? "").split(delimiter),
    ...versions.map((name) => join(debian, name, "bin")),
  ];
  const found = places.find((dir) => existsSync(join(dir, "initdb")) && existsSync(join(dir, "postgres")));
  // Links to some of them may lie elsewhere.
  return found && dirname(realpathSync(join(found, "postgres")));
}

/**
 * Why tests that need a server cannot run here; undefined where they can. Under CI they run, and fail.
 * It is said once a file, so that nobody takes what was left out for what was tested.
 */
export function noPostgres(): string | undefined {
  if (postgresPrograms() !== undefined) return undefined;
  const missing = "PostgreSQL is not installed (Debian: apt-get install postgresql), so what needs it is not tested";
  if (process.env["CI"]) throw new Error(missing);
  return missing;
}

let shared: Promise<TestServer> | undefined;

/** The one that all test files of this run share: whoever comes first starts it, and it ends with their common parent. */
export function testServer(): Promise<TestServer> {
  return (shared ??= findOrStart(join(tmpdir(), `railgate-pg-${process.ppid}`)));
}

/**
 * Another one, for what changes the server.
 * @param prepare given its folder of data before it starts, and what makes a file there the server's.
 * @param under where its folder is made.
 * @returns with what ends it.
 */
export async function ownServer(
  settings: readonly string[] = [],
  prepare: (data: string, own: (path: string) => void) => void = () => {},
  under = tmpdir(),
): Promise<OwnServer> {
  const dir = mkdtempSync(join(under, "railgate-pg-own-"));
  initialise(dir);
  prepare(join(dir, "data"), own);
  return serverOf(dir, settings);
}

async function serverOf(dir: string, settings: readonly string[]): Promise<OwnServer> {
  const start = () => startIn(dir, settings, process.pid);
  await start();
  const end = (mode: string) => asServer("pg_ctl", ["-D", join(dir, "data"), "-m", mode, "-w", "stop"]);
  return {
    ...serverIn(dir, portIn(settings)),
    start,
    signal: (signal) => signalAll(dir, signal),
    standby: async () => {
      const to = mkdtempSync(join(tmpdir(), "railgate-pg-own-"));
      own(to);
      asServer("pg_basebackup", ["-D", join(to, "data"), "-h", dir, "-U", "railgate", "-R", "-c", "fast", "-N"]);
      return serverOf(to, settings);
    },
    waitsForStandby: (is) => waitForStandby(address(dir, "postgres", portIn(settings)), is),
    promote: () => asServer("pg_ctl", ["-D", join(dir, "data"), "-w", "promote"]),
    kill: () => end("immediate"),
    stop: () => {
      if (existsSync(join(dir, "data", "postmaster.pid"))) end("immediate");
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function findOrStart(dir: string): Promise<TestServer> {
  try {
    mkdirSync(dir, { mode: 0o755 });
  } catch {
    for (const untilMs = performance.now() + START_MS_MAX; !existsSync(join(dir, "ready")); await sleep(50))
      if (performance.now() > untilMs) throw new Error(`another test file's PostgreSQL in ${dir} did not start`);
    return serverIn(dir);
  }
  initialise(dir);
  await startIn(dir, [], process.ppid);
  writeFileSync(join(dir, "ready"), "");
  return serverIn(dir);
}

async function waitForStandby(url: string, is: boolean): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(`ALTER SYSTEM SET synchronous_standby_names = '${is ? "*" : ""}'`);
    await client.query("SELECT pg_reload_conf()");
    const state = is ? "sync" : "async";
    for (const untilMs = performance.now() + START_MS_MAX; ; await sleep(50)) {
      const { rowCount } = await client.query("SELECT 1 FROM pg_stat_replication WHERE sync_state = $1", [state]);
      if (rowCount! > 0) return;
      if (performance.now() > untilMs) throw new Error(`no standby is ${state}`);
    }
  } finally {
    await client.end();
  }
}

function own(path: string): void {
  const { uid, gid } = serverAccount();
  if (uid !== undefined) chownSync(path, uid, gid!);
}

function initialise(dir: string): void {
  own(dir);
  asServer("initdb", [
    "-D",
    join(dir, "data"),
    "-A",
    "trust",
    "-U",
    "railgate",
    "--no-sync",
    "-E",
    "UTF8",
    "--locale=C",
  ]);
}

function signalAll(dir: string, signal: NodeJS.Signals): void {
  const first = Number(readFileSync(join(dir, "data", "postmaster.pid"), "utf8").split("\n")[0]);
  const listed = spawnSync("ps", ["-o", "pid=", "--ppid", String(first)], { encoding: "utf8" }).stdout;
  for (const pid of [
    first,
    ...listed
      .split("\n")
      .filter((line) => line.trim() !== "")
      .map(Number),
  ])
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended meanwhile.
    }
}

const START_MS_MAX = 60_000;
const DEFAULTS = [
  "listen_addresses=",
  "max_connections=200",
  "shared_buffers=32MB",
  // A standby asks again soon.
  "wal_retrieve_retry_interval=500ms",
];

/** @param until its end follows the end of this process. */
async function startIn(dir: string, settings: readonly string[], until: number): Promise<void> {
  const given = [...DEFAULTS, `unix_socket_directories=${dir}`, ...settings].flatMap((each) => ["-c", each]);
  const watched = `alive() { [ -d "/proc/$U" ] || ps -p "$U" >/dev/null 2>&1; }
postgres "$@" & p=$!
while alive && kill -0 $p 2>/dev/null; do sleep 1; done
kill -QUIT $p 2>/dev/null; wait $p
alive || rm -rf "$D"`;
  const programs = postgresPrograms()!;
  const child = spawn("/bin/sh", ["-c", watched, "sh", "-D", join(dir, "data"), ...given], {
    ...serverAccount(),
    detached: true,
    stdio: "ignore",
    cwd: dir,
    env: { PATH: `${programs}:/usr/bin:/bin`, U: String(until), D: dir, LC_ALL: "C" },
  });
  child.unref();
  for (const untilMs = performance.now() + START_MS_MAX; ; await sleep(50)) {
    const client = new pg.Client({ connectionString: address(dir, "postgres", portIn(settings)) });
    try {
      await client.connect();
      await client.end();
      return;
    } catch (error) {
      await client.end().catch(() => {});
      if (performance.now() > untilMs) throw error;
    }
  }
}

const PORT = "5432";
const portIn = (settings: readonly string[]): string =>
  settings.find((each) => each.startsWith("port="))?.slice("port=".length) ?? PORT;

const address = (dir: string, database: string, port: string): string =>
  `postgres://railgate@localhost${port === PORT ? "" : `:${port}`}/${database}?host=${encodeURIComponent(dir)}`;

function serverIn(dir: string, port = PORT): TestServer {
  return {
    socketDir: dir,
    url: async (database) => {
      if (database !== undefined) return address(dir, database, port);
      const name = `t_${randomUUID().replaceAll("-", "")}`;
      const client = new pg.Client({ connectionString: address(dir, "postgres", port) });
      await client.connect();
      await client.query(`CREATE DATABASE ${name}`);
      await client.end();
      return address(dir, name, port);
    },
  };
}

let account: { readonly uid?: number; readonly gid?: number } | undefined;

/** Who runs the server's programs, which refuse to run as root; asked once, since starting a process out of a large one is dear. */
function serverAccount(): { readonly uid?: number; readonly gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const id = (of: string) =>
    ["postgres", "nobody"].map((name) => spawnSync("id", [of, name])).find(({ status }) => status === 0)!;
  return (account ??= { uid: Number(id("-u").stdout), gid: Number(id("-g").stdout) });
}

function asServer(program: string, args: readonly string[]): void {
  execFileSync(join(postgresPrograms()!, program), args, { ...serverAccount(), stdio: "ignore", cwd: "/" });
}
