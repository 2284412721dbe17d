// Which Node.js a node of Railgate runs on; evaluation and verification alone run on older ones.

/** node:sqlite without a flag, and what ES2024 brought. */
const NODE_MAJOR_MIN = 24;

/** @returns what to tell whoever runs an older one; undefined where `version` will do. */
export function tooOld(version: string): string | undefined {
  if (Number.parseInt(version, 10) >= NODE_MAJOR_MIN) return undefined;
  return `this is Node.js ${version}, and Railgate needs ${NODE_MAJOR_MIN} or newer; in a checkout, npm scripts bring their own`;
}
