// The checks of `railgate doctor`, in the order in which one rests on another.
import { accessSync, constants, existsSync, readdirSync, readFileSync, statfsSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../../node/config/config.ts";
import type { Check, Finding } from "./doctor.ts";
import type { Output } from "../io/output.ts";

type Found = Omit<Finding, "check">;

const SHARED_BITS = 0o077;
const CLOCK_AHEAD_MS_MAX = 60_000;
/** Nothing was decided by this software before it existed. */
const CLOCK_EARLIEST_MS = Date.UTC(2025, 0, 1);
const DISK_BYTES = { warn: 1024 ** 3, fail: 64 * 1024 ** 2 };
const BUNDLE_AGE_DAYS_WARN = 30;
const DAY_MS = 86_400_000;

const ok = (message: string): Found => ({ status: "ok", message });
const warn = (message: string, cure: string): Found => ({ status: "warn", message, cure });
const fail = (message: string, cure: string): Found => ({ status: "fail", message, cure });

export const CHECKS: readonly Check[] = [
  ["node", () => [nodeVersion()]],
  ["settings", settings],
  ["directory", (config) => [directory(config)]],
  ["lock", async (config) => [await lock(config)]],
  ["private keys", privateKeys],
  ["policy", async (config) => [await policy(config)]],
  ["database", async (config) => [await database(config)]],
  ["evidence", evidence],
  ["checkpoints", async (config) => [await checkpoints(config)]],
  ["clock", async (config) => [await clock(config)]],
  ["disk", (config) => [disk(config)]],
];

function nodeVersion(): Found {
  const { engines } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
    engines: { node: string };
  };
  const least = Number(/\d+/.exec(engines.node)?.[0]);
  const major = Number(process.versions.node.split(".")[0]);
  return major >= least
    ? ok(`Node.js ${process.versions.node}`)
    : fail(`Node.js ${process.versions.node} is too old`, `install Node.js ${engines.node}`);
}

function settings({ file, warnings }: Config): Found[] {
  const read = ok(file === null ? "defaults; there is no opa.yaml" : file);
  return [read, ...warnings.map((line) => warn(line, "remove it, if only Railgate reads the file"))];
}

function directory({ dataDir }: Config): Found {
  if (!existsSync(dataDir)) return ok(`${dataDir} doesn't exist yet; it is made at first start`);
  const shared = sharedBits(dataDir);
  try {
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch {
    return fail(
      `${dataDir} can't be written by this user`,
      `chown it to the user that runs Railgate, or set railgate.data_dir`,
    );
  }
  return shared === 0
    ? ok(dataDir)
    : warn(`${dataDir} is open to other users (mode ${mode(dataDir)})`, `chmod 700 ${dataDir}`);
}

const mode = (path: string) => (statSync(path).mode & 0o777).toString(8).padStart(3, "0");
const sharedBits = (path: string) => (process.platform === "win32" ? 0 : statSync(path).mode & SHARED_BITS);

async function lock({ dataDir }: Config): Promise<Found> {
  const { isLocked } = await import("../../store/lock.ts");
  const { readHolder } = await import("../../store/lock.ts");
  if (!isLocked(dataDir)) return ok("free");
  const holder = readHolder(dataDir);
  return ok(
    holder
      ? `held by process ${holder.pid} since ${holder.since}${holder.url ? `, listening on ${holder.url}` : ""}`
      : "held by another process",
  );
}

function privateKeys({ dataDir }: Config): Found[] {
  const dir = join(dataDir, "keys");
  const files = existsSync(dir) ? readdirSync(dir).map((name) => join(dir, name)) : [];
  if (files.length === 0) return [ok("none yet; made at first start")];
  const open = files.filter((file) => sharedBits(file) !== 0);
  if (open.length === 0) return [ok(`${files.length} in ${dir}, for their owner alone`)];
  return open.map((file) =>
    fail(
      `${file} is open to other users (mode ${mode(file)})`,
      `chmod 600 ${file}; if others could read it, rotate the key`,
    ),
  );
}

async function policy(config: Config): Promise<Found> {
  const [{ bundleSource }, { loadBundle }] = await Promise.all([
    import("../../node/config/options.ts"),
    import("../../policy/policy.ts"),
  ]);
  const source = bundleSource(config);
  try {
    const { revision, digest } = await loadBundle(source.bytes(), {
      keys: source.keys,
      ...(source.keyId !== undefined && { keyId: source.keyId }),
      ...(source.scope !== undefined && { scope: source.scope }),
    });
    return bundleAge(revision, `signature verified, revision ${revision || "none"}, ${digest.slice(0, 19)}…`);
  } catch (error) {
    return fail(
      (error as Error).message,
      "give the node a bundle signed by a key that stands under `keys`; until then it refuses everything (POL-01)",
    );
  }
}

/** A policy from a file has no age that counts (law.md §6); its revision may still tell when it was made. */
function bundleAge(revision: string, message: string): Found {
  const madeMs = Date.parse(revision);
  if (!/^\d{4}-\d\d-\d\dT/.test(revision) || Number.isNaN(madeMs)) return ok(message);
  const days = Math.floor((Date.now() - madeMs) / DAY_MS);
  return days <= BUNDLE_AGE_DAYS_WARN
    ? ok(`${message}, ${days} days old`)
    : warn(`${message}, ${days} days old`, "see whether there is a newer one");
}

async function database({ dataDir }: Config): Promise<Found> {
  const { checkStore } = await import("../../store/open.ts");
  const problem = checkStore(dataDir);
  if (problem === null) return ok("none yet; made at first start");
  return problem === undefined
    ? ok("sound (quick_check)")
    : fail(problem, "stop the node and restore the data directory from its backup; keep the damaged one as evidence");
}

const RESTORE = "keep a copy of the data directory as evidence, find out who changed it, and restore it from a backup";

async function evidence({ dataDir }: Config, out: Output): Promise<Found[]> {
  const { storeFile } = await import("../../store/open.ts");
  if (!existsSync(storeFile(dataDir))) return [ok("none yet")];
  const [{ openForReading }, { verifyStore }] = await Promise.all([
    import("../io/reading.ts"),
    import("../../evidence/fsck/streams.ts"),
  ]);
  using store = openForReading(dataDir);
  const { streams, states } = verifyStore(store, (events) => out.progress(`verified ${events} events…`));
  return [
    ...streams.map(({ chain_id, events, erased, fault }) =>
      fault === undefined
        ? ok(
            `${chain_id}: ${events} events, signatures, hashes, chain and tree verified${erased === 0 ? "" : `, ${erased} artifacts erased`}`,
          )
        : fail(`${chain_id}, event ${fault.sequence}: ${fault.message}`, RESTORE),
    ),
    ...stateFindings(states),
  ];
}

function stateFindings(states: string[] | null): Found[] {
  if (states === null)
    return [
      warn(
        "states weren't compared with their events: too many are recorded just now",
        "look again when it is quieter",
      ),
    ];
  if (states.length === 0) return [ok("the state of every workload and mesh is what its events say")];
  return states.map((name) => fail(`the state of ${name} is not what its events say`, RESTORE));
}

/** What was signed of the database, and kept outside it, must still be true of it (evidence.md §4). */
async function checkpoints({ dataDir, nodeId, evidence }: Config): Promise<Found> {
  const { storeFile } = await import("../../store/open.ts");
  if (!existsSync(storeFile(dataDir))) return ok("none yet");
  const [{ openForReading }, { CheckpointFile, checkpointFile, checkStreams }, { nodeIdIn }] = await Promise.all([
    import("../io/reading.ts"),
    import("../../evidence/log/checkpoints.ts"),
    import("../../node/restore.ts"),
  ]);
  using store = openForReading(dataDir);
  const key = store.keys().find(({ role, retired_at_ms }) => role === "log" && retired_at_ms === null);
  const file = checkpointFile(evidence.checkpointDir ?? join(dataDir, "checkpoints"), nodeIdIn(store, nodeId) ?? "");
  if (key === undefined) return warn("there is no log key", "start the node once; it makes one");
  try {
    const signed = new CheckpointFile(file).latest();
    if (signed.size === 0)
      return warn(`none in ${file}`, "start the node once; if it was removed, bring back its newest copy");
    await checkStreams(store.log, signed.values(), Buffer.from(String(key.jwk["x"]), "base64url"), file);
    return ok(`of ${signed.size} streams, and the database agrees`);
  } catch (error) {
    return fail((error as Error).message, "find out who put another database in place; docs/log.md says how to go on");
  }
}

async function clock({ dataDir }: Config): Promise<Found> {
  const nowMs = Date.now();
  if (nowMs < CLOCK_EARLIEST_MS)
    return fail(`it says ${new Date(nowMs).toISOString()}`, "set the clock; time is part of every decision");
  const aheadMs = ((await lastEventMs(dataDir)) ?? nowMs) - nowMs;
  if (aheadMs > CLOCK_AHEAD_MS_MAX)
    return fail(
      `the last event was recorded ${Math.round(aheadMs / 1000)} s in the future`,
      "the clock was set back, or was wrong then; set it right (NTP) before going on",
    );
  return ok(`${new Date(nowMs).toISOString()}`);
}

/** When the newest event was recorded, milliseconds since the epoch; undefined if there is none. */
async function lastEventMs(dataDir: string): Promise<number | undefined> {
  const [{ storeExists }, { openForReading }, { eventTextOf }] = await Promise.all([
    import("../../store/open.ts"),
    import("../io/reading.ts"),
    import("../../core/event.ts"),
  ]);
  if (!storeExists(dataDir)) return undefined;
  using store = openForReading(dataDir);
  const [newest] = store.events({ order: "desc", limit: 1 });
  return newest && Date.parse((JSON.parse(eventTextOf(newest.record)) as { occurred_at: string }).occurred_at);
}

function disk({ dataDir }: Config): Found {
  let dir = dataDir;
  while (!existsSync(dir)) dir = join(dir, "..");
  const { bavail, bsize } = statfsSync(dir);
  const free = bavail * bsize;
  const message = `${(free / 1024 ** 3).toFixed(1)} GiB free`;
  if (free < DISK_BYTES.fail)
    return fail(message, "make room: without it nothing can be recorded, so nothing is admitted (EVI-01)");
  return free < DISK_BYTES.warn
    ? warn(message, "make room before it runs out; without it nothing is admitted (EVI-01)")
    : ok(message);
}
