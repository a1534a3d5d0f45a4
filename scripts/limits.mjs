/**
 * Writes what mount/fuse-native/limits.ts lists into mount/fuse-native/limits.md and into README.md, between its
 * markers; from the built list, so build first. With --check it writes nothing, and fails where one of them is stale.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LIMITS } from '../dist/mount/fuse-native/limits.js';

const ROOT = join(import.meta.dirname, '..');
const BEGIN = '<!-- made by scripts/limits.mjs from mount/fuse-native/limits.ts -->';
const END = '<!-- end -->';

function table(limits) {
  const rows = [['limit', 'what one sees'], ...limits.map(({ limit, effect }) => [limit, effect])];
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (cells) => `| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  const [head, ...body] = rows.map(line);
  return [head, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...body].join('\n');
}

function limitsDocument() {
  return `# What the fuse-native driver cannot do

${BEGIN}

The limits are the binding's (fuse-native 2.2.6 on libfuse 2), not the tree's. \`--driver kernel\` has none of them.

${table(LIMITS)}
`;
}

function readme(old) {
  const [before, rest] = old.split(`${BEGIN}\n`);
  const after = rest?.slice(rest.indexOf(END));
  if (!after?.startsWith(END)) throw new Error(`README.md lacks the lines "${BEGIN}" and "${END}"`);
  return `${before}${BEGIN}\n\n${table(LIMITS.filter(({ inReadme }) => inReadme))}\n\n${after}`;
}

for (const [name, make] of [
  ['mount/fuse-native/limits.md', limitsDocument],
  ['README.md', readme],
]) {
  const path = join(ROOT, name);
  const old = readFileSync(path, 'utf8');
  const text = make(old);
  if (text === old) continue;
  if (process.argv.includes('--check')) {
    console.error(`${name} is stale: run node scripts/limits.mjs`);
    process.exitCode = 1;
  } else {
    writeFileSync(path, text);
  }
}
