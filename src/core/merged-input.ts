// What a batch's inputs have in common, merged into each of them (the batch form of OPA's data API).

type Members = { readonly [name: string]: unknown };

const isObject = (value: unknown): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Objects are merged member by member, all the way down, and the input's own comes before what is common; what is no object is taken as it is. */
export function mergedInput(common: unknown, own: unknown): unknown {
  if (!isObject(common) || !isObject(own)) return own;
  const merged: Record<string, unknown> = { __proto__: null, ...common };
  for (const [name, value] of Object.entries(own)) merged[name] = mergedInput(merged[name], value);
  return merged;
}
