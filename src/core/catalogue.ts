// What the host must know of the law's codes, whatever policy is active. Written by `npm run generate` from the METADATA in policy/: change it there.

/** The HTTP status with which a command that is refused by a code is answered. */
export const HTTP_STATUSES = {
  ERR_MESH_DEMOTION_FORBIDDEN: 409,
  ERR_MESH_DUPLICATE_WORKLOAD: 409,
  ERR_MESH_ELEVATION_DENIED: 409,
  ERR_MESH_INVALID_TOPOLOGY: 422,
  ERR_MESH_LATENCY_EXCEEDED: 409,
  ERR_MESH_RAIL_AT_CAPACITY: 409,
  ERR_MESH_UNKNOWN_RAIL: 404,
  ERR_MESH_UNKNOWN_WORKLOAD: 404,
  admission_expired: 409,
  artifact_unpinned: 409,
  artifact_unverified: 409,
  attestation_failed: 409,
  attestation_incomplete: 409,
  attestation_missing: 409,
  attestation_stale: 409,
  authority_invalid: 409,
  authority_missing: 409,
  boot_unverified: 409,
  confinement_missing: 409,
  delegation_invalid: 409,
  dependency_unavailable: 409,
  dependency_undeclared: 409,
  envelope_insufficient: 409,
  envelope_undeclared: 409,
  envelope_unknown: 409,
  evidence_unavailable: 503,
  hypervisor_not_allowed: 409,
  jurisdiction_denied: 409,
  lifecycle_transition_invalid: 409,
  network_not_isolated: 409,
  partition_not_designated: 409,
  policy_error: 409,
  policy_stale: 409,
  policy_unavailable: 409,
  privilege_excessive: 409,
  rail_insufficient: 409,
  reattestation_interval_invalid: 409,
  residency_violated: 409,
  root_filesystem_writable: 409,
  runtime_not_hardened: 409,
  tenant_isolation_violated: 409,
  workload_unclassified: 409,
  workload_unknown: 404,
} as const;

/** What the host itself refuses in the law's place. */
export const HOST_REFUSALS = {
  policy_unavailable: {
    rule: "POL-01",
    class: "dependency_unavailable_fail_closed",
    http_status: 409,
    title: "No policy is active",
    message: "No policy is active on this node, or the signature or integrity of its bundle failed.",
    solution:
      "Give the node a policy bundle signed by a key it trusts; `railgate doctor` says what is wrong with the present one.",
  },
  policy_error: {
    rule: "POL-03",
    class: "dependency_unavailable_fail_closed",
    http_status: 409,
    title: "The policy could not decide",
    message: "Evaluating the policy failed, ran over its limit, or gave an answer that is not a decision.",
    solution:
      "Look for this decision's id in the node's log, replay its stored input with `opa eval`, and repair the policy.",
  },
  evidence_unavailable: {
    rule: "EVI-01",
    class: "dependency_unavailable_fail_closed",
    http_status: 503,
    title: "Evidence could not be recorded",
    message:
      "The decision could not be made durable, so this answer admits nothing; `recorded` says whether it is certain that nothing is on record.",
    solution:
      "Make room on the node's disk or make its data directory writable, then ask again; where `recorded` is unknown, look for the event `event_id` first. The node recovers by itself.",
  },
} as const;
