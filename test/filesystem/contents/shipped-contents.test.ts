/** A check of names whose contents are in a remote: what the remote has against the records. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Finding } from '../../../engine/index.js';
import { checkShippedNamespace, type ShippedContents } from '../../../mount/check/index.js';
import { Fixture, StepClock } from '../fixture.js';

let f: Fixture;
/** By inode number. */
let remote: Map<number, { bytes: number; fault?: string }>;
let isBeingShipped: boolean;

beforeEach(() => {
  f = new Fixture(undefined, { clock: new StepClock() });
  f.write('/a', 'seven b');
  f.write('/b', '');
  f.write('/c', 'three');
  remote = new Map(['/a', '/c'].map((path) => [f.stat(path).ino, { bytes: f.stat(path).size }] as const));
  isBeingShipped = true;
});
afterEach(() => f.cleanUp());

function check() {
  const found: Finding[] = [];
  const shipped: ShippedContents = {
    find: (ino) => {
      const content = remote.get(ino);
      return content && { bytes: content.bytes, fault: content.fault };
    },
    list: () => [...remote.keys()].map((ino) => ({ ino, born: 0 })),
    isBeingShipped,
  };
  const { contentFiles, unshipped } = checkShippedNamespace(f.tree, shipped, (finding) =>
    found.push(finding),
  );
  return { found: found.map(({ kind, message }) => `${kind}: ${message}`), contentFiles, unshipped };
}

const inoOf = (path: string) => f.stat(path).ino;

it('finds nothing wrong where all are there', () => {
  expect(check()).toEqual({ found: [], contentFiles: 2, unshipped: { files: 0, bytes: 0 } });
});

it('counts what is still to be shipped, and takes it for damage where nobody ships it', () => {
  remote.delete(inoOf('/a'));
  remote.get(inoOf('/c'))!.bytes = 2;
  expect(check()).toEqual({ found: [], contentFiles: 1, unshipped: { files: 2, bytes: 12 } });
  isBeingShipped = false;
  expect(check()).toEqual({
    found: [
      `damage: /a: its 7 bytes are missing (inode ${inoOf('/a')})`,
      `damage: /c: of its 5 bytes 2 are there (inode ${inoOf('/c')})`,
    ],
    contentFiles: 1,
    unshipped: { files: 0, bytes: 0 },
  });
});

it('tells what is damaged by its path, and contents that no file has', () => {
  remote.get(inoOf('/c'))!.fault = 'part 1 of 1 of its content is missing: there is no content/x';
  remote.set(77, { bytes: 3 });
  expect(check().found).toEqual([
    `damage: /c: part 1 of 1 of its content is missing: there is no content/x (inode ${inoOf('/c')})`,
    'note: content of inode 77: no file has it, and the writer gives it up',
  ]);
});
