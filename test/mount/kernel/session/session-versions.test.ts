/** Sessions of older builds, kept as files (scripts/keep-session.mjs): an upgrade goes on with them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { DirectoryIdentity } from '../../../../engine/before-open.js';
import { HEADER_BYTES, SESSION_VERSION } from '../../../../mount/kernel/kept/header.js';
import { StateNote } from '../../../../mount/kernel/kept/notes/state-note.js';
import { examineSession, SessionFiles } from '../../../../mount/kernel/kept/session-files.js';
import { ReusableBytes } from '../../../../mount/kernel/protocol/reusable-bytes.js';
import { NodeTable } from '../../../../mount/kernel/session/node-table.js';
import { MemoryDisk } from '../../../support/disk/memory-disk.js';

const STORE = '/store';
const KEPT = join(import.meta.dirname, 'sessions');

/** The disk on which that session was made, in the same boot. */
class KeptDisk extends MemoryDisk {
  override identify(path: string): DirectoryIdentity {
    if (path !== STORE) return super.identify(path);
    const state = new Uint8Array(this.readFile(`${STORE}/session.state`));
    return new StateNote({ buffer: state.buffer, start: HEADER_BYTES }).identity;
  }
}

function keptDisk(version: string): KeptDisk {
  const disk = new KeptDisk();
  disk.mkdir(STORE);
  for (const file of readdirSync(join(KEPT, version)))
    disk.writeFile(
      `${STORE}/${file.replace('.gz', '')}`,
      gunzipSync(readFileSync(join(KEPT, version, file))),
    );
  return disk;
}

test('the version that is written is among those that are kept', () => {
  expect(readdirSync(KEPT)).toContain(`version-${SESSION_VERSION}`);
});

describe.each(readdirSync(KEPT))('a session of %s', (version) => {
  test('is gone on with, with all that was in its tables', () => {
    const disk = keptDisk(version);
    expect(examineSession(disk, STORE)).toMatchObject({ connection: 40, mountpoint: '/mnt/names' });
    const { tables } = SessionFiles.takeUp(disk, STORE);
    const nodes = new NodeTable(tables.nodes);
    const pathOf = (ino: number) =>
      Buffer.from(nodes.place(ino, new ReusableBytes(64)) as Uint8Array).toString();
    expect([nodes.size, nodes.lookups(2), nodes.lookups(3), nodes.has(399)]).toEqual([398, 1, 2, false]);
    expect([pathOf(2), pathOf(398)]).toEqual(['/directory', '/directory/a name of 398']);
    const { files, directories, orphans, left, init, request } = tables;
    expect([files.ino(299), files.flags(299), files.ino(9)]).toEqual([301, 2, 0]);
    expect([files.hasWay(7), files.backing(7), files.isReleased(8), files.hasWay(6)]).toEqual([
      true,
      5,
      true,
      false,
    ]);
    expect([directories.ino(6), directories.version(6)]).toEqual([2, 123]);
    expect(directories.places(6)).toEqual([{ name: new Uint8Array(Buffer.from('a name of 3')), offset: 77 }]);
    expect([...orphans.records()]).toEqual([[9, Uint8Array.of(1, 2, 3)]]);
    expect(left.inos).toEqual([11]);
    expect(init.agreement).toEqual({ minor: 45, flags: 5, flags2: 6 });
    expect([request.isBegun, request.problem]).toEqual([false, undefined]);
  });
});
