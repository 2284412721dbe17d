// `railgate mesh`, `workloads` and `lifecycle`: alone with the data directory and beside a server, for a person and for a program.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import type { Mesh } from "../../src/core/schema/mesh.ts";
import { meshLines } from "../../src/cli/io/mesh-view.ts";
import { admissible, start as startServer } from "../http/support.ts";
import { emptyDir, railgate, type Ran } from "./railgate.ts";

const RAILS = [
  { rail_id: "fast", level: "shared", latency_overhead_us: 0, capacity: 4 },
  { rail_id: "hw", level: "hardware_isolated", latency_overhead_us: 400, capacity: 1 },
];

function topology(dir: string, rails: unknown = RAILS): string {
  const file = join(dir, "topology.json");
  writeFileSync(file, JSON.stringify({ rails }));
  return file;
}

const lastLine = ({ stdout }: Ran) => JSON.parse(stdout.trim().split("\n").at(-1)!);

test("a mesh is applied, used and shown, with no server", async (t) => {
  const cwd = emptyDir();
  const run = (...args: string[]) => railgate(args, { cwd });
  const file = topology(cwd);
  const preview = await run("mesh", "apply", "edge", file, "--dry-run");
  t.is(preview.code, 0);
  t.regex(preview.stdout, /\+ fast +shared, 0 µs, room for 4\n +\+ hw +hardware_isolated/);
  t.is((await run("mesh", "apply", "edge", file)).code, 2, "nobody is there to agree");
  const applied = await run("mesh", "apply", "edge", file, "--yes");
  t.is(applied.code, 0);
  t.regex(applied.stdout, /Defined {2}revision 1\n\nReceipt {2}event /);
  t.regex((await run("mesh", "apply", "edge", file, "--yes")).stdout, /already so/);
  t.is((await run("mesh", "place", "edge", "pay", "fast", "--budget", "400")).code, 0);
  const elevated = await run("mesh", "elevate", "edge", "pay", "hw", "--json", "--trace-id", "tr-1");
  t.is(elevated.code, 0);
  t.like(lastLine(elevated), {
    placement: { rail_id: "hw", policy: { preserve_latency_budget: true, latency_budget_us: 400 } },
    event: { event_type: "mesh.elevate", actor: "cli", details: { trace_id: "tr-1" } },
  });
  const refused = await run("mesh", "elevate", "edge", "pay", "fast");
  t.is(refused.code, 1);
  t.regex(refused.stdout, /^Refused .*ERR_MESH_DEMOTION_FORBIDDEN\n {2}What .*\n {2}Cure /);
  t.like(lastLine(await run("mesh", "elevate", "edge", "pay", "fast", "--json")), {
    code: "ERR_MESH_DEMOTION_FORBIDDEN",
    mesh_event: "MESH_007",
    status: 409,
  });
  const shown = await run("mesh", "show", "edge");
  t.regex(
    shown.stdout,
    /hardware_isolated\n {2}hw +█+ +1\/1 +400 µs {2}full\n +pay +budget 400 µs, 0 left · stays · from fast\n\nshared\n {2}fast +░+ +0\/4/,
  );
  t.like(lastLine(await run("mesh", "show", "edge", "--json")), {
    revision: 3,
    placements: { pay: { rail_id: "hw" } },
  });
  t.regex((await run("mesh", "show")).stdout, /edge +3 +2 +1/);
  t.is((await run("mesh", "remove", "edge", "pay")).code, 0);
  t.is((await run("mesh", "remove", "edge", "pay")).code, 1);
  t.is((await run("mesh", "show", "other")).code, 2);
  t.is((await run("mesh", "place", "edge", "a b", "fast")).code, 2);
  t.is((await run("mesh", "place", "edge", "w", "fast", "--max-level", "enclave")).code, 2);
});

test("a topology that is none is refused with its place", async (t) => {
  const cwd = emptyDir();
  const refused = await railgate(["mesh", "apply", "edge", topology(cwd, [{ ...RAILS[0], capacity: 0 }]), "--yes"], {
    cwd,
  });
  t.is(refused.code, 1);
  t.regex(refused.stdout, /ERR_MESH_INVALID_TOPOLOGY[\s\S]*Where {2}\/rails\/0\/capacity/);
});

test("every fault of a topology is told, one a line, alone and beside a server", async (t) => {
  const faulty = [
    { ...RAILS[0], capacity: 0 },
    { ...RAILS[1], latency_overhead_us: -1 },
  ];
  const pointers = ["/rails/0/capacity", "/rails/1/latency_overhead_us"];
  const served = await startServer();
  t.teardown(() => served.close());
  const alone = emptyDir();
  for (const [cwd, data] of [
    [alone, join(alone, "data")],
    [served.dir, join(served.dir, "data")],
  ] as const) {
    const apply = (...more: string[]) =>
      railgate(["mesh", "apply", "edge", topology(cwd, faulty), "--yes", "--data-dir", data, ...more], { cwd });
    const refused = await apply();
    t.is(refused.code, 1);
    t.deepEqual(
      [...refused.stdout.matchAll(/^ {2}Where {2}(\S+) {2}\S.+$/gm)].map(([, pointer]) => pointer),
      pointers,
      refused.stdout,
    );
    const { code, errors } = lastLine(await apply("--json"));
    t.is(code, "ERR_MESH_INVALID_TOPOLOGY");
    t.deepEqual(
      errors.map(({ pointer }: { pointer: string }) => pointer),
      pointers,
    );
    t.true(errors.every(({ message }: { message: string }) => message !== ""));
  }
});

test("beside a server the same commands are carried out by it", async (t) => {
  const served = await startServer();
  t.teardown(() => served.close());
  const run = (...args: string[]) => railgate([...args, "--data-dir", join(served.dir, "data")], { cwd: served.dir });
  await served.call("POST", "/v1/admissions", { body: admissible("pay", "default") });
  const applied = await run("mesh", "apply", "edge", topology(served.dir), "--yes", "--json");
  t.is(applied.code, 0, applied.stderr);
  t.like(lastLine(applied), { mesh: { revision: 1 }, event: { actor: "local", event_type: "mesh.reload" } });
  const refused = await run("mesh", "place", "edge", "pay", "fast");
  t.is(refused.code, 1);
  t.regex(refused.stdout, /ERR_MESH_DEMOTION_FORBIDDEN\n {2}What .*least level of its admission/);
  const placed = await run("mesh", "place", "edge", "pay", "hw");
  t.is(placed.code, 0);
  t.regex(placed.stderr, /Carried out by the server at http:\/\/127/);
  t.regex((await run("workloads")).stdout, /pay +default +admitted +container +sandbox_isolated +-/);
  t.regex((await run("workloads", "pay")).stdout, /on hw of edge, hardware_isolated/);
  t.is((await run("lifecycle", "pay", "start")).code, 1);
  t.regex((await run("lifecycle", "pay", "create")).stdout, /pay is created/);
  t.is((await run("lifecycle", "pay", "destroy")).code, 0);
  t.regex((await run("mesh", "show", "edge")).stdout, /0 workloads/);
  t.is((await run("lifecycle", "nobody", "destroy")).code, 1);
  await served.close();
});

const PLAIN = { bold: String, dim: String, red: String, green: String, yellow: String };

test("a mesh fits a narrow terminal, and very full rails are cut short", (t) => {
  const policy = {
    elevation_allowed: true,
    max_target_level: "hardware_isolated",
    preserve_latency_budget: false,
    latency_budget_us: 0,
  } as const;
  const placements = Array.from({ length: 30 }, (_, n) => ({
    workload_id: `a-workload-with-a-long-name-${n}`,
    rail_id: "rail-of-a-long-name",
    level: "shared" as const,
    policy,
    placed_at: "",
    elevations: [],
  }));
  const counted = { active_count: 30, total_placed: 30, total_elevated_in: 0, total_elevated_out: 0, total_removed: 0 };
  const mesh: Mesh = {
    mesh_id: "edge",
    revision: 31,
    topology: {
      rails: [{ rail_id: "rail-of-a-long-name", level: "shared", latency_overhead_us: 5, capacity: 9007199254740991 }],
    },
    rail_states: { "rail-of-a-long-name": counted },
    placements: Object.fromEntries(placements.map((placement) => [placement.workload_id, placement])),
  };
  for (const columns of [60, 80, Infinity]) {
    const lines = meshLines(mesh, "acme", { columns, colour: PLAIN, all: false });
    for (const line of lines) t.true(line.length <= columns, line);
    t.regex(lines.at(-1)!, /… and 18 more/);
  }
  t.is(meshLines(mesh, "acme", { columns: 80, colour: PLAIN, all: true }).length, 34);
});
