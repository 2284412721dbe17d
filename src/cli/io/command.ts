// What every command has in common: its options, its settings, its exit code.
import { Command, InvalidArgumentError, Option } from "commander";
import type { Config, Flags } from "../../node/config/config.ts";
import {
  AlteredRecordError,
  BackupUnsoundError,
  CopyDiffersError,
  ExportIncompleteError,
  NotFoundError,
  PolicyRefusedError,
  RailgateError,
  RefusedError,
  RequestError,
  RevisionError,
} from "../../core/errors.ts";
import { Output, safe } from "./output.ts";

/** Done or admitted · refused or failed verification · used wrongly · cannot run. Source: api.md §2. */
export const EXIT = { done: 0, refused: 1, usedWrongly: 2, cannotRun: 3 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Nothing is wrong with what was asked, and yet it can't be done. The message names the cure. */
export class CannotRunError extends RailgateError {
  static override code: string = "cannot_run";
}

/** What was asked makes no sense. */
export class UsageError extends RailgateError {
  static override code: string = "used_wrongly";
}

const KEEP_ALIVE_MS = 60_000;

export type CommandContext = { readonly config: Config; readonly out: Output };
type Options = Readonly<Record<string, unknown>>;

const SETTING_OPTIONS = {
  dataDir: new Option("--data-dir <dir>", "where evidence, keys and state are kept (RAILGATE_DATA_DIR)"),
  listen: new Option("--listen <host:port>", "where to listen (RAILGATE_LISTEN)"),
  logLevel: new Option("--log-level <level>", "how much to log (RAILGATE_LOG_LEVEL)"),
  nodeId: new Option("--node-id <id>", "this node's name in evidence (RAILGATE_NODE_ID)"),
  settings: new Option(
    "--settings <file>",
    "laid over the policy's settings: JSON, YAML, or a signed bundle (RAILGATE_SETTINGS)",
  ),
  upstreamUrl: new Option("--upstream-url <url>", "the node that evidence is forwarded to (RAILGATE_UPSTREAM_URL)"),
  tlsCert: new Option("--tls-cert <file>", "server certificate, PEM (RAILGATE_TLS_CERT)"),
  tlsKey: new Option("--tls-key <file>", "its private key, PEM (RAILGATE_TLS_KEY)"),
  url: new Option("--url <url>", "ask the node that runs there, in place of a data directory (RAILGATE_URL)"),
  tokenFile: new Option("--token-file <file>", "the bearer token that it is shown (RAILGATE_TOKEN_FILE)"),
  ca: new Option("--ca <file>", "authorities that its certificate may be from, PEM (RAILGATE_CA)"),
  cert: new Option("--cert <file>", "the client certificate that it is shown, PEM (RAILGATE_CERT)"),
  key: new Option("--key <file>", "the certificate's private key, PEM (RAILGATE_KEY)"),
} as const;

/** Of commands that a running node may carry out as well. */
const NODE_SETTINGS = ["dataDir", "url", "tokenFile", "ca", "cert", "key"] as const;

/** A command with `--json`, `--config-file` and the settings that matter to it. */
export function newCommand(
  name: string,
  summary: string,
  settings: readonly (keyof typeof SETTING_OPTIONS)[] = ["dataDir"],
): Command {
  const command = new Command(name).description(summary).option("--json", "write JSON, for programs");
  if (settings.length > 0)
    command.option("-c, --config-file <file>", "settings (RAILGATE_CONFIG; default ./opa.yaml if there is one)");
  for (const setting of settings) command.addOption(SETTING_OPTIONS[setting]);
  return command;
}

/** A command on a node: the one that holds the data directory, or the one at `--url`. */
export const nodeCommand = (name: string, summary: string): Command => newCommand(name, summary, NODE_SETTINGS);

/** A whole number for an option. */
export function whole(minimum: number, unit = ""): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^(?:0|[1-9]\d*)$/.test(text) && Number.isSafeInteger(value) && value >= minimum) return value;
    throw new InvalidArgumentError(`It must be a whole number${unit}, ${minimum} or more.`);
  };
}

/**
 * Runs a command's work with its settings read, and sets the exit code from what came of it.
 * @param work returns the exit code; what it throws is said in one line.
 */
export async function run(options: Options, work: (context: CommandContext) => Promise<ExitCode>): Promise<void> {
  const { colourWanted, loadConfig } = await import("../../node/config/config.ts");
  const out = new Output({ json: options["json"] === true, colour: colourWanted(process.stdout) });
  // What is still to be done may be on another thread, which alone doesn't keep a process from ending.
  const underWay = setInterval(() => {}, KEEP_ALIVE_MS);
  try {
    process.exitCode = await work({ config: loadConfig({ flags: options as Flags }), out });
  } catch (error) {
    out.progress("");
    process.exitCode = await report(error, out);
  } finally {
    clearInterval(underWay);
  }
}

/** Says what went wrong: a line for a person, and for a program an object on standard output. */
async function report(error: unknown, out: Output): Promise<ExitCode> {
  const { debugWanted } = await import("../../node/config/config.ts");
  const code = error instanceof RailgateError ? error.code : "internal_error";
  const message = error instanceof Error ? error.message : String(error);
  const faults = error instanceof RequestError ? error.errors : [];
  const why = error instanceof PolicyRefusedError ? { report: error.report } : {};
  if (out.json) out.value({ code, message, ...why, ...(faults.length > 0 && { errors: faults }) });
  if (faults.length > 0) {
    out.note(`railgate: the request can't be read:`);
    for (const fault of faults) out.note(`  ${safe(fault.pointer) || "(all of it)"}  ${safe(fault.message)}`);
  } else
    out.note(
      `railgate: ${safe(code === "internal_error" ? `${message} (RAILGATE_LOG_LEVEL=debug shows where)` : message)}`,
    );
  if (debugWanted() && error instanceof Error) out.note(error.stack ?? "");
  return exitCodeOf(code, error);
}

const USED_WRONGLY = new Set([UsageError.code, "config_invalid", "no_export"]);
const REFUSED = [
  RefusedError,
  RevisionError,
  ExportIncompleteError,
  BackupUnsoundError,
  PolicyRefusedError,
  AlteredRecordError,
  CopyDiffersError,
];

/** What names nothing is a bad name (2); what was there once, and was erased, is not. */
function exitCodeOf(code: string, error: unknown): ExitCode {
  if (USED_WRONGLY.has(code) || error instanceof UsageError || error instanceof RequestError) return EXIT.usedWrongly;
  if (error instanceof NotFoundError && code !== "artifact_unknown") return EXIT.usedWrongly;
  return REFUSED.some((kind) => error instanceof kind) ? EXIT.refused : EXIT.cannotRun;
}
