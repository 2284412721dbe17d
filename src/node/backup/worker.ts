// The thread in which a node that runs makes a backup of itself, so that it goes on deciding.
import type { RailgateError } from "../../core/errors.ts";
import { answerRequests } from "../../threads/threads.ts";
import type { ApartAnswer } from "./apart.ts";
import { makeBackup, type BackupOptions } from "./make.ts";

answerRequests<BackupOptions, ApartAnswer>(async (options) => {
  try {
    return { backup: await makeBackup(options) };
  } catch (error) {
    const { code, message } = error as RailgateError;
    return { code, message };
  }
});
