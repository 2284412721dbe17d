// `serve`: a node behind an HTTP listener, from its settings to its end.
import type { DestinationStream, Logger } from "pino";
import { DEFAULTS } from "../core/schema/defaults.ts";
import type { Config } from "../node/config/config.ts";
import { nodeOptions } from "../node/config/options.ts";
import { SHIPPED, VERSION, type BundleSource } from "../library/doors.ts";
import { openRailgate, type LocalRailgate } from "../library/index.ts";
import { authzenRoutes } from "./routes/authzen.ts";
import { admissionRoutes } from "./routes/admissions.ts";
import { dataRoutes } from "./routes/data.ts";
import { uncompiledRoutes } from "./routes/uncompiled.ts";
import { eventRoutes } from "./routes/events.ts";
import { challengeRoutes } from "./routes/challenges.ts";
import { exportRoutes, EXPORT_TURNS } from "./routes/exports.ts";
import { FOLLOW_LIMITS, Followers, type FollowLimits } from "./routes/follow.ts";
import { CLOSE_MS_MAX, Listener, type ServedListener, type Shared, type Site } from "./listener.ts";
import { clusterAuditRoutes } from "./routes/cluster-audits.ts";
import { kubernetesRoutes } from "./routes/kubernetes.ts";
import { healthRoutes } from "./routes/health.ts";
import { lifecycleRoutes } from "./routes/lifecycle.ts";
import { makeLogging, type Logging } from "./logging.ts";
import { meshRoutes } from "./routes/meshes.ts";
import { Metrics } from "./metrics.ts";
import { diagnosticRoutes, documentRoutes } from "./routes/documents.ts";
import type { NamespaceWatch } from "../kubernetes/namespaces.ts";
import type { Route } from "./call/route.ts";
import { Peers, type PeerLimits } from "./call/peer.ts";
import { consistent } from "./call/consistency.ts";
import { Turns } from "./call/turns.ts";
import { noteFiles, Reloader } from "./reload.ts";
import { filesOf, reloadables } from "./reloadables.ts";
import { bundleRoutes } from "./routes/bundles.ts";
import { observer } from "./observer.ts";
import { DecidingThreads } from "./threads/pool.ts";
import { readerOf, type SharedClock } from "./threads/shared-clock.ts";
import { nodeRoutes } from "./routes/node.ts";
import { operatorRoutes } from "./routes/operators.ts";
import { provenanceRoutes } from "./routes/provenance.ts";
import { policyRoutes } from "./routes/policies.ts";
import { replicationRoutes } from "./routes/replication.ts";
import { LocalSocket } from "./socket-file.ts";
import { socketServer } from "./socket.ts";
import { streamRoutes } from "./routes/streams.ts";
import { witnessRoutes } from "./routes/witness.ts";
import { workloadRoutes } from "./routes/workloads.ts";

export interface ServeOptions {
  /** In site of the bundle that the settings name. */
  readonly bundle?: BundleSource;
  /** Where log lines go; default: standard output. */
  readonly logTo?: DestinationStream;
  /** Whether SIGTERM and SIGINT close it. Default: true. */
  readonly signals?: boolean;
  readonly follow?: Partial<FollowLimits>;
  readonly peers?: Partial<PeerLimits>;
  /** How often files that are taken anew are looked at, in milliseconds. */
  readonly reloadEveryMs?: number;
  /** See NodeOptions. */
  readonly afterRestore?: string | undefined;
  /** See {@link NodeOptions.store}. */
  readonly wait?: boolean | undefined;
  /** Default: the machine's own. */
  readonly clock?: SharedClock;
}

export interface Served {
  /** Where it listens, without a slash at its end. */
  readonly url: string;
  /** Where metrics and health are answered besides, if anywhere. */
  readonly diagnosticsUrl: string | undefined;
  readonly railgate: LocalRailgate;
  /** Stops accepting, answers what is under way, ends streams, lets go of the data directory. */
  close(): Promise<void>;
  /** Settles once it is closed, whoever closed it. */
  readonly closed: Promise<void>;
}

/**
 * Opens the node that the settings describe, and listens.
 * @returns once it listens; the node may still not be ready (`/readyz`).
 * @throws ConfigError for a setting that asks for what cannot be done.
 * @throws ListenError the address is in use, or is none of this machine's.
 * @throws StoreLockedError, KeyError, EvidenceUnavailableError: see openRailgate.
 */
export async function serve(config: Config, options: ServeOptions = {}): Promise<Served> {
  // Until there is something to be taken anew. A terminal that is closed is no reason to end either.
  if (options.signals ?? true) process.on("SIGHUP", stay);
  const before = noteFiles(filesOf(config));
  const settings = nodeOptions(config);
  const logging = makeLogging(config.logLevel, options.logTo);
  const { log } = logging;
  const metrics = new Metrics();
  const now = readerOf(options.clock);
  let railgate: LocalRailgate | undefined;
  let namespaces: NamespaceWatch | undefined;
  try {
    namespaces = await watchNamespaces(config, log, now);
    railgate = await openRailgate(
      {
        ...settings,
        threads: config.threads > 1,
        bundle: options.bundle ?? settings.bundle,
        artifacts: config.evidence.artifacts,
        now,
        afterRestore: options.afterRestore,
        ...(config.store && { store: { ...config.store, wait: options.wait } }),
        observe: observer(log, metrics),
        namespaces,
      },
      "serve",
    );
    const served = await listen(config, railgate, logging, metrics, { ...options, before, namespaces });
    const { nodeId, policyDigest } = railgate.figures;
    for (const warning of config.warnings) log.warn({}, warning);
    for (const { message, cure } of config.exposed) log.warn({}, `${message}; ${cure}`);
    log.info(
      {
        url: served.url,
        diagnostics: served.diagnosticsUrl,
        node_id: nodeId,
        version: VERSION,
        policy: policyDigest,
        problem: railgate.problem,
      },
      "listening",
    );
    return served;
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    log.fatal({ code, problem: message }, "the node did not start");
    await namespaces?.[Symbol.asyncDispose]();
    await railgate?.close();
    await logging.close();
    throw error;
  }
}

/** Of the cluster that the settings name; the node is there with or without it. */
async function watchNamespaces(
  { kubernetes }: Config,
  log: Logger,
  now: () => number,
): Promise<NamespaceWatch | undefined> {
  if (kubernetes === undefined) return undefined;
  const [{ Cluster }, { NamespaceWatch }] = await Promise.all([
    import("../kubernetes/cluster.ts"),
    import("../kubernetes/namespaces.ts"),
  ]);
  const watch = new NamespaceWatch(await Cluster.open(kubernetes), now, {
    changed: (connected, problem) =>
      connected
        ? log.info({}, "the cluster's namespaces are watched")
        : log.error({ problem }, "the cluster can't be asked; its namespaces are taken to be as they were last"),
  });
  watch.start();
  return watch;
}

const stay = (): void => {};

async function listen(
  config: Config,
  railgate: LocalRailgate,
  { log, write, close: closeLog }: Logging,
  metrics: Metrics,
  options: ServeOptions & {
    readonly before: ReadonlyMap<string, string>;
    readonly namespaces: NamespaceWatch | undefined;
  },
): Promise<Served> {
  const followers = new Followers({ ...FOLLOW_LIMITS, ...options.follow });
  const shared = { peers: new Peers(options.peers), log, metrics };
  watch(metrics, railgate, followers, options.namespaces);
  const probes = (strangers: boolean) => probeRoutes({ config, railgate, followers, metrics }, strangers);
  const all = (strangers: boolean) => allRoutes({ config, railgate, followers, metrics }, strangers);
  const listeners: ServedListener[] = [];
  let socket: LocalSocket | undefined;
  const end = async () => {
    for (const listener of listeners) listener.startClosing();
    followers.close();
    await Promise.all([socket, ...listeners].map((each) => each?.close()));
  };
  try {
    if (config.threads === 1) listeners.push(await Listener.open(config, shared, all));
    else
      listeners.push(
        await DecidingThreads.open({ config, railgate, shared, write, routesFor: all, clock: options.clock }),
      );
    if (config.diagnostics)
      listeners.push(await Listener.open(diagnosticsSite(config, config.diagnostics), shared, probes));
    socket = await openSocket(config.dataDir, shared, all(false));
  } catch (error) {
    await end();
    throw error;
  }
  const [{ url }, diagnostics] = listeners as [ServedListener, ServedListener?];
  const reloader = new Reloader(reloadables(config, railgate, listeners), {
    log,
    metrics,
    before: options.before,
    everyMs: options.reloadEveryMs,
  });
  const reload = () => void reloader.all();
  reloader.start();
  if (options.signals ?? true) process.on("SIGHUP", reload);
  const served = closable(
    { url, diagnosticsUrl: diagnostics?.url, railgate },
    options.signals ?? true,
    log,
    async () => {
      process.off("SIGHUP", reload);
      await reloader.stop();
      await end();
      await options.namespaces?.[Symbol.asyncDispose]();
      await railgate.close().finally(closeLog);
    },
  );
  // Whoever is told where it listens may tell it to end.
  railgate.listening({ url, socket: socket?.path });
  return served;
}

/** Where none can be made (some file systems have none) the node can be asked at its port. */
async function openSocket(dataDir: string, shared: Shared, routes: readonly Route[]): Promise<LocalSocket | undefined> {
  const server = socketServer(shared, routes);
  try {
    return await LocalSocket.open(dataDir, (connection) => server.emit("connection", connection));
  } catch (error) {
    shared.log.warn({ problem: (error as Error).message }, "commands on this machine cannot ask by the data directory");
    return undefined;
  }
}

/** Figures are asked for at each scrape. */
export function watch(
  metrics: Metrics,
  railgate: LocalRailgate,
  followers: Followers,
  namespaces?: NamespaceWatch | undefined,
): void {
  metrics.watch({
    waiting: () => railgate.figures.waiting,
    ready: () => railgate.problem === undefined,
    committingS: () => railgate.figures.committingS,
    clockBehindS: () => railgate.figures.clockBehindS,
    partition: () => railgate.figures.partition,
    reports: () => railgate.figures.reports,
    ...(railgate.figures.sharing && { sharing: () => railgate.figures.sharing! }),
    backlog: () => railgate.backlog(),
    followers: () => followers.count,
    storeBytes: () => railgate.storeBytes(),
    ...(namespaces && { namespacesAgeS: () => namespaces.ageS ?? Number.POSITIVE_INFINITY }),
    bundles: () => railgate.bundleStatuses(),
    info: () => {
      const { nodeId, policyDigest } = railgate.figures;
      return { version: VERSION, node_id: nodeId, policy_digest: policyDigest ?? "" };
    },
  });
}

/** The names of all that must be active. */
function bundlesIn({ bundles = {} }: ServedParts["config"]): string[] {
  const named = Object.keys(bundles);
  return named.length > 0 ? named : [SHIPPED];
}

/** What OPA calls plugins, of what runs here. */
function pluginsIn({ decisionLogs, status }: ServedParts["config"]): string[] {
  return [decisionLogs && "decision_logs", status && "status"].filter((name) => name !== undefined);
}

/** On loopback nobody logs in there; elsewhere it is locked as the other one is. */
function diagnosticsSite(config: Config, { listen }: NonNullable<Config["diagnostics"]>): Site {
  return listen.loopback ? { listen, behindProxy: false } : { ...config, listen };
}

export interface ServedParts {
  readonly config: Pick<Config, "limits"> &
    Partial<Pick<Config, "authzen" | "behindProxy" | "bundles" | "decisionLogs" | "defaultDecision" | "status">>;
  readonly railgate: LocalRailgate;
  readonly followers: Followers;
  readonly metrics: Metrics;
}

/** All that is served. @param strangers whether they can ask. */
export function allRoutes(parts: ServedParts, strangers: boolean): Route[] {
  const { config, railgate, followers } = parts;
  const routes: Route[] = [
    ...routesOf(config, railgate, followers),
    ...probeRoutes(parts, strangers),
    ...documentRoutes(railgate, () => routes),
  ];
  return routes;
}

/** What machines ask again and again. */
function probeRoutes({ config, railgate, metrics }: ServedParts, strangers: boolean): Route[] {
  return [
    ...diagnosticRoutes({ railgate, metrics, strangers }),
    ...healthRoutes({ railgate, bundles: bundlesIn(config), plugins: pluginsIn(config), strangers }),
  ];
}

/** All that is served, but for what the node says of itself. */
function routesOf(
  { limits, defaultDecision = DEFAULTS.defaultDecision, authzen, behindProxy = false }: ServedParts["config"],
  railgate: LocalRailgate,
  followers: Followers,
): Route[] {
  const { bodyBytesMax } = limits;
  return [
    ...admissionRoutes(railgate, limits),
    ...kubernetesRoutes(railgate, bodyBytesMax),
    ...clusterAuditRoutes(railgate),
    ...dataRoutes(railgate, limits, defaultDecision),
    ...consistent(railgate, [
      ...workloadRoutes(railgate),
      ...lifecycleRoutes(railgate, bodyBytesMax),
      ...challengeRoutes(railgate, bodyBytesMax),
      ...meshRoutes(railgate, bodyBytesMax),
      ...eventRoutes(railgate, followers),
      ...streamRoutes(railgate),
      ...replicationRoutes(railgate),
      ...exportRoutes({
        railgate,
        bodyBytesMax,
        turns: new Turns(EXPORT_TURNS, { code: "exports_exhausted", retryS: 5 }),
      }),
      ...operatorRoutes(railgate, bodyBytesMax),
      ...nodeRoutes(railgate, bodyBytesMax),
      ...policyRoutes(railgate, bodyBytesMax),
      ...provenanceRoutes(railgate),
    ]),
    ...bundleRoutes(railgate, followers.closing),
    ...witnessRoutes(railgate.witness),
    ...authzenRoutes(railgate, limits, { entrypoint: authzen?.entrypoint, behindProxy }),
    ...uncompiledRoutes(),
  ];
}

/** Ends on SIGTERM or SIGINT, or when asked to; a second of these ends the process as it would any other. SIGHUP ends nothing. */
function closable(
  served: Pick<Served, "url" | "diagnosticsUrl" | "railgate">,
  signals: boolean,
  log: Logger,
  end: () => Promise<void>,
): Served {
  const { promise: closed, resolve, reject } = Promise.withResolvers<void>();
  let closing = false;
  const close = (): Promise<void> => {
    if (!closing) {
      closing = true;
      process.off("SIGTERM", onSignal).off("SIGINT", onSignal);
      log.info({}, "closing");
      // What is still under way may be on other threads, which alone do not keep a process from ending.
      const underWay = setInterval(() => {}, CLOSE_MS_MAX);
      end()
        .finally(() => clearInterval(underWay))
        .then(resolve, reject);
    }
    return closed;
  };
  const onSignal = () => void close();
  if (signals) process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  return { ...served, close, closed };
}
