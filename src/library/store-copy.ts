// Copies of stores for the command line.
export { copyStore } from "../node/copy.ts";
