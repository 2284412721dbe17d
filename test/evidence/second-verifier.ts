// Asks audit/verify.py, the verifier in Python, about every export that a test's own verifier judged: of all of them in one process.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import type { ExecutionContext } from "ava";
import { verifyExport as verifyByUs } from "../../src/evidence/verify/node.ts";
import type { ExportInput } from "../../src/evidence/verify/index.ts";
import type { VerifyReport } from "../../src/evidence/verify/report.ts";
import type { VerifyOptions } from "../../src/evidence/verify/verification.ts";
import { sha256 } from "./exports.ts";

const AUDIT = new URL("../../audit/", import.meta.url).pathname;

type Given = ReadonlyMap<string, Buffer> | Buffer;
interface Judged {
  readonly given: Given;
  readonly options: VerifyOptions;
  readonly report: VerifyReport;
}

const judged: Judged[] = [];

/** Our verifier, whose verdict {@link theyAgree} compares afterwards. */
export async function verifyExport(input: string | ExportInput, options: VerifyOptions = {}): Promise<VerifyReport> {
  const report = await verifyByUs(input, options);
  if (options.limits === undefined) compareLater(input, options, report);
  return report;
}

/** What can be given to another process is kept. */
export function compareLater(input: string | ExportInput, options: VerifyOptions, report: VerifyReport): void {
  const given =
    typeof input === "string" && existsSync(input) && statSync(input).isFile() ? readFileSync(input) : input;
  if (given instanceof Map) judged.push({ given: new Map(given), options, report });
  else if (Buffer.isBuffer(given)) judged.push({ given, options, report });
}

/** Reads what each export is made of, and writes a report a line. */
const ASKS = `
import base64, json, sys
sys.path.insert(0, sys.argv[1])
import verify
given = json.load(sys.stdin)
blobs = {name: base64.b64decode(data) for name, data in given["blobs"].items()}
for each in given["asked"]:
    pins = verify.read_pins(each["jwks"]) if each["jwks"] else None
    files = each["files"]
    since = verify.read_since(each["since"]) if each["since"] else None
    if isinstance(files, str): report = verify.verify_bytes(blobs[files], pins, each["trusts"], since)
    else: report = verify.verify({name: blobs[blob] for name, blob in files.items()}, pins, each["trusts"], since)
    print(json.dumps(report))
`;

interface Opinion {
  readonly ok: boolean;
  readonly checks: readonly { readonly name: string; readonly status: string; readonly detail: string }[];
}

/** For `test.after`: both verifiers say the same of each export, as a whole. */
export function theyAgree(t: ExecutionContext): void {
  t.true(judged.length > 0);
  const opinions = secondOpinions();
  if (opinions === undefined) return t.log("NOT CHECKED: python3 with its package cryptography is not here");
  const differing = judged.flatMap(({ report }, at) => {
    const { ok, checks } = opinions[at]!;
    const failed = (each: readonly { name: string; status: string; detail: string }[]) =>
      each.filter(({ status }) => status !== "passed").map(({ name, detail }) => `${name}: ${detail}`);
    return ok === report.ok ? [] : [{ ours: failed(report.checks), theirs: failed(checks) }];
  });
  t.deepEqual(differing, []);
}

/**
 * A report for each export that was judged.
 * @returns undefined where Python or its package is missing, which is an error where CI says that it is one.
 * @throws Error Python said something else.
 */
function secondOpinions(): Opinion[] | undefined {
  const found = spawnSync("python3", ["-c", "import cryptography"], { encoding: "utf8" });
  if (found.status !== 0) {
    if (process.env["CI"] === undefined) return undefined;
    throw new Error(
      `the second verifier needs python3 and its package cryptography (pip install cryptography): ${found.stderr}`,
    );
  }
  const blobs: Record<string, string> = {};
  const put = (data: Buffer): string => {
    const name = sha256(data);
    blobs[name] ??= data.toString("base64");
    return name;
  };
  const asked = judged.map(({ given, options: { jwks, ownKeys, trustEmbeddedKeys = false, since } }) => ({
    files: Buffer.isBuffer(given)
      ? put(given)
      : Object.fromEntries([...given].map(([name, data]) => [name, put(data)])),
    jwks: jwks ?? ownKeys ?? null,
    trusts: trustEmbeddedKeys,
    since: since ?? null,
  }));
  const { status, stdout, stderr } = spawnSync("python3", ["-c", ASKS, AUDIT], {
    input: JSON.stringify({ blobs, asked }),
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(stderr);
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Opinion);
}
