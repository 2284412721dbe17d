// What the commands of policy authors have in common: what is wrong with a policy is told by file and line, and is exit 1.
import { newCommand, run, EXIT, type CommandContext, type ExitCode } from "./command.ts";
import type { Command } from "commander";
import type { Output } from "./output.ts";
import { safe } from "./output.ts";

/** A command that needs no node, and no settings of one. */
export const authorCommand = (name: string, summary: string): Command => newCommand(name, summary, []);

/** As `run`; a policy or bundle that is not as it must be is exit 1, a file that is not there or no archive 3. */
export function author(options: object, work: (context: CommandContext) => Promise<ExitCode>): Promise<void> {
  return run({ ...options }, async (context) => {
    const [{ PolicyError }, { BundleError }] = await Promise.all([
      import("../../workshop/annotations.ts"),
      import("../../core/errors.ts"),
    ]);
    try {
      return await work(context);
    } catch (error) {
      if (error instanceof PolicyError) return tell(context.out, error);
      if (error instanceof BundleError) return tellBundle(context.out, error);
      throw error;
    }
  });
}

/** A bundle that is not as it must be is exit 1, one that is no archive 3. */
export function tellBundle(out: Output, error: Told & { readonly reason: string }): ExitCode {
  return tell(out, error, error.reason === "archive" ? EXIT.cannotRun : EXIT.refused);
}

type Told = { readonly code: string; readonly message: string; readonly faults?: readonly object[] };

function tell(out: Output, { code, message, faults = [] }: Told, exit: ExitCode = EXIT.refused): ExitCode {
  out.progress("");
  if (out.json) out.value({ code, message, ...(faults.length > 0 && { errors: faults }) });
  const lines = message.replaceAll("\t", "  ").split("\n").map(safe);
  if (lines.length === 1 && faults.length === 0) out.note(`railgate: ${lines[0]}`);
  else for (const line of lines) out.note(line);
  return exit;
}
