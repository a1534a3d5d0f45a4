/** The pictures of the documents, and what makes them. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const SVG = join(ROOT, 'scripts/pictures/svg.mjs');

function drawn(screen: string): string {
  return execFileSync('node', [SVG, 'A & B'], {
    input: screen,
    encoding: 'utf8',
    timeout: 60_000,
    stdio: 'pipe',
  });
}

it('a screen becomes text and colours, each where it was', () => {
  const svg = drawn(
    '\x1b[1;31mred <b>\x1b[0m plain\n\x1b[30m\x1b[46mhead \x1b[39m\x1b[49m日本\x1b[2mdim\n still dim\x1b[0m\n\n',
  );
  expect(svg).toContain('<title>A &amp; B</title>');
  expect(svg).toContain(
    '<text x="12" y="25" textLength="58.8" fill="#f06a6a" font-weight="bold">red &lt;b&gt;</text>',
  );
  expect(svg).toContain('<rect x="12" y="30" width="42" height="18" fill="#5cc4c9"/>');
  // The two characters before it take four columns.
  expect(svg).toContain('<text x="87.6" y="43" textLength="25.2" opacity="0.6">dim</text>');
  expect(svg).toContain('opacity="0.6"> still dim</text>');
});

it('a screen with what cannot be drawn is refused', () => {
  expect(() => drawn('\x1b[5mblinks\x1b[0m')).toThrow('it has the attribute 5');
});

it('all pictures that documents show are there, and small', () => {
  for (const name of ['README.md', 'docs/MANUAL.md']) {
    for (const [, path] of readFileSync(join(ROOT, name), 'utf8').matchAll(/!\[[^\]]*\]\(([^)]+)\)/g)) {
      const file = join(ROOT, dirname(name), path!);
      expect(existsSync(file), file).toBe(true);
      expect(readFileSync(file).length).toBeLessThan(100_000);
    }
  }
});
