/** The words that the program itself has: what stands in its messages and is no name of somebody's. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { getSystemErrorMap } from 'node:util';

const COMMENTS = /\/\*[\s\S]*?\*\/|(^|\s)\/\/.*$/gm;
const WORD = /[\p{L}\d_'-]+/gu;

/** Where the program's code is, and the package that it is in. */
const CODE = fileURLToPath(new URL('../../../../', import.meta.url)).replace(/\/$/, '');
export const PROGRAM = basename(CODE) === 'dist' ? dirname(CODE) : CODE;
const PARTS = ['engine', 'mount', 'daemon', 'chunks'];

/** In lower case; of the program's code, not of its comments. Costs some tens of milliseconds. */
export function programWords(): ReadonlySet<string> {
  const words = new Set<string>();
  const add = (text: string): void => {
    for (const [word] of text.matchAll(WORD)) words.add(word.toLowerCase());
  };
  for (const part of PARTS) {
    const directory = join(CODE, part);
    if (!existsSync(directory)) continue;
    for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
      if (/(?<!\.d)\.[jt]s$/.test(name))
        add(readFileSync(join(directory, name), 'utf8').replace(COMMENTS, ' '));
    }
  }
  for (const name of [...Object.keys(constants.errno), ...Object.keys(constants.signals)]) add(name);
  for (const [name, message] of getSystemErrorMap().values()) add(`${name} ${message}`);
  return words;
}
