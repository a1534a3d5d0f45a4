/**
 * Keeps the files of a session as this build makes them, for the test that later builds go on with them: to be run whenever the
 * format of a session has got another version (SESSION_VERSION), before that version is released.
 * `npm run build && node scripts/keep-session.mjs` writes test/mount/kernel/sessions/version-N.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const dist = (path) => import(new URL(`../dist/${path}`, import.meta.url).href);
const { NodeDisk } = await dist('engine/disk/node-disk.js');
const { SessionFiles } = await dist('mount/kernel/kept/session-files.js');
const { SESSION_VERSION } = await dist('mount/kernel/kept/header.js');
const { NodeTable } = await dist('mount/kernel/session/node-table.js');

const target = fileURLToPath(
  new URL(`../test/mount/kernel/session/sessions/version-${SESSION_VERSION}`, import.meta.url),
);
const directory = mkdtempSync(join(tmpdir(), 'spinney-session-'));
try {
  const files = SessionFiles.make(new NodeDisk(), directory, { connection: 40, mountpoint: '/mnt/names' });
  const { tables } = files;
  files.open();
  const nodes = new NodeTable(tables.nodes);
  nodes.lookedUp(1, Buffer.from('directory'), 2);
  for (let ino = 3; ino < 400; ino++) nodes.lookedUp(2, Buffer.from(`a name of ${ino}`), ino);
  nodes.lookedUp(1, Buffer.from('a second name'), 3);
  nodes.forget(399, 1);
  for (let handle = 1; handle < 300; handle++) tables.files.add(handle, handle + 2, 2);
  tables.files.setWay(7, 5);
  tables.files.setReleased(8);
  tables.files.remove(9);
  tables.directories.add(6, 2, 123);
  tables.directories.listed(6, 0, Buffer.from('a name of 3'), 77);
  tables.orphans.keep(9, Uint8Array.of(1, 2, 3));
  tables.left.keep(11);
  tables.init.agreed({ minor: 45, flags: 5, flags2: 6 });
  files.leave();
  mkdirSync(target, { recursive: true });
  for (const name of readdirSync(directory))
    writeFileSync(join(target, `${name}.gz`), gzipSync(readFileSync(join(directory, name)), { level: 9 }));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
