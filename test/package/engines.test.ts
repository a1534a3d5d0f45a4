/** npm warns each user whose Node.js a package does not take: every one must take the oldest that is promised. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

interface Lock {
  packages: Record<string, { engines?: { node?: string } }>;
}

const LOCK = JSON.parse(readFileSync(join(import.meta.dirname, '../../package-lock.json'), 'utf8')) as Lock;
const OLDEST = LOCK.packages['']!.engines!.node!.replace('>=', '');

it(`Node.js ${OLDEST} suits every package of the lock`, () => {
  expect(takes('>=20', OLDEST)).toBe(true);
  expect(takes('>=22', OLDEST)).toBe(false);
  expect(takes('^18.0.0 || ^20.20', OLDEST)).toBe(false);
  const refusing = Object.entries(LOCK.packages).filter(
    ([, { engines }]) => !takes(engines?.node ?? '*', OLDEST),
  );
  expect(refusing.map(([path, { engines }]) => `${path} wants ${engines?.node}`)).toEqual([]);
});

/** The part of npm's ranges that is in use: alternatives of `*`, `>=version`, `^version` and `major.x`. */
function takes(range: string, version: string): boolean {
  return range.split('||').some((alternative) => {
    const parts = /^(\*)$|^(>=|\^|)\s*v?(\d[\d.]*?)(?:\.[x*])*$/.exec(alternative.trim());
    if (parts === null) throw new Error(`Cannot read the range "${range}"`);
    const [, any, operator, bound = ''] = parts;
    if (any !== undefined) return true;
    const [given, wanted] = [numbers(version), numbers(bound)];
    if (operator !== '>=' && given[0] !== wanted[0]) return false;
    return compare(given, wanted) >= 0;
  });
}

function numbers(version: string): number[] {
  return version.split('.').map(Number);
}

function compare(left: number[], right: number[]): number {
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

it('README and what CI runs tell the same oldest and newest', () => {
  const read = (file: string) => readFileSync(join(import.meta.dirname, '../..', file), 'utf8');
  const [newest] = /(?<=^newest=)\d+/m.exec(read('scripts/nodes'))!;
  expect(read('README.md')).toContain(`Node.js ${OLDEST} or later`);
  expect(read('README.md')).toContain(`tested with Node.js ${OLDEST} and ${newest};`);
  expect(read('.ci/run')).toContain('\nscripts/nodes\n');
});
