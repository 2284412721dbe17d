// Ends a test file that does not end by itself once its tests have: what one of them left open, as one that fails may, costs half a minute and is named.
import { registerCompletionHandler } from "ava";

/** Threads and processes that were told to stop take a moment, and many moments on a machine that does something else besides. */
const ENDING_MS_MAX = 30_000;

// By which ava ends the files of tests that hang: what is to be done as a file ends, such as ending what it started, is done then too.
process.once("SIGTERM", () => {
  process.emit("exit", 1);
  process.kill(process.pid, "SIGKILL");
});

registerCompletionHandler(() => {
  setTimeout(() => {
    const left = Object.entries(Object.groupBy(process.getActiveResourcesInfo(), (kind) => kind));
    const named = left.map(([kind, all]) => `${all?.length} ${kind}`).join(", ");
    // Which ava reports with the file's name, counts as a failure, and ends the file by.
    throw new Error(`still open ${ENDING_MS_MAX / 1000} s after the last test, so that the file did not end: ${named}`);
  }, ENDING_MS_MAX).unref();
});
