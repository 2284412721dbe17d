// `railgate attestation inspect`: what an attestation token says, what of it holds, and which step fails; offline.
import { readFileSync } from "node:fs";
import { Command } from "commander";
import type { TokenReport } from "../../library/attestation.ts";
import { EXIT, newCommand, run, UsageError, type CommandContext, type ExitCode } from "../io/command.ts";
import { safe, type Output } from "../io/output.ts";

export function attestationCommand(): Command {
  const attestation = new Command("attestation").description("what hardware is attested to be");
  attestation.addCommand(
    newCommand("inspect", "say what a token is, by what the settings pin; exit 0 only if it holds and is a pass")
      .argument("<token>", "a token, or a detached bundle of NRAS as JSON; - for standard input")
      .action((token: string, options: object) => run({ ...options }, (context) => inspect(context, token))),
  );
  return attestation;
}

async function inspect({ config, out }: CommandContext, token: string): Promise<ExitCode> {
  const text = (token === "-" ? readFileSync(0, "utf8") : token).trim();
  if (text === "") throw new UsageError("there is no token to inspect");
  const { inspectAttestation } = await import("../../library/attestation.ts");
  const report = await inspectAttestation(config, text, Date.now());
  if (out.json) out.value(report);
  else tell(out, report);
  return report.ok ? EXIT.done : EXIT.refused;
}

function tell(out: Output, { ok, step, message, header, claims, fact, nonces, devices }: TokenReport): void {
  const verdict =
    step === null ? (ok ? out.colour.green("holds") : out.colour.yellow("no pass")) : out.colour.red("fails");
  out.line(step === null ? `${verdict}  ${message}` : `${verdict}  at ${step}: ${message}`);
  for (const device of devices ?? [])
    out.line(
      `  ${safe(device.kind ?? "device")} ${safe(device.model ?? "")}: ${device.result ?? `fails at ${device.error}`}`,
    );
  if (nonces.length > 0) out.line(`  nonce      ${nonces.map((allowed) => safe(allowed.join(" or "))).join(", ")}`);
  if (fact?.status === "verified")
    for (const [name, value] of Object.entries(fact))
      if (value !== null && !["form", "status", "nonce", "token_digest"].includes(name))
        out.line(`  ${name.padEnd(18)} ${safe(typeof value === "string" ? value : JSON.stringify(value))}`);
  if (step === null || header === null) return;
  out.line("It says of itself, and nobody vouches for it:");
  out.line(`  header  ${safe(JSON.stringify(header))}`);
  out.line(`  claims  ${safe(JSON.stringify(claims))}`);
}
