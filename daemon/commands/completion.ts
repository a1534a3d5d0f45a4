import { bashCompletion } from './completion/bash.js';
import { fishCompletion } from './completion/fish.js';
import { zshCompletion } from './completion/zsh.js';
import { badArgument, requiredText } from './options/arguments.js';
import type { Command } from './options/command.js';
import { nearest } from './options/nearest.js';

const SHELLS: Readonly<Record<string, (commands: readonly Command[]) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};
const NAMES = Object.keys(SHELLS);

/** The verb that completes `commands`, and itself. */
export function completion(commands: readonly Command[]): Command {
  const own: Command = {
    name: 'completion',
    summary: 'Print the script that completes this command line in a shell',
    argument: { name: 'shell', isRequired: true, describe: NAMES.join(', '), values: NAMES },
    options: {},
    async run(raw, output) {
      const shell = requiredText(raw, 'shell');
      const make = Object.hasOwn(SHELLS, shell) ? SHELLS[shell] : undefined;
      if (make === undefined) {
        const meant = nearest(shell, NAMES);
        const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
        throw badArgument(`the shell is "${shell}", but completion takes ${NAMES.join(', ')}${hint}`);
      }
      output.out(make([...commands, own]));
      return 0;
    },
  };
  return own;
}
