// `railgate doctor`: whether this node can run and what it holds is sound; each finding with its cure.
import { counted } from "../../core/counted.ts";
import type { Command } from "commander";
import type { DoctorCheck, Finding } from "../../library/doctor.ts";
import type { Config } from "../../node/config/config.ts";
import { EXIT, newCommand, run, type CommandContext, type ExitCode } from "../io/command.ts";
import { safe, type Output } from "../io/output.ts";

type Said = Finding & { readonly check: string };

export function doctorCommand(): Command {
  return newCommand("doctor", "look for what is wrong with this node and its data; exit 1 if something is").action(
    (options: object) => run({ ...options }, doctor),
  );
}

async function doctor({ config, out }: CommandContext): Promise<ExitCode> {
  const { CHECKS } = await import("../../library/doctor.ts");
  const findings: Said[] = [];
  for (const check of CHECKS) {
    const found = await lookFor(check, config, out);
    out.progress("");
    findings.push(...found);
    if (!out.json) found.forEach((finding) => write(out, finding));
  }
  const failed = findings.filter(({ status }) => status === "fail").length;
  const warned = findings.filter(({ status }) => status === "warn").length;
  if (out.json) out.value({ ok: failed === 0, checks: findings });
  else out.line(failed + warned === 0 ? out.colour.green("All is well.") : `${failed} failed, ${warned} to look at.`);
  return failed === 0 ? EXIT.done : EXIT.refused;
}

async function lookFor([name, look]: DoctorCheck, config: Config, out: Output): Promise<Said[]> {
  try {
    return (await look(config, (events) => out.progress(`verified ${counted(events, "event")}…`))).map((finding) => ({
      check: name,
      ...finding,
    }));
  } catch (error) {
    return [{ check: name, status: "fail", message: `couldn't be checked: ${(error as Error).message}` }];
  }
}

const NAME_WIDTH = "private keys".length;

function write(out: Output, { check, status, message, cure }: Said): void {
  const paint = { ok: out.colour.green, warn: out.colour.yellow, fail: out.colour.red }[status];
  out.hanging(`${paint(status.padEnd(4))}  ${check.padEnd(NAME_WIDTH)}  `, safe(message));
  if (cure !== undefined) out.labelled("cure", safe(cure), 3);
}
