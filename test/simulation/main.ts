// `npm run simulate -- [--scenario NAME] [--seeds N] [--from SEED] [--trace]`: runs schedules, says which fail, and shows what happened in one.
import { parseArgs } from "node:util";
import { Met } from "./met.ts";
import { readLaws } from "./node.ts";
import { run } from "./run.ts";
import { REPLICAS } from "./replicas.ts";
import { ALONE, TOGETHER } from "./scenarios.ts";
import { Server } from "./server.ts";

const { values } = parseArgs({
  options: {
    scenario: { type: "string" },
    seeds: { type: "string" },
    from: { type: "string", default: "1" },
    trace: { type: "boolean", default: false },
  },
});
const known = [...ALONE, ...TOGETHER, ...REPLICAS];
const chosen = known.filter(({ name }) => values.scenario === undefined || name === values.scenario);
if (chosen.length === 0) {
  console.error(`There is no scenario ${values.scenario}. There are:`);
  for (const { name, about } of known) console.error(`  ${name}: ${about}`);
  process.exit(2);
}
const from = Number(values.from);
const seeds = Number(values.seeds ?? (values.trace ? 1 : 100));
const laws = await readLaws();
const server = chosen.some(({ shares }) => shares) ? await Server.start() : undefined;
let failed = 0;
for (const scenario of chosen) {
  const started = performance.now();
  const before = process.cpuUsage();
  const met = new Met();
  for (let seed = from; seed < from + seeds; seed++) {
    const { broken, trace, ...ran } = await run(scenario, seed, laws, { traced: values.trace, server });
    for (const line of trace) console.log(line);
    met.addAll(ran.met);
    if (broken === undefined) continue;
    failed++;
    console.log(`FAILED npm run simulate -- --scenario ${scenario.name} --from ${seed} --trace\n  ${broken}`);
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const { user, system } = process.cpuUsage(before);
  const processorMs = ((user + system) / 1000 / seeds).toFixed(1);
  console.log(
    `${scenario.name}: ${seeds} schedules from seed ${from} in ${seconds} s, ${processorMs} ms of processor each; met ${met.entries.map(([fault, times]) => `${fault} ${times}`).join(", ")}`,
  );
}
await server?.stop();
process.exitCode = failed > 0 ? 1 : 0;
