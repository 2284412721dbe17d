// `railgate bundle`: policies built into a bundle, signed, verified, looked into and held against another.
import { Command } from "commander";
import type { BundleDifference, Inspected } from "../../workshop/bundles.ts";
import { author, authorCommand } from "../io/authoring.ts";
import { CannotRunError, EXIT, UsageError, whole, type CommandContext, type ExitCode } from "../io/command.ts";
import { safe, type Output } from "../io/output.ts";

type SignOptions = { signingKey?: string; signingAlg?: string; signingKeyId?: string; scope?: string };
type BuildOptions = SignOptions & {
  output: string;
  entrypoint?: string[];
  revision?: string;
  sequence?: number;
  expires?: string;
  standalone?: boolean;
};
type VerifyOptions = { verificationKey?: string; verificationKeyId?: string; signingAlg?: string; scope?: string };

const OUTPUT = "bundle.tar.gz";

export function bundleCommand(): Command {
  const bundle = new Command("bundle").description("policy bundles, in OPA's format");
  for (const make of [buildCommand, signCommand, verifyCommand, inspectCommand, diffCommand]) bundle.addCommand(make());
  return bundle;
}

const signing = (command: Command): Command =>
  command
    .option("--signing-key <file>", "sign with this private key, PEM or JWK")
    .option("--signing-alg <alg>", "with this algorithm (default RS256, for another kind of key the one it is for)")
    .option("--signing-key-id <id>", "say in the signature that the key is called so")
    .option("--scope <scope>", "say in the signature that it is for this scope");

function buildCommand(): Command {
  return signing(
    authorCommand("build", "build a folder of policies, joined to the law that comes with Railgate, into a bundle")
      .argument("[dir]", "the folder, or one that holds it as policy/", ".")
      .option("-o, --output <file>", "the bundle", OUTPUT)
      .option(
        "-e, --entrypoint <path>",
        "an entrypoint, as acme/api/allow, beside those that METADATA marks; may be given again",
        (path: string, before: string[] = []) => [...before, path],
      )
      .option("-r, --revision <text>", "its revision (default: the release and a digest of its content)")
      .option("--sequence <n>", "its number, which rises with every release: nodes refuse a lower one", whole(0))
      .option("--expires <time>", "from then on it counts as stale (RFC 3339)")
      .option("--standalone", "build the folder alone, without the law that comes with Railgate"),
  ).action((dir: string, options: BuildOptions) => author(options, (context) => build(context, dir, options)));
}

async function build({ out }: CommandContext, dir: string, options: BuildOptions): Promise<ExitCode> {
  const [{ buildPolicies }, { JoinedPolicies, FolderError }, { signed, inspectBundle, tryBuilt }, { timeMs }] =
    await Promise.all([
      import("../../workshop/build.ts"),
      import("../../workshop/folder.ts"),
      import("../../workshop/bundles.ts"),
      import("../../core/time.ts"),
    ]);
  const { output, entrypoint, revision, sequence, expires, standalone } = options;
  if (expires !== undefined && timeMs(expires) === undefined)
    throw new UsageError(
      `--expires: ${JSON.stringify(expires)} is no RFC 3339 time with zone, such as 2026-11-23T00:15:00Z`,
    );
  const wrong = entrypoint?.find((path) => !/^[A-Za-z_][\w.-]*(?:\/[A-Za-z_][\w.-]*)+$/.test(path));
  if (wrong !== undefined)
    throw new UsageError(`--entrypoint: ${JSON.stringify(wrong)} is no path of a rule, such as acme/api/allow`);
  const signer = await signerOf(options);
  const join = () => {
    try {
      return new JoinedPolicies(dir, { standalone: standalone === true });
    } catch (error) {
      throw error instanceof FolderError ? new CannotRunError(error.message, { cause: error }) : error;
    }
  };
  using policies = join();
  out.progress("building");
  const { files, deprecations } = await buildPolicies(policies, {
    entrypoints: entrypoint ?? [],
    revision,
    sequence,
    expires,
  });
  const violations = await tryBuilt(files);
  out.progress("");
  for (const { breaks, message } of violations)
    out.note(`it admits what no policy may (${breaks}): ${message}; no node takes it unless a root authority says so`);
  for (const name of policies.replaced)
    out.note(
      `${policies.shown(name)} takes the place of the law's own; railgate check --at-least railgate tells whether it is weaker`,
    );
  for (const { file, line, message } of deprecations) out.note(`${policies.shownPath(file)}:${line}: ${message}`);
  const bytes = await signed(files, signer);
  await write(output, bytes);
  const built = await inspectBundle(bytes);
  if (out.json) out.value({ output, ...built });
  else {
    out.line(`${output}: revision ${safe(built.revision ?? "none")}, ${built.digest}`);
    out.line(`${signer ? `Signed with ${signer.algorithm}` : out.colour.yellow("Not signed: no node takes it")}.`);
  }
  return EXIT.done;
}

async function signerOf({ signingKey, signingAlg, signingKeyId, scope }: SignOptions) {
  if (signingKey === undefined) {
    if (signingAlg !== undefined || signingKeyId !== undefined || scope !== undefined)
      throw new UsageError("--signing-alg, --signing-key-id and --scope need --signing-key");
    return undefined;
  }
  const { readSigningKey } = await import("../../workshop/keys.ts");
  const key = await readSigningKey(signingKey, signingAlg);
  return { ...key, keyId: signingKeyId, ...(scope !== undefined && { scope }) };
}

async function write(file: string, bytes: Uint8Array): Promise<void> {
  const { writeFileSync } = await import("node:fs");
  try {
    writeFileSync(file, bytes);
  } catch (cause) {
    throw new CannotRunError(`can't write ${file} (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
}

function signCommand(): Command {
  return signing(authorCommand("sign", "sign a bundle; a signature that was there is replaced"))
    .argument("<file>", "the bundle")
    .option("-o, --output <file>", "where to write it (default: the file itself)")
    .action((file: string, options: SignOptions & { output?: string }) =>
      author(options, (context) => sign(context, file, options)),
    );
}

async function sign(
  { out }: CommandContext,
  file: string,
  options: SignOptions & { output?: string },
): Promise<ExitCode> {
  const signer = await signerOf(options);
  if (signer === undefined) throw new UsageError("--signing-key is needed: the private key to sign with, PEM or JWK");
  const [{ signBundle }, { readInput }, { digestOf }] = await Promise.all([
    import("../../workshop/bundles.ts"),
    import("../../workshop/keys.ts"),
    import("../../core/event.ts"),
  ]);
  const bytes = await signBundle(readInput(file), signer);
  const { output = file } = options;
  await write(output, bytes);
  if (out.json)
    out.value({ output, digest: digestOf(bytes), algorithm: signer.algorithm, key_id: signer.keyId ?? null });
  else out.line(`${output}: signed with ${signer.algorithm}, ${digestOf(bytes)}`);
  return EXIT.done;
}

function verifyCommand(): Command {
  return authorCommand("verify", "verify a bundle as a node does before it uses it; exit 0 if it holds")
    .argument("<file>", "the bundle")
    .option("--verification-key <file>", "the public key, PEM or JWK, or a JWKS (default: `keys` of the settings)")
    .option("--verification-key-id <id>", "what the key is called, where the signature must say so")
    .option("--signing-alg <alg>", "the algorithm that it must be signed with")
    .option("--scope <scope>", "the scope that it must be signed for")
    .option("-c, --config-file <file>", "settings (RAILGATE_CONFIG; default ./opa.yaml if there is one)")
    .action((file: string, options: VerifyOptions) => author(options, (context) => verify(context, file, options)));
}

async function verify({ out, config }: CommandContext, file: string, options: VerifyOptions): Promise<ExitCode> {
  const { verificationKey, verificationKeyId: keyId, signingAlg, scope } = options;
  const [{ verifyBundle }, { readInput, readVerificationKeys }] = await Promise.all([
    import("../../workshop/bundles.ts"),
    import("../../workshop/keys.ts"),
  ]);
  if (verificationKey === undefined && Object.keys(config.keys).length === 0)
    throw new UsageError("--verification-key is needed: the public key of who signed, PEM or JWK, or a JWKS");
  const keys =
    verificationKey === undefined ? config.keys : await readVerificationKeys(verificationKey, signingAlg, keyId);
  const bytes = readInput(file);
  const { digest, revision, sequence, entrypoints } = await verifyBundle(bytes, keys, { keyId, scope });
  if (out.json) out.value({ ok: true, digest, revision, sequence, entrypoints });
  else {
    out.line(out.colour.green("Verified."));
    out.line(`Revision ${safe(revision) || "none"}, sequence ${sequence ?? "none"}, ${digest}`);
  }
  return EXIT.done;
}

function inspectCommand(): Command {
  return authorCommand("inspect", "show what is in a bundle: its revision, entrypoints, rules with their places, files")
    .argument("<file>", "the bundle")
    .action((file: string, options: object) => author(options, (context) => inspect(context, file)));
}

async function inspect({ out }: CommandContext, file: string): Promise<ExitCode> {
  const [{ inspectBundle }, { readInput }] = await Promise.all([
    import("../../workshop/bundles.ts"),
    import("../../workshop/keys.ts"),
  ]);
  const inspected = await inspectBundle(readInput(file));
  if (out.json) out.value(inspected);
  else writeInspected(out, inspected);
  return EXIT.done;
}

function writeInspected(out: Output, inspected: Inspected): void {
  const { signature } = inspected;
  const rows: [string, string][] = [
    ["Digest", inspected.digest],
    ["Revision", inspected.revision || "none"],
    ["Sequence", String(inspected.sequence ?? "none: nobody can tell an older one")],
    ...(inspected.expires === null ? [] : [["Expires", inspected.expires] as [string, string]]),
    ["Roots", inspected.roots.map((root) => root || "all of data").join(", ")],
    ["Entrypoints", inspected.entrypoints.join(", ") || "none"],
    [
      "Signature",
      signature === null
        ? "none: no node takes it"
        : `${signature.algorithm ?? "unreadable"}, key ${signature.key_id ?? "without a name"}; not verified here`,
    ],
  ];
  for (const [label, text] of rows) out.labelled(label, safe(text), 0, "Entrypoints".length);
  if (inspected.rules.length > 0) {
    out.line();
    out.table(
      ["RULE", "CODE", "PLACE", "TITLE"],
      inspected.rules.map(({ rule, code, places, title }) => [rule, code, places.join(", ") || "-", title].map(safe)),
    );
  }
  out.line();
  out.table(
    ["BYTES", "FILE"],
    inspected.files.map(({ name, bytes }) => [String(bytes), safe(name)]),
  );
}

function diffCommand(): Command {
  return authorCommand("diff", "hold two bundles against each other, signatures aside; exit 0 if alike, 1 if not")
    .argument("<a>", "a bundle")
    .argument("<b>", "another")
    .action((a: string, b: string, options: object) => author(options, (context) => diff(context, a, b)));
}

async function diff({ out }: CommandContext, a: string, b: string): Promise<ExitCode> {
  const [{ diffBundles }, { readInput }] = await Promise.all([
    import("../../workshop/bundles.ts"),
    import("../../workshop/keys.ts"),
  ]);
  const found = await diffBundles(readInput(a), readInput(b));
  if (out.json) out.value(found);
  else writeDifference(out, found);
  return found.alike ? EXIT.done : EXIT.refused;
}

const SIGN = { added: "+", removed: "-", changed: "~" } as const;

function writeDifference(out: Output, { alike, files, rules, values }: BundleDifference): void {
  if (alike) return out.line("Alike, signatures aside.");
  const text = (value: unknown) => (value === undefined ? "nothing" : JSON.stringify(value));
  for (const { kind, rule, code } of rules) out.line(`${SIGN[kind]} rule ${safe(rule)} ${safe(code)}`);
  for (const { kind, pointer, before, after } of values)
    out.line(`${SIGN[kind]} ${safe(pointer)}  ${safe(text(before))} → ${safe(text(after))}`);
  for (const { kind, name } of files) out.line(`${SIGN[kind]} ${safe(name)}`);
}
