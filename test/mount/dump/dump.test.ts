/** Stores written as lines and made again: all that is in them is there, and what is no dump is told by line. */
import fs from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Tree } from '../../../engine/index.js';
import { SILENT } from '../../../engine/progress.js';
import { UNFINISHED_FILE } from '../../../engine/store/file/names.js';
import { dumpStore, loadStore } from '../../../mount/dump/index.js';
import { newAttributes } from '../../../mount/filesystem/arguments.js';
import { bytes, CALLER } from '../../filesystem/fixture.js';
import { DamagedStore, damageOf, holdings } from '../repair/stores.js';

let site: DamagedStore;

beforeEach(() => {
  site = new DamagedStore();
});
afterEach(() => site.cleanUp());

function dumped(store: string): string[] {
  let text = '';
  dumpStore({ store, version: '1.2.3', progress: SILENT, write: (piece) => (text += piece) });
  return text.trimEnd().split('\n');
}

async function* each(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines;
}

function load(lines: readonly string[], contents: Parameters<typeof loadStore>[0]['contents'] = 'none') {
  return loadStore({ lines: each(lines), target: site.target, contents, progress: SILENT });
}

/** Names and contents, with what the count of inode numbers and the order of changes do not concern. */
const entriesOf = (store: string) => dumped(store).slice(1);

test('all that a store holds comes back: names, attributes, links, lists, contents', async () => {
  const { fixture } = site;
  site.fill(2, 30);
  fixture.mkdir('/dir0/deep');
  fixture.fs.symlink(CALLER, bytes('/dir0/deep'), bytes('link'), bytes('../nowhere'), newAttributes());
  fixture.fs.mknod(CALLER, bytes('/dir0'), bytes('null'), 0o020666, 0x12345103, newAttributes());
  fixture.fs.mknod(CALLER, bytes('/dir0'), bytes('pipe'), 0o010644, 0, newAttributes());
  fixture.fs.mkdir(CALLER, bytes('/dir1'), Buffer.from([0xff, 0x41]), 0o040711, newAttributes());
  fixture.fs.setxattr(CALLER, bytes('/dir1'), bytes('user.raw'), Uint8Array.of(0, 255, 1), 0);
  fixture.fs.setxattr(CALLER, bytes('/dir0/sub/linked'), bytes('user.of-both'), bytes('x'), 0);
  const list = Buffer.from(
    '0200000001000600ffffffff02000500e803000004000400ffffffff10000600ffffffff20000400ffffffff',
    'hex',
  );
  expect(fixture.fs.setAccessList(bytes('/dir0/file1'), bytes('system.posix_acl_access'), list, false)).toBe(
    0,
  );
  expect(fixture.fs.setAccessList(bytes('/dir0'), bytes('system.posix_acl_default'), list, false)).toBe(0);
  site.close();

  const lines = dumped(site.store);
  const { namespace, contents } = await load(lines, { store: site.store });
  expect(namespace).toMatchObject({ entries: lines.length - 2, directories: 6 });
  expect(contents!.reflinked + contents!.linked + contents!.copied).toBe(7);
  expect(damageOf(site.target)).toEqual([]);
  expect(holdings(site.target)).toEqual(holdings(site.store));
  expect(entriesOf(site.target)).toEqual(lines.slice(1));
});

test('a line says what a file is, for other programs', () => {
  const { fixture } = site;
  fixture.mkdir('/a');
  fixture.write('/a/f', 'hello');
  fixture.fs.setxattr(CALLER, bytes('/a/f'), bytes('user.k'), bytes('v'), 0);
  fixture.link('/a/f', '/second');
  site.close();
  const [head, root, , file, second, end] = dumped(site.store).map((line) => JSON.parse(line));
  expect(head).toMatchObject({ format: 'spinney-dump', version: 1, spinney: '1.2.3' });
  expect(root).toMatchObject({ path: '/', type: 'directory', ino: 1, mode: '0755' });
  const time = [expect.any(Number), expect.any(Number)];
  expect(file).toEqual({
    path: '/a/f',
    type: 'file',
    ino: expect.any(Number),
    mode: '0644',
    uid: CALLER.uid,
    gid: CALLER.gid,
    size: 5,
    atime: time,
    mtime: time,
    ctime: time,
    btime: time,
    xattrs: [{ name: 'user.k', value: 'v' }],
  });
  expect(second).toEqual({ path: '/second', type: 'link', to: '/a/f' });
  expect(end).toEqual({ type: 'end', entries: 4 });
});

test('a file that was open for writing when the daemon was killed has the size that its content has', async () => {
  const { fixture } = site;
  const { handle, fd } = fixture.createPassed('/open');
  fs.writeSync(fd, 'written past the layer');
  // As a kill leaves it.
  const killed = `${site.store}.killed`;
  fs.cpSync(site.store, killed, { recursive: true });
  const file = JSON.parse(dumped(killed)[2]!);
  expect(file).toMatchObject({ path: '/open', size: 22 });
  fixture.fs.release(handle);
});

test('without contents a dump of files with bytes is refused, and with --sparse they are zeros', async () => {
  site.fixture.write('/f', 'hello');
  site.close();
  const lines = dumped(site.store);
  await expect(load(lines)).rejects.toThrow(
    'Cannot load the dump: line 3: /f: it has 5 bytes, of which a dump tells nothing: give --contents STORE',
  );
  // What a run that failed has left does not keep the next from making it anew.
  await load(lines, 'sparse');
  expect(damageOf(site.target)).toEqual([]);
  expect([...holdings(site.target)].filter(([key]) => key.startsWith('content')).length).toBe(1);
  await expect(load(lines, 'sparse')).rejects.toThrow('something is there; nothing is written over');
});

test('a store whose contents are not those of the dump is refused by name', async () => {
  site.fixture.write('/f', 'hello');
  site.close();
  const lines = dumped(site.store);
  const [, , file] = lines as [string, string, string];
  lines[2] = file.replace('"size":5', '"size":6');
  await expect(load(lines, { store: site.store })).rejects.toThrow(
    'line 3: /f: it has 6 bytes, 5 are in the store',
  );
  lines[2] = file.replace(/"ino":\d+/, '"ino":77');
  await expect(load(lines, { store: site.store })).rejects.toThrow(
    'line 3: /f: its 5 bytes are not in the store',
  );
});

const HEAD = '{"format":"spinney-dump","version":1}';
const META = '"mode":"0755","uid":0,"gid":0,"atime":[0,0],"mtime":[0,0],"ctime":[0,0],"btime":[-1,999999999]';
const ROOT = `{"path":"/","type":"directory",${META}}`;
const line = (rest: string) => `{${rest},${META}}`;
const end = (entries: number) => `{"type":"end","entries":${entries}}`;

test('what other programs write need not tell numbers', async () => {
  await load([
    HEAD,
    ROOT,
    line('"path":"/d","type":"directory"'),
    line('"path":"/d/f","type":"file","size":0'),
    end(3),
  ]);
  const lines = dumped(site.target).map((text) => JSON.parse(text));
  expect(lines.slice(1, -1).map(({ path, ino, btime }) => [path, ino, btime])).toEqual([
    ['/', 1, [-1, 999_999_999]],
    ['/d', 2, [-1, 999_999_999]],
    ['/d/f', 3, [-1, 999_999_999]],
  ]);
  const tree = Tree.open({ dir: site.target });
  expect(Number(Buffer.from(tree.get(Buffer.from('snext-inode'))!).readBigUInt64LE())).toBe(4);
  tree.close();
});

describe('what is no dump is refused, by line, and leaves no store', () => {
  const file = (rest: string) => line(`"path":"/f","type":"file",${rest}`);
  test.each<[string, string[], string]>([
    ['not JSON', ['hello'], 'line 1: it is not JSON'],
    ['another file', ['{"a":1}'], 'line 1: this is no dump'],
    [
      'another version',
      ['{"format":"spinney-dump","version":2}'],
      'line 1: the dump has version 2, this program reads version 1',
    ],
    ['nothing', [], 'cut short after line 0'],
    ['cut short', [HEAD, ROOT], 'cut short after line 2'],
    ['a wrong count', [HEAD, ROOT, end(2)], 'line 3: it tells of 2 names, 1 came before it'],
    ['no root', [HEAD, end(0)], 'line 2: there is no line for the root'],
    [
      'the root not first',
      [HEAD, file('"size":0')],
      'line 2: /f: the first line after the head must be that of the root',
    ],
    ['two roots', [HEAD, ROOT, ROOT], 'line 3: /: the root must be the first line'],
    ['a root that is a file', [HEAD, line('"path":"/","type":"file","size":0')], 'the root is no directory'],
    [
      'no directory',
      [HEAD, ROOT, line('"path":"/d/f","type":"file","size":0')],
      '/d/f: no line before it makes its directory',
    ],
    [
      'a file in a file',
      [HEAD, ROOT, file('"size":0'), line('"path":"/f/g","type":"file","size":0')],
      '/f/g: /f is no directory',
    ],
    [
      'a name twice',
      [HEAD, ROOT, file('"size":0'), file('"size":0')],
      'line 4: /f: an earlier line has it already',
    ],
    [
      'a name that cannot be',
      [HEAD, ROOT, line('"path":"/a/../b","type":"file","size":0')],
      'has a name that no directory can have',
    ],
    ['a relative path', [HEAD, ROOT, line('"path":"f","type":"file","size":0')], 'does not begin with /'],
    ['a number of another', [HEAD, ROOT.replace('{', '{"ino":1,'), file('"size":0,"ino":1')], 'its ino is 1'],
    [
      'a number twice',
      [
        HEAD,
        ROOT.replace('{', '{"ino":1,'),
        file('"size":0,"ino":9'),
        file('"size":0,"ino":9').replace('/f', '/g'),
      ],
      'its ino 9 is that of an earlier line',
    ],
    ['numbers now and then', [HEAD, ROOT, file('"size":0,"ino":9')], 'all have one, or none'],
    ['a size that is none', [HEAD, ROOT, file('"size":-1')], 'size is -1, but takes a whole number from 0'],
    [
      'a mode that is none',
      [HEAD, ROOT, file('"size":0').replace('0755', '999')],
      'mode is "999", but takes octal digits',
    ],
    [
      'a time that is none',
      [HEAD, ROOT, file('"size":0').replace('[0,0]', '[0,1e9]')],
      'atime is [0,1000000000]',
    ],
    [
      'an unknown type',
      [HEAD, ROOT, line('"path":"/f","type":"door"')],
      'type is "door", but takes file, directory',
    ],
    [
      'a link of nothing',
      [HEAD, ROOT, '{"path":"/l","type":"link","to":"/f"}'],
      '/l: it is a name of /f, which no line before it makes',
    ],
    ['a link of a directory', [HEAD, ROOT, '{"path":"/l","type":"link","to":"/"}'], 'which is a directory'],
    [
      'a symbolic link to nothing',
      [HEAD, ROOT, line('"path":"/l","type":"symlink","target":""')],
      'target has 0 bytes',
    ],
    [
      'an attribute twice',
      [HEAD, ROOT, file('"size":0,"xattrs":[{"name":"user.a","value":""},{"name":"user.a","value":""}]')],
      'attribute user.a is told twice',
    ],
    [
      'an access list that is none',
      [HEAD, ROOT, file('"size":0,"xattrs":[{"name":"system.posix_acl_access","value":"x"}]')],
      'is no access list',
    ],
    [
      'bytes that are none',
      [HEAD, ROOT, line('"path":{"base64":"*"},"type":"file","size":0')],
      'path is not base64',
    ],
    ['more after the end', [HEAD, ROOT, end(1), ROOT], 'line 4: nothing may follow the last line'],
  ])('%s', async (_what, lines, message) => {
    const refused = await load(lines).catch((error) => error);
    expect(refused).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    expect(refused.message).toMatch(/^Cannot load the dump: /);
    expect(refused.message).toContain(message);
    expect(fs.existsSync(join(site.target, UNFINISHED_FILE))).toBe(true);
  });
});

test('random bytes in place of a line are refused as such, never taken', async () => {
  const field = fc.oneof(fc.json(), fc.string(), fc.constantFrom('"/"', '"/f"', 'null', '{}', '[]', '1e400'));
  const key = fc.constantFrom(
    'path',
    'type',
    'ino',
    'mode',
    'uid',
    'size',
    'xattrs',
    'atime',
    'target',
    'device',
    'to',
  );
  await fc.assert(
    fc.asyncProperty(fc.dictionary(key, field), async (fields) => {
      const text = `{${Object.entries(fields)
        .map(([name, value]) => `"${name}":${value}`)
        .join(',')}}`;
      fs.rmSync(site.target, { recursive: true, force: true });
      const refused = await load([HEAD, ROOT, text, end(2)]).catch((error) => error);
      expect(refused).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    }),
    { numRuns: 25 },
  );
});
