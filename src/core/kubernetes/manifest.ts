// Reads a Kubernetes object member by member, each of the type that it must have: whatever else it is has its place named, and nothing is taken for something that it is not.
import { RequestError } from "../errors.ts";

/** An object in a manifest, and where it lies: `spec.containers[0].image`. What is null counts as absent, as in Kubernetes. */
export class ManifestPart {
  readonly at: string;
  readonly value: Readonly<Record<string, unknown>>;

  private constructor(value: object, at: string) {
    this.value = value as Readonly<Record<string, unknown>>;
    this.at = at;
  }

  /** The object itself. @throws RequestError 422 where it is none. */
  static of(value: unknown, at = ""): ManifestPart {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(at, "an object");
    return new ManifestPart(value, at);
  }

  /** Where a member is, or would be. */
  within(name: string): string {
    return this.at === "" ? name : `${this.at}.${name}`;
  }

  object(name: string): ManifestPart | undefined {
    const value = this.#member(name);
    return value === undefined ? undefined : ManifestPart.of(value, this.within(name));
  }

  /** A list of objects. */
  objects(name: string): ManifestPart[] {
    return this.#list(name).map((item, index) => ManifestPart.of(item, `${this.within(name)}[${index}]`));
  }

  texts(name: string): string[] {
    return this.#list(name).map((item, index) => asText(item, `${this.within(name)}[${index}]`));
  }

  text(name: string): string | undefined {
    const value = this.#member(name);
    return value === undefined ? undefined : asText(value, this.within(name));
  }

  flag(name: string): boolean | undefined {
    const value = this.#member(name);
    if (value === undefined || typeof value === "boolean") return value;
    throw wrong(this.within(name), "true or false");
  }

  integer(name: string): number | undefined {
    const value = this.#member(name);
    if (value === undefined || Number.isSafeInteger(value)) return value as number | undefined;
    throw wrong(this.within(name), "a whole number");
  }

  /** An object of texts, such as labels. */
  labels(name: string): ReadonlyMap<string, string> {
    const members = Object.entries(this.object(name)?.value ?? {});
    return new Map(members.map(([key, value]) => [key, asText(value, `${this.within(name)}[${key}]`)]));
  }

  /** Names of the members that are set. */
  names(): string[] {
    return Object.keys(this.value).filter((name) => this.#member(name) !== undefined);
  }

  #member(name: string): unknown {
    return Object.hasOwn(this.value, name) ? (this.value[name] ?? undefined) : undefined;
  }

  #list(name: string): readonly unknown[] {
    const value = this.#member(name) ?? [];
    if (Array.isArray(value)) return value;
    throw wrong(this.within(name), "a list");
  }
}

function asText(value: unknown, at: string): string {
  if (typeof value === "string") return value;
  throw wrong(at, "text");
}

/** A manifest that cannot be read: `pointer` is the place as Kubernetes writes it. */
export function wrong(at: string, must: string): RequestError {
  return new RequestError(422, [{ pointer: at, message: `must be ${must}` }]);
}
