// `railgate init`: a folder for policies of one's own.
import type { Command } from "commander";
import { author, authorCommand } from "../io/authoring.ts";
import { EXIT } from "../io/command.ts";
import { safe } from "../io/output.ts";

export function initCommand(): Command {
  return authorCommand(
    "init",
    "make a folder for policies of your own: an extension, its tests, requests, settings, CI",
  )
    .argument("<dir>", "the folder; it must be new, or empty")
    .action((dir: string, options: object) =>
      author(options, async ({ out }) => {
        const { initFolder } = await import("../../workshop/init.ts");
        const files = initFolder(dir);
        if (out.json) out.value({ dir, files });
        else {
          for (const file of files) out.line(safe(`${dir}/${file}`.replaceAll("//", "/")));
          out.line();
          out.line(`Next: cd ${safe(dir)} && npx railgate test`);
        }
        return EXIT.done;
      }),
    );
}
