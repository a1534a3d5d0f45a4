/** What the real disk opens, and what it leaves alone because somebody may have put it there. */
import { execFileSync } from 'node:child_process';
import {
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { NodeDisk } from '../../../engine/disk/node-disk.js';
import { Tree } from '../../../engine/index.js';

const disk = new NodeDisk();
const NOBODY = 65_534;

function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'spinney-disk-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A file that is not to be touched, and a name of a store's that leads to it. */
function victim(): { file: string; name: string } {
  const directory = temporaryDirectory();
  const file = join(directory, 'victim');
  writeFileSync(file, 'precious');
  return { file, name: join(directory, 'blobs.dat') };
}

const access = [{ write: false }, { write: true }, { write: true, create: true }] as const;

it('follows no symbolic link, and makes nothing where a dangling one leads', () => {
  const { file, name } = victim();
  symlinkSync(file, name);
  const dangling = `${name}.2`;
  symlinkSync(`${file}.2`, dangling);
  for (const options of access) {
    for (const path of [name, dangling]) {
      expect(() => disk.open(path, options)).toThrow(
        expect.objectContaining({
          code: 'ERR_UNSAFE',
          message: `Cannot open ${path}: it is a symbolic link`,
        }),
      );
    }
  }
  expect(disk.exists(dangling)).toBe(true);
  expect(disk.exists(`${file}.2`)).toBe(false);
});

it('opens no file for writing that has a second name', () => {
  const { file, name } = victim();
  linkSync(file, name);
  expect(() => disk.open(name, { write: true, create: true })).toThrow(/a second name/);
  disk.close(disk.open(name, { write: false }));
});

it('opens nothing but plain files, and waits for none', () => {
  const { name } = victim();
  execFileSync('mkfifo', [name]);
  mkdirSync(`${name}.d`);
  for (const options of access) {
    expect(() => disk.open(name, options)).toThrow(expect.objectContaining({ code: 'ERR_UNSAFE' }));
  }
  expect(() => disk.open(`${name}.d`, { write: false })).toThrow(/not a plain file/);
});

it.runIf(process.geteuid?.() === 0)("opens no file of another user's for writing", () => {
  const { file } = victim();
  chownSync(file, NOBODY, NOBODY);
  expect(() => disk.open(file, { write: true })).toThrow(/belongs to uid 65534, not to uid 0/);
  disk.close(disk.open(file, { write: false }));
  const directory = temporaryDirectory();
  chownSync(directory, NOBODY, NOBODY);
  expect(() => disk.mkdir(directory)).toThrow(expect.objectContaining({ code: 'ERR_UNSAFE' }));
  expect(() => Tree.open({ dir: directory })).toThrow(expect.objectContaining({ code: 'ERR_UNSAFE' }));
  expect(disk.list(directory)).toEqual([]);
});

/** Each file that a store has after a kill, and while it is closed. */
it.each([
  'blobs.dat',
  'manifest',
  'manifest.log',
  'manifest.spare',
  'lock',
  'journal.run',
  'journal.ring',
  'journal.ring.spare',
  'journal-0000000000000001.wal',
])('a tree whose %s is a link elsewhere opens without following it, or not at all', (name) => {
  const dir = join(temporaryDirectory(), 'store');
  const tree = Tree.open({ dir });
  tree.put('k', Buffer.from('v'));
  tree.checkpoint();
  tree.put('l', Buffer.from('v'));
  tree.sync();
  tree.close();
  const { file } = victim();
  rmSync(join(dir, name), { force: true });
  symlinkSync(file, join(dir, name));
  try {
    const again = Tree.open({ dir });
    again.put('m', Buffer.from('w'));
    again.checkpoint();
    again.close();
  } catch (error) {
    expect(error).toMatchObject({ code: 'ERR_UNSAFE' });
    expect(String(error)).toContain(`${join(dir, name)}: it is a symbolic link`);
  }
  expect(readFileSync(file, 'utf8')).toBe('precious');
});
