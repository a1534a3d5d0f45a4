/** Records that no version of this program writes: what a disk, or a bug, may have made of a store, one kind each. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { entryKey, inodeKey, inodeXattrPrefix, orphanKey } from '../../../mount/filesystem/records/keys.js';
import * as record from '../../../mount/filesystem/records/record.js';
import { bytes, CALLER } from '../../filesystem/fixture.js';
import { DamagedStore, damageOf, holdings } from './stores.js';

let site: DamagedStore;

beforeEach(() => {
  site = new DamagedStore();
  site.fill(2, 20);
});
afterEach(() => site.cleanUp());

const entry = (path: string | Uint8Array) => entryKey(typeof path === 'string' ? bytes(path) : path);
const put = (key: Uint8Array | string, value: Uint8Array) => site.fixture.tree.put(key, value);
const get = (key: Uint8Array) => site.fixture.tree.get(key)!.slice();
const fifo = (ino: number) => record.newRecord(ino, record.FIFO | 0o644);

/** Closes the store, which `check` must find damaged, and repairs it to one that it does not. Returns what was told. */
function repaired(): { messages: string[]; held: Map<string, string> } {
  site.close();
  expect(damageOf(site.store).some((finding) => finding.startsWith('damage'))).toBe(true);
  const { findings } = site.repair();
  expect(damageOf(site.target)).toEqual([]);
  return {
    messages: findings.map(({ kind, message }) => `${kind}: ${message}`),
    held: holdings(site.target),
  };
}

test('the record of an inode under the number of another: its names are left out, and its content is kept', () => {
  const linked = site.fixture.stat('/dir0/sub/linked').ino;
  const other = site.fixture.stat('/dir0/file10').ino;
  put(inodeKey(linked), get(entry('/dir0/file10')));
  const { messages, held } = repaired();
  expect(messages).toEqual(
    expect.arrayContaining([
      `lost: inode ${linked}: its record is that of inode ${other}: it is left out`,
      `lost: /dir0/sub/linked: the record of its inode ${linked} is lost: the name is left out`,
      `lost: /dir1/second: the record of its inode ${linked} is lost: the name is left out`,
      `lost: inode ${linked}: its record is lost; its 12 bytes are /lost+found/#${linked}`,
    ]),
  );
  expect(held.get(`content of ${linked}`)).toBe('of two names');
  expect(held.get(`content of ${other}`)).toBe('content of /dir0/file10');
  expect(held.has('d/dir0/file10')).toBe(true);
});

test('a directory that is kept by number', () => {
  put(entry('/dir1/linked'), record.newLink(900, record.DIRECTORY));
  put(entry('/dir1/linked/below'), fifo(901));
  put(inodeKey(900), record.newRecord(900, record.DIRECTORY | 0o755));
  const { messages, held } = repaired();
  expect(messages).toEqual(
    expect.arrayContaining([
      'lost: /dir1/linked: no directory is kept by number: it is left out',
      'lost: inode 900: no directory is kept by number: it is left out',
      "lost: /dir1/linked: the directory's record is lost; what was in it is in /lost+found/dir1/linked",
    ]),
  );
  expect(held.has('d/lost+found/dir1/linked/below')).toBe(true);
});

test('names of one inode that tell different types', () => {
  const { ino } = site.fixture.stat('/dir0/sub/linked');
  put(entry('/dir1/second'), record.newLink(ino, record.DIRECTORY));
  put(entry('/dir1/second/below'), fifo(902));
  put(entry('/dir1/third'), record.newLink(ino, record.SYMLINK));
  const { messages, held } = repaired();
  expect(messages).toEqual(
    expect.arrayContaining([
      `mended: /dir1/second: its type was not that of its inode ${ino}`,
      `mended: /dir1/third: its type was not that of its inode ${ino}`,
      `mended: inode ${ino}: its record told 2 links, there are 3`,
    ]),
  );
  expect(held.has('d/lost+found/dir1/second/below')).toBe(true);
});

test('names that are not UTF-8, in a directory that is lost', () => {
  const odd = Buffer.from('/dir1/\xff\xfe\x01', 'latin1');
  put(entry(odd), record.newRecord(912, record.DIRECTORY | 0o755));
  put(entry(Buffer.concat([odd, bytes('/inner')])), fifo(903));
  site.fixture.tree.delete(entry('/dir1'));
  const { held } = repaired();
  expect(held.has('d/lost+found/dir1/\xff\xfe\x01/inner')).toBe(true);
});

test('names that no directory can have keep their attributes and what is below them', () => {
  const bad = Buffer.from(`/dir1/${'n'.repeat(256)}`);
  put(entry(bad), record.newRecord(904, record.DIRECTORY | 0o755));
  put(entry(Buffer.concat([bad, bytes('/below')])), fifo(905));
  put(Buffer.concat([bytes('x'), bad, bytes('\0user.k')]), bytes('v'));
  put(entry('no slash'), fifo(906));
  put(entry('/dir1/..'), fifo(907));
  put(entry('/dir1//twice'), fifo(908));
  const { held } = repaired();
  expect(held.has('d/lost+found/#904')).toBe(true);
  expect(held.get('x/lost+found/#904\0user.k')).toBe(Buffer.from('v').toString('hex'));
  for (const ino of [906, 907]) expect(held.has(`d/lost+found/#${ino}`)).toBe(true);
  const numbers = [...held]
    .filter(([key]) => key[0] === 'd')
    .map(([, value]) => record.inoOf(Buffer.from(value, 'hex')));
  for (const ino of [904, 905, 906, 907, 908]) expect(numbers).toContain(ino);
});

test('attributes of a directory whose record is lost stay with what was in it', () => {
  site.fixture.fs.setxattr(CALLER, bytes('/dir1'), bytes('user.k'), bytes('v'), 0);
  site.fixture.tree.delete(entry('/dir1'));
  const { messages, held } = repaired();
  expect(held.get('x/lost+found/dir1\0user.k')).toBe(Buffer.from('v').toString('hex'));
  expect(messages.filter((message) => message.includes('user.k'))).toEqual([
    'mended: attribute user.k of /lost+found/dir1: its file was said to have none',
  ]);
});

test('keys that are of no form', () => {
  for (const key of [
    'i',
    'i123',
    `${Buffer.from(inodeKey(5)).toString('latin1')}more`,
    'o1',
    'y',
    'y12',
    'x/dir1',
    'x/dir1\0',
  ]) {
    put(Buffer.from(key, 'latin1'), fifo(909));
  }
  put(inodeXattrPrefix(5), bytes('without a name'));
  put(orphanKey(910), fifo(911));
  const { messages, held } = repaired();
  expect(messages.filter((message) => message.startsWith('lost: '))).toHaveLength(10);
  expect([...held.keys()].filter((key) => /^[ioy]/.test(key)).length).toBe(1);
});
