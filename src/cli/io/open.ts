// Here, or by a running node: a command is carried out by whoever holds what it is about. Nobody else in the CLI asks which.
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { ClientOptions, RemoteRailgate } from "../../client/index.ts";
import {
  EvidenceUnavailableError,
  OperatorNeededError,
  type RailgateError,
  StoreLockedError,
  TenantForbiddenError,
} from "../../core/errors.ts";
import type { LocalRailgate } from "../../library/index.ts";
import type { Page, RailgateReader } from "../../library/railgate.ts";
import type { Config } from "../../node/config/config.ts";
import { CannotRunError, UsageError, type CommandContext } from "./command.ts";
import { safe } from "./output.ts";

/** How long to wait for a data directory whose holder can't be asked. */
const HELD_MS_MAX = 10_000;
const HELD_CHECK_MS = 50;
/** A person waits; who wants more patience says it in a script. */
const RETRY_FOR_MS = 2000;

/** The node: in this process, or elsewhere. */
export type Opened = LocalRailgate | RemoteRailgate;

export const isHere = (railgate: Opened): railgate is LocalRailgate => "prepareExport" in railgate;

/**
 * What came of it; `by`: the server that was asked since it holds the data directory.
 * @throws CannotRunError nobody could carry it out.
 */
export async function withRailgate<T>(
  { config, out }: CommandContext,
  work: (railgate: Opened) => Promise<T>,
): Promise<{ answer: T; by: string | undefined }> {
  if (config.server) return { answer: await asked(config, { url: config.server.url }, false, work), by: undefined };
  const [{ openRailgate }, { nodeOptions }] = await Promise.all([
    import("../../library/index.ts"),
    import("../../node/config/options.ts"),
  ]);
  const { artifacts, profile } = config.evidence;
  const policyFailed = (problem: string) => out.note(`railgate: the policy could not decide: ${safe(problem)}`);
  const giveUpAt = performance.now() + HELD_MS_MAX;
  for (;;) {
    try {
      const options = { ...nodeOptions(config), artifacts, evidenceProfileId: profile, observe: { policyFailed } };
      await using railgate = await openRailgate(options, "cli");
      out.progress("");
      return { answer: await work(railgate), by: undefined };
    } catch (error) {
      if (!(error instanceof StoreLockedError)) throw error;
      const by = await holderOf(config.dataDir);
      if (by) return { answer: await asked(config, by.at, true, work), by: by.name };
      // One that doesn't listen may be another command, done in a moment, or a server that is only starting.
      if (performance.now() > giveUpAt) throw error;
      out.progress("waiting for another process to let go of the data directory…");
      await sleep(HELD_CHECK_MS);
    }
  }
}

/** All of a listing, page by page; at most so many where that is said. */
export async function allPages<T>(
  page: (cursor: string | undefined) => Promise<Page<T>>,
  limit = Number.POSITIVE_INFINITY,
): Promise<T[]> {
  const found: T[] = [];
  let cursor: string | undefined;
  do {
    const { items, next } = await page(cursor);
    found.push(...items);
    cursor = next ?? undefined;
  } while (cursor !== undefined && found.length < limit);
  return found.slice(0, limit);
}

/** What may be read of it: of a data directory beside whoever writes it, or of a running node. @throws CannotRunError */
export async function withReader<T>(
  { config }: CommandContext,
  work: (reader: RailgateReader) => Promise<T>,
): Promise<T> {
  if (config.server) return asked(config, { url: config.server.url }, false, work);
  const { NothingToReadError, readRailgate } = await import("../../library/read-only.ts");
  let reader: RailgateReader;
  try {
    reader = await readRailgate(config, config.evidence.logOrigin);
  } catch (cause) {
    if (!(cause instanceof NothingToReadError)) throw cause;
    const named = config.store ? "" : "; name the data directory with --data-dir or RAILGATE_DATA_DIR";
    const cure = cause.cause ? "" : named;
    throw new CannotRunError(cause.message + cure, { cause });
  }
  try {
    return await work(reader);
  } finally {
    await reader.close();
  }
}

type At = Pick<ClientOptions, "url" | "socketPath">;

/** Where the holder of the data directory can be asked, and what it is called; undefined: nowhere, or not yet. */
async function holderOf(dataDir: string): Promise<{ readonly at: At; readonly name: string } | undefined> {
  const { holderOf } = await import("../../library/read-only.ts");
  const { pid, url, socket } = holderOf(dataDir) ?? {};
  const name = url === undefined ? `process ${pid}` : `the server at ${url}`;
  // Whoever can open the socket owns the data, and has to prove nothing more.
  if (socket !== undefined && existsSync(socket)) return { at: { socketPath: socket }, name };
  return url === undefined ? undefined : { at: { url }, name };
}

async function asked<T>(
  { credentials }: Config,
  at: At,
  holds: boolean,
  work: (railgate: RemoteRailgate) => Promise<T>,
): Promise<T> {
  const { AnswerError, connectRailgate, ConnectionError } = await import("../../client/index.ts");
  const { tokenFile, ca, cert, key } = credentials;
  const options: ClientOptions =
    at.url === undefined
      ? { ...at, retryForMs: RETRY_FOR_MS }
      : {
          ...at,
          retryForMs: RETRY_FOR_MS,
          token: tokenFile === undefined ? undefined : { file: tokenFile },
          ca: readPem("--ca", ca),
          cert: readPem("--cert", cert),
          key: readPem("--key", key),
        };
  const server = `${at.url === undefined ? `the process behind ${at.socketPath}` : `the server at ${at.url}`}${holds ? ", which holds the data directory," : ""}`;
  try {
    return await work(connectRailgate(options));
  } catch (cause) {
    const failed = (what: string) => saying(cause as RailgateError, `${server} ${what}`);
    if (cause instanceof ConnectionError)
      throw failed(
        `can't be asked (${cause.reason})${holds ? "; stop it, or use another data directory (--data-dir)" : ""}`,
      );
    if (cause instanceof AnswerError && (cause.status === 401 || cause.status === 403))
      throw failed("wants callers to authenticate: --token-file, or --cert and --key");
    if (cause instanceof AnswerError) throw failed(`answered ${cause.status}: ${cause.message}`);
    if (cause instanceof EvidenceUnavailableError) throw failed(`answered 503: ${cause.message}`);
    if (cause instanceof TenantForbiddenError || cause instanceof OperatorNeededError)
      throw failed(`answered 403: ${cause.message}`);
    throw cause;
  }
}

/** For programs under its own code. */
const saying = (cause: RailgateError, message: string): CannotRunError =>
  Object.assign(new CannotRunError(message, { cause }), { code: cause.code });

function readPem(flag: string, path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new UsageError(`${flag}: can't read ${path} (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
}
