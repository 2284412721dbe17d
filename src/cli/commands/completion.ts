// `railgate completion`: a script that lets a shell complete commands and options.
import { Argument, type Command } from "commander";
import { newCommand } from "../io/command.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = (typeof SHELLS)[number];

const INSTALL = `
Put one of these where your shell reads its settings:
  bash   eval "$(railgate completion bash)"
  zsh    eval "$(railgate completion zsh)"
  fish   railgate completion fish | source`;

export function completionCommand(root: Command): Command {
  return newCommand("completion", "write a script that completes commands and options", [])
    .addArgument(new Argument("<shell>").choices(SHELLS))
    .addHelpText("after", INSTALL)
    .action((shell: Shell, { json }: { json?: boolean }) => {
      const script = SCRIPTS[shell](pathsOf(root));
      process.stdout.write(json ? `${JSON.stringify({ shell, script })}\n` : script);
    });
}

/** What may follow each sequence of commands. */
type Paths = Map<string, { words: string[]; summaries: Map<string, string> }>;

function pathsOf(command: Command, path = "", into: Paths = new Map()): Paths {
  const summaries = new Map<string, string>();
  for (const sub of command.commands) summaries.set(sub.name(), sub.description());
  for (const argument of command.registeredArguments)
    for (const choice of argument.argChoices ?? []) summaries.set(choice, "");
  for (const option of command.options) if (option.long) summaries.set(option.long, option.description);
  summaries.set("--help", "say how this is used");
  into.set(path, { words: [...summaries.keys()], summaries });
  for (const sub of command.commands) pathsOf(sub, path === "" ? sub.name() : `${path} ${sub.name()}`, into);
  return into;
}

const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/** The words so far that are commands name the case. */
function bash(paths: Paths): string {
  const cases = [...paths].map(([path, { words }]) => `    ${quote(path)}) words=${quote(words.join(" "))} ;;`);
  return `# railgate completion for bash
_railgate() {
  local path="" word words=""
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) _railgate_is_command "\${path:+$path }$word" && path="\${path:+$path }$word" ;; esac
  done
  case "$path" in
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
_railgate_is_command() {
  case "$1" in ${[...paths.keys()].filter(Boolean).map(quote).join("|")}) return 0 ;; *) return 1 ;; esac
}
complete -o default -F _railgate railgate
`;
}

function zsh(paths: Paths): string {
  return `#compdef railgate
autoload -U +X bashcompinit && bashcompinit
${bash(paths).replace("# railgate completion for bash\n", "")}`;
}

function fish(paths: Paths): string {
  const lines = [...paths].flatMap(([path, { summaries }]) =>
    [...summaries].map(([word, summary]) => {
      const where =
        path === ""
          ? "__fish_use_subcommand"
          : path
              .split(" ")
              .map((part) => `__fish_seen_subcommand_from ${part}`)
              .join("; and ");
      const what = word.startsWith("--") ? `-l ${word.slice(2)}` : `-a ${quote(word)}`;
      return `complete -c railgate -n ${quote(where)} ${what}${summary === "" ? "" : ` -d ${quote(summary)}`}`;
    }),
  );
  return `# railgate completion for fish\n${lines.join("\n")}\n`;
}

const SCRIPTS: Record<Shell, (paths: Paths) => string> = { bash, zsh, fish };
