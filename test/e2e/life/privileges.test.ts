/** What a daemon of root may do, and what it says of a store that others can get at. */
import { chmodSync, readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Site } from '../site.js';

/** CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_SYS_RESOURCE. */
const KEPT = (1n << 1n) | (1n << 2n) | (1n << 19n) | (1n << 21n) | (1n << 24n);

test('no thread of it has a capability that it does not need, nor a way to get one', async () => {
  const site = new Site();
  await site.mount();
  await site.sh('echo hello > $MNT/f; cat $MNT/f; setfattr -n user.a -v b $MNT/f; chown 1000:1000 $MNT/f');
  const pid = site.daemon();
  const threads = readdirSync(`/proc/${pid}/task`);
  expect(threads.length).toBeGreaterThan(8);
  for (const thread of threads) {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8');
    const field = (name: string): string => new RegExp(`^${name}:\\s+(\\w+)`, 'm').exec(status)?.[1] ?? '';
    for (const set of ['CapPrm', 'CapEff', 'CapBnd']) expect(BigInt(`0x${field(set)}`) & ~KEPT).toBe(0n);
    expect(field('NoNewPrivs')).toBe('1');
  }
  await site.umount();
  expect(site.logged('warn')).toEqual([]);
});

test('a store that others could get at is told, and made private unless it is only read', async () => {
  const site = new Site();
  await site.mount();
  await site.umount();
  chmodSync(site.store, 0o755);
  const mount = (...options: string[]) =>
    site.spinney('mount', site.mountpoint, '--store', site.store, ...options);
  const told = `spinney: Others can get at the contents of all files in the store ${site.store}, whose mode is 755`;
  expect(await mount('--read-only')).toMatchObject({ code: 0, err: `${told}\n` });
  await site.umount();
  expect(site.logged('warn').join()).toContain('Others can get at the contents');
  expect(await mount()).toMatchObject({ code: 0, err: `${told}; it is private from now on\n` });
  await site.umount();
  expect(await mount()).toMatchObject({ code: 0, err: '' });
  await site.umount();
});
