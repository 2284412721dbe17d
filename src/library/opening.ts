// What a node in this process is made of, for whoever loads all of it in one step.
export { RailgateNode } from "../node/open.ts";
export { LocalRailgate } from "./local.ts";
export { checkOptions } from "./options.ts";
