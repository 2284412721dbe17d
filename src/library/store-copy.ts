// Copies of stores for the command line.
export { copyStore, type StoreCopied } from "../node/copy.ts";
