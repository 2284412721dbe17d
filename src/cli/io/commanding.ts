// Commands of a mesh or a workload from the command line: carried out here, or by the server that holds the data directory.
import { hostCaller } from "../../core/caller.ts";
import { setTimeout as sleep } from "node:timers/promises";
import { RefusedError, RequestError, StoreLockedError, type RequestFault } from "../../core/errors.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import type { Problem } from "../../core/schema/problem.ts";
import type { LocalRailgate } from "../../library/local.ts";
import { CannotRunError, EXIT, type Context, type ExitCode } from "./command.ts";
import { safe, type Output } from "./output.ts";

const ANSWER_MS_MAX = 30_000;
const HELD_MS_MAX = 5000;
const HELD_CHECK_MS = 50;
const LABEL_WIDTH = "Receipt".length;

export const CLI_CALLER = hostCaller("cli");

/** A command as it is carried out here, and as a server is asked to. */
export interface Commanded<T> {
  here(railgate: LocalRailgate): Promise<T>;
  readonly method: "POST" | "PUT" | "DELETE";
  /** With the tenant in its query. */
  readonly path: string;
  readonly body?: object;
  /** Only if the mesh is still at this revision (0: not defined). */
  readonly revision?: number | undefined;
}

type Proved = { readonly event: EvidenceEvent; readonly receipt: string };

/** Carries a command out, and says what came of it: exit 0 if it was accepted, 1 if it was refused. */
export async function command<T extends Proved>(
  { config, out }: Context,
  commanded: Commanded<T>,
  say: (answer: T) => void,
): Promise<ExitCode> {
  try {
    const { answer, by } = await carryOut({ config, out }, commanded);
    if (out.json) await writeJson(out, answer);
    else {
      say(answer);
      writeReceipt(out, answer, by);
    }
    return EXIT.done;
  } catch (error) {
    if (error instanceof RefusedError) return await writeRefusal(out, error);
    if ((error as { code?: string }).code !== "revision_conflict") throw error;
    if (out.json) out.value({ code: "revision_conflict", message: (error as Error).message });
    out.note(`railgate: ${safe((error as Error).message)}`);
    return EXIT.refused;
  }
}

async function carryOut<T extends Proved>(
  { config, out }: Context,
  commanded: Commanded<T>,
): Promise<{ answer: T; by?: string }> {
  const [{ RailgateNode }, { LocalRailgate }, { nodeOptions }, { readHolder }] = await Promise.all([
    import("../../node/open.ts"),
    import("../../library/local.ts"),
    import("../../node/config/options.ts"),
    import("../../store/lock.ts"),
  ]);
  const policyFailed = (problem: string) => out.note(`railgate: the policy could not decide: ${safe(problem)}`);
  const giveUpAt = performance.now() + HELD_MS_MAX;
  for (;;) {
    try {
      await using node = await RailgateNode.open({ ...nodeOptions(config), observe: { policyFailed } });
      out.progress("");
      return { answer: await commanded.here(new LocalRailgate(node, {}, CLI_CALLER)) };
    } catch (error) {
      if (!(error instanceof StoreLockedError)) throw error;
      const by = readHolder(config.dataDir)?.url;
      if (by !== undefined) return { answer: await askServer<T>(by, commanded), by };
      // One that doesn't listen may be another command, done in a moment, or a server that is only starting.
      if (performance.now() > giveUpAt) throw error;
      out.progress("waiting for another process to let go of the data directory…");
      await sleep(HELD_CHECK_MS);
    }
  }
}

async function askServer<T>(url: string, { method, path, body, revision }: Commanded<T>): Promise<T> {
  const condition =
    revision === undefined ? {} : revision === 0 ? { "if-none-match": "*" } : { "if-match": `"${revision}"` };
  const response = await send(new URL(path, url), {
    method,
    headers: { accept: "application/json", ...(body && { "content-type": "application/json" }), ...condition },
    ...(body && { body: JSON.stringify(body) }),
  });
  const answer: unknown = await response.json().catch(() => ({}));
  if (response.ok) return answer as T;
  throw errorOf(url, response.status, answer as Partial<Problem>);
}

function errorOf(
  url: string,
  status: number,
  { code = "", title = "", detail, solution = "", pointer = "", event, receipt, errors }: Partial<Problem>,
): Error {
  const message = detail ?? title;
  if (event && receipt !== undefined)
    return new RefusedError(message, { code, status, title, solution, pointer, errors, event, receipt });
  if (code === "revision_conflict") return Object.assign(new Error(message), { code });
  if (errors && (status === 400 || status === 413 || status === 422))
    return new RequestError(status, errors as RequestFault[]);
  const why =
    status === 401 || status === 403
      ? "wants callers to authenticate; send the command to it over HTTP with your credentials"
      : `answered ${status}${message === "" ? "" : `: ${message}`}`;
  return new CannotRunError(`the server at ${url}, which holds the data directory, ${why}`);
}

async function send(url: URL, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { ...init, redirect: "error", signal: AbortSignal.timeout(ANSWER_MS_MAX) });
  } catch (cause) {
    const reason = (cause as { cause?: { code?: string } }).cause?.code ?? (cause as Error).message;
    throw new CannotRunError(
      `the server at ${url.origin}, which holds the data directory, can't be asked (${reason}); stop it, or use another data directory (--data-dir)`,
      { cause },
    );
  }
}

/** Canonical, so that identifiers that look like numbers stay in their order. */
async function writeJson(out: Output, answer: unknown): Promise<void> {
  const { canonicalJson } = await import("../../core/json.ts");
  out.line(canonicalJson(answer));
}

function writeReceipt(out: Output, { event }: Proved, by: string | undefined): void {
  out.line();
  out.labelled("Receipt", `event ${event.id}, number ${event.sequence} of ${event.chain_id}`, 0, LABEL_WIDTH);
  if (by !== undefined) out.note(`Carried out by the server at ${by}, which holds the data directory.`);
}

async function writeRefusal(
  out: Output,
  { code, status, title, message, solution, pointer, event, receipt }: RefusedError,
): Promise<ExitCode> {
  if (out.json) {
    const meshEvent = event.details?.["mesh_event"];
    await writeJson(out, {
      code,
      status,
      title,
      detail: message,
      solution,
      pointer,
      ...(meshEvent !== undefined && { mesh_event: meshEvent }),
      event,
      receipt,
    });
    return EXIT.refused;
  }
  out.line(
    `${out.colour.red(out.colour.bold("Refused"))}  ${out.colour.bold(safe(title))}  ${out.colour.dim(safe(code))}`,
  );
  out.labelled("What", safe(message), 1, 5);
  // The other commands have no document that it could point into.
  if (pointer.startsWith("/rails")) out.labelled("Where", safe(pointer), 1, 5);
  out.labelled("Cure", safe(solution), 1, 5);
  writeReceipt(out, { event, receipt }, undefined);
  return EXIT.refused;
}
