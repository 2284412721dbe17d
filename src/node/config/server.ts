// Which running node commands ask in place of a data directory, and with what credentials: by flags and variables only.
import { resolve } from "node:path";
import { ConfigError } from "../../core/errors.ts";
import type { Config, Environment, Flags, ServerFlag } from "./types.ts";

/** By flag. */
export const SERVER_VARIABLES = {
  url: "RAILGATE_URL",
  tokenFile: "RAILGATE_TOKEN_FILE",
  ca: "RAILGATE_CA",
  cert: "RAILGATE_CERT",
  key: "RAILGATE_KEY",
} as const satisfies Record<ServerFlag, string>;

/** @throws ConfigError where both a server and a data directory are named by flags; a flag comes before a variable. */
export function readServer(env: Environment, flags: Flags, cwd: string): Pick<Config, "server" | "credentials"> {
  if (flags.url !== undefined && flags.dataDir !== undefined)
    throw new ConfigError("--url", "names a running node, and --data-dir the data of one; give one of them");
  const url = flags.url ?? (flags.dataDir === undefined ? env[SERVER_VARIABLES.url] : undefined);
  if (url !== undefined && !/^https?:$/.test(URL.parse(url)?.protocol ?? ""))
    throw new ConfigError(flags.url === undefined ? SERVER_VARIABLES.url : "--url", "is no http or https URL");
  const files = (["tokenFile", "ca", "cert", "key"] as const).flatMap((name) => {
    const path = flags[name] ?? env[SERVER_VARIABLES[name]];
    return path === undefined ? [] : [[name, resolve(cwd, path)]];
  });
  return { ...(url !== undefined && { server: { url } }), credentials: Object.fromEntries(files) };
}
