// `railgate node`: whether it is cut off, and an operator's word that it is, or no longer.
import { Command } from "commander";
import type { NodeStatus } from "../../core/schema/node.ts";
import { EXIT, nodeCommand, run, type CommandContext, type ExitCode } from "../io/command.ts";

type PartitionOptions = { reason?: string | undefined };

export function nodeCommands(): Command {
  const node = new Command("node").description("whether a node is cut off, and saying so");
  node.addCommand(
    nodeCommand("status", "show whether it is cut off, why, and how its records go upstream").action(
      (options: object) => run({ ...options }, showStatus),
    ),
  );
  node.addCommand(
    nodeCommand("partition", "say that it is cut off: nothing is sent upstream until it rejoins")
      .option("--reason <text>", "why; it becomes part of the evidence")
      .action((options: PartitionOptions) =>
        run({ ...options }, (context) => acted(context, (railgate) => railgate.isolate({ reason: options.reason }))),
      ),
  );
  node.addCommand(
    nodeCommand("rejoin", "take that back: the partition ends once all has arrived upstream").action(
      (options: object) => run({ ...options }, (context) => acted(context, (railgate) => railgate.rejoin())),
    ),
  );
  return node;
}

type Acting = { isolate(isolation: PartitionOptions): Promise<NodeStatus>; rejoin(): Promise<NodeStatus> };

async function acted(context: CommandContext, act: (railgate: Acting) => Promise<NodeStatus>): Promise<ExitCode> {
  const { withRailgate } = await import("../io/open.ts");
  const { answer } = await withRailgate(context, act);
  return show(context, answer);
}

async function showStatus(context: CommandContext): Promise<ExitCode> {
  const { withReader } = await import("../io/open.ts");
  return show(context, await withReader(context, (reader) => reader.nodeStatus()));
}

function show({ out }: CommandContext, status: NodeStatus): ExitCode {
  if (out.json) {
    out.value(status);
    return EXIT.done;
  }
  const { node_id, partition, upstream } = status;
  out.line(
    `${node_id ?? "a new node"}: ${partition.state}${partition.since === null ? "" : ` since ${partition.since}`}`,
  );
  for (const { reason, since, problem } of partition.reasons) out.line(`  ${reason} since ${since}: ${problem}`);
  if (upstream)
    out.line(`  upstream ${upstream.url}: ${upstream.backlog} records to go, ${upstream.forwarded} arrived`);
  for (const { chain_id, problem } of upstream?.refused ?? []) out.line(`  ${chain_id} is not taken: ${problem}`);
  return EXIT.done;
}
