// Archives made to cost: each is answered, soon, in flat memory, and keeps no other caller waiting.
import { createGzip } from "node:zlib";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import test from "ava";
import { tarGzStream, type TarFile } from "../../src/archive/write.ts";
import { verifyApart, VerificationTimeoutError } from "../../src/evidence/verify/apart.ts";
import type { VerifyReport } from "../../src/evidence/verify/report.ts";
import { containerRequest } from "../core/requests.ts";
import { start } from "./support.ts";

const MIB = 1024 ** 2;
/** For which this thread, which answers others, may be busy with anything else; before, it was as long as the verification: 17 s. */
const BUSY_MS_MAX = 500;
const WAIT_MS_MAX = 1500;
const ANSWER_MS_MAX = 100_000;
const GROWTH_MIB_MAX = 450;

const file = (name: string, content: Uint8Array): TarFile => ({ name, size: content.length, open: () => [content] });

async function* repeated(text: string, times: number): AsyncGenerator<Uint8Array> {
  const block = Buffer.from(text.repeat(10_000));
  for (let i = 0; i < times / 10_000; i++) yield block;
}

/** A file whose content is the same over and over, which packs well. */
const long = (name: string, before: string, text: string, times: number, after = ""): TarFile => ({
  name,
  size: before.length + text.length * times + after.length,
  async *open() {
    yield Buffer.from(before);
    yield* repeated(text, times);
    yield Buffer.from(after);
  },
});

async function* of(...files: TarFile[]): AsyncGenerator<TarFile> {
  yield* files;
}

async function* manySmall(count: number): AsyncGenerator<TarFile> {
  for (let i = 0; i < count; i++) yield file(`artifacts/${i.toString(16).padStart(64, "0")}`, Buffer.from("x"));
}

const HOSTILE: Record<string, () => AsyncIterable<TarFile>> = {
  "a million empty lines": () => of(long("events.jsonl", "", "\n", 1_000_000)),
  "a million lines that are objects": () => of(long("events.jsonl", "", "{}\n", 1_000_000)),
  "100,000 lines that might be events": () => of(long("events.jsonl", "", '{"id":"x"}\n', 100_000)),
  "a million records that are none": () =>
    of(file("keys.json", Buffer.from("{}")), long("records.jws", "", "a\n", 1_000_000)),
  "200,000 small files": () => manySmall(200_000),
  "a manifest of 400 MiB": () => of(long("manifest.json", "{", " ", 420_000_000, "")),
  "a manifest of three million names": () =>
    of(long("manifest.json", '{"artifacts":{"x":[', '"y",', 3_000_000, '"y"]}}')),
  "a segment of three million rows": () => of(long("chain-segment.json", '{"events":[', "{},", 3_000_000, "{}]}")),
  "a segment of three million sound rows": () =>
    of(
      long(
        "chain-segment.json",
        '{"events":[',
        `{"event_hash":"sha256:${"0".repeat(64)}","event_ref":"x"},`,
        600_000,
        "{}]}",
      ),
    ),
  "a manifest of a million things inside things": () => of(long("manifest.json", '{"x":[', "[],", 3_000_000, "[]]}")),
};

for (const [name, make] of Object.entries(HOSTILE)) {
  test.serial(`answered, and nobody else waits: ${name}`, async (t) => {
    const body = await buffer(tarGzStream(make()));
    const served = await start();
    try {
      await served.call("POST", "/v1/admissions?dry_run=true", { body: containerRequest() });
      const before = process.memoryUsage.rss();
      let [peak, longest, busiest, isOver] = [before, 0, 0, false];
      const others = (async () => {
        while (!isOver) {
          const [asked, used] = [performance.now(), process.threadCpuUsage()];
          const { status } = await served.call("POST", "/v1/admissions?dry_run=true", { body: containerRequest() });
          t.is(status, 200);
          longest = Math.max(longest, performance.now() - asked);
          const { user, system } = process.threadCpuUsage(used);
          busiest = Math.max(busiest, (user + system) / 1000);
          peak = Math.max(peak, process.memoryUsage.rss());
          await sleep(25);
        }
      })();
      const asked = performance.now();
      const { status, json } = await served.call("POST", "/v1/verify", {
        body,
        headers: { "content-type": "application/gzip" },
      });
      const took = performance.now() - asked;
      isOver = true;
      await others;
      t.log(
        `${body.length} bytes: answered in ${Math.round(took)} ms, others waited ${Math.round(longest)} ms at most, ${Math.round(busiest)} of them for this thread, ${Math.round((peak - before) / MIB)} MiB more`,
      );
      t.is(status, 200);
      t.false((json as VerifyReport).ok);
      t.true(took < ANSWER_MS_MAX);
      // Whatever else the machine does, this thread does not keep them; nor does it wait for the verification, whose time others take from.
      t.true(busiest < BUSY_MS_MAX, `${busiest} ms of this thread`);
      t.true(longest < WAIT_MS_MAX + took / 2, `${longest} ms`);
      t.true((peak - before) / MIB < GROWTH_MIB_MAX, `${(peak - before) / MIB} MiB`);
    } finally {
      await served.close();
    }
  });
}

test.serial("what takes too long is ended, with a code", async (t) => {
  const never = Readable.from(
    (async function* () {
      for (;;) {
        yield Buffer.alloc(64 * 1024, 0x20);
        await sleep(5);
      }
    })(),
  );
  // Nobody else ends it, and it would keep this file.
  t.teardown(() => never.destroy());
  const error = await t.throwsAsync(verifyApart(never.pipe(createGzip()), { timeoutMs: 1500 }), {
    instanceOf: VerificationTimeoutError,
    code: "verification_timeout",
  });
  t.regex(error!.message, /1500 ms/);
});
