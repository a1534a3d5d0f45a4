/** The unit of systemd: what it must say, and must not. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const NAME = 'spinney@.service';
const TEXT = readFileSync(join(ROOT, 'packaging', NAME), 'utf8');

/** Settings in their order; a name may come several times. */
const SETTINGS = TEXT.split('\n')
  .filter((line) => /^[A-Z]/.test(line))
  .map((line) => line.split(/=(.*)/s).slice(0, 2) as [name: string, value: string]);
const valuesOf = (wanted: string) => SETTINGS.filter(([name]) => name === wanted).map(([, value]) => value);

it('has the file of the instance, and a daemon that stays and tells', () => {
  expect(valuesOf('EnvironmentFile')).toEqual(['/etc/spinney/%i.conf']);
  expect(valuesOf('ExecStart')).toEqual([
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is systemd that puts them in
    'spinney mount --foreground --store ${STORE} ${MOUNTPOINT} $OPTIONS',
  ]);
  expect(valuesOf('Type')).toEqual(['notify']);
});

it('leaves the daemon in the namespace of mounts where others are, with what it needs', () => {
  const names = new Set(SETTINGS.map(([name]) => name));
  // Each of these gives it a namespace of its own: systemd.exec(5).
  const making =
    /^(Private(Tmp|Devices|Mounts|IPC|Users|PIDs)|Protect(System|Home|KernelTunables|KernelModules|KernelLogs|ControlGroups|Proc)|ProcSubset|(ReadWrite|ReadOnly|Inaccessible|Exec|NoExec)Paths|Bind(ReadOnly)?Paths|TemporaryFileSystem|MountFlags|MountAPIVFS|Root(Directory|Image)|DynamicUser|NetworkNamespacePath|MemoryDenyWriteExecute)$/;
  expect([...names].filter((name) => making.test(name))).toEqual([]);
  const documented = readFileSync(join(ROOT, 'README.md'), 'utf8').match(
    /`CapabilityBoundingSet=([^`]*)`/,
  )![1];
  expect(valuesOf('CapabilityBoundingSet')).toEqual([documented]);
  expect(valuesOf('DeviceAllow')).toEqual(['/dev/fuse rw', '/dev/cpu_dma_latency rw']);
});

it('gives the end of a mount the time that it may take', () => {
  // Two calls, the users, the driver, and the last checkpoint: daemon/mounting/unmounting.ts and daemon.ts.
  const seconds = 2 + 2 + 4 + 2 + 20 + 100;
  expect(Number(valuesOf('TimeoutStopSec')[0])).toBeGreaterThan(seconds);
});

it.skipIf(spawnSync('systemd-analyze', ['--version']).status !== 0)('is right as systemd reads it', () => {
  const directory = mkdtempSync(join(tmpdir(), 'spinney-unit-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const program = join(directory, 'spinney');
  writeFileSync(program, '#!/bin/sh\n');
  chmodSync(program, 0o755);
  mkdirSync(join(directory, 'units'));
  const unit = join(directory, 'units', 'spinney@photos.service');
  // The command is looked for where this test has none.
  writeFileSync(unit, TEXT.replace('ExecStart=spinney', `ExecStart=${program}`));
  const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', unit], {
    encoding: 'utf8',
  });
  const own = (stdout + stderr).split('\n').filter((line) => line.includes('spinney'));
  expect([status, own]).toEqual([0, []]);
});
