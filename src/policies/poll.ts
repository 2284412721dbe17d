// Asks a service for a bundle again and again, as OPA does: conditionally, held open where the service can, with jitter, and slower where it fails.
import { backoffMs, between, pause } from "../outbound/pace.ts";
import { ServiceError, type RemoteService, type ServiceAnswer } from "../outbound/service.ts";
import type { Policies } from "./activate.ts";
import type { PolledBundle } from "./source.ts";

/** What says that a service holds requests open (OPA, download/download.go). */
export const LONG_POLLING_TYPE = "application/vnd.openpolicyagent.bundles";

/** How long a download may take (spec api §2, Bundles). */
const DOWNLOAD_MS_MAX = 5 * 60_000;
/** A request that was answered sooner, with nothing new, was not held open. */
const HELD_MS_MIN = 1000;

export interface PollerParts {
  readonly bundle: PolledBundle;
  readonly service: RemoteService;
  readonly policies: Policies;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Told after each request why the service could not be reached; undefined: it could. */
  readonly reached: (problem: string | undefined) => void;
  /** Told of what is in no evidence: a source that fails, and for the first time that it does not. */
  readonly failed: (problem: string) => void;
}

/** What was refused is had in full again after so long, though it be the same: why it was may have passed. */
const REFUSED_MS = 10 * 60_000;

/** `same`: what was refused, and is offered still. */
type News = "confirmed" | "new" | "refused" | "same";

export class BundlePoller {
  readonly #parts: PollerParts;
  readonly #ended = new AbortController();
  #running: Promise<void> = Promise.resolve();
  /** Whether the service may hold requests open: it is asked to, until an answer says that it does not. */
  #held: boolean;
  #failures = 0;
  /** What the service calls what it offered and was refused, as long as that is not looked at again. */
  #refused: { readonly etag: string; readonly untilMs: number } | undefined;

  constructor(parts: PollerParts) {
    this.#parts = parts;
    this.#held = this.#mayHold;
  }

  get #mayHold(): boolean {
    return this.#parts.bundle.polling.longPollingTimeoutS !== undefined;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Resolves when nothing of it is under way any more. */
  async stop(): Promise<void> {
    this.#ended.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      const started = performance.now();
      const waitMs = await this.#once().then(
        (news) => this.#next(news, performance.now() - started),
        (error: unknown) => this.#after(error),
      );
      await pause(waitMs, signal);
    }
  }

  /** @throws ServiceError, EvidenceUnavailableError */
  async #once(): Promise<News> {
    const { bundle, service, policies, now } = this.#parts;
    const { longPollingTimeoutS } = bundle.polling;
    const heldS = this.#held ? longPollingTimeoutS : undefined;
    const etag = policies.etag(bundle.name);
    if (this.#refused && this.#refused.untilMs < performance.now()) this.#refused = undefined;
    const known = [etag, this.#refused?.etag].filter((each) => each !== undefined);
    policies.polled(bundle.name, { requestedMs: now() });
    const answer = await service.request({
      method: "GET",
      path: bundle.resource,
      headers: {
        Prefer: `modes=snapshot${heldS === undefined ? "" : `;wait=${heldS}`}`,
        ...(known.length > 0 && { "If-None-Match": known.join(", ") }),
      },
      ...(bundle.sizeLimitBytes !== undefined && { bytesMax: bundle.sizeLimitBytes }),
      msMax: DOWNLOAD_MS_MAX + (heldS ?? 0) * 1000,
      heldMs: (heldS ?? 0) * 1000,
      signal: this.#ended.signal,
    });
    return this.#answered(answer, etag);
  }

  async #answered({ status, headers, bytes }: ServiceAnswer, etag: string | undefined): Promise<News> {
    const { bundle, policies, now } = this.#parts;
    if (status === 304 && this.#refused && !isSame(headers.etag, etag)) {
      // It confirms nothing: what decides grows older, and why this one does not is told as before.
      policies.polled(bundle.name, { answeredMs: now() });
      return "same";
    }
    if (status === 304 && etag !== undefined) {
      this.#refused = undefined;
      policies.polled(bundle.name, { answeredMs: now(), problem: undefined });
      policies.confirmed(bundle.name, etag);
      return "confirmed";
    }
    if (status !== 200)
      throw new StatusError(`service ${bundle.service} answers ${status} for ${bundle.resource}`, status);
    this.#held = this.#mayHold && mediaType(headers) === LONG_POLLING_TYPE;
    policies.polled(bundle.name, { answeredMs: now(), downloadedMs: now(), bytes: bytes.length, problem: undefined });
    const offered = await policies.offer(bundle.name, () => bytes, headers.etag);
    this.#refused = undefined;
    if (offered.outcome !== "rejected") return offered.outcome === "activated" ? "new" : "confirmed";
    const { reason: code, message } = offered.error;
    policies.polled(bundle.name, { problem: { code, message } });
    if (headers.etag !== undefined) this.#refused = { etag: headers.etag, untilMs: performance.now() + REFUSED_MS };
    return "refused";
  }

  /** What was refused may be sent in full again, so it is not asked for at once. */
  #next(news: News, tookMs: number): number {
    this.#failures = 0;
    this.#parts.reached(undefined);
    const { minDelayS, maxDelayS } = this.#parts.bundle.polling;
    const again = this.#held && (news === "new" || (news !== "refused" && tookMs >= HELD_MS_MIN));
    return again ? 0 : between(minDelayS * 1000, maxDelayS * 1000);
  }

  #after(error: unknown): number {
    const { bundle, policies, reached, failed } = this.#parts;
    if (this.#ended.signal.aborted) return 0;
    const { message, code } = error as Error & { code?: string };
    const httpStatus = error instanceof StatusError ? error.status : undefined;
    // A server that answers is not cut off, whatever it says; one that a proxy speaks for may be.
    const answers = httpStatus !== undefined && httpStatus < 500;
    if (answers || error instanceof ServiceError) reached(answers ? undefined : message);
    if (this.#failures === 0) failed(`the bundle ${bundle.name} could not be had: ${message}`);
    this.#held = this.#mayHold;
    policies.polled(bundle.name, { problem: { code: code ?? "bundle_error", message, httpStatus } });
    return backoffMs(++this.#failures, bundle.polling.maxDelayS * 1000);
  }
}

/** The service answered, and not with a bundle. */
class StatusError extends ServiceError {
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

/** As `If-None-Match` compares (RFC 9110 §13.1.2): weakly. */
const isSame = (a: string | undefined, b: string | undefined): boolean =>
  a !== undefined && a.replace(/^W\//, "") === b?.replace(/^W\//, "");

const mediaType = ({ "content-type": type = "" }: ServiceAnswer["headers"]): string =>
  /^[^;]*/.exec(type)![0].trim().toLowerCase();
