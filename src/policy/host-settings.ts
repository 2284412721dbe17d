// What the host itself reads of a policy's settings, `data.railgate.settings`; all else there is the law's.
import Type, { type Static } from "typebox";
import { Compile } from "typebox/compile";
import { NO_SETTINGS, type KubernetesSettings } from "../core/kubernetes/settings.ts";
import { ENVELOPE_KINDS, oneOf } from "../core/schema/base.ts";

const HostSettings = Type.Object({
  evidence: Type.Optional(
    Type.Object(
      { companions: Type.Optional(Type.Record(Type.String(), Type.Boolean())) },
      { additionalProperties: true },
    ),
  ),
  kubernetes: Type.Optional(
    Type.Object({
      namespaces: Type.Optional(
        Type.Record(
          Type.String(),
          Type.Object({ workload: Type.Optional(Type.Record(Type.String(), Type.Unknown())) }),
        ),
      ),
      runtime_classes: Type.Optional(
        Type.Record(
          Type.String(),
          Type.Object({
            kind: oneOf(ENVELOPE_KINDS),
            runtime: Type.Optional(Type.String()),
            vm: Type.Optional(Type.Object({})),
            tee: Type.Optional(Type.Object({})),
          }),
        ),
      ),
    }),
  ),
});

const shape = Compile(HostSettings);

export type HostSettings = Static<typeof HostSettings>;

/** What is wrong with the settings that the host reads, or undefined. */
export function hostSettingsFault(settings: unknown): string | undefined {
  if (settings === undefined || shape.Check(settings)) return undefined;
  const [error] = shape.Errors(settings);
  return `settings${error?.instancePath ?? ""} ${error?.message ?? "can't be read"}`;
}

/** The evidence profiles, as `ncp`, under which each admission is accompanied by the events of spec evidence §8. */
export function companionsOf(settings: HostSettings = {}): ReadonlySet<string> {
  const named = Object.entries(settings.evidence?.companions ?? {});
  return new Set(named.filter(([, accompanied]) => accompanied).map(([profile]) => profile));
}

/** Of each kind of envelope, which kinds of dependencies the law calls critical; told, and judged by nobody but the law. */
export function criticalOf(settings: HostSettings = {}): { readonly [kind: string]: readonly string[] | undefined } {
  const { dependencies } = settings as { readonly dependencies?: { readonly critical?: unknown } };
  const named = Object.entries(dependencies?.critical ?? {}).filter(([, kinds]) => Array.isArray(kinds));
  return Object.fromEntries(named as [string, string[]][]);
}

/** What the law's settings say of clusters, which the host needs to map a pod to a workload. */
export function kubernetesOf(settings: HostSettings = {}): KubernetesSettings {
  return { ...NO_SETTINGS, ...(settings.kubernetes as Partial<KubernetesSettings> | undefined) };
}
