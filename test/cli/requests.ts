// Admission requests for the command line's tests: one that the shipped law admits, and ways to spoil it.
const DIGEST = `sha256:${"a".repeat(64)}`;
const PROVENANCE = { verified: true, issuer: "https://ci.example", attestation: DIGEST };

export function admissible(workloadId = "payments-api"): { workload: Record<string, unknown>; placement: object } {
  return {
    workload: {
      workload_id: workloadId,
      tenant_id: "acme",
      tenant_tier: "standard",
      classification: "internal",
      risk: "low",
      governance_profile: "baseline",
      envelope: {
        kind: "container",
        container: {
          runtime: "gvisor",
          images: [{ name: "api", reference: `registry.example/payments@${DIGEST}`, provenance: PROVENANCE }],
          seccomp: "RuntimeDefault",
          read_only_root_filesystem: true,
          privileged: false,
          allow_privilege_escalation: false,
          run_as_non_root: true,
          host_namespaces: [],
          host_paths: [],
          added_capabilities: [],
        },
      },
      network: { policy_id: "np-payments", default_deny: true, tenant_isolated: true },
      dependencies: [
        { dependency_id: "runsc", kind: "runtime", available: true, local: true },
        {
          dependency_id: "registry.example",
          kind: "image_registry",
          available: true,
          local: false,
          jurisdiction: "DE",
        },
      ],
    },
    placement: { node_id: "node-7", jurisdiction: "DE", tenancy: "shared", tenants_on_host: ["acme"] },
  };
}

/** Restricted data in a container: the law asks for a TEE (ENV-03). */
export function insufficient(): object {
  const request = admissible();
  request.workload["classification"] = "restricted";
  return request;
}
