// Backups for the command line: of the data directory that its settings name, whoever holds it, and back into one.
export { makeBackup } from "../node/backup/make.ts";
export { restoreBackup } from "../node/backup/restore.ts";
