// Calls back when something has changed that a person is working on, once what they do at one go is done.
import { existsSync, watch, type FSWatcher } from "node:fs";
import { basename, dirname, resolve } from "node:path";

/** An editor writes a file in several steps. */
const SETTLED_MS = 20;

/**
 * Calls `work` at once and after each change, never twice at a time, until the process is told to stop (SIGINT, SIGTERM).
 * @param files single files; they may be replaced, as editors do. @param folder with all that is below it.
 */
export async function onChange(
  files: readonly string[],
  folder: string | undefined,
  work: () => Promise<void>,
): Promise<void> {
  let changed = true;
  let wake = (): void => {};
  let ended = false;
  const note = (): void => {
    changed = true;
    wake();
  };
  const end = (): void => {
    ended = true;
    wake();
  };
  const watchers: FSWatcher[] = [
    ...[...new Set(files.map((file) => dirname(resolve(file))))]
      .filter((directory) => existsSync(directory))
      .map((directory) =>
        watch(directory, (_, name) => {
          if (name === null || files.some((file) => dirname(resolve(file)) === directory && basename(file) === name))
            note();
        }),
      ),
    ...(folder === undefined ? [] : [watch(folder, { recursive: true }, note)]),
  ];
  process.once("SIGINT", end).once("SIGTERM", end);
  try {
    while (!ended) {
      if (changed) {
        await new Promise((done) => setTimeout(done, SETTLED_MS));
        changed = false;
        await work();
      } else await new Promise<void>((resume) => (wake = resume));
    }
  } finally {
    for (const watcher of watchers) watcher.close();
    process.removeListener("SIGINT", end).removeListener("SIGTERM", end);
  }
}
