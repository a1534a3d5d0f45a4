/** The page "Running it": all of its commands, run in their order as a reader would, but for those that another test runs. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Site } from '../e2e/site.js';

const PAGE = readFileSync(join(import.meta.dirname, '../../docs/RUNNING.md'), 'utf8');
const BLOCK = /(<!-- not run here: [^>]+ -->\n\n)?```sh\n([\s\S]*?)```/g;

const blocks = Array.from(PAGE.matchAll(BLOCK), ([, note, commands]) => ({
  isRun: note === undefined,
  commands: commands!,
}));

it('every command of "Running it" does what it should', async () => {
  expect(blocks.length).toBeGreaterThan(12);
  expect(blocks.filter(({ isRun }) => !isRun).length).toBeLessThan(8);
  const site = new Site();
  const commands = blocks
    .filter(({ isRun }) => isRun)
    .map((block) => block.commands)
    .join('\n')
    .replaceAll('/srv/photos', '$STORE')
    .replaceAll('/mnt/photos', '$MNT')
    .replaceAll('/backup/photos', '$DIR/backup')
    .replaceAll('/tmp/', '$DIR/');
  // No place of the machine's own is left.
  expect(commands).not.toMatch(/(?<![\w$}.])\/(?:srv|mnt|backup|tmp|etc|usr|var)\//);
  // 1 tells that something is wrong with a mount of the machine: it may be another test's.
  const script = `spinney() { node "$PROGRAM/dist/daemon/cli.js" "$@" || [ "$? $*" = '1 status' ]; }\n${commands}`;
  await site.sh(script, 300);
  expect(site.isMounted()).toBe(false);
});
