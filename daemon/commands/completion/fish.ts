/** Completion for fish. */
import type { Command, CommandOption, Values } from '../options/command.js';
import { COMMON_OPTIONS } from './words.js';

export function fishCompletion(commands: readonly Command[]): string {
  const verbs = commands.map(
    ({ name, summary }) => `complete -c spinney -n __fish_use_subcommand -a ${name} -d ${quote(summary)}`,
  );
  const rest = commands.flatMap(({ name, argument, rest, options }) => [
    `complete -c spinney -n '__fish_seen_subcommand_from ${name}'${offer(argument.values)}`,
    ...(rest === undefined
      ? []
      : [`complete -c spinney -n '__fish_seen_subcommand_from ${name}'${offer(rest.values)}`]),
    ...Object.entries(options).map(([option, what]) => optionLine(name, option, what)),
  ]);
  const common = Object.entries(COMMON_OPTIONS).map(
    ([option, describe]) => `complete -c spinney -l ${option} -d ${quote(describe)}`,
  );
  return `# Completion of spinney for fish; put it into ~/.config/fish/completions/spinney.fish, or: spinney completion fish | source

function __spinney_mounts
    for line in (string match -r '^\\S+ \\S+ fuse\\.spinney ' </proc/self/mounts)
        printf '%b\\n' (string replace -a '\\\\' '\\\\0' -- (string split ' ' -- $line)[2])
    end
end

complete -c spinney -f
${[...common, ...verbs, ...rest].join('\n')}
`;
}

function optionLine(
  verb: string,
  option: string,
  { describe, takesValue, values, isList }: CommandOption,
): string {
  const name = option.length === 1 ? `-s ${option}` : `-l ${option}`;
  const value = !takesValue ? '' : values === undefined ? ' -x' : ` -x${offer(values, isList)}`;
  return `complete -c spinney -n '__fish_seen_subcommand_from ${verb}' ${name}${value} -d ${quote(describe)}`;
}

function offer(values: Values, isList = false): string {
  if (values === undefined) return '';
  if (typeof values !== 'string') {
    const words = values.join(' ');
    return isList ? ` -a '(__fish_append , ${words})'` : ` -a '${words}'`;
  }
  if (values === 'file') return ` -a '(__fish_complete_path (commandline -ct))'`;
  const directories = '(__fish_complete_directories (commandline -ct))';
  return values === 'directory' ? ` -a '${directories}'` : ` -a '(__spinney_mounts) ${directories}'`;
}

function quote(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
