/** The unit under a real systemd, which runs in namespaces of its own; where that cannot be had, it says so. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Site } from '../site.js';

const ROOT = join(import.meta.dirname, '../../..');
const HERE = join(import.meta.dirname, 'systemd');

/** Whether systemd comes up at all, and runs what it is told. */
function canBoot(): boolean {
  const directory = mkdtempSync(join(tmpdir(), 'spinney-systemd-'));
  try {
    mkdirSync(join(directory, 'units'));
    writeFileSync(join(directory, 'units/some.target'), '');
    writeFileSync(join(directory, 'script'), 'systemctl is-active script.service || echo booted');
    spawnSync(join(HERE, 'boot.sh'), [directory, join(directory, 'script')], {
      timeout: 100_000,
      killSignal: 'SIGKILL',
    });
    return readFileSync(join(directory, 'out'), 'utf8').includes('booted');
  } catch {
    return false;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const isHere = canBoot();
if (!isHere) console.log('The unit is not tried under systemd, which does not boot in a namespace here');

it.skipIf(!isHere)('serves, is restarted when it is killed or hangs, and ends', async () => {
  const site = new Site();
  const spinney = join(site.directory, 'spinney');
  writeFileSync(spinney, `#!/bin/sh\nexec ${process.execPath} ${ROOT}/dist/daemon/cli.js "$@"\n`, {
    mode: 0o755,
  });
  const config = join(site.directory, 'etc');
  const units = join(site.directory, 'units');
  mkdirSync(config);
  mkdirSync(units);
  const write = (name: string, options: string) =>
    writeFileSync(
      join(config, name),
      `STORE=${site.store}\nMOUNTPOINT=${site.mountpoint}\nOPTIONS=--cache-size 64 ${options}\n`,
    );
  write('photos.conf', '--allow-other --metrics 127.0.0.1:0');
  write('detached.conf', '');
  write('wrong.conf', '--frobnicate');
  // As it is, but for the places, and for how long a hang may last.
  const unit = readFileSync(join(ROOT, 'packaging/spinney@.service'), 'utf8')
    .replace('=/etc/spinney/', `=${config}/`)
    .replace('ExecStart=spinney', `ExecStart=${spinney}`)
    .replace('WatchdogSec=60', 'WatchdogSec=5');
  expect(unit.match(new RegExp(`${site.directory}|WatchdogSec=5$`, 'gm'))).toHaveLength(3);
  writeFileSync(join(units, 'spinney@.service'), unit);
  // Of a main process that is not its child systemd awaits the end by the cgroup alone.
  writeFileSync(
    join(units, 'spinney@detached.service'),
    unit.replace(' --foreground', '').replace('KillMode=process', 'KillMode=control-group'),
  );
  // What systemd makes of a line in /etc/fstab with x-systemd.automount.
  const place = `Where=${site.mountpoint}`;
  const name = site.mountpoint.slice(1).replace(/-/g, '\\x2d').replaceAll('/', '-');
  const mount = `[Mount]\nWhat=${site.store}\n${place}\nType=fuse.spinney\nOptions=nofail,x-systemd.automount\n`;
  writeFileSync(join(units, `${name}.mount`), mount);
  writeFileSync(join(units, `${name}.automount`), `[Automount]\n${place}\n`);
  mkdirSync(join(site.directory, 'sbin'));
  symlinkSync(join(ROOT, 'scripts/mount.fuse.spinney'), join(site.directory, 'sbin/mount.fuse.spinney'));

  await site.sh(`${HERE}/boot.sh $DIR ${HERE}/serve.sh`).catch(() => {});
  expect(readFileSync(join(site.directory, 'out'), 'utf8').trimEnd().split('\n')).toEqual([
    '# start',
    `Serves ${site.store} at ${site.mountpoint}`,
    'text',
    `mount --foreground --store ${site.store} ${site.mountpoint} --cache-size 64 --allow-other --metrics 127.0.0.1:0 `,
    'NoNewPrivs:\t1',
    '1',
    'spinney_healthy 1',
    '# killed',
    'text',
    'text',
    'still locked',
    '# hangs',
    'text',
    'still locked',
    '# upgraded',
    `upgraded ${site.mountpoint} with this version; its users waited for N s`,
    'still locked',
    'the service manager starts its daemon: change the options in its configuration, and upgrade without any',
    '# dies again and again',
    '# unmounted by hand',
    'success',
    '0',
    '# started in the background',
    `Serves ${site.store} at ${site.mountpoint}`,
    '1',
    'success',
    '0',
    'the store is free',
    '# wrong options',
    '2',
    '0',
    '# automount',
    '1',
    'text',
    'active',
    '0',
  ]);
});
