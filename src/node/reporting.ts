// What a node reports to services of others, as OPA does: its decisions, from the evidence, and how it is.
import { join } from "node:path";
import { DROP, MASK } from "../evidence/reports/censor.ts";
import type { VerifiedPolicy } from "../evidence/reports/report-messages.ts";
import { Reporter, type ReportProblem } from "../evidence/reports/reporter.ts";
import type { RemoteService } from "../outbound/service.ts";
import type { Policies } from "../policies/activate.ts";
import type { StoreReader } from "../store/store.ts";
import type { StoreAt } from "../store/open.ts";
import { VERSION, type NodeOptions } from "./options.ts";
import type { DecisionLogOptions } from "./report-options.ts";
import type { Service } from "./services.ts";
import { StatusReports, type PluginState } from "./status-reports.ts";

export interface ReportingParts {
  readonly options: NodeOptions;
  readonly nodeId: string;
  readonly ownIds: readonly string[];
  readonly storePath: StoreAt;
  readonly store: StoreReader;
  readonly remotes: ReadonlyMap<string, RemoteService>;
  readonly policies: Policies;
  /** Whether an operator says that nothing may be sent. */
  readonly isolated: () => boolean;
}

/** How reports go, as operators are shown it. */
export interface ReportFigures {
  /** Records that were not looked at yet. */
  readonly backlog: number;
  /** Since the node was started. */
  readonly reported: number;
  readonly dropped: number;
  readonly failures: number;
  readonly statusFailures: number;
}

export class NodeReports {
  readonly #parts: ReportingParts;
  readonly #reporter: Reporter | undefined;
  readonly #status: StatusReports | undefined;
  #unfollow: (() => void) | undefined;

  /** @throws Error a service is named that there is none of. */
  constructor(parts: ReportingParts) {
    this.#parts = parts;
    const { options, policies } = parts;
    const { decisionLogs, status } = options;
    const labels = { ...options.labels, id: parts.nodeId, version: VERSION };
    this.#reporter = decisionLogs && this.#makeReporter(decisionLogs, labels);
    this.#status =
      status &&
      new StatusReports({
        service: serviceNamed(parts.remotes, status.service, "status"),
        path: status.resource,
        labels,
        everyMs: status.everyMs,
        policies,
        plugins: () => this.plugins,
        problem: () => this.#reporter?.problem,
        reports: this.#reporter !== undefined,
        isolated: parts.isolated,
        failed: (problem) => options.observe?.reportFailed?.(problem),
      });
  }

  #makeReporter(to: DecisionLogOptions, labels: Readonly<Record<string, string>>): Reporter {
    const { options, ownIds, store, storePath, remotes } = this.#parts;
    serviceNamed(remotes, to.service, "decision_logs");
    let failing = false;
    const tried = (problem: ReportProblem | undefined) => {
      if (problem && !failing) options.observe?.reportFailed?.(`decisions could not be reported: ${problem.message}`);
      failing = problem !== undefined;
      this.#status?.due();
    };
    return new Reporter({
      storePath,
      access: options.services![to.service]!,
      path: to.resource,
      cursorFile: join(options.dataDir, "decision-logs.json"),
      ownIds,
      labels,
      minDelayMs: to.minDelayS * 1000,
      maxDelayMs: to.maxDelayS * 1000,
      immediate: to.immediate ?? false,
      bytesMax: to.uploadSizeLimitBytes,
      userAgent: `Railgate/${VERSION}`,
      store,
      tried,
      withheld: (problem) => options.observe?.reportFailed?.(problem),
    });
  }

  service(): Service {
    const { policies, isolated } = this.#parts;
    return {
      start: async () => {
        await this.#reporter?.start(this.#hiding(), isolated());
        this.#status?.start();
        this.#unfollow = policies.onChange(() => {
          this.#reporter?.policies(this.#hiding());
          this.#status?.due();
        });
      },
      stop: async () => {
        this.#unfollow?.();
        await Promise.all([this.#reporter?.stop(), this.#status?.stop()]);
      },
    };
  }

  /** Something became durable. @param position of the last of it. */
  grown(position: number): void {
    this.#reporter?.grown(position);
  }

  /** A bundle was offered and not taken, or could not be had. */
  changed(): void {
    this.#status?.due();
  }

  isolate(isolated: boolean): void {
    this.#reporter?.isolate(isolated);
    if (!isolated) this.#status?.due();
  }

  /** What OPA would call the states of its plugins. A service that is out of reach changes none: that is told of, and decides nothing. */
  get plugins(): { readonly [name: string]: PluginState } {
    return {
      ...(this.#reporter && { decision_logs: this.#reporter.running ? "OK" : "NOT_READY" }),
      ...(this.#status && { status: this.#status.running ? "OK" : "NOT_READY" }),
    };
  }

  /** undefined: nothing is reported. */
  get figures(): ReportFigures | undefined {
    if (!this.#reporter && !this.#status) return undefined;
    const { backlog = 0, reported = 0, dropped = 0, failures = 0 } = this.#reporter ?? {};
    return { backlog, reported, dropped, failures, statusFailures: this.#status?.failures ?? 0 };
  }

  /** What decides now what of a decision stays here. Until all bundles are there, one may come that hides something. */
  #hiding(): { mask: VerifiedPolicy | null; drop: VerifiedPolicy | null; complete: boolean } {
    const { policies, options } = this.#parts;
    const complete = policies.bundles().length >= Math.max(1, options.bundles?.length ?? 1);
    return { mask: this.#policyWith(MASK), drop: this.#policyWith(DROP), complete };
  }

  #policyWith(entrypoint: string): VerifiedPolicy | null {
    const policy = this.#parts.policies.find(entrypoint)?.policy;
    if (!policy?.entrypoints.includes(entrypoint)) return null;
    return { bytes: policy.bytes, settings: policy.settings };
  }
}

function serviceNamed(remotes: ReadonlyMap<string, RemoteService>, name: string, section: string): RemoteService {
  const service = remotes.get(name);
  if (!service) throw new Error(`${section} names the service ${name}, which there is none of`);
  return service;
}
