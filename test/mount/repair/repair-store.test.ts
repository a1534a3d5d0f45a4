/** Stores damaged in each way, repaired: what was not in the damaged part is there byte for byte, and `check` is content. */
import fs from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Tree } from '../../../engine/index.js';
import { UNFINISHED_FILE } from '../../../engine/store/file/names.js';
import { contentPath } from '../../../mount/filesystem/contents/content.js';
import { writeMark } from '../../../mount/filesystem/contents/content-mark.js';
import { entryKey, inodeKey, quotaKey } from '../../../mount/filesystem/records/keys.js';
import { limitsValue } from '../../../mount/filesystem/records/limits.js';
import * as record from '../../../mount/filesystem/records/record.js';
import { FILESYSTEM_MEASURE } from '../../../mount/sums/filesystem-measure.js';
import { bytes, CALLER } from '../../filesystem/fixture.js';
import { DamagedStore, damageOf, filesOf, holdings, holdingsOf } from './stores.js';

let site: DamagedStore;

beforeEach(() => {
  site = new DamagedStore();
});
afterEach(() => site.cleanUp());

const entry = (path: string) => entryKey(bytes(path));

/** The record at the key, changed. */
function change(key: Uint8Array, edit: (bytes: Uint8Array) => void): void {
  const value = site.fixture.tree.get(key)!.slice();
  edit(value);
  site.fixture.tree.put(key, value);
}

/** Holdings whose records are not in the blobs, and, of directories, not the count of links. */
function without(held: Map<string, string>, lost: ReadonlySet<string>): Map<string, string> {
  return new Map([...held].filter(([key]) => !lost.has(key)));
}

function expectHeld(before: Map<string, string>, after: Map<string, string>): void {
  const missing = [...before].filter(([key, value]) => after.get(key) !== value).map(([key]) => key);
  expect(missing).toEqual([]);
}

/** All contents are there, and every file whose record was not lost, with its attributes, at its place or elsewhere. */
function expectSomewhere(before: Map<string, string>, after: Map<string, string>): void {
  expectHeld(new Map([...before].filter(([key]) => key.startsWith('content of'))), after);
  const names = new Map([...after].map(([key, value]) => [value, key]));
  const gone = [...before].filter(([key, value]) => {
    if (key[0] !== 'd' || names.has(value)) return false;
    // Links of directories may have changed, and a name of an inode may have gone with the inode's record.
    const found = Buffer.from(value, 'hex');
    return !record.isLink(found) && record.typeOf(found) === record.REGULAR;
  });
  expect(gone.map(([key]) => key)).toEqual([]);
}

test('a sound store has nothing to repair, and no other is made', () => {
  site.fill();
  site.close();
  const before = filesOf(site.store);
  expect(site.repair()).toMatchObject({ isMade: false, findings: [] });
  expect(fs.existsSync(site.target)).toBe(false);
  expect(filesOf(site.store)).toEqual(before);
});

describe('a damaged blob', () => {
  test('costs its own records, and they alone', () => {
    site.fill(4, 1200);
    site.close();
    const before = holdings(site.store);
    const blobs = site.blobs();
    const [victim, { keys }] = [...blobs].find(([id, { crossings }]) => id !== 1 && crossings === 0)!;
    site.damageBlob(victim);
    const { findings, isMade, salvaged } = site.repair();
    expect({ isMade, salvaged }).toMatchObject({
      isMade: true,
      salvaged: { damagedBlobs: 1, isIncomplete: true },
    });
    expect(findings[0]).toMatchObject({
      kind: 'lost',
      message: expect.stringMatching(
        new RegExp(`^Blob ${victim}: .*; its keys begin with ".*no other image`),
      ),
    });
    const after = holdings(site.target);
    expect(keys.size).toBeGreaterThan(10);
    expectSomewhere(without(before, keys), after);
    expect(damageOf(site.target)).toEqual([]);
  });

  test('gets what an older image of it has, which is told', () => {
    site.fill(4, 1200);
    const older = holdingsOf(site.fixture.tree, site.store);
    for (let d = 0; d < 4; d++) {
      for (let f = 200; f < 1200; f += 100)
        site.fixture.fs.removexattr(CALLER, bytes(`/dir${d}/file${f}`), bytes('user.value'));
    }
    site.checkpoint();
    site.close();
    const [victim, { slot, keys }] = [...site.blobs()].find(
      ([id, blob]) => id !== 1 && blob.crossings === 0 && site.slotsOf(id).length > 1,
    )!;
    site.damageSlot(slot);
    const { findings } = site.repair();
    expect(findings[0]).toMatchObject({
      kind: 'older',
      message: expect.stringContaining(`Blob ${victim}: `),
    });
    expect(findings[0]!.message).toMatch(
      /its image of checkpoint \d+, which is older than the rest, gives what it has/,
    );
    const after = holdings(site.target);
    const lost = [...keys].filter((key) => after.get(key) !== older.get(key));
    expect(lost).toEqual([]);
    expect(damageOf(site.target)).toEqual([]);
  });

  test('with --unproven gives the records that look whole, under lost+found', () => {
    site.fill(4, 1200);
    site.close();
    const [victim, { keys }] = [...site.blobs()].find(
      ([id, blob]) => id !== 1 && [...blob.keys].some((key) => key.startsWith('d/dir2/file')),
    )!;
    site.damageBlob(victim);
    const { findings } = site.repair({ unproven: true });
    expect(findings[0]!.message).toMatch(/of its records look whole, and are under lost\+found, unproven/);
    const after = holdings(site.target);
    const names = [...keys].filter((key) => key.startsWith('d/'));
    const kept = names.filter((key) => after.has(`d/lost+found/blob-${victim}/${key.slice(2)}`));
    expect(kept.length).toBeGreaterThan(names.length / 2);
    expect(damageOf(site.target)).toEqual([]);
  });

  test('at the top costs no file of those below', () => {
    site.fill(4, 1200);
    site.close();
    const before = holdings(site.store);
    const blobs = site.blobs();
    expect(blobs.size).toBeGreaterThan(3);
    const { keys } = blobs.get(1)!;
    site.damageBlob(1);
    site.repair();
    const after = holdings(site.target);
    expectSomewhere(without(before, keys), after);
    expect(damageOf(site.target)).toEqual([]);
  });
});

describe('a lost manifest', () => {
  test('costs nothing after a clean end', () => {
    site.fill();
    site.checkpoint();
    site.close();
    const before = holdings(site.store);
    fs.rmSync(site.path('manifest'));
    fs.rmSync(site.path('manifest.log'));
    const { findings } = site.repair();
    expect(findings.filter(({ kind }) => kind !== 'note')).toEqual([]);
    expect(holdings(site.target)).toEqual(before);
    expect(damageOf(site.target)).toEqual([]);
  });

  test('costs nothing where the journal goes on from the images, moved directories included', () => {
    site.fill();
    site.checkpoint();
    site.fixture.write('/dir1/later', 'written later');
    site.fixture.rename('/dir2', '/dir1/moved');
    site.fixture.unlink('/dir3/file1');
    site.close();
    const orphan = (key: string) => key[0] === 'o' || key[0] === 'y';
    const before = new Map([...holdings(site.store)].filter(([key]) => !orphan(key)));
    fs.rmSync(site.path('manifest'));
    const { findings } = site.repair();
    expect(findings.filter(({ kind }) => kind === 'lost')).toEqual([]);
    expect(holdings(site.target)).toEqual(before);
    expect(damageOf(site.target)).toEqual([]);
  });
});

describe('a journal', () => {
  test('that was cut loses what was behind the cut', () => {
    site.fill(2, 20);
    site.checkpoint();
    const before = new Map(
      [...site.fixture.tree.range()].flatMap((item) =>
        item.type === 'key' ? [[Buffer.from(item.key).toString('latin1'), 1] as const] : [],
      ),
    );
    for (let n = 0; n < 50; n++) site.fixture.write(`/dir1/later${n}`, `later ${n}`);
    site.close();
    const segment = fs
      .readdirSync(site.store)
      .filter((name) => name.endsWith('.wal'))
      .sort()
      .at(-1)!;
    const { size } = fs.statSync(site.path(segment));
    fs.truncateSync(site.path(segment), size - 20_000);
    const { findings } = site.repair();
    expect(findings[0]).toMatchObject({
      kind: 'lost',
      message: expect.stringMatching(/^Cannot recover the journal: .*: record \d+/),
    });
    const after = holdings(site.target);
    for (const key of before.keys()) if (key[0] !== 's') expect(after.has(key)).toBe(true);
    const later = Array.from({ length: 50 }, (_, n) => after.has(`d/dir1/later${n}`));
    expect(later[0]).toBe(true);
    expect(later[49]).toBe(false);
    // Their contents are there, under lost+found.
    const contents = [...after].filter(([key]) => key.startsWith('content of')).map(([, value]) => value);
    for (let n = 0; n < 50; n++) expect(contents).toContain(`later ${n}`);
    expect(damageOf(site.target)).toEqual([]);
  });
});

describe('contents', () => {
  test('that are gone leave an empty file under lost+found, which says what it was', () => {
    site.fill(2, 20);
    const { ino } = site.fixture.stat('/dir0/file10');
    const linked = site.fixture.stat('/dir0/sub/linked').ino;
    site.close();
    const before = holdings(site.store);
    fs.rmSync(contentPath(site.path('content'), ino));
    fs.truncateSync(contentPath(site.path('content'), linked), 3);
    const { namespace, findings } = site.repair();
    expect(namespace.damagedFiles).toBe(2);
    expect(findings).toContainEqual({
      kind: 'lost',
      message: `/dir0/file10: its 26 bytes are missing; what is left is /lost+found/#${ino}`.replace(
        '26',
        String('content of /dir0/file10'.length),
      ),
    });
    const after = holdings(site.target);
    expect(after.has('d/dir0/file10')).toBe(false);
    expect(Buffer.from(after.get(`x/lost+found/#${ino}\0user.spinney.path`)!, 'hex').toString()).toBe(
      '/dir0/file10',
    );
    expect(after.get(`content of ${linked}`)).toBe('of ');
    const gone = new Set([
      'd/dir0/file10',
      'x/dir0/file10\0user.value',
      'd/dir0/sub/linked',
      'd/dir1/second',
      `content of ${ino}`,
      `content of ${linked}`,
      'd',
      Buffer.from(inodeKey(linked)).toString('latin1'),
    ]);
    expectHeld(without(before, gone), after);
    expect(damageOf(site.target)).toEqual([]);
  });

  test('that were made after snapshots are those of their files, and those that snapshots had are left out', () => {
    site.fill(1, 20);
    const { fixture } = site;
    for (const [name, text] of [
      ['one', 'first'],
      ['two', 'second'],
    ] as const) {
      fixture.fs.snapshots.take(name);
      fixture.write('/dir0/file0', text);
      fixture.write('/dir0/sub/linked', text);
    }
    fixture.unlink('/dir0/file10');
    const { ino } = fixture.stat('/dir0/file0');
    const linked = fixture.stat('/dir0/sub/linked').ino;
    site.close();
    fs.rmSync(site.path('manifest'));
    fs.rmSync(site.path('manifest.log'), { force: true });
    site.repair({ unproven: true });
    const after = holdings(site.target);
    expect(after.get(`content of ${ino}`)).toMatch(/^second/);
    expect(after.get(`content of ${linked}`)).toBe('second names');
    expect([...after.keys()].filter((key) => key.startsWith('k'))).toEqual([]);
    expect([...after.keys()].filter((key) => key.startsWith('d/lost+found/'))).toEqual([]);
    expect(damageOf(site.target)).toEqual([]);
    const names = fs.readdirSync(join(site.target, 'content/0'));
    expect(names.filter((name) => name.includes('.'))).toEqual([]);
  });

  test('of nobody are left out where no record is missing', () => {
    site.fill(1, 20);
    site.close();
    const path = contentPath(site.path('content'), 4000);
    fs.mkdirSync(dirname(path), { recursive: true });
    fs.writeFileSync(path, 'left over');
    const { findings } = site.repair();
    expect(findings).toEqual([
      { kind: 'mended', message: '1 contents of files that were removed are left out' },
    ]);
    expect(damageOf(site.target)).toEqual([]);
  });
});

test('links, counts and attributes that do not fit are set right', () => {
  site.fill(3, 20);
  const { tree } = site.fixture;
  const linked = site.fixture.stat('/dir0/sub/linked').ino;
  change(inodeKey(linked), (value) => record.setLinks(value, 7));
  change(entry('/dir1'), (value) => record.setLinks(value, 9));
  change(entry('/dir1/file1'), (value) => record.setLinks(value, 3));
  change(entry('/dir1/file2'), (value) => record.clearFlag(value, record.XATTRS));
  tree.put(entry('/dir1/nothing'), record.newLink(999, record.REGULAR));
  tree.delete(entry('/dir2'));
  tree.put('x/none\0user.k', bytes('v'));
  tree.put(entry('/dir1/wrong'), bytes('what?'));
  site.close();
  expect(damageOf(site.store).length).toBeGreaterThan(5);
  const { findings } = site.repair();
  const messages = findings.map(({ kind, message }) => `${kind}: ${message}`);
  expect(messages).toEqual(
    expect.arrayContaining([
      `mended: inode ${linked}: its record told 7 links, there are 2`,
      'mended: /dir1: its record told 9 links, there are 2',
      'mended: /dir1/file1: its record told 3 links, there is 1',
      'mended: attribute user.value of /dir1/file2: its file was said to have none',
      'lost: /dir1/nothing: the record of its inode 999 is lost: the name is left out',
      "lost: /dir2: the directory's record is lost; what was in it is in /lost+found/dir2",
      'lost: attribute user.k of /none: what it belongs to is not there: it is left out',
      'lost: d/dir1/wrong: its record cannot be read: it is left out',
    ]),
  );
  const after = holdings(site.target);
  expect(after.has('d/lost+found/dir2/file19')).toBe(true);
  expect(after.has('x/lost+found/dir2/file19\0user.value')).toBe(true);
  expect(damageOf(site.target)).toEqual([]);
});

test('numbers that belong to two files, or cannot be, are given once each', () => {
  site.fill(2, 20);
  const { tree } = site.fixture;
  const twin = tree.get(entry('/dir0/file10'))!;
  tree.put(entry('/dir1/twin'), twin);
  tree.put(entry('/dir1/huge'), record.newRecord(2 ** 48 - 2, record.FIFO | 0o644));
  tree.put(entry('/dir1/later'), record.newRecord(1_000_000, record.FIFO | 0o644));
  tree.put('snext-inode', Buffer.alloc(8, 0xff));
  site.close();
  const { findings } = site.repair();
  expect(findings.map(({ message }) => message)).toEqual(
    expect.arrayContaining([
      expect.stringMatching(
        /^\/dir1\/twin: its inode number belongs to another file, or cannot be; what is left is \/lost\+found\/#\d+$/,
      ),
      '/dir1/huge: its inode number belongs to another file, or cannot be: it has a new one',
    ]),
  );
  const after = holdings(site.target);
  expect(after.get(`content of ${record.inoOf(twin)}`)).toBe('content of /dir0/file10');
  expect(after.has('d/dir1/huge')).toBe(true);
  expect(damageOf(site.target)).toEqual([]);
});

test('what a power cut left is settled as a mount would settle it, and no more', () => {
  site.fill(2, 20);
  const { fixture } = site;
  fixture.write('/dir0/durable', 'ten bytes.');
  fixture.fs.close();
  const { tree } = fixture;
  const mark = { boot: 'another', cutLsn: 0, cutAfter: 0, cutBefore: 0 };
  // Contents are durable up to here, and no cut came before an hour from now: what is missing of them is damage.
  writeMark(tree, { ...mark, durableLsn: tree.lastLsn(), durableSeconds: Date.now() / 1000 + 3600 });
  const live = tree.get(entry('/dir1/file1'))!.slice();
  record.setFlag(live, record.LIVE | record.CONTENT);
  tree.put(entry('/dir1/file1'), live);
  const young = record.newRecord(4000, record.REGULAR | 0o644);
  record.setFlag(young, record.CONTENT);
  record.setSize(young, 10);
  tree.put(entry('/dir1/young'), young);
  const { ino } = fixture.stat('/dir0/durable');
  fs.truncateSync(contentPath(site.path('content'), ino), 4);
  site.close();
  const found = damageOf(site.store);
  expect(found.filter((line) => line.startsWith('damage'))).toEqual([
    `damage: /dir0/durable: of its 10 bytes 4 are there (inode ${ino})`,
  ]);
  expect(found.filter((line) => line.includes('the next mount settles it'))).toHaveLength(2);
  const { findings } = site.repair();
  expect(findings.map(({ kind, message }) => `${kind}: ${message}`)).toEqual(
    expect.arrayContaining([
      `lost: /dir0/durable: of its 10 bytes 4 are there; what is left is /lost+found/#${ino}`,
      'note: /dir1/file1: its content is missing, and it was open for writing; a power cut left it so: it has what is there',
      'note: /dir1/young: its 10 bytes are missing; a power cut left it so: it has what is there',
    ]),
  );
  const after = holdings(site.target);
  for (const path of ['d/dir1/file1', 'd/dir1/young']) {
    const settled = Buffer.from(after.get(path)!, 'hex');
    expect([record.sizeOf(settled), record.hasFlag(settled, record.LIVE)]).toEqual([0, false]);
    expect(Math.abs(record.secondsOf(settled, record.MTIME) - Date.now() / 1000)).toBeLessThan(3600);
  }
  expect(damageOf(site.target)).toEqual([]);
});

test('limits go with their directories, and blobs have their sums again', () => {
  site.fill(3, 400);
  const { tree } = site.fixture;
  const limits = limitsValue({ bytes: 2 ** 30, files: 0 });
  for (const path of ['/dir0', '/none', '/dir1/file1']) tree.put(quotaKey(Buffer.from(path)), limits);
  site.close();
  site.damageBlob(Math.max(...site.blobs().keys()));
  const { findings } = site.repair();
  const lost = findings.filter(({ message }) => message.startsWith('limits of '));
  expect(lost.map(({ message }) => message).sort()).toEqual([
    'limits of /dir1/file1: there is no such directory: they are left out',
    'limits of /none: there is no such directory: they are left out',
  ]);
  expect(damageOf(site.target)).toEqual([]);
  const after = Tree.open({ dir: site.target, readOnly: true, measure: FILESYSTEM_MEASURE });
  try {
    expect(after.getVersion(quotaKey(Buffer.from('/dir0')))).toBeDefined();
    expect(after.stats().blobs.every(({ sums }) => sums !== undefined)).toBe(true);
    let files = 0;
    for (const item of after.range({ prefix: 'd/' })) {
      if (item.type === 'key' && record.typeOf(item.value) !== record.DIRECTORY) files++;
    }
    expect(after.measure('d/').files).toBe(files);
  } finally {
    after.close();
  }
});

describe('the new store', () => {
  test('is not made by a dry run, which tells the same', () => {
    site.fill(2, 20);
    site.fixture.tree.delete(entry('/dir1'));
    site.close();
    const before = filesOf(site.store);
    const dry = site.repair({ isDry: true });
    expect(dry.isMade).toBe(false);
    expect(fs.existsSync(site.target)).toBe(false);
    expect(site.repair().findings).toEqual(dry.findings);
    expect(filesOf(site.store)).toEqual(before);
  });

  test('never goes over something that is there', () => {
    site.fill(1, 10);
    site.close();
    fs.mkdirSync(site.target);
    fs.writeFileSync(`${site.target}/precious`, 'mine');
    expect(() => site.repair()).toThrow(/something is there; nothing is written over/);
    expect(fs.readdirSync(site.target)).toEqual(['precious']);
    fs.writeFileSync(`${site.target}/${UNFINISHED_FILE}`, '');
    fs.rmSync(`${site.target}/precious`);
    site.repair();
  });
});
