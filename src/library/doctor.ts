// What can be wrong with a node, by its settings: the checks of `railgate doctor`, in the order in which one rests on another.
import { readFileSync } from "node:fs";
import { BundleError } from "../core/errors.ts";
import { DIRECTORY_CHECKS, fail, ok, warn, type Finding } from "../evidence/fsck/data-directory.ts";
import type { Config } from "../node/config/config.ts";
import { checkSettingsSource, settingsSource } from "../node/settings.ts";
import { nodeIdIn } from "../node/restore.ts";
import { loadUnder, type SettingsSource } from "../policies/choose.ts";
import { readableAt } from "../store/shared.ts";
import { bundlesAtHand, type BundleAtHand } from "./bundles-at-hand.ts";

export type { Finding };

/** It throws only what is itself a failure. @param progress is told now and then how many events were verified. */
type Look = (config: Config, progress: (events: number) => void) => Promise<Finding[]> | Finding[];
export type DoctorCheck = readonly [name: string, look: Look];

const BUNDLE_AGE_DAYS_WARN = 30;
const DAY_MS = 86_400_000;

const ofDirectory = (name: keyof typeof DIRECTORY_CHECKS): DoctorCheck => [
  name,
  ({ dataDir, store: shared, nodeId, evidence }, progress) =>
    DIRECTORY_CHECKS[name]({
      dataDir,
      at: readableAt(dataDir, shared),
      checkpointDir: evidence.checkpointDir,
      nodeIdIn: (store) => nodeIdIn(store, nodeId),
      progress,
    }),
];

export const CHECKS: readonly DoctorCheck[] = [
  ["node", () => [nodeVersion()]],
  ["settings", settings],
  ofDirectory("directory"),
  ofDirectory("lock"),
  ofDirectory("private keys"),
  ["policy", policies],
  ofDirectory("database"),
  ofDirectory("evidence"),
  ofDirectory("checkpoints"),
  ofDirectory("clock"),
  ofDirectory("size"),
  ofDirectory("disk"),
];

function nodeVersion(): Finding {
  const { engines } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    engines: { node: string };
  };
  const least = Number(/\d+/.exec(engines.node)?.[0]);
  const major = Number(process.versions.node.split(".")[0]);
  return major >= least
    ? ok(`Node.js ${process.versions.node}`)
    : fail(`Node.js ${process.versions.node} is too old`, `install Node.js ${engines.node}`);
}

function settings({ file, warnings, exposed }: Config): Finding[] {
  const read = ok(file === null ? "defaults; there is no opa.yaml" : file);
  const idle = warnings.map((line) => warn(line, "remove it, if only Railgate reads the file"));
  return [read, ...idle, ...exposed.map(({ message, cure }) => warn(message, cure))];
}

/** Each with the settings laid over its own, where these are any. */
async function policies(config: Config): Promise<Finding[]> {
  const laid = await overlay(config);
  const settings = laid.some(({ status }) => status === "fail")
    ? undefined
    : settingsSource(config.settings, config.keys);
  return [...laid, ...(await Promise.all(bundlesAtHand(config).map((bundle) => policy(bundle, settings))))];
}

/** What the operator lays over the policy's settings. */
async function overlay({ settings: file, keys }: Config): Promise<Finding[]> {
  const source = settingsSource(file, keys);
  if (!source) return [];
  try {
    await checkSettingsSource(source, "railgate.settings", file);
    return [ok(`${file} is laid over the policy's settings`)];
  } catch (error) {
    return [fail((error as Error).message, "mend it: a node does not start with it")];
  }
}

async function policy({ name, terms, bytes }: BundleAtHand, settings: SettingsSource | undefined): Promise<Finding> {
  const what = name === null ? "" : `${name}: `;
  try {
    const found = await bytes();
    if (found === undefined)
      return warn(`${what}it has not come from its service yet`, "until it has, what it is about is refused (POL-01)");
    const { revision, digest } = await loadUnder(found, terms, undefined, settings);
    return bundleAge(revision, `${what}signature verified, revision ${revision || "none"}, ${digest.slice(0, 19)}…`);
  } catch (error) {
    if (error instanceof BundleError && error.reason === "settings")
      return fail(`${what}${error.message}`, "change the settings, or the bundle: a node does not start with both");
    return fail(
      (error as Error).message,
      "give the node a bundle signed by a key that stands under `keys`; until then it refuses everything (POL-01)",
    );
  }
}

/** A policy from a file has no age that counts (law.md §6); its revision may still tell when it was made. */
function bundleAge(revision: string, message: string): Finding {
  const madeMs = Date.parse(revision);
  if (!/^\d{4}-\d\d-\d\dT/.test(revision) || Number.isNaN(madeMs)) return ok(message);
  const days = Math.floor((Date.now() - madeMs) / DAY_MS);
  return days <= BUNDLE_AGE_DAYS_WARN
    ? ok(`${message}, ${days} days old`)
    : warn(`${message}, ${days} days old`, "see whether there is a newer one");
}
