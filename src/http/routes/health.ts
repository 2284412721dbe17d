// OPA's `/health`: whether it lives, whether bundles and plugins are up, and what a policy of the operator's own says of that. Source: OPA v1.22, v1/server. Nothing is decided there, so nothing is recorded.
import { NotFoundError } from "../../core/errors.ts";
import type { LocalRailgate } from "../../library/local.ts";
import { dataPath, nameOf, OpaQuery } from "../call/opa.ts";
import { json, type Reply, type Route } from "../call/route.ts";

export interface HealthParts {
  readonly railgate: LocalRailgate;
  /** The bundles that the settings name. */
  readonly bundles: readonly string[];
  /** What OPA would run as plugins besides, by name: what the settings ask for. */
  readonly plugins: readonly string[];
  /** Whether strangers can ask. They are told that something is wrong, but not what. */
  readonly strangers: boolean;
}

const OK = { description: "It is", content: { "application/json": { type: "object" } } };
const NOT_OK = {
  description: "It is not",
  content: { "application/json": { type: "object", required: ["error"], properties: { error: { type: "string" } } } },
};
const HEALTH = { method: "GET", tag: "OPA", quiet: true, open: true } as const;

export function healthRoutes(parts: HealthParts): Route[] {
  let wereReady = false;
  return [
    {
      ...HEALTH,
      path: "/health",
      summary: "Whether the process is alive, as OPA says it",
      description:
        "`?bundles`: and every bundle was activated; `?plugins`: and all that it runs is up, but for each `?exclude-plugin=`.",
      answers: { 200: OK, 500: NOT_OK },
      handle: (exchange) => {
        const query = new OpaQuery(exchange);
        const missing = missingBundles(parts);
        const wantsBundles = query.flag("bundles") || query.flag("bundle");
        if (wantsBundles && missing.length > 0) {
          const named = parts.strangers ? "" : `: ${missing.join(", ")}`;
          return failed(`one or more bundles are not activated${named}`);
        }
        const excluded = new Set(query.all("exclude-plugin"));
        const down = Object.entries(pluginStates(parts)).some(([name, state]) => !excluded.has(name) && state !== UP);
        return query.flag("plugins") && down ? failed("one or more plugins are not up") : json({});
      },
    },
    {
      ...HEALTH,
      path: "/health/*path",
      summary: "What the policy says of the node's health",
      description:
        "Evaluates `data.system.health.<path>`, with `plugin_state` and `plugins_ready` as input: 200 where it is true.",
      params: { path: "The rule: `live`, `ready`, or another." },
      answers: { 200: OK, 500: NOT_OK },
      handle: (exchange) => {
        const states = pluginStates(parts);
        wereReady ||= Object.values(states).every((state) => state === UP);
        const path = ["system", "health", ...dataPath(exchange)];
        return healthBy(parts.railgate, path, { plugin_state: states, plugins_ready: wereReady });
      },
    },
  ];
}

const UP = "OK";
const failed = (error: string): Reply => json({ error }, 500);

function missingBundles({ railgate, bundles }: HealthParts): string[] {
  const active = new Set(railgate.evaluations.revisions.map(({ name }) => name));
  return bundles.filter((name) => !active.has(name));
}

function pluginStates(parts: HealthParts): Readonly<Record<string, string>> {
  const named = parts.plugins.map((name) => [name, UP] as const);
  const bundle = missingBundles(parts).length === 0 ? UP : "NOT_READY";
  return { bundle, ...Object.fromEntries(named), ...parts.railgate.plugins };
}

function healthBy(railgate: LocalRailgate, path: readonly string[], input: object): Reply {
  let said: unknown;
  try {
    said = railgate.evaluations.look(path, input);
  } catch (error) {
    if (!(error instanceof NotFoundError)) return failed((error as Error).message);
  }
  if (said === true) return json({});
  return failed(`health check (${nameOf(path)}) ${said === undefined ? "was undefined" : "returned unexpected value"}`);
}
