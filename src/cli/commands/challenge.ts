// `railgate challenge`: a nonce for one attestation of a workload.
import type { Command } from "commander";
import { EXIT, nodeCommand, run, type CommandContext, type ExitCode } from "../io/command.ts";

type Options = { tenant?: string };

export function challengeCommand(): Command {
  return nodeCommand("challenge", "issue a nonce for one attestation of a workload, good for five minutes")
    .argument("<workload>", "the workload's id, admitted or not")
    .option("--tenant <id>", "whose workload it is (default: the caller's tenant, or default)")
    .action((workload: string, options: Options) =>
      run({ ...options }, (context) => challenge(context, workload, options)),
    );
}

async function challenge(context: CommandContext, workloadId: string, { tenant }: Options): Promise<ExitCode> {
  const { withRailgate } = await import("../io/open.ts");
  const { answer } = await withRailgate(context, (railgate) => railgate.challenge({ workloadId, tenantId: tenant }));
  const { out } = context;
  if (out.json) out.value(answer);
  else out.line(answer.nonce);
  return EXIT.done;
}
