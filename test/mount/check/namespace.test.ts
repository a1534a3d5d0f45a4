import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Finding } from '../../../engine/index.js';
import { checkNamespace } from '../../../mount/check/namespace.js';
import { contentPath } from '../../../mount/filesystem/contents/content.js';
import {
  concat,
  entryKey,
  entryXattrPrefix,
  inodeKey,
  inodeXattrPrefix,
  NEXT_INODE_KEY,
  orphanKey,
  POSITIONS_KEY,
  positionKey,
  quotaKey,
} from '../../../mount/filesystem/records/keys.js';
import { limitsValue } from '../../../mount/filesystem/records/limits.js';
import { newPosition } from '../../../mount/filesystem/records/positions.js';
import * as record from '../../../mount/filesystem/records/record.js';
import { bytes, CALLER, Fixture, O_RDWR } from '../../filesystem/fixture.js';

let fixture: Fixture;

beforeEach(() => {
  fixture = new Fixture();
  for (const path of ['/a', '/a/b', '/a-b', '/a/b/c', '/z']) expect(fixture.mkdir(path)).toBe(0);
  for (const path of ['/a/f', '/a-b/f', '/z/f']) expect(fixture.write(path, 'content')).toBe(0);
  expect(fixture.create('/a/empty')).toBe(0);
  for (const path of ['/a/f', '/a/b', '/z/f']) {
    expect(fixture.fs.setxattr(CALLER, bytes(path), bytes('user.k'), bytes('v'), 0)).toBe(0);
  }
  expect(fixture.link('/z/f', '/a/b/second')).toBe(0);
  expect(fixture.link('/z/f', '/z/third')).toBe(0);
});

afterEach(() => fixture.cleanUp());

function check(): { damage: string[]; notes: string[]; counts: ReturnType<typeof checkNamespace> } {
  const findings: Finding[] = [];
  const counts = checkNamespace(fixture.tree, fixture.contentDirectory, (finding) => findings.push(finding));
  const of = (kind: Finding['kind']) =>
    findings.filter((finding) => finding.kind === kind).map(({ message }) => message);
  return { damage: of('damage'), notes: of('note'), counts };
}

/** The record at the key, changed. */
function change(key: Uint8Array, edit: (bytes: Uint8Array) => void): void {
  const value = fixture.tree.get(key)!.slice();
  edit(value);
  fixture.tree.put(key, value);
}

const entry = (path: string) => entryKey(bytes(path));

describe('a sound namespace', () => {
  test('gives counts and no findings', () => {
    expect(check()).toEqual({
      damage: [],
      notes: [],
      counts: {
        entries: 12,
        directories: 6,
        linkedInodes: 1,
        xattrs: 3,
        orphans: 0,
        contentFiles: 3,
        keptContents: 0,
        snapshotRecords: 0,
      },
    });
  });

  test('is one after renames, removals, and with a file open for writing', () => {
    expect(fixture.rename('/a/b', '/z/b')).toBe(0);
    expect(fixture.unlink('/z/f')).toBe(0);
    expect(fixture.rmdir('/z/b/c')).toBe(0);
    const handle = fixture.fs.open(CALLER, bytes('/a/f'), O_RDWR);
    expect(fixture.fs.write(handle, Buffer.from('more'), 0, 4, 1000)).toBe(4);
    expect(check().damage).toEqual([]);
    expect(fixture.fs.release(handle)).toBe(0);
    expect(check()).toMatchObject({ damage: [], notes: [], counts: { entries: 10, xattrs: 3 } });
  });

  test('may have orphans, which are told', () => {
    const ino = fixture.stat('/a/f').ino;
    const handle = fixture.fs.open(CALLER, bytes('/a/f'), O_RDWR);
    expect(fixture.unlink('/a/f')).toBe(0);
    const { damage, notes, counts } = check();
    expect({ damage, notes }).toEqual({
      damage: [],
      notes: [`orphan ${ino}: it was removed while open, and goes at the next mount`],
    });
    expect(counts).toMatchObject({ orphans: 1, xattrs: 3 });
    expect(fixture.fs.release(handle)).toBe(0);
  });

  test('has nothing in it before the first mount', () => {
    fixture.tree.deletePrefix('');
    rmSync(fixture.contentDirectory, { recursive: true });
    expect(check()).toMatchObject({ damage: [], notes: [], counts: { entries: 0 } });
  });
});

describe('damage', () => {
  test('what has no directory', () => {
    fixture.tree.delete(entry('/a'));
    expect(check().damage).toEqual(
      expect.arrayContaining([
        '/a/b: /a, which it is in, is missing or no directory',
        '/a/f: /a, which it is in, is missing or no directory',
        "inode 1: the directory's record tells 1 links more than there are",
      ]),
    );
    fixture.tree.delete(entry(''));
    expect(check().damage).toContain('/: the root directory has no record');
  });

  test('names that cannot be', () => {
    const value = record.newRecord(2, record.REGULAR);
    for (const path of ['x', '/', '/..', `/${'n'.repeat(256)}`]) fixture.tree.put(entry(path), value);
    const found = check().damage.filter((message) => message.includes('the name is not one'));
    expect(found).toHaveLength(4);
  });

  test('counts of links that are wrong', () => {
    const { ino } = fixture.stat('/z/f');
    const directory = fixture.stat('/a').ino;
    change(inodeKey(ino), (value) => record.setLinks(value, 4));
    change(entry('/a'), (value) => record.setLinks(value, 2));
    change(entry('/a/f'), (value) => record.setLinks(value, 2));
    expect(check().damage).toEqual([
      '/a/f: its record tells 2 links, there is 1',
      `inode ${ino}: its record tells 4 links, there are 3`,
      `inode ${directory}: the directory's record tells 1 links fewer than there are`,
    ]);
  });

  test('a damaged count of inodes, and a number as large as it allows', () => {
    fixture.tree.put(NEXT_INODE_KEY, Buffer.alloc(8, 0x7f));
    change(entry('/a/f'), (value) => value.fill(0xff, 4, 10));
    expect(check().damage.join()).toContain('/a/f');
    fixture.open();
    expect(() => fixture.create('/new')).toThrow(/the count of inode numbers is damaged/);
  });

  test('links to nothing, and inodes without names', () => {
    const { ino } = fixture.stat('/z/f');
    fixture.tree.rename(inodeKey(ino), inodeKey(ino + 1000), { force: false });
    expect(check().damage).toEqual([
      `inode ${ino + 1000}: its record is that of inode ${ino}`,
      'attribute user.k of inode '.concat(`${ino}: what it belongs to does not exist`),
      `inode ${ino}: 3 names lead to it, and it has no record`,
    ]);
  });

  test('inode numbers given twice, or not yet', () => {
    const [first, second] = [fixture.stat('/a-b/f').ino, fixture.stat('/a/f').ino];
    const copy = fixture.tree.get(entry('/a/empty'))!;
    fixture.tree.put(entry('/a/copy'), copy);
    fixture.tree.put(entry('/a/later'), record.newRecord(1_000_000, record.REGULAR | 0o644));
    expect(first).not.toBe(second);
    expect(check().damage).toEqual([
      `/a/empty: inode ${record.inoOf(copy)} belongs to another file too`,
      '/a/later: inode 1000000 was never given out; the next one is 4098',
    ]);
  });

  test('attributes of nobody', () => {
    const { ino } = fixture.stat('/z/f');
    fixture.tree.put(concat(entryXattrPrefix(bytes('/none')), bytes('user.k')), bytes('v'));
    fixture.tree.put(concat(entryXattrPrefix(bytes('/a/empty')), bytes('user.k')), bytes('v'));
    fixture.tree.put(concat(entryXattrPrefix(bytes('/z/f')), bytes('user.k')), bytes('v'));
    fixture.tree.put(concat(inodeXattrPrefix(3000), bytes('user.k')), bytes('v'));
    expect(check().damage).toEqual([
      'attribute user.k of /a/empty: its file is said to have none',
      'attribute user.k of /none: what it belongs to does not exist',
      `attribute user.k of /z/f: it belongs to inode ${ino}, and is not kept there`,
      'attribute user.k of inode 3000: what it belongs to does not exist',
    ]);
  });

  test('content that is missing', () => {
    const { ino } = fixture.stat('/a/f');
    rmSync(contentPath(fixture.contentDirectory, ino));
    expect(check().damage).toEqual([`/a/f: its 7 bytes are missing (inode ${ino})`]);
  });

  test('records that are none', () => {
    fixture.tree.put(entry('/a/f'), bytes('what?'));
    fixture.tree.put(orphanKey(77), record.newLink(77, record.REGULAR));
    expect(check().damage).toEqual([
      expect.stringMatching(/^key d\/a\/f: Cannot read an entry record: format 119, 5 bytes/),
      'orphan 77: its record is that of inode 77',
      expect.stringMatching(/^key x\/a\/f.*Cannot read an entry record/),
    ]);
  });
});

test('content of nobody, and keys of later versions, are worth a note', () => {
  const strange = join(fixture.contentDirectory, '0', 'strange');
  mkdirSync(join(fixture.contentDirectory, '2'));
  writeFileSync(join(fixture.contentDirectory, '2', '2001'), 'left');
  writeFileSync(strange, '');
  writeFileSync(join(fixture.contentDirectory, 'file'), '');
  fixture.tree.put('z', bytes(''));
  const { damage, notes } = check();
  expect(damage).toEqual([]);
  expect(notes.sort()).toEqual(
    [
      'key z: a key of a kind that this version does not know',
      `${strange}: it is no content file`,
      `${fixture.contentDirectory}/2/2001: no file has this content (4 bytes)`,
      `${fixture.contentDirectory}/file: it is no directory of content files`,
    ].sort(),
  );
});

test('keys that are of no form are damage, whatever is in them', () => {
  const { tree } = fixture;
  for (const key of ['i', 'i123', 'o1', 'p12', 'y', 'y12', 'x/a', 'x/a\0']) tree.put(key, bytes('?'));
  expect(check().damage).toEqual([
    'key i: it has no inode number',
    'key i123: it has no inode number',
    'key o1: it has no inode number',
    'key p12: it has no inode number',
    'key x/a: no attribute has such a key',
    'key x/a\\u0000: no attribute has such a key',
    'key y: no attribute has such a key',
    'key y12: no attribute has such a key',
  ]);
});

test('limits belong to directories, and are two numbers', () => {
  const limits = (bytesLimit: number, files: number) => limitsValue({ bytes: bytesLimit, files });
  fixture.tree.put(quotaKey(bytes('/a')), limits(1000, 0));
  expect(check().damage).toEqual([]);
  fixture.tree.put(quotaKey(bytes('/a/f')), limits(1, 1));
  fixture.tree.put(quotaKey(bytes('/none')), limits(1, 1));
  fixture.tree.put(quotaKey(bytes('')), bytes('what'));
  expect(check().damage.sort()).toEqual([
    '/: its limits are no two numbers',
    '/a/f: it has limits, and is missing or no directory',
    '/none: it has limits, and is missing or no directory',
  ]);
});

describe('places of directories, by which snapshots find them', () => {
  const inoOf = (path: string) => record.inoOf(fixture.tree.get(entry(path))!);
  const place = (ino: number, fault: string) =>
    `the place of inode ${ino}, by which snapshots find it, ${fault}`;

  test('that are missing, others, or of no directory, are damage', () => {
    const [b, z] = [inoOf('/a/b'), inoOf('/z')];
    fixture.tree.delete(positionKey(b));
    fixture.tree.put(positionKey(z), newPosition(inoOf('/a'), bytes('z')));
    fixture.tree.put(positionKey(inoOf('/a/f')), newPosition(1, bytes('f')));
    fixture.tree.put(positionKey(4_000), newPosition(1, bytes('x')));
    expect(check().damage).toEqual([
      `/a/b: ${place(b, 'is not on record')}`,
      `/z: ${place(z, 'is on record as another')}`,
      'inode 4000: a place is on record, and no directory',
    ]);
  });

  test('may be missing in a store of an older version', () => {
    for (const path of ['/a', '/a/b']) fixture.tree.delete(positionKey(inoOf(path)));
    fixture.tree.delete(POSITIONS_KEY);
    expect(check().damage).toEqual([]);
  });
});

describe('the names of snapshots', () => {
  test('are checked with those that they share, and by themselves where they do not', () => {
    const stray = entry('/nowhere/f');
    const position = positionKey(record.inoOf(fixture.tree.get(entry('/a/b'))!));
    const place = fixture.tree.get(position)!;
    fixture.fs.snapshots.take('sound');
    fixture.tree.put(stray, record.newRecord(4_000, record.DIRECTORY | 0o755));
    fixture.tree.delete(position);
    fixture.fs.snapshots.take('bad');
    fixture.tree.delete(stray);
    fixture.tree.put(position, place);
    expect(fixture.write('/a/b/later', 'x')).toBe(0);
    const { damage, counts } = check();
    const ino = record.inoOf(fixture.tree.get(entry('/a/b'))!);
    expect(damage).toEqual([
      `snapshot "bad": /a/b: the place of inode ${ino}, by which it is found, is not on record, or another`,
      'snapshot "bad": /nowhere/f: the directory that it is in is missing, or none',
    ]);
    expect(counts.snapshotRecords).toBe(2);
  });
});
