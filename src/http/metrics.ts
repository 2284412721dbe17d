// What operators measure, in Prometheus' text format.
import { AggregatorRegistry, Counter, Gauge, Registry, collectDefaultMetrics } from "prom-client";
import type { PolicyDecision } from "../core/schema/decision.ts";
import type { BatchFigures } from "../library/doors.ts";
import type { SharingFigures } from "../library/figures.ts";
import { Histogram } from "./histogram.ts";

/** What is asked at the time of a scrape. */
export interface Gauges {
  waiting(): number;
  ready(): boolean;
  /** Processor time of the thread that commits. */
  committingS(): number;
  clockBehindS(): number;
  /** Of the node: whether it is cut off, and why. */
  partition(): { readonly state: string; readonly reasons: readonly string[] };
  /** How reports to services go; undefined: nothing is reported. */
  readonly reports: () =>
    | {
        readonly backlog: number;
        readonly reported: number;
        readonly failures: number;
        readonly statusFailures: number;
      }
    | undefined;
  /** Where other nodes share the database. */
  readonly sharing?: () => SharingFigures;
  /** Records that have not arrived upstream yet; undefined where there is none. */
  backlog(): Promise<number | undefined>;
  followers(): number;
  storeBytes(): Promise<number>;
  /** Where a cluster is watched. */
  namespacesAgeS?(): number;
  bundles(): readonly BundleFigures[];
  info(): { version: string; node_id: string; policy_digest: string };
}

/** As far as it is measured. */
interface BundleFigures {
  readonly name: string;
  readonly digest: string | null;
  readonly age_s: number | null;
  readonly expired: boolean;
  readonly rejected: object | null;
  readonly source: { readonly problem?: object | undefined };
}

type Named = { readonly name: string };

const EVALUATION_S = [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1];
const DURATION_S = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5];
const BATCH_EVENTS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 1024];
const MS_PER_S = 1000;
const US_PER_S = 1_000_000;
/** Well below what Prometheus waits for a scrape. */
const READ_MS_MAX = 2000;

/** What OPA calls a route (v1/server `PromHandler…`). */
const OPA_HANDLER = /^\/(v0\/data|v1\/(?:batch\/)?data|v1\/query|v1\/compile|health)(?:\/|$)/;

export class Metrics {
  readonly #registry = new Registry();
  readonly #decisions = this.#counter("railgate_decisions_total", "Decisions made, by outcome.", ["outcome"]);
  readonly #refusals = this.#counter(
    "railgate_refusals_total",
    "Refusals in decisions, by code; a decision may have several.",
    ["code"],
  );
  readonly #commands = this.#counter(
    "railgate_commands_total",
    "Lifecycle and mesh commands, by the law that judged them and the code of its refusal (none: accepted).",
    ["law", "code"],
  );
  readonly #evaluations = this.#counter(
    "railgate_evaluations_total",
    "Evaluations asked for by OPA's data API or AuthZEN, by entrypoint and whether the result was defined, undefined or an error.",
    ["entrypoint", "result"],
  );
  readonly #policyFailures = this.#counter(
    "railgate_policy_failures_total",
    "Decisions refused because no policy could make them (POL-01, POL-03).",
  );
  readonly #shadows = this.#counter(
    "railgate_shadow_decisions_total",
    "Decisions of a policy beside the active one, by how they differ from its own (`same`; `skipped`: too many waited).",
    ["outcome"],
  );
  readonly #evidenceFailures = this.#counter(
    "railgate_evidence_failures_total",
    "Times that evidence could not be recorded (EVI-01).",
  );
  readonly #evaluation = this.#histogram(
    "railgate_evaluation_duration_seconds",
    "Evaluating the policy, for each decision.",
    EVALUATION_S,
  );
  readonly #linking = this.#histogram(
    "railgate_linking_duration_seconds",
    "Locking and comparing what a batch of events was decided on, and linking it.",
    DURATION_S,
  );
  readonly #signing = this.#histogram(
    "railgate_signing_duration_seconds",
    "Signing, for each batch of events.",
    DURATION_S,
  );
  readonly #commit = this.#histogram(
    "railgate_commit_duration_seconds",
    "Making a batch of events durable.",
    DURATION_S,
  );
  readonly #batch = this.#histogram("railgate_batch_events", "Events in each batch.", BATCH_EVENTS);
  readonly #turn = this.#histogram(
    "railgate_turn_duration_seconds",
    "For how long this replica has locked what others command as well, decided on it and committed that, each time.",
    DURATION_S,
  );
  readonly #turnWait = this.#histogram(
    "railgate_turn_wait_seconds",
    "How long calls have waited until it was this replica's turn at what others command as well.",
    DURATION_S,
  );
  readonly #turnWaiting = new Gauge({
    name: "railgate_turn_waiting",
    help: "Commands that wait for it.",
    registers: [this.#registry],
  });
  readonly #http = this.#histogram(
    "railgate_http_request_duration_seconds",
    "Answering a call, by method, route and status; 499: the client went away.",
    DURATION_S,
    ["method", "route", "status"],
  );

  readonly #reloads = this.#counter("railgate_reloads_total", "Files taken anew, or not, by what they hold.", [
    "what",
    "outcome",
  ]);
  readonly #stale = new Gauge({
    name: "railgate_reload_failed",
    help: "1 while the newest files could not be taken, and what was in use before still is.",
    labelNames: ["what"],
    registers: [this.#registry],
  });

  /** By OPA's own name and labels, of what OPA's clients ask: dashboards made for OPA go on working. */
  readonly #opaHttp = this.#histogram(
    "http_request_duration_seconds",
    "Answering a call of OPA's API, as OPA measures it.",
    DURATION_S,
    ["code", "handler", "method"],
  );

  readonly #threadDeaths = this.#counter("railgate_thread_deaths_total", "Threads that died and were replaced.");

  readonly #threads = new Map<string, () => number>();
  #connections = 0;
  /** Figures of other threads, as `figures` gives them. */
  others: () => Promise<(readonly object[])[]> = async () => [];

  /** Gauges are asked for at each scrape; process figures (`process_…`, `nodejs_…`) come along. */
  watch(gauges: Gauges): void {
    collectDefaultMetrics({ register: this.#registry });
    this.#gauge("railgate_evidence_waiting", "Decisions that wait to become durable.", gauges.waiting);
    this.#gauge("railgate_ready", "1 when this node would admit something now.", () => Number(gauges.ready()));
    this.#gauge(
      "railgate_clock_behind_seconds",
      "By how much the clock is behind what it said before; 0 when it is not.",
      gauges.clockBehindS,
    );
    this.#gauge(
      "railgate_upstream_backlog_records",
      "Records that have not arrived upstream yet.",
      async () => (await gauges.backlog()) ?? 0,
    );
    this.#watchReports(gauges.reports);
    if (gauges.sharing) this.#watchSharing(gauges.sharing);
    this.#labelled("railgate_partition_state", "1 for the state that the node is in.", "state", () => [
      gauges.partition().state,
    ]);
    this.#labelled(
      "railgate_partition_reason",
      "1 for each reason why the node is cut off, or may soon be.",
      "reason",
      () => [...gauges.partition().reasons],
    );
    this.#gauge("railgate_event_followers", "Clients that follow the events live.", gauges.followers);
    this.#gauge("railgate_store_bytes", "Database and its log of writes, on the disk.", gauges.storeBytes);
    if (gauges.namespacesAgeS)
      this.#gauge(
        "railgate_kubernetes_namespaces_age_seconds",
        "For how long the API server could not be asked for namespaces; 0 while it can.",
        () => gauges.namespacesAgeS!(),
      );
    this.watchThread("main");
    this.#threads.set("committing", gauges.committingS);
    this.#watchBundles(gauges);
    const info = new Gauge({
      name: "railgate_info",
      help: "Always 1; its labels say what runs here.",
      labelNames: ["version", "node_id", "policy_digest"],
      registers: [this.#registry],
      collect() {
        this.reset();
        this.set(gauges.info(), 1);
      },
    });
    void info;
  }

  /** What each thread measures of itself. @param thread what it is. */
  watchThread(thread: "main" | "deciding"): void {
    this.#gauge("railgate_http_connections", "Connections that are open.", () => this.#connections);
    this.#threads.set(thread, () => {
      const { user, system } = process.threadCpuUsage();
      return (user + system) / US_PER_S;
    });
    const threads = this.#threads;
    new Gauge({
      name: "railgate_thread_cpu_seconds",
      help: "Processor time of threads that are there now, by what they do.",
      labelNames: ["thread"],
      registers: [this.#registry],
      collect() {
        for (const [name, read] of threads) this.set({ thread: name }, read());
      },
    });
  }

  #watchBundles({ bundles }: Gauges): void {
    const each = (name: string, help: string, read: (bundle: BundleFigures) => number | null) =>
      new Gauge({
        name,
        help,
        labelNames: ["bundle"],
        registers: [this.#registry],
        collect() {
          this.reset();
          for (const bundle of bundles()) {
            const value = read(bundle);
            if (value !== null) this.set({ bundle: bundle.name }, value);
          }
        },
      });
    each("railgate_bundle_active", "1 when a bundle of that name decides.", ({ digest }) => Number(digest !== null));
    each(
      "railgate_bundle_age_seconds",
      "Since the bundle's source last confirmed it; absent where it has no remote source.",
      ({ age_s }) => age_s,
    );
    each("railgate_bundle_expired", "1 when the bundle is past its own end.", ({ expired }) => Number(expired));
    each(
      "railgate_bundle_failing",
      "1 when the last attempt to get the bundle failed, or what came was refused.",
      (bundle) => Number(bundle.rejected !== null || bundle.source.problem !== undefined),
    );
  }

  shadowed(outcome: string): void {
    this.#shadows.inc({ outcome });
  }

  #watchSharing(read: NonNullable<Gauges["sharing"]>): void {
    this.#gauge("railgate_store_lease_epoch", "Moves on with each connection that may write.", () => read().leaseEpoch);
    this.#gauge(
      "railgate_store_lease_seconds",
      "Until the lease of the node id ends; below 0 once it has.",
      () => read().leaseS,
    );
    const counted = (name: string, help: string, label: string, values: () => Readonly<Record<string, number>>) =>
      new Counter({
        name,
        help,
        labelNames: [label],
        registers: [this.#registry],
        collect() {
          this.reset();
          for (const [each, value] of Object.entries(values())) this.inc({ [label]: each }, value);
        },
      });
    counted(
      "railgate_store_retries_total",
      "Transactions that were begun anew, by what the database said.",
      "code",
      () => read().retries,
    );
    counted(
      "railgate_store_unseen_commits_total",
      "Commits whose end nobody saw, by what came of looking them up.",
      "outcome",
      () => read().unseen,
    );
    new Counter({
      name: "railgate_store_conflicts_total",
      help: "Decisions that were made again, since what they were made on had moved.",
      registers: [this.#registry],
      collect() {
        this.reset();
        this.inc(read().moved);
      },
    });
    this.watchConnections(() => read().connections);
  }

  /** Of a shared database, on each thread that reads it. */
  watchConnections(read: () => SharingFigures["connections"]): void {
    new Gauge({
      name: "railgate_store_connections",
      help: "Connections for reading, and questions that wait for one.",
      labelNames: ["state"],
      registers: [this.#registry],
      collect() {
        const { inUse, idle, waiting } = read();
        for (const [state, value] of Object.entries({ in_use: inUse, idle, waiting })) this.set({ state }, value);
      },
    });
  }

  #watchReports(reports: Gauges["reports"]): void {
    this.#gauge(
      "railgate_decision_log_backlog_records",
      "Records behind the last that was reported as a decision log, or passed over.",
      () => reports()?.backlog ?? 0,
    );
    this.#gauge(
      "railgate_decision_log_reported",
      "Decisions that were reported since the start.",
      () => reports()?.reported ?? 0,
    );
    this.#gauge(
      "railgate_report_failures",
      "Reports of decisions or of status that failed since the start; each was tried again.",
      () => (reports()?.failures ?? 0) + (reports()?.statusFailures ?? 0),
    );
  }

  evaluated(ms: number): void {
    this.#evaluation.observe(ms / MS_PER_S);
  }

  decided({ outcome, refusals }: PolicyDecision): void {
    this.#decisions.inc({ outcome });
    for (const { code } of refusals) this.#refusals.inc({ code });
  }

  commanded(law: string, code: string | null): void {
    this.#commands.inc({ law: law.split("/")[1]!, code: code ?? "none" });
  }

  evaluatedFor(entrypoint: string, result: string): void {
    this.#evaluations.inc({ entrypoint, result });
  }

  policyFailed(): void {
    this.#policyFailures.inc();
  }

  evidenceFailed(): void {
    this.#evidenceFailures.inc();
  }

  committed({ events, linkingMs, signingMs, commitMs }: BatchFigures): void {
    this.#batch.observe(events);
    this.#linking.observe(linkingMs / MS_PER_S);
    this.#signing.observe(signingMs / MS_PER_S);
    this.#commit.observe(commitMs / MS_PER_S);
  }

  turned(ms: number): void {
    this.#turn.observe(ms / MS_PER_S);
  }

  turnWaited(ms: number): void {
    this.#turnWait.observe(ms / MS_PER_S);
  }

  turnsWaiting(commands: number): void {
    this.#turnWaiting.set(commands);
  }

  threadDied(): void {
    this.#threadDeaths.inc();
  }

  answered(method: string, route: string, status: number, ms: number): void {
    this.#http.observe(ms / MS_PER_S, method, route, status);
    const handler = route === "/" ? "index" : OPA_HANDLER.exec(route)?.[1];
    if (handler !== undefined) this.#opaHttp.observe(ms / MS_PER_S, status, handler, method.toLowerCase());
  }

  reloaded(what: string, taken: boolean): void {
    this.#reloads.inc({ what, outcome: taken ? "taken" : "kept" });
    this.#stale.set({ what }, taken ? 0 : 1);
  }

  connected(connection: NodeJS.EventEmitter): void {
    this.#connections++;
    connection.once("close", () => this.#connections--);
  }

  /** All that is measured on this thread, for another one to add up. */
  figures(): Promise<readonly object[]> {
    return this.#registry.getMetricsAsJSON();
  }

  /** The exposition, that of other threads added to this one's, and its content type. */
  async render(): Promise<{ text: string; type: string }> {
    const type = this.#registry.contentType;
    const others = (await this.others()) as (readonly Named[])[];
    const shared = new Set(others.flatMap((figures) => figures.map(({ name }) => name)));
    if (shared.size === 0) return { text: await this.#registry.metrics(), type };
    const own = (await this.#registry.getMetricsAsJSON()) as Named[];
    const added = AggregatorRegistry.aggregate([own.filter(({ name }) => shared.has(name)), ...others] as object[][]);
    const texts = own
      .filter(({ name }) => !shared.has(name))
      .map(({ name }) => this.#registry.getSingleMetricAsString(name));
    return { text: [await added.metrics(), ...(await Promise.all(texts))].join("\n"), type };
  }

  #counter(name: string, help: string, labelNames: string[] = []): Counter {
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }

  #histogram(name: string, help: string, buckets: readonly number[], labelNames?: readonly string[]): Histogram {
    return new Histogram({ name, help, buckets, ...(labelNames && { labelNames }) }, this.#registry);
  }

  /** 1 for each label value that holds now. */
  #labelled(name: string, help: string, label: string, values: () => readonly string[]): void {
    const registers = [this.#registry];
    new Gauge({
      name,
      help,
      labelNames: [label],
      registers,
      collect() {
        this.reset();
        for (const value of values()) this.set({ [label]: value }, 1);
      },
    });
  }

  /** What cannot be read now is not shown: a database that is away must not take the other figures with it. */
  #gauge(name: string, help: string, read: () => number | Promise<number>): void {
    new Gauge({
      name,
      help,
      registers: [this.#registry],
      async collect() {
        const value = await inTime(read);
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  }
}

async function inTime(read: () => number | Promise<number>): Promise<number | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(resolve, READ_MS_MAX);
  try {
    return await Promise.race([read(), late]);
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}
