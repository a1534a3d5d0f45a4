/** What a path means that a command is given: of all commands that are about a store, and the same for all. */
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { COMMANDS } from '../../../daemon/commands/all.js';
import { startControl } from '../../../daemon/control/server.js';
import { DaemonRecord } from '../../../daemon/places/daemon-record.js';
import type { LookName } from '../../../daemon/places/look/looks.js';
import { findPlace } from '../../../daemon/places/place.js';
import { mountpointOf, storeOf } from '../../../daemon/places/served-store.js';
import { Tree } from '../../../engine/index.js';
import { type MountEntry, parseMountinfo } from '../../../mount/mountpoints/mountinfo.js';
import { failure, silentLog, spinney, stubTarget, temporaryDirectory } from '../support.js';

const mounts: MountEntry[] = [];

vi.mock('../../../mount/mountpoints/mountinfo.js', async (original) => ({
  ...(await original<typeof import('../../../mount/mountpoints/mountinfo.js')>()),
  readMountinfo: () => mounts,
}));

// In this thread: nothing hangs here.
vi.mock('../../../daemon/places/look/lookout.js', () => ({
  Lookout: class {
    async ask(look: LookName, ...given: unknown[]): Promise<unknown> {
      const { LOOKS } = await import('../../../daemon/places/look/looks.js');
      return (LOOKS[look] as (...given: unknown[]) => unknown)(...given);
    }
    async close(): Promise<void> {}
  },
}));

let directory: string;

beforeEach(() => {
  directory = temporaryDirectory();
  mounts.length = 0;
});

/** Shows a mount in the table of mounts that is not there. */
function pretend(mountpoint: string, source: string, type = 'fuse.spinney'): void {
  const device = 900 + mounts.length;
  mounts.push(...parseMountinfo(`${device} 1 0:${device} / ${mountpoint} rw - ${type} ${source} rw\n`));
}

/** A mount of a store that answers at its control socket. */
async function served(name: string): Promise<{ mountpoint: string; store: string }> {
  const [mountpoint, store] = [join(directory, name), join(directory, `${name}-store`)];
  mkdirSync(store);
  pretend(mountpoint, store);
  const path = join(store, 'control.sock');
  const server = await startControl({ path, target: stubTarget(), log: silentLog });
  onTestFinished(() => server.close());
  DaemonRecord.write(store, { mountpoint });
  return { mountpoint, store };
}

/** They make a store. */
const MAKERS = ['mount', 'load'];
const ABOUT_STORES = COMMANDS.filter(({ name, options }) => 'store' in options && !MAKERS.includes(name));

/** What commands are given besides their place. */
const GIVEN: Readonly<Record<string, string[]>> = { snapshot: ['list'], diff: ['first'], backup: ['BACKUP'] };

describe('commands about a store', () => {
  it('are these at least', () => {
    const names = ABOUT_STORES.map(({ name }) => name);
    for (const name of ['status', 'set', 'stats', 'checkpoint', 'scrub', 'snapshot', 'diff', 'backup'])
      expect(names).toContain(name);
  });

  it.each(ABOUT_STORES)(
    '$name takes a mountpoint, anything in the mount, and the store, as an argument',
    async (command) => {
      const { name, argument, more = [] } = command;
      expect([argument, ...more].at(more.length)?.name).toBe('place');
      expect(argument.name === 'place' ? argument.isRequired : false).toBe(false);
      const { mountpoint, store } = await served('mnt');
      const given = (GIVEN[name] ?? []).map((word) => (word === 'BACKUP' ? join(directory, 'backup') : word));
      const told = await spinney(name, ...given, '--store', store);
      expect(told.out + told.err).not.toContain('give a mountpoint');
      for (const place of [mountpoint, join(mountpoint, 'some/where'), store]) {
        expect([place, await spinney(name, ...given, place)]).toEqual([place, told]);
        expect([place, await spinney(name, ...given, '--store', place)]).toEqual([place, told]);
      }
      expect((await failure(name, ...given, mountpoint, '--store', store)).line).toContain('give one');
    },
  );

  it('that are given none list what is mounted, be it one', async () => {
    expect((await failure('stats')).line).toMatch(
      /give a mountpoint, a store, or --control \(nothing is mounted/,
    );
    const { mountpoint } = await served('mnt');
    const { code, line } = await failure('checkpoint');
    expect([code, line.endsWith(`(mounted here: ${mountpoint})`)]).toEqual([2, true]);
  });

  it('choose the mount that they are run in', async () => {
    const { mountpoint } = await served('mnt');
    const cwd = vi.spyOn(process, 'cwd').mockReturnValue(join(mountpoint, 'deep/down'));
    onTestFinished(() => cwd.mockRestore());
    expect((await spinney('health')).code).toBe(0);
    expect((await spinney('snapshot', 'list')).out).toContain('second');
    expect((await spinney('set')).out).toContain('log-level');
  });

  it('ask which is meant where a store lies in another mount', async () => {
    const outer = await served('outer');
    const inner = join(outer.mountpoint, 'stores/inner');
    pretend(join(directory, 'inner'), inner);
    const { code, line } = await failure('stats', inner);
    expect(code).toBe(1);
    expect(line).toContain(`${inner} lies in the mount ${outer.mountpoint}, and is a store itself`);
    expect(line).toMatch(
      new RegExp(`give ${outer.mountpoint}, or ${directory}/inner, where that is mounted$`),
    );
    // Called a store it is one, which nobody serves here.
    expect((await spinney('stats', '--store', inner)).err).toContain('no such store or mountpoint');
  });

  it('find a store in another mount also where nobody serves it', async () => {
    const outer = await served('outer');
    const inner = join(outer.mountpoint, 'inner');
    mkdirSync(outer.mountpoint);
    Tree.open({ dir: inner }).close();
    const { line } = await failure('snapshot', 'delete', 'x', inner);
    expect(line).toContain(`give ${outer.mountpoint}, or --store ${inner}`);
  });
});

describe('a path', () => {
  it('is followed up to a mount of ours, and not looked at below', () => {
    const mnt = join(directory, 'mnt');
    mkdirSync(join(directory, 'a'));
    symlinkSync('a/../mnt', join(directory, 'link'));
    symlinkSync(join(directory, 'link/in'), join(directory, 'far'));
    mkdirSync(mnt);
    symlinkSync('/etc', join(mnt, 'out'));
    pretend(mnt, '/srv/x');
    for (const [given, path] of [
      ['link', mnt],
      ['far/deep', join(mnt, 'in/deep')],
      ['mnt/out/x', join(mnt, 'out/x')],
      ['mnt/x/../y', join(mnt, 'y')],
    ] as const) {
      expect(findPlace(join(directory, given))).toEqual({ path, mount: mounts[0] });
    }
    expect(findPlace(join(directory, 'a/new')).mount).toBeUndefined();
  });

  it('belongs to the innermost mount', () => {
    pretend('/mnt/a', '/srv/a');
    pretend('/mnt/a/disk', '/dev/sdb', 'ext4');
    pretend('/mnt/a/disk/b', '/srv/b');
    expect(findPlace('/mnt/a/x').mount?.source).toBe('/srv/a');
    expect(findPlace('/mnt/a/disk/x')).toEqual({ path: '/mnt/a/disk/x', mount: undefined });
    expect(findPlace('/mnt/a/disk/b/x').mount?.source).toBe('/srv/b');
  });

  it('means a store to what is done without a mount, and a mountpoint to umount', () => {
    pretend('/mnt/a', '/srv/a');
    expect([storeOf('/mnt/a'), storeOf('/mnt/a/x'), storeOf('/srv/a')]).toEqual([
      '/srv/a',
      '/mnt/a/x',
      '/srv/a',
    ]);
    expect([mountpointOf('/mnt/a/'), mountpointOf('/srv/a'), mountpointOf('/srv/b')]).toEqual([
      '/mnt/a',
      '/mnt/a',
      '/srv/b',
    ]);
    expect(() => mountpointOf('/mnt/a/x')).toThrow('nothing is mounted there, it lies in the mount /mnt/a');
    pretend('/mnt/b', '/srv/a');
    expect(() => mountpointOf('/srv/a')).toThrow('it is mounted at /mnt/a, /mnt/b; give one of these');
  });
});
