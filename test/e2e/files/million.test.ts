/** A directory of a million files: it is listed from a stream, whose memory does not grow with it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Site } from '../site.js';

const COUNT = 1_000_000;
const HELD = 50_000;
const MIB = 1024 * 1024;
const DIRECTORIES = join(import.meta.dirname, 'directories');
/** What the daemon's heap takes at work. A million names and positions kept in memory are more than twice as much. */
const HEAP_KIB = 96 * 1024;
/** From a fifth of the listing to its end nothing grows but places to go back to. */
const GROWTH_KIB = 24 * 1024;

function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line![1]) * 1024;
}

it('a million entries are listed with flat memory, each once, and the same each time', async () => {
  const site = new Site();
  await site.sh(`node ${DIRECTORIES}/fill.mjs $STORE big ${COUNT}`, 300);
  await site.mount('--cache-size', '16');
  const pid = site.daemon();

  const told = await site.sh(`python3 ${DIRECTORIES}/list_million.py $MNT/big ${COUNT} ${pid}`);
  const { resident, ...names } = JSON.parse(told);
  expect(names).toEqual({ missing: 0, again: 0, others: 0, found: Array(6).fill(true) });
  const [before, early, late] = resident;
  expect(late - before).toBeLessThan(HEAP_KIB);
  expect(late - early).toBeLessThan(GROWTH_KIB);
  const { operations, nodes } = (await site.stats()).mount;
  // All replies were full. The kernel asks for attributes with the first entries only, and holds those.
  expect(operations.readdir).toBeLessThan(3_000);
  expect(operations.readdirplus).toBeLessThan(10);
  expect(nodes).toBeLessThan(2_000);

  const listed = (await site.sh('ls -f $MNT/big | wc -l; ls -f $MNT/big | md5sum')).split('\n');
  expect(listed[0]).toBe(String(COUNT + 2));
  expect(await site.sh('ls -f $MNT/big | md5sum')).toBe(listed[1]);

  // Inodes that the kernel holds cost what their table takes.
  const light = residentBytes(pid);
  const { lookup } = (await site.stats()).mount.operations;
  await site.sh(
    `cd $MNT/big; perl -e 'for (1 .. ${HELD}) { lstat(sprintf "f%07d", $_ * 20 - 1) or die "$_: $!" }'`,
  );
  const { mount } = await site.stats();
  // The first of them it knew, and it may have given some back already.
  expect(mount.operations.lookup! - lookup!).toBeGreaterThan(HELD * 0.9);
  expect(mount.nodeTableBytes).toBeLessThan(HELD * 100);
  expect(residentBytes(pid) - light).toBeLessThan(mount.nodeTableBytes + 32 * MIB);
  await site.umount();
  expect(site.logged('warn')).toEqual([]);
});
