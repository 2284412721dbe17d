// What a server takes anew from its files: certificates, callers' keys, keys whose word counts, bundles.
import type { LocalRailgate } from "../library/local.ts";
import { rereadCallers, rereadTrust, trustFiles } from "../node/config/anew.ts";
import type { Config } from "../node/config/config.ts";
import type { ServedListener } from "./listener.ts";
import type { Reloadable } from "./reload.ts";

/** All files that a server may take anew. */
export function filesOf({ tls, authentication, trust, bundles }: Config): string[] {
  const { cert, key, clientCa } = tls ?? {};
  const ofBundles = Object.values(bundles).flatMap(({ from }) => (from.kind === "file" ? [from.path] : []));
  return [cert, key, clientCa, authentication?.jwt?.jwksFile, ...trustFiles(trust), ...ofBundles].filter(
    (file) => file !== undefined,
  );
}

/** @param listeners those that have certificates and let callers in. */
export function reloadables(
  config: Config,
  railgate: LocalRailgate,
  listeners: readonly ServedListener[],
): Reloadable[] {
  const { tls, authentication, trust, bundles } = config;
  const found: Reloadable[] = [];
  if (tls)
    found.push({
      what: "tls",
      files: [tls.cert, tls.key, ...(tls.clientCa === undefined ? [] : [tls.clientCa])],
      reload: async () => {
        for (const listener of listeners) listener.renewCertificates();
      },
    });
  const { jwt } = authentication ?? {};
  if (jwt?.jwksFile !== undefined)
    found.push({
      what: "callers",
      files: [jwt.jwksFile],
      reload: async () => {
        const jwks = rereadCallers(jwt);
        for (const listener of listeners) listener.renewCallers(jwks);
      },
    });
  found.push({ what: "trust", files: trustFiles(trust), reload: () => railgate.renewTrust(rereadTrust(trust)) });
  for (const { name, from } of Object.values(bundles))
    if (from.kind === "file")
      found.push({ what: `bundle ${name}`, files: [from.path], reload: () => railgate.offerBundle(name) });
  return found;
}
