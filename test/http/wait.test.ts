// How long a caller waits while another sends the costliest bodies that there are: no longer than for some of its own.
import test from "ava";
import { COSTLY_BODIES } from "../core/costly.ts";
import { admissible, start } from "./support.ts";

const served = await start();
test.after.always(() => served.close());

const admit = (body: object) => served.call("POST", "/v1/admissions", { body });

/** Milliseconds for which this thread, which answers all, is busy until each call is answered: of a busy machine nothing counts. */
async function waits(count: number): Promise<number[]> {
  const taken: number[] = [];
  for (let n = 0; n < count; n++) {
    const before = process.threadCpuUsage();
    const { status } = await admit(admissible(`w-${n}`));
    if (status !== 200) throw new Error(`${status}`);
    const { user, system } = process.threadCpuUsage(before);
    taken.push((user + system) / 1000);
  }
  return taken.sort((a, b) => a - b);
}

const CALLS = 60;
const OWN_CALLS_MAX = 60;

test("costly bodies keep nobody waiting longer than for some of its own calls", async (t) => {
  await waits(CALLS);
  const alone = await waits(CALLS);
  const bodies = COSTLY_BODIES.map(([, body]) => Buffer.from(JSON.stringify(body)).subarray(0, 1024 * 1024));
  let [sending, sent] = [true, 0];
  const other = (async () => {
    while (sending) await admit(bodies[sent++ % bodies.length]!);
  })();
  const beside = await waits(CALLS);
  sending = false;
  await other;
  const [typical, longest] = [alone[CALLS >> 1]!, beside[CALLS - 2]!];
  t.log(
    `${typical.toFixed(1)} ms alone; beside ${sent} costly bodies ${beside[CALLS >> 1]!.toFixed(1)} ms, ${longest.toFixed(1)} ms at most`,
  );
  t.true(sent > 3, "nothing costly was sent meanwhile");
  t.true(longest <= OWN_CALLS_MAX * typical, `${longest} ms against ${typical} ms alone`);
});
