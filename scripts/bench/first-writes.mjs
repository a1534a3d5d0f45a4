/**
 * The first write to a file after a snapshot, through a mount whose store is on a filesystem in an image: root's alone, with loop
 * devices. Milliseconds from open(2) to the end of a write of one byte in the middle, of a file that is on the disk: `written`
 * full of data, `sparse` one hole but for a page.
 */
import { execFileSync, fork } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { median, print } from './lib/report.mjs';

const SERVER = fileURLToPath(new URL('../../test/e2e/snapshots/snapshot-mount.mjs', import.meta.url));
const FILESYSTEMS = [
  { name: 'xfs', make: 'mkfs.xfs' },
  { name: 'btrfs', make: 'mkfs.btrfs' },
  { name: 'ext4', make: 'mkfs.ext4' },
];
/** In a process of its own: whoever touches a mount that hangs hangs, too. */
const WRITE_ONE_BYTE = `
  const fs = require('node:fs');
  const began = process.hrtime.bigint();
  const fd = fs.openSync(process.argv[1], 'r+');
  fs.writeSync(fd, 'X', Number(process.argv[2]));
  const ms = Number(process.hrtime.bigint() - began) / 1e6;
  fs.closeSync(fd);
  console.log(ms);`;

function shell(script) {
  return execFileSync('bash', ['-euo', 'pipefail', '-c', script], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function serve(store, mountpoint) {
  const child = fork(SERVER, [store, mountpoint, 'kernel'], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const waiting = new Map();
  child.on('message', ({ id, result, error }) =>
    waiting.get(id)?.(error === undefined ? result : Promise.reject(new Error(error))),
  );
  let next = 1;
  const answer = (id) => new Promise((resolve) => waiting.set(id, resolve));
  const ready = answer(0);
  await Promise.race([
    ready,
    new Promise((_, reject) => child.once('exit', () => reject(new Error('the mount ended')))),
  ]);
  return (command, ...args) => {
    const id = next++;
    const result = answer(id);
    child.send({ id, command, args });
    return result;
  };
}

/** `mebibytes`: of the file; `repeat`: snapshots, of which the median counts. */
export async function timeFirstWrites({ directory, mebibytes, repeat }) {
  for (const { name, make } of FILESYSTEMS) {
    const home = mkdtempSync(join(directory, 'spinney-first-writes-'));
    const [image, store, mountpoint] = ['image', 'store', 'mnt'].map((part) => join(home, part));
    for (const part of [store, mountpoint]) mkdirSync(part);
    let isMounted = false;
    try {
      try {
        shell(`truncate -s ${4 * mebibytes + 1024}M ${image}; ${make} -q ${image}; mount -o loop ${image} ${store}
          chmod 700 ${store}; rmdir ${store}/lost+found 2> /dev/null || true`);
        isMounted = true;
      } catch (error) {
        print({
          figure: 'first write',
          filesystem: name,
          skipped: String(error.stderr ?? error)
            .trim()
            .split('\n')
            .at(-1),
        });
        continue;
      }
      const ask = await serve(store, mountpoint);
      shell(`cd ${mountpoint}; head -c ${mebibytes}M /dev/zero | tr '\\0' x > written
        truncate -s ${mebibytes}M sparse; echo page | dd of=sparse bs=4k seek=1 conv=notrunc status=none; sync -f ${store}`);
      const middle = String((mebibytes * 1024 * 1024) / 2);
      for (const file of ['sparse', 'written']) {
        const times = [];
        for (let n = 0; n < repeat; n++) {
          await ask('take', `${file}-${n}`);
          const path = join(mountpoint, file);
          const out = execFileSync(process.execPath, ['-e', WRITE_ONE_BYTE, path, middle], {
            encoding: 'utf8',
          });
          times.push(Number(out));
          shell(`sync -f ${store}`);
          await ask('delete', `${file}-${n}`);
          while ((await ask('progress')) !== undefined) await new Promise((done) => setTimeout(done, 20));
        }
        print({
          figure: 'first write',
          filesystem: name,
          file,
          mebibytes,
          ms: median(times),
          longestMs: Math.max(...times),
        });
      }
      await ask('end');
    } finally {
      shell(`umount -l ${mountpoint} 2> /dev/null || true`);
      if (isMounted) shell(`umount -l ${store}`);
      rmSync(home, { recursive: true, force: true });
    }
  }
}
