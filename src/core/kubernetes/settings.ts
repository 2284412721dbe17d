// What the host reads of the policy's `settings.kubernetes`: what pods cannot say of their workloads.
import type { EnvelopeKind } from "../schema/base.ts";

export interface KubernetesSettings {
  readonly namespaces: { readonly [pattern: string]: { readonly workload?: { readonly [field: string]: unknown } } };
  /** By name, "" for pods that name none: the envelope that pods of the class run in. */
  readonly runtime_classes: { readonly [name: string]: RuntimeClass };
}

interface RuntimeClass {
  readonly kind: EnvelopeKind;
  /** Of a container: as `settings.container.runtimes` has it. */
  readonly runtime?: string;
  readonly vm?: object;
  readonly tee?: object;
}

export const NO_SETTINGS: KubernetesSettings = { namespaces: {}, runtime_classes: {} };
