// Full requests of each envelope kind, made afresh for every use so that a test may corrupt its copy.
import type { AdmissionRequest } from "../../src/core/schema/request.ts";

const HEX = "0123456789abcdef".repeat(4);
export const DIGEST = `sha256:${HEX}`;
const provenance = () => ({ verified: true, issuer: "https://ci.example", attestation: DIGEST });
const image = (name: string) => ({ name, reference: `registry.example/${name}@${DIGEST}`, provenance: provenance() });
const component = (name: string) => ({ name, digest: DIGEST, provenance: provenance() });

const containerProfile = () => ({
  runtime: "gvisor",
  images: [image("api")],
  seccomp: "RuntimeDefault",
  apparmor: "runtime/default",
  read_only_root_filesystem: true,
  writable_justification: null,
  privileged: false,
  allow_privilege_escalation: false,
  run_as_non_root: true,
  host_namespaces: [],
  host_paths: [],
  added_capabilities: [],
});

const vmProfile = () => ({
  hypervisor: { type: "kvm", version: "6.12", dedicated: true },
  boot: { secure_boot: true, measured_boot: true, verified: true },
  vtpm: { present: true },
  firmware: [component("ovmf")],
  drivers: [component("virtio-net")],
  images: [image("disk")],
});

const teeProfile = () => ({ platform: "amd-sev-snp", reattestation_interval: "PT15M", images: [image("enclave")] });

function request(envelope: AdmissionRequest["workload"]["envelope"]): AdmissionRequest {
  return {
    workload: {
      workload_id: "payments-api",
      tenant_id: "acme",
      tenant_tier: "standard",
      classification: "internal",
      risk: "low",
      governance_profile: "baseline",
      crp: { designated: true, tier: 1 },
      jurisdictions: ["DE", "FR"],
      residency: ["EU"],
      ...(envelope === undefined ? {} : { envelope }),
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
    correlation_id: "c-1",
  };
}

export const containerRequest = (): AdmissionRequest => request({ kind: "container", container: containerProfile() });
export const vmRequest = (): AdmissionRequest => request({ kind: "vm", vm: vmProfile() });
export const teeRequest = (): AdmissionRequest => request({ kind: "tee", tee: teeProfile() });
export const bareRequest = (): AdmissionRequest => ({ workload: { workload_id: "w", tenant_id: "t" } });
