// A bundle that was built without our capabilities: what it calls and cannot have here is named when it is loaded, and numbers are exact or refused.
import { generateKeyPairSync } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { callsOf } from "../../../src/policy/calls.ts";
import { loadBundle, type BundleKeys, type Policy } from "../../../src/policy/policy.ts";
import { inDirectory, opa } from "../law.ts";

const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const KEYS: BundleKeys = {
  default: { key: publicKey.export({ type: "spki", format: "pem" }) as string, algorithm: "RS256" },
};

/** What OPA builds and signs of a policy, with all the builtins that it has itself. */
async function loaded(policy: string): Promise<Policy> {
  const bytes = await inDirectory(async (directory) => {
    const [file, key, bundle] = [join(directory, "p.rego"), join(directory, "key.pem"), join(directory, "b.tar.gz")];
    writeFileSync(file, policy);
    writeFileSync(key, privateKey.export({ type: "pkcs8", format: "pem" }));

    await opa(
      "build",
      "-t",
      "wasm",
      "-e",
      "p/x",
      "--signing-key",
      key,
      "-o",
      bundle,
      "--ignore",
      "key.pem",
      "--bundle",
      directory,
    );
    return readFileSync(bundle);
  });
  return loadBundle(bytes, { keys: KEYS });
}

test("all names, reasons, files and lines", async (t) => {
  const policy = `package p

x := [now, answer, token]

now := time.now_ns()

answer := http.send({"url": "x"})

token := io.jwt.encode_sign({"alg": "HS256"}, {}, {"kty": "oct", "k": "aa"})
`;
  const error = await t.throwsAsync(loaded(policy), { code: "policy_invalid" });
  t.is((error as unknown as { reason: string }).reason, "wasm");
  // OPA leaves entrypoints out of the sources that it packs, so the lines are those of the bundle's file.
  t.is(
    error?.message.replaceAll(/\S*p\.rego:\d+/g, "p.rego:n"),
    "the policy calls builtins that it cannot have here: " +
      "http.send (not deterministic: it asks the network) p.rego:n, " +
      "io.jwt.encode_sign (not deterministic: a signature may be random) p.rego:n, " +
      "time.now_ns (not deterministic: it reads the clock; take the time from the input) p.rego:n",
  );
});

test("a call is found where it is code, and not in text or comments", (t) => {
  const source = [
    "package p",
    "# http.send( in a comment",
    'x := ["http.send(1)", `',
    "http.send(2) `]",
    "y := [http.send({}), my.http.send(1), http.sender(1)]",
    "z := http.send({})",
  ].join("\n");
  const files = new Map([
    ["b/q.rego", new TextEncoder().encode("package q\n\nx := http.send(input)")],
    ["a/p.rego", new TextEncoder().encode(source)],
    ["data.json", new TextEncoder().encode('{"x": "http.send(1)"}')],
  ]);
  t.deepEqual(callsOf("http.send", files), ["a/p.rego:5", "a/p.rego:6", "b/q.rego:3"]);
});

test("numbers of any size are computed with exactly, and refused with their place in a result", async (t) => {
  const policy = await loaded(`package p

values := {
  "exact": time.parse_rfc3339_ns(input.time) - 1700000000000000000,
  "shown": sprintf("%d", [9007199254740993]),
  "set": {3, 1, 2},
}

x := values if not input.big

x := {"a/b": [{"n": 9007199254740993}]} if input.big == 1

x := {"n": -9007199254740992.5e1} if input.big == 2

x := 1e400 if input.big == 3
`);
  const time = "2023-11-14T22:13:20.000000001Z";
  t.deepEqual(policy.evaluate("p/x", { time }), { exact: 1, shown: "9007199254740993", set: [1, 2, 3] });
  for (const [big, message] of [
    [1, /\/a~1b\/0\/n in the result is 9007199254740993, beyond 2\^53−1/],
    [2, /\/n in the result is -9007199254740992\.5e1, beyond 2\^53−1/],
    [3, /the result is 1e400, beyond 2\^53−1/],
  ] as const)
    t.throws(() => policy.evaluate("p/x", { big }), { code: "policy_error", message });
  t.deepEqual(policy.evaluate("p/x", { time }), { exact: 1, shown: "9007199254740993", set: [1, 2, 3] });
});

test("without the constraint time a token that expires is not judged", async (t) => {
  const policy = await loaded(
    `package p\n\nx := io.jwt.decode_verify(input.token, object.union({"secret": "s"}, input.constraints))\n`,
  );
  const { createHmac } = await import("node:crypto");
  const signed = (payload: object): string => {
    const text = [{ alg: "HS256" }, payload]
      .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
      .join(".");
    return `${text}.${createHmac("sha256", "s").update(text).digest("base64url")}`;
  };
  const ask = (payload: object, constraints: object) => policy.evaluate("p/x", { token: signed(payload), constraints });
  t.deepEqual(ask({ a: 1 }, {}), [true, { alg: "HS256" }, { a: 1 }]);
  t.throws(() => ask({ exp: 2 }, {}), { code: "policy_error", message: /there is no clock/ });
  t.deepEqual(ask({ exp: 2 }, { time: 1_000_000_000 }), [true, { alg: "HS256" }, { exp: 2 }]);
  t.deepEqual(ask({ exp: 2 }, { time: 2_000_000_000 }), [false, {}, {}]);
});
