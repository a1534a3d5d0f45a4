/** The Debian package. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { Site } from '../e2e/site.js';

const ROOT = join(import.meta.dirname, '../..');
const PROGRAMS = ['dpkg-deb', 'strip', 'git'];
const isHere = (program: string) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
const missing = PROGRAMS.filter((program) => !isHere(program));
if (missing.length > 0) console.log(`The Debian package is not tried: ${missing.join(', ')} missing`);

describe.skipIf(missing.length > 0)('the Debian package', () => {
  let directory: string;
  let file: string;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'spinney-package-'));
    execFileSync(join(ROOT, 'scripts/package'), ['--unchecked', directory], { stdio: 'pipe' });
    file = join(directory, readdirSync(directory).find((name) => name.endsWith('.deb'))!);
    return () => rmSync(directory, { recursive: true });
  });

  const contents = () => execFileSync('dpkg-deb', ['--contents', file], { encoding: 'utf8' });
  const field = (name: string) =>
    execFileSync('dpkg-deb', ['--field', file, name], { encoding: 'utf8' }).trimEnd();

  it('puts everything in its place, and owns it as root', () => {
    const lines = contents().trimEnd().split('\n');
    for (const place of [
      'usr/bin/spinney',
      'usr/sbin/mount.fuse.spinney -> ../lib/spinney/scripts/mount.fuse.spinney',
      'usr/lib/spinney/dist/daemon/cli.js',
      'usr/lib/systemd/system/spinney@.service',
      'usr/share/man/man1/spinney.1.gz',
      'usr/share/man/man5/spinney.5.gz',
      'usr/share/man/man8/mount.fuse.spinney.8.gz',
      'usr/share/bash-completion/completions/spinney',
      'usr/share/zsh/vendor-completions/_spinney',
      'usr/share/fish/vendor_completions.d/spinney.fish',
      'usr/share/doc/spinney/copyright',
      'etc/spinney/',
    ]) {
      expect(lines.filter((line) => line.endsWith(` ./${place}`))).toHaveLength(1);
    }
    expect(lines.filter((line) => !/^\S+ root\/root /.test(line))).toEqual([]);
    expect(
      lines.filter((line) =>
        /node_modules\/(vitest|typescript|@biomejs)\/|prebuilds\/darwin|\.d\.ts$/.test(line),
      ),
    ).toEqual([]);
  });

  it('asks for no version of Node.js that Debian may not have', () => {
    expect(field('Depends')).toMatch(/^libc6 \(>= 2\.\d+\), libgcc-s1, libstdc\+\+6, mount$/);
    expect(field('Recommends')).toBe('nodejs (>= 20.19)');
    expect(field('Version')).toBe(
      `${(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version}-1`,
    );
  });

  it('runs from where it is unpacked, and mounts', async () => {
    const site = new Site();
    await site.sh(`dpkg-deb --extract ${file} root`);
    const launch = 'root/usr/lib/spinney/scripts/launch cli';
    expect(await site.sh(`${launch} --version`)).toBe(field('Version').replace(/-1$/, ''));
    await site.sh(`${launch} mount $MNT --store $STORE
      echo text > $MNT/f; cat $MNT/f; ${launch} umount $MNT
      ${launch} mount $MNT --store $STORE --driver fuse-native; cat $MNT/f; ${launch} umount $MNT`);
  });

  it.skipIf(!isHere('lintian'))('has no error that lintian knows', () => {
    const { status, stdout } = spawnSync('lintian', ['--fail-on', 'error', file], { encoding: 'utf8' });
    expect([status, stdout.split('\n').filter((line) => line.startsWith('E:'))]).toEqual([0, []]);
  });
});

describe('the launcher', () => {
  const LAUNCH = '$PROGRAM/scripts/launch cli --version';
  /** A Node.js of that version, or what says so. */
  const make = (path: string, version: string) =>
    `mkdir -p $(dirname ${path}); printf '#!/bin/sh\\n[ "$1" = --version ] && echo ${version} || echo ${version} runs "$@"\\n' > ${path}; chmod +x ${path}; `;

  it.each([
    ['v18.19.0', 'v22.1.0'],
    ['v20.18.9', 'v20.19.0'],
    ['v9.99.0', 'v100.0.0'],
  ])('passes over %s on the PATH, and takes %s behind it', async (old, young) => {
    const site = new Site();
    await site.sh(make('old/node', old) + make('young/node', young));
    expect(await site.sh(`PATH=$DIR/old:$DIR/young:$PATH ${LAUNCH}`)).toBe(
      `${young} runs ${ROOT}/scripts/../dist/daemon/cli.js --version`,
    );
  });

  it('takes SPINNEY_NODE, and nothing else then', async () => {
    const site = new Site();
    await site.sh(make('mine/node', 'v20.20.0') + make('old/node', 'v16.0.0'));
    expect(await site.sh(`SPINNEY_NODE=$DIR/mine/node ${LAUNCH}`)).toContain('v20.20.0 runs');
    expect(await site.attempt(`SPINNEY_NODE=$DIR/old/node ${LAUNCH}`)).toEqual({
      code: 1,
      out: '',
      err: `spinney: Cannot use SPINNEY_NODE=${site.directory}/old/node: it is no Node.js of version 20.19 or later\n`,
    });
  });

  it('says what it found where nothing will do', async () => {
    const site = new Site();
    await site.sh(make('old/node', 'v16.0.0'));
    // In a namespace of its own /usr/local/bin, /usr/bin/node and /opt have none.
    const { code, err } = await site.attempt(`unshare --mount bash -euc '
      mkdir empty; mount --bind empty /usr/local/bin; mount --bind empty /opt
      for name in node nodejs; do [ ! -e /usr/bin/$name ] || mount --bind $DIR/old/node $(readlink -f /usr/bin/$name); done
      PATH=$DIR/old:/usr/bin:/bin exec ${LAUNCH}'`);
    expect(code).toBe(1);
    expect(err).toMatch(
      /^spinney: Cannot find Node\.js 20\.19 or later, only .*\/old\/node \(v16\.0\.0\).*: install it, link it into \/usr\/local\/bin, or put its path into SPINNEY_NODE\n$/,
    );
  });
});
