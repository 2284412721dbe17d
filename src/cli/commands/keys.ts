// `railgate keys`: the keys that evidence is signed with, by their public halves.
import { counted } from "../../core/counted.ts";
import { Command } from "commander";
import { EXIT, nodeCommand, run, UsageError, type CommandContext, type ExitCode } from "../io/command.ts";

type RotateOptions = { compromisedSince?: string; to?: string };

export function keysCommand(): Command {
  const keys = new Command("keys").description("the keys that evidence is signed with");
  keys.addCommand(
    nodeCommand("list", "list the keys that sign or signed evidence, newest last").action((options: object) =>
      run({ ...options }, listKeys),
    ),
  );
  keys.addCommand(
    nodeCommand("jwks", "write the keys of receipts as a JWKS, which verify --jwks takes").action((options: object) =>
      run({ ...options }, writeJwks),
    ),
  );
  keys.addCommand(
    nodeCommand(
      "rotate",
      "sign with a new event key from now on; the old one says so, as the last thing it signs in every stream",
    )
      .option(
        "--compromised-since <time>",
        "the old key may be known to others since then (RFC 3339): nothing it signed from then on verifies",
      )
      .option("--to <kid>", "the thumbprint of the new key, where keys come from a folder")
      .action((options: RotateOptions) => run({ ...options }, (context) => rotateKey(context, options))),
  );
  return keys;
}

async function rotateKey(context: CommandContext, { compromisedSince, to }: RotateOptions): Promise<ExitCode> {
  const [{ timeMs }, { withRailgate }] = await Promise.all([import("../../core/time.ts"), import("../io/open.ts")]);
  if (compromisedSince !== undefined && timeMs(compromisedSince) === undefined)
    throw new UsageError(
      `--compromised-since: ${JSON.stringify(compromisedSince)} is no RFC 3339 time with zone, such as 2026-11-23T00:15:00Z`,
    );
  const { answer } = await withRailgate(context, (railgate) =>
    railgate.rotateKey({ compromised_since: compromisedSince, to }),
  );
  const { out } = context;
  const streams = counted(answer.streams, "stream");
  if (out.json) out.value(answer);
  else
    out.line(
      `${answer.new_kid} signs from now on. ${answer.old_kid} is retired, on record in ${streams}. Back up the new one; with the old one nothing can be signed any more.`,
    );
  return EXIT.done;
}

async function listKeys(context: CommandContext): Promise<ExitCode> {
  const { withReader } = await import("../io/open.ts");
  const keys = await withReader(context, (reader) => reader.keys());
  const { out } = context;
  if (out.json) out.value(keys);
  else
    out.table(
      ["KID", "ROLE", "CREATED", "STATE"],
      keys.map(({ kid, role, created_at, retired_at }) => [
        kid,
        role,
        created_at ?? "-",
        retired_at === null ? out.colour.green("active") : out.colour.dim(`retired ${retired_at}`),
      ]),
    );
  return EXIT.done;
}

async function writeJwks(context: CommandContext): Promise<ExitCode> {
  const { withReader } = await import("../io/open.ts");
  const jwks = await withReader(context, (reader) => reader.jwks());
  context.out.line(JSON.stringify(jwks, null, context.out.json ? 0 : 2));
  return EXIT.done;
}
