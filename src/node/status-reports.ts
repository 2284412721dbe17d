// Tells a service how this node is, as OPA does: which policies decide, how their sources do, how reporting goes. Source: OPA documentation, Status.
import type { ReportProblem } from "../evidence/reports/reporter.ts";
import { backoffMs, pause } from "../outbound/pace.ts";
import type { RemoteService } from "../outbound/service.ts";
import type { Policies } from "../policies/activate.ts";
import type { Slot } from "../policies/slot.ts";

export type PluginState = "OK" | "NOT_READY";

export interface StatusParts {
  readonly service: RemoteService;
  readonly path: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly everyMs: number;
  readonly policies: Policies;
  readonly plugins: () => { readonly [name: string]: PluginState };
  /** Why the last report of decisions failed. */
  readonly problem: () => ReportProblem | undefined;
  /** Whether decisions are reported at all. */
  readonly reports: boolean;
  readonly isolated: () => boolean;
  readonly failed: (problem: string) => void;
}

const REQUEST_MS_MAX = 60_000;
const BACKOFF_MS_MAX = 60_000;
/** What happens at once is told at once. */
const TOGETHER_MS = 50;
const SHIPPED = "railgate";

export class StatusReports {
  readonly #parts: StatusParts;
  readonly #ended = new AbortController();
  #wake = new AbortController();
  #due = true;
  #ran: Promise<void> | undefined;
  failures = 0;

  constructor(parts: StatusParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#ran = this.#run();
  }

  async stop(): Promise<void> {
    this.#ended.abort();
    await this.#ran;
    this.#ran = undefined;
  }

  get running(): boolean {
    return this.#ran !== undefined;
  }

  /** Something has changed. */
  due(): void {
    this.#due = true;
    this.#wake.abort();
  }

  /** What is sent is as it is then; what could not be sent is not kept. */
  async #run(): Promise<void> {
    const { signal } = this.#ended;
    for (let failures = 0; !signal.aborted; ) {
      await (failures === 0 ? this.#wait() : pause(backoffMs(failures, BACKOFF_MS_MAX), signal));
      if (signal.aborted) break;
      this.#due = false;
      if (this.#parts.isolated()) continue;
      try {
        await this.#send();
        failures = 0;
      } catch (error) {
        if (signal.aborted) break;
        this.failures += 1;
        if (++failures === 1) this.#parts.failed(`status could not be reported: ${(error as Error).message}`);
      }
    }
  }

  async #wait(): Promise<void> {
    const { signal } = this.#ended;
    this.#wake = new AbortController();
    if (!this.#due) await pause(this.#parts.everyMs, AbortSignal.any([this.#wake.signal, signal]));
    await pause(TOGETHER_MS, signal);
  }

  async #send(): Promise<void> {
    const { service, path } = this.#parts;
    const { status } = await service.request({
      method: "POST",
      path,
      headers: { "Content-Type": "application/json" },
      body: Buffer.from(JSON.stringify(this.#message())),
      msMax: REQUEST_MS_MAX,
      signal: this.#ended.signal,
    });
    if (status < 200 || status > 299) throw new Error(`service ${service.name} answers ${status} for ${path}`);
  }

  #message(): object {
    const { labels, policies, plugins, problem, reports } = this.#parts;
    const slots = policies.slots.all;
    const ready = slots.every(({ policy }) => policy !== null);
    const states = { bundle: ready ? "OK" : "NOT_READY", ...plugins() };
    return {
      labels,
      bundles: Object.fromEntries(slots.map((slot) => [slot.name ?? SHIPPED, bundleStatus(slot)])),
      ...(reports && { decision_logs: failure("decision_log_error", problem()) }),
      plugins: Object.fromEntries(Object.entries(states).map(([name, state]) => [name, { state }])),
    };
  }
}

function bundleStatus({ name, policy, figures, rejected }: Slot): object {
  const { requestedMs, answeredMs, downloadedMs, activatedMs, bytes, problem } = figures;
  const refused = rejected && { code: rejected.reason, message: rejected.message, httpStatus: undefined };
  const wrong = problem ?? refused;
  return {
    name: name ?? SHIPPED,
    ...(policy && { active_revision: policy.revision }),
    ...timed("last_request", requestedMs),
    ...timed("last_successful_request", answeredMs),
    ...timed("last_successful_download", downloadedMs),
    ...timed("last_successful_activation", activatedMs),
    type: "snapshot",
    ...(bytes !== undefined && { size: bytes }),
    ...failure("bundle_error", wrong && { message: `${wrong.code}: ${wrong.message}`, httpCode: wrong.httpStatus }),
  };
}

const timed = (name: string, ms: number | undefined): object =>
  ms === undefined ? {} : { [name]: new Date(ms).toISOString() };

function failure(code: string, problem: { message: string; httpCode?: number | undefined } | undefined): object {
  if (problem === undefined) return {};
  const { message, httpCode } = problem;
  return { code, message, ...(httpCode !== undefined && { http_code: httpCode }) };
}
