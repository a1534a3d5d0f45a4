/** What mount, umount and check refuse before anything is started, and how they say so. */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Tree } from '../../../engine/index.js';
import { failure, spinney, temporaryDirectory } from '../support.js';

describe('mount refuses', () => {
  it('a mountpoint that does not exist', async () => {
    const directory = temporaryDirectory();
    const { code, line } = await failure(
      'mount',
      join(directory, 'mnt'),
      '--store',
      join(directory, 'store'),
    );
    expect(code).toBe(1);
    expect(line).toBe(
      `spinney: Cannot mount at ${join(directory, 'mnt')}: it does not exist; make the directory first`,
    );
  });

  it('a mountpoint whose parent does not exist', async () => {
    const directory = temporaryDirectory();
    const { line } = await failure('mount', join(directory, 'a', 'mnt'), '--store', join(directory, 'store'));
    expect(line).toContain(`${join(directory, 'a')} does not exist`);
  });

  it('a mountpoint that is a file, also behind a symbolic link', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'file'), '');
    symlinkSync('file', join(directory, 'link'));
    for (const name of ['file', 'link']) {
      const { code, line } = await failure(
        'mount',
        join(directory, name),
        '--store',
        join(directory, 'store'),
      );
      expect(code).toBe(1);
      expect(line).toBe(`spinney: Cannot mount at ${join(directory, 'file')}: it is not a directory`);
    }
  });

  it('a mountpoint that is not empty, and makes no store then', async () => {
    const directory = temporaryDirectory();
    const { code, line } = await failure('mount', join(directory, '..'), '--store', '/tmp-no-such/store');
    expect(code).toBe(1);
    expect(line).toContain('it is not empty');
  });

  it('a mountpoint that is a mount already', async () => {
    const { code, line } = await failure('mount', '/proc', '--store', join(temporaryDirectory(), 'store'));
    expect(code).toBe(1);
    expect(line).toContain('Cannot mount at /proc: it is a mount already (proc, type proc)');
  });

  it('a loop of symbolic links', async () => {
    const directory = temporaryDirectory();
    symlinkSync('b', join(directory, 'a'));
    symlinkSync('a', join(directory, 'b'));
    const { code, line } = await failure('mount', join(directory, 'a'), '--store', join(directory, 'store'));
    expect(code).toBe(1);
    expect(line).toContain('too many symbolic links');
  });

  it('a store inside the mountpoint, also through a symbolic link', async () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'mnt'));
    symlinkSync('mnt', join(directory, 'link'));
    for (const name of ['mnt', 'link']) {
      const { code, line } = await failure(
        'mount',
        join(directory, 'mnt'),
        '--store',
        join(directory, name, 's'),
      );
      expect(code).toBe(1);
      expect(line).toContain('lies inside it');
    }
  });

  it('a read-only mount of a store that does not exist', async () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'mnt'));
    const store = join(directory, 'store');
    const { code, line } = await failure('mount', join(directory, 'mnt'), '--store', store, '--read-only');
    expect(code).toBe(1);
    expect(line).toBe(`spinney: Cannot mount the store ${store} read-only: no such store`);
  });

  it('a mountpoint inside the store, also through a symbolic link', async () => {
    const directory = temporaryDirectory();
    Tree.open({ dir: join(directory, 'store') }).close();
    mkdirSync(join(directory, 'store', 'mnt'));
    symlinkSync('store', join(directory, 'link'));
    for (const [mountpoint, store] of [
      ['store/mnt', 'store'],
      ['link/mnt', 'store'],
      ['store/mnt', 'link'],
    ]) {
      const { code, line } = await failure(
        'mount',
        join(directory, mountpoint!),
        '--store',
        join(directory, store!),
      );
      expect(code).toBe(1);
      expect(line).toBe(
        `spinney: Cannot mount at ${directory}/store/mnt: it lies inside the store ${join(directory, store!)}`,
      );
    }
  });

  it('a mountpoint that is the store', async () => {
    const directory = temporaryDirectory();
    for (const store of ['.', './']) {
      const { line } = await failure('mount', directory, '--store', join(directory, store));
      expect(line).toBe(
        `spinney: Cannot mount at ${directory}: it is the store itself; give another directory`,
      );
    }
    expect(readdirSync(directory)).toEqual([]);
  });

  it('a store inside another store', async () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'mnt'));
    const outer = join(directory, 'outer');
    Tree.open({ dir: outer }).close();
    for (const inner of ['inner', 'content/0/inner']) {
      const { code, line } = await failure('mount', join(directory, 'mnt'), '--store', join(outer, inner));
      expect(code).toBe(1);
      expect(line).toBe(
        `spinney: Cannot use the store ${join(outer, inner)}: it lies inside another store, ${outer}`,
      );
      expect(existsSync(join(outer, inner))).toBe(false);
    }
  });

  it('a directory that holds something else, without changing anything', async () => {
    const directory = temporaryDirectory();
    const store = join(directory, 'home');
    mkdirSync(join(directory, 'mnt'));
    mkdirSync(store, { mode: 0o755 });
    for (const name of ['a', 'b', 'c', 'd', 'e']) writeFileSync(join(store, name), '');
    utimesSync(store, 1, 1);
    for (const options of [[], ['--foreground'], ['--read-only'], ['--log-file', join(store, 'log')]]) {
      const { code, line } = await failure('mount', join(directory, 'mnt'), '--store', store, ...options);
      expect(code).toBe(1);
      expect(line).toBe(
        `spinney: Cannot use ${store} as a store: it holds something else (a, b, c and 2 more); ` +
          'a store is made only in a directory that is empty or does not exist yet',
      );
    }
    const { err } = await spinney('check', store);
    expect(err).toContain('it holds something else (a, b, c and 2 more)');
    expect(readdirSync(store)).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(statSync(store)).toMatchObject({ mode: 0o40755, mtimeMs: 1000 });
  });

  it('a store below what is no directory', async () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'mnt'));
    writeFileSync(join(directory, 'file'), '');
    const store = join(directory, 'file', 'store');
    const { code, line } = await failure('mount', join(directory, 'mnt'), '--store', store);
    expect(code).toBe(1);
    expect(line).toBe(`spinney: Cannot use the store ${store}: a part of its path is not a directory`);
  });

  it('a directory for everybody, even an empty one', async () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'mnt'));
    mkdirSync(join(directory, 'tmp'));
    chmodSync(join(directory, 'tmp'), 0o1777);
    const { line } = await failure('mount', join(directory, 'mnt'), '--store', join(directory, 'tmp'));
    expect(line).toContain('it is a directory for everybody');
    expect(statSync(join(directory, 'tmp')).mode).toBe(0o41777);
  });

  it('to change the mode of a directory that is not the store alone', async () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'mnt'));
    const store = join(directory, 'home');
    Tree.open({ dir: store }).close();
    writeFileSync(join(store, 'letter.txt'), '');
    chmodSync(store, 0o755);
    const { line } = await failure('mount', join(directory, 'mnt'), '--store', store);
    expect(line).toContain("it also has what is not the store's (letter.txt)");
    expect(statSync(store).mode & 0o777).toBe(0o755);
  });

  it.each(['blobs.dat', 'manifest', 'spinney.log', 'control.sock', 'content', 'journal.ring.spare'])(
    'a store whose %s is a link, and does not follow it',
    async (name) => {
      const directory = temporaryDirectory();
      mkdirSync(join(directory, 'mnt'));
      const store = join(directory, 'store');
      Tree.open({ dir: store }).close();
      rmSync(join(store, name), { force: true });
      writeFileSync(join(directory, 'precious'), 'precious');
      symlinkSync('../precious', join(store, name));
      for (const options of [[], ['--read-only'], ['--foreground']]) {
        const { code, line } = await failure('mount', join(directory, 'mnt'), '--store', store, ...options);
        expect(code).toBe(1);
        expect(line).toBe(
          `spinney: Cannot use the store ${store}: its ${name} is a symbolic link, which nothing in a store is; remove it`,
        );
      }
      expect(readFileSync(join(directory, 'precious'), 'utf8')).toBe('precious');
    },
  );

  it.runIf(process.geteuid?.() === 0)(
    "another user's store, and what another user put into one",
    async () => {
      const directory = temporaryDirectory();
      mkdirSync(join(directory, 'mnt'));
      const store = join(directory, 'store');
      Tree.open({ dir: store }).close();
      chownSync(join(store, 'manifest'), 65_534, 65_534);
      const file = await failure('mount', join(directory, 'mnt'), '--store', store);
      expect(file.line).toBe(
        `spinney: Cannot use the store ${store}: its manifest belongs to uid 65534, and this process runs as uid 0`,
      );
      chownSync(store, 65_534, 65_534);
      for (const options of [[], ['--read-only']]) {
        const whole = await failure('mount', join(directory, 'mnt'), '--store', store, ...options);
        expect(whole.line).toBe(
          `spinney: Cannot use the store ${store}: it belongs to uid 65534, and this process runs as uid 0; ` +
            `run it as its owner, or, if you trust what is in it, take it over (chown -R 0 ${store})`,
        );
      }
      mkdirSync(join(directory, 'empty'));
      chownSync(join(directory, 'empty'), 65_534, 65_534);
      const empty = await failure('mount', join(directory, 'mnt'), '--store', join(directory, 'empty'));
      expect(empty.line).toContain('it belongs to uid 65534');
      expect(readdirSync(join(directory, 'empty'))).toEqual([]);
    },
  );

  it('a log file and a control socket whose directory does not exist, and makes none', async () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'mnt'));
    const nope = join(directory, 'nope');
    for (const option of ['--log-file', '--control']) {
      const { code, line } = await failure(
        'mount',
        join(directory, 'mnt'),
        '--store',
        join(directory, 'store'),
        option,
        join(nope, 'x'),
      );
      expect(code).toBe(1);
      expect(line).toContain(`its directory ${nope} does not exist; make it first, or give another`);
      expect(readdirSync(directory)).toEqual(['mnt']);
    }
  });

  it.each([
    ['--control', 'mnt/x', 'lies inside the mountpoint'],
    ['--log-file', 'mnt/x', 'lies inside the mountpoint'],
    ['--log-file', 'store/blobs.dat', "a place of the store's own"],
    ['--log-file', 'store/manifest.log', "a place of the store's own"],
    ['--control', 'store/spinney.log', "a place of the store's own"],
    ['--log-file', 'store/content/0/x', "a place of the store's own"],
    ['--log-file', 'store/mine.log', 'its store is still to be made'],
  ])('%s %s', async (option, path, reason) => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'mnt'));
    const { code, line } = await failure(
      'mount',
      join(directory, 'mnt'),
      '--store',
      join(directory, 'store'),
      option,
      join(directory, path),
    );
    expect(code).toBe(1);
    expect(line).toContain(reason);
    expect(readdirSync(directory)).toEqual(['mnt']);
  });

  it('a store that is a file', async () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'mnt'));
    writeFileSync(join(directory, 'store'), '');
    const { code, line } = await failure(
      'mount',
      join(directory, 'mnt'),
      '--store',
      join(directory, 'store'),
    );
    expect(code).toBe(1);
    expect(line).toContain('it is not a directory');
  });
});

describe('a path that leads nowhere is told in words', () => {
  const LONG = 'n'.repeat(300);

  it.each([
    [['mount', 'file/m', '--store', 's'], 'Cannot find DIR/file/m: a part of its path is not a directory'],
    [['mount', LONG, '--store', 's'], ': its name is too long'],
    [['mount', 'm', '--store', LONG], ': its name is too long'],
    [
      ['mount', 'm', '--store', '/proc/s'],
      'Cannot make the store /proc/s: no directories can be made in /proc',
    ],
    [
      ['mount', 'm', '--store', 's', '--log-file', '/proc/l'],
      'no file can be made in /proc; give another --log-file',
    ],
    [['umount', 'loop'], 'Cannot find DIR/loop: too many symbolic links lead to it'],
    [['stats', 'file'], 'Cannot find the daemon of DIR/file: it is neither a store nor a mountpoint'],
    [['stats', 'file/x'], 'a part of its path is not a directory'],
    [['stats', '--control', 'file'], 'Cannot reach the daemon at DIR/file: it is not a socket'],
    [
      ['stats', '--control', 'file/x'],
      'Cannot reach the daemon at DIR/file/x: a part of its path is not a directory',
    ],
    [['check', 'loop'], 'Cannot look for a store in DIR/loop: too many symbolic links lead to it'],
    [['check', LONG], ': its name is too long'],
  ])('%j', async (args, expected) => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'm'));
    writeFileSync(join(directory, 'file'), '');
    symlinkSync('loop', join(directory, 'loop'));
    const places = args.map((arg, at) =>
      at === 0 || arg.startsWith('-') || arg.startsWith('/') ? arg : join(directory, arg),
    );
    const { code, err } = await spinney(...places);
    expect(code).toBe(args[0] === 'check' ? 2 : 1);
    expect(err).toMatch(/^spinney: Cannot [^\n]*\n$/);
    expect(err).toContain(expected.replace('DIR', directory));
    expect(err).not.toMatch(/\bE[A-Z]{4,}\b/);
  });
});

describe('umount refuses', () => {
  it('what is not mounted', async () => {
    const directory = temporaryDirectory();
    const { code, line } = await failure('umount', directory);
    expect(code).toBe(1);
    expect(line).toBe(`spinney: Cannot unmount ${directory}: it is not mounted`);
  });

  it('the mounts of others', async () => {
    const { code, line } = await failure('umount', '/proc');
    expect(code).toBe(1);
    expect(line).toContain('it is not a Spinney mount (proc, type proc)');
  });
});
