// The settings under `railgate.trust.provenance`: what bundles are verified against, and who may vouch for how much.
import { readFileSync } from "node:fs";
import type { ConfigFile } from "../../core/schema/config.ts";
import { ConfigError } from "../../core/errors.ts";
import { pinRoot } from "../../trust/provenance/root.ts";
import type { ProvenanceConfig } from "../../trust/provenance/verify.ts";
import { absolute, fault, type Source } from "./source.ts";
import type { Config } from "./types.ts";

type Settings = NonNullable<Config["trust"]["provenance"]>;

/** @throws ConfigError naming the setting and what is wrong with its file. */
export function readProvenance(file: ConfigFile, source: Source): Settings | undefined {
  const given = file.railgate?.trust?.provenance;
  if (given === undefined) return undefined;
  const path = ["railgate", "trust", "provenance"];
  const { trusted_root, keys = [], identities = [], store = true } = given;
  keys.forEach(({ id }, index) => {
    if (keys.findIndex((key) => key.id === id) < index)
      throw fault(source, [...path, "keys", index, "id"], "appears twice");
  });
  if (identities.length === 0)
    throw fault(source, [...path, "identities"], "names nobody, so no bundle could ever hold; name who may vouch");
  const settings = {
    trustedRoot: absolute(trusted_root, source)!,
    keys: keys.map(({ id, key }) => ({ id, file: absolute(key, source)! })),
    identities: identities.map((identity) => ({ ...identity, level: identity.level ?? 1 })),
    store,
  };
  provenanceOptions(settings);
  return settings;
}

/** The files that it names. */
export const provenanceFiles = (settings: Config["trust"]["provenance"]): string[] =>
  settings === undefined ? [] : [settings.trustedRoot, ...settings.keys.map(({ file }) => file)];

/** With what the files hold now. @throws ConfigError */
export function provenanceOptions(settings: Config["trust"]["provenance"]): ProvenanceConfig | undefined {
  if (settings === undefined) return undefined;
  const { trustedRoot, keys, identities, store } = settings;
  const setting = "railgate.trust.provenance";
  const config = {
    trustedRoot: readFile(trustedRoot, `${setting}.trusted_root`),
    keys: keys.map(({ id, file }, index) => {
      const pem = readFile(file, `${setting}.keys[${index}].key`).toString("utf8");
      if (pem.includes("PRIVATE KEY"))
        throw new ConfigError(`${setting}.keys[${index}].key`, "holds a private key; give the public one");
      return { id, pem };
    }),
    identities,
    store,
  };
  pinRoot(config.trustedRoot, config.keys);
  return config;
}

function readFile(file: string, setting: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new ConfigError(setting, `${file} cannot be read: ${(error as Error).message}`);
  }
}
