// What a caller is told of a commit that failed is so after a crash: faults in the store's own system calls, then kill -9, then the record.
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { admissible, checkpointed, emptyDir, send, verifiedEvents, type Answered } from "../http/support.ts";
import { spawnServer, type Server } from "./process.ts";

/** Fails or kills, see faults.c; undefined where there is no C compiler. */
const SHIM = compile();
process.setMaxListeners(100);

function compile(): string | undefined {
  const out = join(emptyDir(), "faults.so");
  try {
    execFileSync("cc", ["-shared", "-fPIC", "-o", out, new URL("./faults.c", import.meta.url).pathname, "-ldl"]);
    return out;
  } catch (error) {
    // Who tries the project at home may have no compiler; what lands is tried with one.
    if (process.env["CI"]) throw error;
    return undefined;
  }
}

const withShim = SHIM === undefined ? test.skip : test.serial;

class Faulty {
  readonly dir = emptyDir();
  readonly #faults = join(this.dir, "faults");
  server!: Server;

  async start(): Promise<void> {
    rmSync(this.#faults, { recursive: true, force: true });
    mkdirSync(this.#faults);
    this.server = await spawnServer(this.dir, { LD_PRELOAD: SHIM, STORE_FAULTS: this.#faults });
  }

  /** @param faults see faults.c. */
  arm(...faults: string[]): void {
    for (const fault of faults) writeFileSync(join(this.#faults, fault), "");
  }

  disarm(): void {
    rmSync(this.#faults, { recursive: true });
    mkdirSync(this.#faults);
  }

  admit(id: string): Promise<Answered | undefined> {
    return send(this.server.url, "POST", "/v1/admissions", { body: admissible(id) }).catch(() => undefined);
  }

  /** Ids of workloads that are on record, and of events, as whoever comes after a crash finds them. */
  async onRecord(): Promise<{ workloads: Set<string>; events: Set<string> }> {
    const events = await verifiedEvents(this.dir);
    const admitted = events.filter(({ event_type }) => event_type === "workload.admit");
    return { workloads: new Set(admitted.map((event) => event.subject!)), events: new Set(events.map(({ id }) => id)) };
  }
}

/** One after the other in one life of the node each; `told`: what must be said of the commit that it hits. */
const CASES: readonly { readonly faults: readonly string[]; readonly told: "no" | "unknown" | "nothing" }[] = [
  { faults: ["write-wal.0"], told: "no" },
  { faults: ["sync-wal.0"], told: "no" },
  { faults: ["sync-wal.0", "cut-wal.0"], told: "unknown" },
  { faults: ["sync-wal.0", "sync-wal.1"], told: "unknown" },
  { faults: ["sync-wal.always"], told: "unknown" },
  { faults: ["killsync-wal.0"], told: "nothing" },
];

for (const { faults, told } of CASES) {
  for (const kill of [true, false]) {
    withShim(`${faults.join(", ")}, then ${kill ? "kill -9" : "it goes on"}: what was told is so`, async (t) => {
      t.timeout(120_000);
      const faulty = new Faulty();
      await faulty.start();
      t.teardown(() => faulty.server.kill());
      t.is((await faulty.admit("before"))?.status, 200);
      // The next write to the database is the next admission's.
      await checkpointed(faulty.server.url);
      faulty.arm(...faults);
      const answer = await faulty.admit("hit");
      if (told === "nothing") t.is(answer, undefined);
      else t.like(answer?.json, { status: 503, code: "evidence_unavailable", recorded: told });
      t.is(typeof answer?.json.event_id, told === "unknown" ? "string" : "undefined");
      faulty.disarm();
      let after: Answered | undefined;
      if (!kill && told !== "nothing")
        for (let tries = 0; after?.status !== 200 && tries < 600; tries++) {
          await new Promise((resolve) => setTimeout(resolve, 100));
          after = await faulty.admit("after");
        }
      await faulty.server.kill();
      const { workloads, events } = await faulty.onRecord();
      t.true(workloads.has("before"));
      if (told === "no") t.false(workloads.has("hit"), "it has come back");
      if (told === "unknown" && workloads.has("hit")) t.true(events.has(answer!.json.event_id));
      if (after) {
        t.is(after.status, 200);
        t.true(workloads.has("after"));
        t.false(told === "unknown" && workloads.has("hit"), "what did not count when it went on has come back");
      }
      await faulty.start();
      t.is((await faulty.admit("last"))?.status, 200);
      await faulty.server.stop();
      t.true((await faulty.onRecord()).workloads.has("last"));
    });
  }
}

withShim("checkpoints that cannot be written are told and follow, and decisions go on", async (t) => {
  const faulty = new Faulty();
  await faulty.start();
  t.teardown(() => faulty.server.kill());
  faulty.arm("sync-jsonl.always");
  for (const id of ["a", "b", "c"]) {
    t.is((await faulty.admit(id))?.status, 200);
    await new Promise((resolve) => setTimeout(resolve, 700));
  }
  const checkpoint = () => send(faulty.server.url, "GET", "/v1/streams", {});
  const [stream] = (await checkpoint()).json.items.filter((each: any) => each.chain_id.startsWith("acme/"));
  const path = `/v1/streams/${encodeURIComponent(stream.chain_id)}/checkpoint`;
  t.is((await send(faulty.server.url, "GET", path)).status, 503);
  faulty.disarm();
  t.is((await send(faulty.server.url, "GET", path)).status, 200);
  await faulty.server.stop();
});
