/** Completion for bash. It needs no other package, and knows that bash takes `--option=value` for three words. */
import type { Command, Values } from '../options/command.js';
import { COMMON_OPTIONS, dashed, optionsOf } from './words.js';

export function bashCompletion(commands: readonly Command[]): string {
  const verbs = commands.map(({ name }) => name);
  const values = commands.flatMap((command) =>
    Object.entries(command.options)
      .filter(([, { takesValue }]) => takesValue)
      .map(
        ([option, { values, isList }]) =>
          `    ${command.name},${dashed(option)}) ${isList ? listOf(values) : offer(values)}; return ;;`,
      ),
  );
  const places = commands.map((command) => {
    const { name, argument, rest } = command;
    const further = rest === undefined ? '' : ` _spinney_list '${rest.values.join(' ')}';`;
    return `    ${name})
      if [[ $cur == -* ]]; then _spinney_words '${optionsOf(command).join(' ')}'; else ${offer(argument.values)};${further} fi ;;`;
  });
  return `# Completion of spinney for bash; put it where bash looks, or: source <(spinney completion bash)

_spinney_words() {
  local word
  for word in $1; do [[ $word != "$cur"* ]] || COMPREPLY+=("$word "); done
  compopt -o nospace 2>/dev/null
}

_spinney_list() {
  local word before=
  [[ $cur != *,* ]] || before=\${cur%,*},
  for word in $1; do [[ $before$word != "$cur"* ]] || COMPREPLY+=("$before$word"); done
  compopt -o nospace 2>/dev/null
}

_spinney_paths() {
  local path
  while IFS= read -r path; do COMPREPLY+=("$path"); done < <(compgen "$1" -- "$cur")
  compopt -o filenames 2>/dev/null
}

_spinney_mounts() {
  local place type
  while read -r _ place type _; do
    [[ $type == fuse.spinney ]] || continue
    printf -v place %b "\${place//\\\\/\\\\0}"
    [[ $place != "$cur"* ]] || COMPREPLY+=("$place")
  done </proc/self/mounts
  [[ \${#COMPREPLY[@]} -gt 0 ]] || _spinney_paths -d
  compopt -o filenames 2>/dev/null
}

_spinney() {
  local cur=\${COMP_WORDS[COMP_CWORD]} before=$((COMP_CWORD - 1)) verb= i
  COMPREPLY=()
  [[ $cur != = ]] || cur=
  [[ \${COMP_WORDS[before]} != = ]] || before=$((before - 1))
  local option=\${COMP_WORDS[before]}
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
    ${verbs.join(' | ')})
      verb=\${COMP_WORDS[i]}
      break
      ;;
    esac
  done
  case $verb,$option in
${values.join('\n')}
  esac
  case $verb in
    '') _spinney_words '${[...verbs, ...Object.keys(COMMON_OPTIONS).map(dashed)].join(' ')}' ;;
${places.join('\n')}
  esac
}

complete -F _spinney spinney
`;
}

function offer(values: Values): string {
  if (values === undefined) return ':';
  if (typeof values !== 'string') return `_spinney_words '${values.join(' ')}'`;
  if (values === 'mount') return '_spinney_mounts';
  return `_spinney_paths -${values === 'directory' ? 'd' : 'f'}`;
}

function listOf(values: Values): string {
  return typeof values === 'object' ? `_spinney_list '${values.join(' ')}'` : ':';
}
