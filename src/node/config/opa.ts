// The settings that OPA has as well, read as OPA reads them: services, keys, bundles, decision logs, status.
import { fileURLToPath } from "node:url";
import type { ConfigFile } from "../../core/schema/config.ts";
import type { ServiceAccess } from "../../outbound/access.ts";
import { didYouMean, type SettingPath } from "../../core/settings.ts";
import { isShared, readPem } from "./keys.ts";
import { proxyFor } from "./proxy.ts";
import { absolute, fault, given, readUrl, type Source } from "./source.ts";
import type { BundleKey, ConfiguredBundle, Config } from "./types.ts";

// OPA's defaults: v1/download/config.go, v1/bundle, v1/plugins/logs, v1/plugins/rest.
const POLL_S = { min: 60, max: 120 };
const REPORT_S = { min: 300, max: 600 };
const REPORT_BYTES_MAX = 32_768;
/** Railgate's own: OPA takes a gigabyte. */
const BUNDLE_BYTES_MAX = 64 * 1024 ** 2;
const HEADER_TIMEOUT_S = 10;

type ServiceSettings = Exclude<NonNullable<ConfigFile["services"]>, readonly unknown[]>[string];

export function readServices(file: ConfigFile, source: Source): Record<string, ServiceAccess> {
  const listed = Array.isArray(file.services)
    ? file.services.map((service, index) => ({
        name: service.name!,
        service,
        path: ["services", index] as SettingPath,
      }))
    : Object.entries(file.services ?? {})
        .filter(([, service]) => service)
        .map(([name, service]) => ({ name, service, path: ["services", name] as SettingPath }));
  const twice = listed.find(({ name }, index) => listed.findIndex((other) => other.name === name) < index);
  if (twice) throw fault(source, twice.path, `there are two services called "${twice.name}"`);
  return Object.fromEntries(listed.map(({ name, service, path }) => [name, readService(name, service, path, source)]));
}

function readService(name: string, service: ServiceSettings, path: SettingPath, source: Source): ServiceAccess {
  const { bearer, client_tls: clientTls } = service.credentials ?? {};
  const credentials: SettingPath = [...path, "credentials"];
  if (bearer && clientTls) throw fault(source, credentials, "holds more than one way; keep one");
  if (bearer && !bearer.token === !bearer.token_path)
    throw fault(source, [...credentials, "bearer"], "needs token or token_path, and not both");
  const url = readUrl(service.url, [...path, "url"], source).replace(/\/+$/, "");
  return {
    name,
    url,
    ...given("proxy", proxyFor(url, source.env)),
    headers: service.headers ?? {},
    allowInsecureTls: service.allow_insecure_tls ?? false,
    responseHeaderTimeoutS: service.response_header_timeout_seconds ?? HEADER_TIMEOUT_S,
    tls: {
      ...given("caCert", absolute(service.tls?.ca_cert, source)),
      systemCaRequired: service.tls?.system_ca_required ?? false,
    },
    ...given(
      "bearer",
      bearer
        ? {
            ...given("token", bearer.token),
            ...given("tokenPath", absolute(bearer.token_path, source)),
            scheme: bearer.scheme ?? "Bearer",
          }
        : undefined,
    ),
    ...given(
      "clientTls",
      clientTls
        ? {
            cert: absolute(clientTls.cert, source)!,
            privateKey: absolute(clientTls.private_key, source)!,
            ...given("passphrase", clientTls.private_key_passphrase),
          }
        : undefined,
    ),
  };
}

export function readKeys(file: ConfigFile, source: Source): Record<string, BundleKey> {
  const keys = Object.entries(file.keys ?? {}).flatMap(([name, key]): [string, BundleKey][] => {
    if (!key?.key) return [];
    const algorithm = key.algorithm ?? "RS256";
    if (isShared(algorithm)) return [];
    return [
      [
        name,
        { key: readPem(key.key, algorithm, ["keys", name, "key"], source), algorithm, ...given("scope", key.scope) },
      ],
    ];
  });
  return Object.fromEntries(keys);
}

export function readBundles(
  file: ConfigFile,
  services: Config["services"],
  keys: Config["keys"],
  source: Source,
): Record<string, ConfiguredBundle> {
  const listed = Object.entries(file.bundles ?? {}).filter(([, bundle]) => bundle);
  return Object.fromEntries(
    listed.map(([name, bundle]) => [name, readBundle(name, bundle, file, services, keys, source)]),
  );
}

type BundleSettings = NonNullable<ConfigFile["bundles"]>[string];

function readBundle(
  name: string,
  bundle: BundleSettings,
  file: ConfigFile,
  services: Config["services"],
  keys: Config["keys"],
  source: Source,
): ConfiguredBundle {
  const path: SettingPath = ["bundles", name];
  checkSigning(bundle.signing?.keyid, file, keys, path, source);
  const polling = readDelays(bundle.polling, POLL_S, [...path, "polling"], source);
  return {
    name,
    from: readResource(bundle.resource ?? `bundles/${name}`, bundle.service, services, path, source),
    signing: {
      ...given("keyid", bundle.signing?.keyid),
      ...given("scope", bundle.signing?.scope),
      excludeFiles: bundle.signing?.exclude_files ?? [],
    },
    persist: bundle.persist ?? false,
    sizeLimitBytes: bundle.size_limit_bytes ?? BUNDLE_BYTES_MAX,
    polling: { ...polling, ...given("longPollingTimeoutS", bundle.polling?.long_polling_timeout_seconds) },
  };
}

function checkSigning(
  keyid: string | undefined,
  file: ConfigFile,
  keys: Config["keys"],
  path: SettingPath,
  source: Source,
): void {
  const names = Object.keys(keys);
  if (keyid === undefined ? names.length > 0 : names.includes(keyid)) return;
  if (keyid !== undefined && isShared(file.keys?.[keyid]?.algorithm ?? "")) {
    throw fault(
      source,
      ["keys", keyid, "algorithm"],
      "a shared secret proves to nobody else who signed; sign bundles with a key pair",
    );
  }
  if (names.length === 0)
    throw fault(
      source,
      path,
      "Railgate activates signed bundles only; put the public key of the one who signs it under `keys`",
    );
  throw fault(
    source,
    [...path, "signing", "keyid"],
    `there is no key "${keyid}" under \`keys\`${didYouMean(keyid!, names)}`,
  );
}

function readResource(
  resource: string,
  service: string | undefined,
  services: Config["services"],
  path: SettingPath,
  source: Source,
): ConfiguredBundle["from"] {
  if (!/^file:/i.test(resource))
    return { kind: "service", service: chooseService(service, services, path, source)!, resource };
  const url = URL.parse(resource);
  if (!/^file:\/\/\//i.test(resource) || url === null)
    throw fault(
      source,
      [...path, "resource"],
      "a file is named by three slashes and its absolute path: file:///path/to/bundle.tar.gz",
    );
  return { kind: "file", path: fileURLToPath(url) };
}

/** The service by its name; the only one where none is named. */
function chooseService(
  named: string | undefined,
  services: Config["services"],
  path: SettingPath,
  source: Source,
): string {
  const names = Object.keys(services);
  if (named !== undefined && names.includes(named)) return named;
  if (named !== undefined)
    throw fault(
      source,
      [...path, "service"],
      `there is no service "${named}" under \`services\`${didYouMean(named, names)}`,
    );
  if (names.length === 1) return names[0]!;
  throw fault(
    source,
    [...path, "service"],
    names.length === 0
      ? "is missing, and there is none under `services`"
      : `is missing; name one of ${names.join(", ")}`,
  );
}

type Delays = { min_delay_seconds?: number; max_delay_seconds?: number };

function readDelays(
  delays: Delays | undefined,
  defaults: { min: number; max: number },
  path: SettingPath,
  source: Source,
): { minDelayS: number; maxDelayS: number } {
  const { min_delay_seconds: min, max_delay_seconds: max } = delays ?? {};
  if ((min ?? undefined) === undefined && (max ?? undefined) === undefined)
    return { minDelayS: defaults.min, maxDelayS: defaults.max };
  if (!min || !max) throw fault(source, path, `needs ${min ? "max_delay_seconds" : "min_delay_seconds"} as well`);
  if (max < min) throw fault(source, [...path, "max_delay_seconds"], "must not be less than min_delay_seconds");
  return { minDelayS: min, maxDelayS: max };
}

export function readDecisionLogs(
  file: ConfigFile,
  services: Config["services"],
  source: Source,
): Config["decisionLogs"] {
  const logs = file.decision_logs;
  if (!logs) return undefined;
  return {
    ...reportTo(logs, "logs", services, ["decision_logs"], source),
    ...readDelays(logs.reporting, REPORT_S, ["decision_logs", "reporting"], source),
    uploadSizeLimitBytes: logs.reporting?.upload_size_limit_bytes ?? REPORT_BYTES_MAX,
    ...given("immediate", logs.reporting?.trigger === "immediate" || undefined),
  };
}

export function readStatus(file: ConfigFile, services: Config["services"], source: Source): Config["status"] {
  return file.status ? reportTo(file.status, "status", services, ["status"], source) : undefined;
}

/** Like OPA: `console` alone needs no service, anything else goes to the named or only one. */
function reportTo(
  to: { service?: string; console?: boolean; partition_name?: string; resource?: string },
  kind: string,
  services: Config["services"],
  path: SettingPath,
  source: Source,
): { service?: string; resource: string; console: boolean } {
  const service =
    to.service || !to.console ? chooseService(to.service || undefined, services, path, source) : undefined;
  return {
    ...given("service", service),
    resource: to.partition_name ? `/${kind}/${to.partition_name}` : (to.resource ?? `/${kind}`),
    console: to.console ?? false,
  };
}
