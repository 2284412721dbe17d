// Long random lives of a mesh through the whole host, compared with the model after every command: restarts between commands, kill -9 during them.
import { admit, lifecycle, mesh } from "../gate/commands.ts";
import test, { type ExecutionContext } from "ava";
import fc from "fast-check";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { wireMesh, type MeshAdmission } from "../../src/core/mesh.ts";
import { readMesh } from "../../src/store/meshes.ts";
import { RailgateNode } from "../../src/node/open.ts";
import { brokenInvariant } from "../mesh/explorer.ts";
import { apply, rank, UNDEFINED_MESH, verdict, type Model, type Move } from "../mesh/model.ts";
import { context } from "../mesh/law.ts";
import { POLICIES, TOPOLOGIES, WRONG_TOPOLOGIES } from "../mesh/worlds.ts";
import { admissible, emptyDir, send, verifiedEvents } from "../http/support.ts";
import { differingStates, foldHistory } from "./history.ts";
import { spawnServer, type Server } from "./process.ts";

const SEED = Number(process.env["RAILGATE_TEST_SEED"] ?? 1 + Math.floor(Math.random() * 2 ** 31));
const MESH = "m";

/** Workloads: one never admitted, one admitted to shared rails, one to sandboxes. */
const ADMISSIONS: Record<string, MeshAdmission | null> = {
  u: null,
  v: { least_level: "shared", crp: true, governance_profile: "baseline" },
  w: { least_level: "sandbox_isolated", crp: true, governance_profile: "baseline" },
};
const requestOf = (id: string, tenant: string) => {
  const request = admissible(id, tenant) as any;
  if (id === "v") request.workload.envelope.container.runtime = "runc-hardened";
  return request;
};

type Action =
  | Move["command"]
  | { readonly command: "destroy"; readonly workload_id: string }
  | { readonly command: "restart" };

const workload_id = fc.constantFrom(...Object.keys(ADMISSIONS));
const rail_id = fc.constantFrom("a", "b", "c", "no-such-rail");
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      command: fc.constant("place" as const),
      mesh_id: fc.constant(MESH),
      workload_id,
      rail_id,
      policy: fc.constantFrom(...POLICIES),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      command: fc.constant("elevate" as const),
      mesh_id: fc.constant(MESH),
      workload_id,
      target_rail_id: rail_id,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ command: fc.constant("remove" as const), mesh_id: fc.constant(MESH), workload_id }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      command: fc.constant("reload" as const),
      mesh_id: fc.constant(MESH),
      rails: fc.constantFrom(...TOPOLOGIES),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      command: fc.constant("reload" as const),
      mesh_id: fc.constant(MESH),
      rails: fc.constantFrom(...WRONG_TOPOLOGIES.filter(Array.isArray)),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ command: fc.constant("destroy" as const), workload_id: fc.constantFrom("v", "w") }),
  },
);

/** The model after the action, and what must be answered. */
function expected(
  model: Model,
  action: Exclude<Action, { command: "restart" }>,
): { code: string | null; event: string | null; model: Model } {
  if (action.command === "destroy") {
    const remove: Move = {
      command: { command: "remove", mesh_id: MESH, workload_id: action.workload_id },
      admission: null,
      context: context(),
    };
    return { code: null, event: null, model: verdict(model, remove)[0] === null ? apply(model, remove) : model };
  }
  const move: Move = {
    command: action,
    admission: "workload_id" in action ? ADMISSIONS[action.workload_id]! : null,
    context: context(),
  };
  const [code, event] = verdict(model, move);
  return { code, event, model: code === null ? apply(model, move) : model };
}

/** How a mesh as it is answered differs from the model; undefined where it does not. */
function difference(model: Model, mesh: ReturnType<typeof wireMesh> | null): string | undefined {
  if (model.rails === null || mesh === null)
    return model.rails === null && mesh === null ? undefined : "one of them is not defined";
  const rails = [...model.rails].sort((a, b) => (a.rail_id < b.rail_id ? -1 : 1));
  if (!isDeepStrictEqual(mesh.topology.rails, rails)) return "the rails";
  const placed = [...model.where]
    .filter(([, { rail }]) => rail !== null)
    .map(([id, { rail, level }]) => `${id} ${rail} ${level}`)
    .sort();
  const shown = Object.values(mesh.placements)
    .map(({ workload_id, rail_id, level }) => `${workload_id} ${rail_id} ${rank(level)}`)
    .sort();
  return isDeepStrictEqual(placed, shown)
    ? brokenInvariant({ ...model, where: new Map() }, mesh, mesh)
    : "the placements";
}

test.serial("through the node: every answer is the model's, and every state, restarts between", async (t) => {
  t.timeout(120_000);
  t.log(`seed ${SEED} (RAILGATE_TEST_SEED)`);
  const dir = emptyDir();
  const open = () => RailgateNode.open({ dataDir: join(dir, "data") });
  let node = await open();
  let [lives, commands] = [0, 0];
  const perform = async (tenant: string, action: Exclude<Action, { command: "restart" }>) => {
    if (action.command !== "destroy") {
      const { refusal, placement, mesh: after, event } = await mesh(node, action, tenant);
      return { code: refusal?.code ?? null, event: event.details!["mesh_event"], placement, after };
    }
    await lifecycle(node, { command: "transition", workload_id: action.workload_id, transition: "destroy" }, tenant);
    await admit(node, requestOf(action.workload_id, tenant));
    return { code: null, event: null };
  };
  const life = fc.asyncProperty(
    fc.array(
      fc.oneof(
        { weight: 40, arbitrary: action },
        { weight: 1, arbitrary: fc.constant({ command: "restart" } as const) },
      ),
      { maxLength: 120, size: "max" },
    ),
    async (actions) => {
      const tenant = `t-${lives++}`;
      for (const id of ["v", "w"]) await admit(node, requestOf(id, tenant));
      let model = UNDEFINED_MESH;
      for (const action of actions) {
        if (action.command === "restart") {
          await node.close();
          node = await open();
          continue;
        }
        commands++;
        const want = expected(model, action);
        const got = await perform(tenant, action);
        if (got.code !== want.code || got.event !== want.event)
          throw new Error(
            `${JSON.stringify(action)}: ${got.code} ${got.event}, and the model says ${want.code} ${want.event}`,
          );
        model = want.model;
        const stored = await readMesh(node.store, tenant, MESH);
        const shown = stored && wireMesh(stored);
        const placed = action.command === "remove" ? undefined : got.placement;
        if (
          (got.after && !isDeepStrictEqual(shown, got.after)) ||
          (placed && !isDeepStrictEqual(shown!.placements[placed.workload_id], placed))
        )
          throw new Error("a read does not show what was answered");
        const differs = difference(model, shown);
        if (differs !== undefined) throw new Error(`${JSON.stringify(action)}: ${differs}`);
      }
    },
  );
  await fc.assert(life, { seed: SEED, numRuns: 25, endOnFailure: false, interruptAfterTimeLimit: 30_000 });
  await node.close();
  t.log(`${lives} lives, ${commands} commands`);
  t.deepEqual(await differingStates(dir), []);
});

/** The seed's own sequence. */
function* numbers(seed: number): Generator<number, never, undefined> {
  for (let state = seed; ; ) yield (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
}

const KILLS = 6;
const BETWEEN_KILLS = 25;

test.serial(
  "over HTTP, killed during commands: each is carried out once, and answered as the model says",
  async (t) => {
    t.timeout(120_000);
    t.log(`seed ${SEED} (RAILGATE_TEST_SEED)`);
    const dir = emptyDir();
    const chance = numbers(SEED);
    const actions = fc.sample(action, { seed: SEED, numRuns: KILLS * BETWEEN_KILLS });
    let server = await spawnServer(dir);
    t.teardown(() => server.kill());
    for (const id of ["v", "w"]) await send(server.url, "POST", "/v1/admissions", { body: requestOf(id, "acme") });
    let model = UNDEFINED_MESH;
    let told = 0;
    for (const [i, action] of actions.entries()) {
      if (action.command === "restart") continue;
      const want = expected(model, action);
      let answer;
      if (i % BETWEEN_KILLS === BETWEEN_KILLS - 1) {
        const delayMs = chance.next().value * 5;
        const [first] = await Promise.all([
          ask(server, action, i).catch(() => undefined),
          new Promise((resolve) => setTimeout(resolve, delayMs)).then(() => server.kill()),
        ]);
        if (first) told++;
        server = await spawnServer(dir);
        answer = await ask(server, action, i);
        if (first) t.is(answer.json.receipt, first.json.receipt);
      } else answer = await ask(server, action, i);
      t.is(answer.json.code ?? null, want.code, `${i}: ${JSON.stringify(action)}`);
      if (action.command === "destroy")
        t.is(
          (await send(server.url, "POST", "/v1/admissions", { body: requestOf(action.workload_id, "acme") })).json
            .decision.outcome,
          "accepted",
        );
      else t.is(answer.json.event.details.mesh_event, want.event);
      model = want.model;
      await agrees(t, server, model, `${i}: ${JSON.stringify(action)}`);
    }
    await server.stop();
    t.log(`${actions.length} commands, ${KILLS} kills, ${told} of them after the answer`);
    const events = (await verifiedEvents(dir)).filter(({ tenant_id }) => tenant_id === "acme");
    for (const [i, { command }] of actions.entries()) {
      const type = command === "destroy" ? "workload.envelope.destroy" : `mesh.${command}`;
      t.is(
        events.filter(({ event_type, details }) => event_type === type && details?.["trace_id"] === `c-${i}`).length,
        1,
        `command ${i}`,
      );
    }
    foldHistory(events, MESH);
    t.deepEqual(await differingStates(dir), []);
  },
);

async function agrees(t: ExecutionContext, server: Server, model: Model, message: string): Promise<void> {
  const { status, json } = await send(server.url, "GET", `/v1/meshes/${MESH}?tenant_id=acme`);
  t.is(difference(model, status === 404 ? null : json), undefined, message);
}

/** The command over HTTP, under a key of its own. */
function ask({ url }: Server, action: Exclude<Action, { command: "restart" }>, i: number) {
  const names = { tenant_id: "acme", trace_id: `c-${i}` };
  const headers = { "idempotency-key": `c-${i}` };
  const path = `/v1/meshes/${MESH}/placements`;
  switch (action.command) {
    case "reload":
      return send(url, "PUT", `/v1/meshes/${MESH}/topology`, { headers, body: { ...names, rails: action.rails } });
    case "place":
      return send(url, "POST", path, {
        headers,
        body: { ...names, workload_id: action.workload_id, rail_id: action.rail_id, policy: action.policy },
      });
    case "elevate":
      return send(url, "POST", `${path}/${action.workload_id}/elevation`, {
        headers,
        body: { ...names, target_rail_id: action.target_rail_id },
      });
    case "remove":
      return send(url, "DELETE", `${path}/${action.workload_id}?tenant_id=acme&trace_id=c-${i}`, { headers });
    case "destroy":
      return send(url, "POST", `/v1/workloads/${action.workload_id}/lifecycle`, {
        headers,
        body: { ...names, transition: "destroy" },
      });
  }
}
