// `railgate keys`: the keys that evidence is signed with, by their public halves.
import { Command } from "commander";
import type { KeyRow } from "../../store/store.ts";
import { EXIT, newCommand, run, UsageError, type Context, type ExitCode } from "../io/command.ts";

export function keysCommand(): Command {
  const list = newCommand("list", "list the keys that sign or signed evidence, newest last").action((options: object) =>
    run({ ...options }, listKeys),
  );
  const rotate = newCommand(
    "rotate",
    "sign with a new event key from now on; the old one says so, as the last thing it signs in every stream",
    ["dataDir", "nodeId"],
  )
    .option(
      "--compromised-since <time>",
      "the old key may be known to others since then (RFC 3339): nothing it signed from then on verifies",
    )
    .option("--to <kid>", "the thumbprint of the new key, where keys come from a folder")
    .action((options: RotateOptions) => run({ ...options }, (context) => rotateKey(context, options)));
  return new Command("keys").description("the keys that evidence is signed with").addCommand(list).addCommand(rotate);
}

type RotateOptions = { compromisedSince?: string; to?: string };

/** While a server runs, it alone signs; so it has to be stopped. */
async function rotateKey({ config, out }: Context, { compromisedSince, to }: RotateOptions): Promise<ExitCode> {
  const { timeMs } = await import("../../core/time.ts");
  const sinceMs = compromisedSince === undefined ? undefined : timeMs(compromisedSince);
  if (compromisedSince !== undefined && sinceMs === undefined)
    throw new UsageError(
      `--compromised-since: ${JSON.stringify(compromisedSince)} is no RFC 3339 time with zone, such as 2026-11-23T00:15:00Z`,
    );
  const [{ RailgateNode }, { nodeOptions }] = await Promise.all([
    import("../../node/open.ts"),
    import("../../node/config/options.ts"),
  ]);
  await using node = await RailgateNode.open(nodeOptions(config));
  const rotated = await node.rotateKey({
    actor: "cli",
    to,
    compromisedSince: sinceMs === undefined ? undefined : new Date(sinceMs).toISOString(),
  });
  if (out.json) out.value(rotated);
  else
    out.line(
      `${rotated.new_kid} signs from now on. ${rotated.old_kid} is retired, on record in ${rotated.streams} streams. Back up the new one; with the old one nothing can be signed any more.`,
    );
  return EXIT.done;
}

async function listKeys({ config, out }: Context): Promise<ExitCode> {
  const { openForReading } = await import("../io/reading.ts");
  using store = openForReading(config.dataDir);
  const keys = store.keys().map(publicView);
  if (out.json) out.value(keys);
  else
    out.table(
      ["KID", "ROLE", "CREATED", "STATE"],
      keys.map((key) => [
        key.kid,
        key.role,
        key.created_at,
        key.retired_at === null ? out.colour.green("active") : out.colour.dim(`retired ${key.retired_at}`),
      ]),
    );
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
