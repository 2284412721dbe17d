// The settings that an operator has laid over the policy's own: how an event names them, beside the policy. Both pin what decides. In browsers too.
import { isDigest } from "./digest.ts";

const MEMBER = "settings_snapshot_id";

type Details = { readonly [name: string]: unknown };

/** What an event's details say of the settings; nothing where there are none. */
export const settingsDetail = (digest: string | null): Details => (digest === null ? {} : { [MEMBER]: digest });

/** The digest that an event's details name, whatever it is; undefined where they name none. */
export const namedSettings = (details: unknown): unknown => (details as Details | null | undefined)?.[MEMBER];

/** The same, null where there is none that could be one. */
export function settingsOfEvent({ details }: { readonly details?: Details }): string | null {
  const digest = namedSettings(details);
  return isDigest(digest) ? digest : null;
}
