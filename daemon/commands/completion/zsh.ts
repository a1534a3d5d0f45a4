/** Completion for zsh, by its own _arguments. */
import type { Command, CommandOption, Values } from '../options/command.js';
import { COMMON_OPTIONS, dashed } from './words.js';

export function zshCompletion(commands: readonly Command[]): string {
  const verbs = commands.map(({ name, summary }) => `    ${quote(`${name}:${summary}`)}`);
  const cases = commands.map(
    ({ name, argument, rest, options }) => `    ${name})
      _arguments ${[
        ...Object.entries(options).map(([option, what]) => optionSpec(option, what)),
        ...Object.entries(COMMON_OPTIONS).map(([option, describe]) => quote(`(- *)--${option}[${describe}]`)),
        quote(`1:${escaped(argument.name)}:${action(argument.values)}`),
        ...(rest === undefined
          ? []
          : [quote(`*:${escaped(rest.name)}:{compadd -S "" -- ${rest.values.join(' ')}}`)]),
      ].join(' \\\n        ')} ;;`,
  );
  return `#compdef spinney
# Completion of spinney for zsh; put it as _spinney into a directory of $fpath, or: source <(spinney completion zsh)

_spinney_mounts() {
  local line place
  local -a fields places
  while IFS= read -r line; do
    fields=(\${(s: :)line})
    [[ $fields[3] == fuse.spinney ]] || continue
    printf -v place %b "\${fields[2]//\\\\/\\\\0}"
    places+=("$place")
  done </proc/self/mounts
  (( $#places )) && compadd -a places || _directories
}

_spinney() {
  local curcontext=$curcontext state line
  local -a verbs=(
${verbs.join('\n')}
  )
  _arguments -C '(- *)--help[${COMMON_OPTIONS.help}]' '(- *)--version[${COMMON_OPTIONS.version}]' '1: :->verb' '*:: :->rest'
  case $state in
  verb) _describe verb verbs ;;
  rest)
    case $words[1] in
${cases.join('\n')}
    esac
    ;;
  esac
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _spinney "$@"; else compdef _spinney spinney; fi
`;
}

function optionSpec(option: string, { describe, takesValue, values, isList }: CommandOption): string {
  const name = dashed(option);
  if (!takesValue) return quote(`${name}[${escaped(describe)}]`);
  // --option value and --option=value; of a letter, -o value.
  const form = option.length === 1 ? `${name}+` : `${name}=`;
  const what =
    isList && typeof values === 'object' ? `_values -s , word ${values.join(' ')}` : action(values);
  return quote(`${form}[${escaped(describe)}]:${escaped(option)}:${what}`);
}

function action(values: Values): string {
  if (values === undefined) return ' ';
  if (typeof values !== 'string') return `(${values.join(' ')})`;
  return { mount: '_spinney_mounts', directory: '_directories', file: '_files' }[values];
}

/** What ends a part of a specification. */
function escaped(text: string): string {
  return text.replace(/[\\\][:]/g, '\\$&');
}

function quote(text: string): string {
  return `'${text.replace(/'/g, `'\\''`)}'`;
}
