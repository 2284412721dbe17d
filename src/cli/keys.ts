// `railgate keys`: the keys that evidence is signed with, by their public halves.
import { Command } from "commander";
import type { KeyRow } from "../store/store.ts";
import { EXIT, newCommand, run, type Context, type ExitCode } from "./command.ts";

export function keysCommand(): Command {
  const list = newCommand("list", "list the keys that sign or signed evidence, newest last").action((options: object) => run({ ...options }, listKeys));
  return new Command("keys").description("the keys that evidence is signed with").addCommand(list);
}

async function listKeys({ config, out }: Context): Promise<ExitCode> {
  const { openForReading } = await import("./reading.ts");
  using store = openForReading(config.dataDir);
  const keys = store.keys().map(publicView);
  if (out.json) out.value(keys);
  else out.table(["KID", "ROLE", "CREATED", "STATE"], keys.map((key) => [key.kid, key.role, key.created_at, key.retired_at === null ? out.colour.green("active") : out.colour.dim(`retired ${key.retired_at}`)]));
  return EXIT.done;
}

/** Named members only: nothing that isn't meant to be seen can slip through. */
function publicView({ kid, role, created_at_ms, retired_at_ms, jwk }: KeyRow) {
  return {
    kid,
    role,
    created_at: new Date(created_at_ms).toISOString(),
    retired_at: retired_at_ms === null ? null : new Date(retired_at_ms).toISOString(),
    jwk: { kty: jwk["kty"], crv: jwk["crv"], x: jwk["x"], kid, alg: jwk["alg"], use: jwk["use"] },
  };
}
