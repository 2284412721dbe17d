// What a setting is where nobody says. The one place for each: schema, readers, library and documentation take it from here.

export const DEFAULTS = {
  dataDir: "./data",
  listen: "127.0.0.1:8181",
  threads: 1,
  logLevel: "info",
  tenantClaim: "tenant_id",
  operatorClaim: "railgate_role",
  tenantFrom: "O",
  evidenceProfile: "ecs-evidence-admissible",
  /** In the data directory. */
  checkpointDir: "checkpoints",
  defaultDecision: "/system/main",
  bodyBytesMax: 1024 * 1024,
  batchItemsMax: 1000,
  /** Events. */
  queueMax: 20_000,
  /** Longer than any evaluation takes that is not stuck. */
  evaluationMsMax: 1000,
} as const;
