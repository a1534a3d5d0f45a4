/** The manual pages say what the command line says. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { COMMANDS } from '../../daemon/commands/all.js';
import { runMountHelper } from '../../daemon/mount-helper.js';
import { TOLD } from '../../daemon/mount-helper-options.js';
import { spinney } from '../daemon/support.js';

const ROOT = join(import.meta.dirname, '../..');
const BUILT = join(ROOT, 'dist/man');
const PAGES = ['mount.fuse.spinney.8', 'spinney.1', 'spinney.5'];

/** A page as it is read, a paragraph a line. */
function read(name: string): string {
  const raw = readFileSync(join(BUILT, name), 'utf8');
  return raw
    .replace(/\\f[BIR]/g, '')
    .replace(/\\&/g, '')
    .replace(/\\\(aq/g, "'")
    .replace(/\\\(ga/g, '`')
    .replace(/\\\(ha/g, '^')
    .replace(/\\\(ti/g, '~')
    .replace(/\\-/g, '-')
    .replace(/\\e/g, '\\');
}

const hasProgram = (name: string) => spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;

it('are those that the sources make', () => {
  const directory = mkdtempSync(join(tmpdir(), 'spinney-man-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  execFileSync(process.execPath, [join(ROOT, 'scripts/man.mjs'), directory]);
  expect(readdirSync(directory).sort()).toEqual(PAGES);
  expect(readdirSync(BUILT).sort()).toEqual(PAGES);
  for (const name of PAGES) {
    expect(readFileSync(join(BUILT, name), 'utf8')).toBe(readFileSync(join(directory, name), 'utf8'));
  }
});

it.each(COMMANDS)('tell of $name what its help does', async ({ name, options, argument, summary }) => {
  const page = read('spinney.1');
  const start = page.indexOf(`\n.SS spinney ${name} `);
  const text = page.slice(start, page.indexOf('\n.S', start + 1) + 1);
  const { out } = await spinney(name, '--help');
  // The help breaks lines where it wants.
  const help = out.replace(/\s+/g, ' ');
  expect(text).toContain(`\n${summary}.\n`);
  expect(text).toContain(`${argument.name}`);
  for (const [option, { describe, default: usual }] of Object.entries(options)) {
    const dashed = option.length === 1 ? `-${option}` : `--${option}`;
    expect(help).toContain(` ${dashed} `);
    const tells = usual === undefined ? describe : `${describe} [${usual}]`;
    expect(text).toMatch(new RegExp(`\n${dashed}( VALUE)?\n`));
    expect(text).toContain(`\n${tells}\n`);
    expect(help).toContain(describe.replace(/\s+/g, ' '));
  }
  // And no other ones.
  const told = [...text.matchAll(/^--?([a-z-]+)( VALUE)?$/gm)].map(([, option]) => option);
  expect(told).toEqual(Object.keys(options));
});

it('tell of mount.fuse.spinney what its help does', async () => {
  let help = '';
  await runMountHelper(['--help'], { out: (text) => (help += text), err: () => {} });
  const page = read('mount.fuse.spinney.8');
  for (const { words, describe } of TOLD) {
    expect(page).toContain(`\n${words}\n${describe}`);
    expect(help).toContain(words);
    expect(help).toContain(describe);
  }
});

it('have every section of the manual, and no mark of Markdown', () => {
  const manual = readFileSync(join(ROOT, 'docs/MANUAL.md'), 'utf8');
  const headings = [...manual.matchAll(/^## (.*)$/gm)].map(([, heading]) => heading!.toUpperCase());
  const pages = PAGES.map(read);
  for (const heading of headings.filter((heading) => heading !== 'MOUNT(8) AND /ETC/FSTAB')) {
    expect(pages.some((page) => page.includes(`\n.SH ${heading}\n`))).toBe(true);
  }
  for (const page of pages) expect(page).not.toMatch(/\*\*|^\||\]\(/m);
});

describe.skipIf(!hasProgram('man'))('man', () => {
  it.each(PAGES)('shows %s without a warning', (name) => {
    const { stdout, stderr, status } = spawnSync(
      'man',
      ['--warnings=w', '-E', 'UTF-8', '-l', '-Tutf8', '-Z', join(BUILT, name)],
      { encoding: 'utf8', env: { ...process.env, MANWIDTH: '100', LC_ALL: 'C.UTF-8', MANROFFSEQ: '' } },
    );
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout.length).toBeGreaterThan(1000);
  });
});

describe.skipIf(!hasProgram('mandoc'))('mandoc', () => {
  it.each(PAGES)('finds nothing wrong in %s', (name) => {
    const { stdout } = spawnSync('mandoc', ['-T', 'lint', '-W', 'error', join(BUILT, name)], {
      encoding: 'utf8',
    });
    expect(stdout).toBe('');
  });
});
