/**
 * Everything else that is read from outside: records and marks in the tree, access control lists, tables of owners, mount options,
 * the table of mounts. Each is understood or refused with a code; nothing else is thrown, and nothing is read beyond its end.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { readWork } from '../../../daemon/mount-helper.js';
import { SpinneyError, Tree } from '../../../engine/index.js';
import { checkNamespace } from '../../../mount/check/namespace.js';
import { newAttributes } from '../../../mount/filesystem/arguments.js';
import { readMark, writeMark } from '../../../mount/filesystem/contents/content-mark.js';
import { SystemDisk } from '../../../mount/filesystem/contents/disk/system.js';
import { OwnerEncoder, readOwners } from '../../../mount/filesystem/contents/spares/owner-table.js';
import {
  inheritedAcl,
  isMinimalAcl,
  isValidAcl,
  permissionsOf,
  withPermissions,
} from '../../../mount/filesystem/records/acl.js';
import { CONTENT_MARK_KEY } from '../../../mount/filesystem/records/keys.js';
import { mountOptionString } from '../../../mount/fuse-native/option-string.js';
import { parseMountinfo } from '../../../mount/mountpoints/mountinfo.js';
import { bytes, CALLER, Fixture } from '../../filesystem/fixture.js';
import { seededRandom } from '../../support/disk/random.js';
import { soak } from '../soak.js';
import { Mutator } from './mutations.js';

const CASES = 300;
const BOOT = '0123456789abcdef-0123456789abcdef-0123';

const home = mkdtempSync(join(tmpdir(), 'spinney-parsers-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

function isRefused(act: () => void): boolean {
  try {
    act();
    return false;
  } catch (error) {
    if (!(error instanceof SpinneyError)) throw error;
    return true;
  }
}

function accessList(): Buffer {
  const list = Buffer.alloc(4 + 5 * 8);
  list.writeUInt32LE(2, 0);
  for (const [i, [tag, id]] of [
    [1, -1],
    [2, 1000],
    [4, -1],
    [16, -1],
    [32, -1],
  ].entries()) {
    list.writeUInt16LE(tag!, 4 + i * 8);
    list.writeUInt16LE(6, 6 + i * 8);
    list.writeInt32LE(id!, 8 + i * 8);
  }
  return list;
}

function tryAccessList(mutator: Mutator): boolean {
  const list = mutator.mutate(accessList());
  if (!isValidAcl(list)) return true;
  const bits = permissionsOf(list);
  if (bits > 0o777) throw new Error(`permissions ${bits.toString(8)} of ${list.toString('hex')}`);
  const changed = withPermissions(list, 0o640);
  if (!isValidAcl(changed) || permissionsOf(changed) !== 0o640)
    throw new Error(`a chmod spoils ${list.toString('hex')}`);
  if (!isValidAcl(inheritedAcl(list, 0o666))) throw new Error(`inheriting spoils ${list.toString('hex')}`);
  if (isMinimalAcl(list) !== (list.length === 4 + 3 * 8))
    throw new Error(`${list.toString('hex')} is not minimal`);
  return false;
}

function ownerTable(): Buffer {
  const encoder = new OwnerEncoder(BOOT);
  const entries: Buffer[] = [];
  encoder.encodeDirectory({ file: 5, birth: 6 });
  entries.push(Buffer.from(encoder.bytes));
  for (let slot = 1; slot < 6; slot++) {
    encoder.encode(slot, slot, slot * 10, 0, { file: slot, birth: slot });
    entries.push(Buffer.from(encoder.bytes));
  }
  return Buffer.concat(entries);
}

/** Whether an entry was lost; one that comes back is one that was there. */
function tryOwners(mutator: Mutator): boolean {
  const path = join(home, 'owners');
  writeFileSync(path, mutator.mutate(ownerTable()));
  const { owners } = readOwners(new SystemDisk(), path, BOOT, 0);
  for (const { ino, identity } of owners) {
    // By the identity the spare is found; what else there is in an entry is a hint.
    if (ino !== identity.file * 10 || identity.birth !== identity.file)
      throw new Error('an owner is made up');
  }
  return owners.length < 5;
}

function tryHelper(mutator: Mutator): boolean {
  const args = [
    '/srv/store',
    '/mnt',
    '-o',
    'ro,allow_other,cache-size=64,entry-timeout=1,noexec,user=x,x-systemd.automount',
    '-s',
    '-t',
    'fuse.spinney',
  ];
  const at = mutator.below(args.length);
  args[at] = mutator.mutateText(args[at]!);
  if (mutator.random() < 0.3) args.splice(mutator.below(args.length), 1);
  return isRefused(() => {
    const work = readWork(args, false);
    for (const word of work !== undefined && 'run' in work ? work.run.slice(4) : []) {
      if (!/^(--[a-z-]+(=.*)?|-o|[a-z,]+)$/s.test(word))
        throw new Error(`"${word}" is an argument of its own`);
    }
  });
}

function tryOptionString(mutator: Mutator): boolean {
  const source = mutator.mutateText('/srv/store with a long name');
  return isRefused(() => {
    const text = mountOptionString({
      source,
      entryTimeout: 1,
      negativeTimeout: 0,
      readOnly: true,
      options: ['noexec'],
    } as unknown as Parameters<typeof mountOptionString>[0]);
    if (!text.startsWith(`${source},`) || text.split(',').length !== 10)
      throw new Error(`${text} has options of the source's`);
  });
}

function tryMountinfo(mutator: Mutator): boolean {
  const text =
    '36 35 98:0 /mnt1 /mnt\\\\0402 rw,noatime master:1 - ext3 /dev/root rw\n41 35 0:40 / /m rw - fuse.spinney /s rw\n';
  return parseMountinfo(mutator.mutateText(text)).length < 2;
}

soak({ line: 15, title: 'mutated lists, tables and options', seeds: 3 }, (seed) => {
  const mutator = new Mutator(seededRandom(seed));
  const kinds = [tryAccessList, tryOwners, tryHelper, tryOptionString, tryMountinfo];
  let refused = 0;
  for (let i = 0; i < CASES; i++) {
    const kind = kinds[i % kinds.length]!;
    try {
      if (kind(mutator)) refused++;
    } catch (error) {
      throw new Error(`case ${i}, ${kind.name}: ${(error as Error).message}`, { cause: error });
    }
  }
  return { cases: CASES, refused };
});

soak({ line: 15, title: 'mutated records', seeds: 5 }, (seed) => {
  const mutator = new Mutator(seededRandom(seed));
  const fixture = new Fixture(Tree.open({ memory: true }));
  let refused = 0;
  try {
    fixture.mkdir('/d');
    fixture.write('/d/f', 'text');
    fixture.write('/g', 'text');
    fixture.link('/g', '/d/linked');
    fixture.fs.symlink(CALLER, bytes('/d'), bytes('s'), bytes('target'), newAttributes());
    fixture.fs.setxattr(CALLER, bytes('/d/f'), bytes('user.a'), bytes('value'), 0);
    if (readMark(fixture.tree) === undefined)
      writeMark(fixture.tree, {
        boot: 'b',
        durableLsn: 0,
        durableSeconds: 0,
        cutLsn: 0,
        cutAfter: 0,
        cutBefore: 0,
      });
    const entries = [...fixture.tree.range()].flatMap((entry) => (entry.type === 'key' ? [entry] : []));
    for (let i = 0; i < 40; i++) {
      // One after the other, so that damage adds up; the mark now and then by itself.
      const victim = mutator.of(entries);
      const key = mutator.random() < 0.1 ? CONTENT_MARK_KEY : victim.key;
      fixture.tree.put(key, mutator.mutate(victim.value).subarray(0, 4096));
      try {
        if (use(fixture)) refused++;
      } catch (error) {
        throw new Error(`case ${i}, key ${Buffer.from(key).toString('hex')}: ${(error as Error).message}`, {
          cause: error,
        });
      }
    }
  } finally {
    isRefused(() => fixture.cleanUp());
  }
  return { cases: 40, refused };
});

/** Looks at and changes all that there was; returns whether any of it was refused as damaged. */
function use(fixture: Fixture): boolean {
  const { fs } = fixture;
  const attributes = newAttributes();
  let refused = 0;
  const attempt = (act: () => unknown): void => {
    if (isRefused(() => void act())) refused++;
  };
  for (const path of ['', '/d', '/d/f', '/g', '/d/linked', '/d/s']) {
    attempt(() => fs.getattr(bytes(path), attributes));
    attempt(() => fs.readlink(bytes(path)));
    attempt(() => fs.listxattr(CALLER, bytes(path)));
    attempt(() => fs.getxattr(bytes(path), bytes('user.a')));
    attempt(() => fixture.read(path));
  }
  attempt(() => {
    const handle = fs.opendir(bytes('/d'));
    if (handle < 0) return;
    fs.readdir(handle, 0, true, () => true);
    fs.releasedir(handle);
  });
  attempt(() => fixture.rename('/d/f', '/moved'));
  attempt(() => fixture.rename('/moved', '/d/f'));
  attempt(() => checkNamespace(fixture.tree, fixture.contentDirectory, () => {}));
  attempt(() => fixture.open());
  return refused > 0;
}
