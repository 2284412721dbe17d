// Key sets that settings name by their file, read again while a node runs.
import type { TrustConfig } from "../../trust/trust.ts";
import { readJwks, readRoots } from "./keys.ts";
import { trustOptions } from "./options.ts";
import { provenanceFiles } from "./provenance.ts";
import { given, type Source } from "./source.ts";
import type { Config, Jwks } from "./types.ts";

type Jwt = NonNullable<NonNullable<Config["authentication"]>["jwt"]>;

/** Names of settings alone, since where they stood matters no more. */
const NOWHERE: Omit<Source, "notes" | "origin"> = { env: {}, file: null, lineOf: () => undefined, cwd: "/" };

function reread(file: string, ...path: (string | number)[]): Jwks {
  return readJwks(file, ["railgate", ...path], { ...NOWHERE, notes: [], origin: new Map() });
}

const rootsAnew = (file: string, index: number): string =>
  readRoots(file, ["railgate", "trust", "attesters", index, "x5c_roots"], { ...NOWHERE, notes: [], origin: new Map() });

/** Callers' keys as their file holds them now. @throws ConfigError */
export function rereadCallers({ jwks, jwksFile }: Pick<Jwt, "jwks" | "jwksFile">): Jwks {
  return jwksFile === undefined ? jwks : reread(jwksFile, "authentication", "jwt", "jwks");
}

export function trustFiles({ authorities, attesters, provenance }: Config["trust"]): string[] {
  return [
    ...[...authorities, ...attesters].flatMap(({ jwksFile }) => jwksFile ?? []),
    ...attesters.flatMap(({ x5cRootsFile }) => x5cRootsFile ?? []),
    ...provenanceFiles(provenance),
  ];
}

/** Whose word counts, with keys as their files hold them now: all of them, or none. @throws ConfigError */
export function rereadTrust(trust: Config["trust"]): TrustConfig {
  const anew = <T extends { jwks: Jwks; jwksFile?: string }>(kind: string, list: readonly T[]): T[] =>
    list.map((entry, index) =>
      entry.jwksFile === undefined ? entry : { ...entry, jwks: reread(entry.jwksFile, "trust", kind, index, "jwks") },
    );
  return trustOptions({
    authorities: anew("authorities", trust.authorities),
    attesters: anew("attesters", trust.attesters).map((attester, index) =>
      attester.x5cRootsFile === undefined
        ? attester
        : { ...attester, x5cRoots: rootsAnew(attester.x5cRootsFile, index) },
    ),
    ...given("provenance", trust.provenance),
  });
}
