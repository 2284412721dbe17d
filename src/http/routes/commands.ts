// The routes of what is decided: any thread can answer them that has a gate.
import { DEFAULTS } from "../../core/schema/defaults.ts";
import type { LocalRailgate } from "../../library/local.ts";
import type { Config } from "../../node/config/config.ts";
import type { Route } from "../call/route.ts";
import { admissionRoutes } from "./admissions.ts";
import { authzenRoutes } from "./authzen.ts";
import { dataRoutes } from "./data.ts";
import { kubernetesRoutes } from "./kubernetes.ts";
import { lifecycleRoutes } from "./lifecycle.ts";
import { meshRoutes } from "./meshes.ts";

export interface CommandParts {
  readonly railgate: LocalRailgate;
  readonly config: Pick<Config, "limits"> & Partial<Pick<Config, "authzen" | "behindProxy" | "defaultDecision">>;
  /** Reviews of a cluster that is watched are answered where it is. */
  readonly clustered: boolean;
}

export function commandRoutes({ railgate, config, clustered }: CommandParts): Route[] {
  const { limits, defaultDecision = DEFAULTS.defaultDecision, authzen, behindProxy = false } = config;
  const { bodyBytesMax } = limits;
  return [
    ...admissionRoutes(railgate, limits),
    ...(clustered ? [] : kubernetesRoutes(railgate, bodyBytesMax)),
    ...dataRoutes(railgate, limits, defaultDecision),
    ...lifecycleRoutes(railgate, bodyBytesMax),
    ...meshRoutes(railgate, bodyBytesMax).filter(({ method }) => method !== "GET"),
    ...authzenRoutes(railgate, limits, { entrypoint: authzen?.entrypoint, behindProxy }),
  ];
}
