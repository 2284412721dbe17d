// Where a node reports, and how often: what OPA calls decision_logs and status.

export interface DecisionLogOptions {
  /** By its name under `services`. */
  readonly service: string;
  /** Path on the service, e.g. `/logs`. */
  readonly resource: string;
  /** A report is made so often, at a moment between the two. */
  readonly minDelayS: number;
  readonly maxDelayS: number;
  /** Of a report, packed. */
  readonly uploadSizeLimitBytes: number;
  /** Whether what is recorded is reported at once. */
  readonly immediate?: boolean | undefined;
}

export interface StatusOptions {
  /** By its name under `services`. */
  readonly service: string;
  /** Path on the service, e.g. `/status`. */
  readonly resource: string;
  /** A report is made so often where nothing has changed. */
  readonly everyMs: number;
}
