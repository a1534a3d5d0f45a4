/** The manual tells each stable code once, and "Running it" each code of health. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { HEALTH_CODES } from '../../daemon/health/codes.js';

const read = (name: string): string => readFileSync(join(import.meta.dirname, '../..', name), 'utf8');

it('every code of an error has one row of the manual, and no other has any', () => {
  const codes = Array.from(read('engine/errors.ts').matchAll(/^ {2}\| '(ERR_\w+)'/gm), ([, code]) => code!);
  expect(codes.length).toBeGreaterThan(30);
  const manual = read('docs/MANUAL.md');
  const table = manual.slice(manual.indexOf('\n## Errors\n')).split('\n## ')[1]!;
  const firstCells = Array.from(table.matchAll(/^\| (`ERR[^|]*)\|/gm), ([, cell]) => cell!).join();
  const told = Array.from(firstCells.matchAll(/ERR_\w+/g), ([code]) => code);
  expect(told.sort()).toEqual(codes.sort());
});

it('every code of health is on the page that says what to do', () => {
  const page = read('docs/RUNNING.md');
  expect(Object.keys(HEALTH_CODES).filter((code) => !page.includes(`\`${code}\``))).toEqual([]);
});
