/** A mistyped or a malicious path harms nothing: what is not the store's, or not the caller's, stays as it is. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GIVE_UP_COPIES, Site } from '../site.js';

const SPINNEY = `node ${join(import.meta.dirname, '../../../dist/daemon/cli.js')}`;
const ENGINE = join(import.meta.dirname, '../../../dist/engine/index.js');
const NOBODY = 'setpriv --reuid=65534 --regid=65534 --clear-groups';

/**
 * Runs a script in a root directory of its own: `/` is a new tmpfs, /etc a copy, and below the rest is the machine's. Whatever
 * it starts ends with it.
 */
async function inOwnRoot(site: Site, script: string): Promise<string> {
  writeFileSync(
    join(site.directory, 'outside'),
    `set -euo pipefail
    ${GIVE_UP_COPIES}
    mkdir $DIR/root; mount -t tmpfs -o mode=755 none $DIR/root; cd $DIR/root
    for path in /*; do
      if test -h $path; then cp -P $path .; continue; fi
      if ! test -d $path; then continue; fi
      mkdir ./$path
      case $path in
        /etc) cp -a /etc/. etc ;;
        /proc) mount -t proc none proc ;;
        /sys | /lost+found) ;;
        *) mount --rbind $path ./$path ;;
      esac
    done
    mkdir -p m
    exec chroot . bash -euo pipefail $DIR/inside`,
  );
  writeFileSync(join(site.directory, 'inside'), script);
  return site.sh('exec unshare -mp --fork --kill-child bash $DIR/outside');
}

describe('a directory that is not a store', () => {
  it('is refused and left as it was, be it the root directory or /etc', async () => {
    const site = new Site();
    const printed = await inOwnRoot(
      site,
      `list() { stat -c '%n %a %u %Y %Z' / /etc; ls -A / /etc; }
      list > $DIR/before
      for store in / /etc /etc/.. /proc; do
        for options in '' --read-only '--log-file /log --control /sock'; do
          if ${SPINNEY} mount /m --store $store $options 2> $DIR/message; then echo "$store $options: mounted"; fi
          grep -q '^spinney: Cannot [^:]*: .*' $DIR/message || cat $DIR/message
          sed -n '2,$p' $DIR/message
        done
        ${SPINNEY} check $store > /dev/null 2>&1 && echo "$store: checked"
        ${SPINNEY} stats --store $store > /dev/null 2>&1 && echo "$store: stats"
        ${SPINNEY} umount $store > /dev/null 2>&1 && echo "$store: unmounted"
      done
      list | diff $DIR/before - || true
      ${SPINNEY} mount /m --store /etc 2>&1 || true`,
    );
    expect(printed).toMatch(
      /^spinney: Cannot use \/etc as a store: it holds something else \(\S+, \S+, \S+ and \d+ more\); a store is made only in a directory that is empty or does not exist yet$/,
    );
  });

  it('is no place for a parent directory to be made', async () => {
    const site = new Site();
    for (const options of [
      ['--log-file', 'nope/x'],
      ['--control', 'nope/x'],
    ]) {
      const line = await site.refusal('mount', site.mountpoint, '--store', site.store, ...options);
      expect(line).toContain(`its directory ${join(site.directory, 'nope')} does not exist`);
    }
    expect(readdirSync(site.directory)).toEqual(['mnt']);
  });

  it('is no place for a mountpoint if it is one, nor below a mountpoint, whatever way leads there', async () => {
    const site = new Site();
    writeFileSync(
      join(site.directory, 'script'),
      `set -euo pipefail
      ${GIVE_UP_COPIES}
      node --input-type=module -e '(await import("${ENGINE}")).Tree.open({ dir: process.env.STORE }).close()'
      mkdir $STORE/m b; mount --bind $STORE b; ls $STORE > before
      ${SPINNEY} mount b/m --store $STORE 2>&1 || true
      ${SPINNEY} mount $STORE/m --store b 2>&1 || true
      ls $STORE | diff before -
      umount b; mount --bind $MNT b
      ${SPINNEY} mount $MNT --store b/new 2>&1 || true
      ls -A $MNT`,
    );
    expect((await site.sh('unshare -m bash $DIR/script')).replaceAll(site.directory, '')).toBe(
      [
        'spinney: Cannot mount at /b/m: it lies inside the store /store',
        'spinney: Cannot mount at /store/m: it lies inside the store /b',
        'spinney: Cannot mount at /mnt: the store /b/new lies inside it',
      ].join('\n'),
    );
  });

  it('becomes one when its making was cut short, and not when somebody else began it', async () => {
    const site = new Site();
    await site.sh(
      'mkdir -m 755 $STORE; touch $STORE/spinney.log $STORE/blobs.dat $STORE/lock $STORE/manifest.log',
    );
    await site.mount();
    await site.sh('echo text > $MNT/f; test "$(stat -c %a $STORE)" = 700');
    await site.umount();
  });
});

describe('root', () => {
  it('follows nothing that another user put into a store', async () => {
    const site = new Site();
    const names = ['spinney.log', 'blobs.dat', 'manifest', 'lock', 'content', 'control.sock'];
    await site.sh('chmod 755 $DIR; mkdir $DIR/etc; echo precious > $DIR/etc/precious');
    for (const name of names) {
      await site.sh(`rm -rf $STORE; mkdir $STORE; chown 65534:65534 $STORE
        ${NOBODY} ln -s $DIR/etc/precious $STORE/${name}`);
      for (const options of [[], ['--read-only']]) {
        const line = await site.refusal('mount', site.mountpoint, '--store', site.store, ...options);
        expect(line, name).toMatch(/^spinney: Cannot use .*: it (holds something else|belongs to uid 65534)/);
      }
    }
    // A whole store, with links in it.
    await site.sh(`rm -rf $STORE; mkdir $STORE.d; chown 65534 $STORE.d; cd $STORE.d
      ${NOBODY} node --input-type=module -e '(await import("${ENGINE}")).Tree.open({ dir: "store" }).close()'
      cd store; touch spinney.log; for f in spinney.log blobs.dat; do mv $f ../$f
      ${NOBODY} ln -s $DIR/etc/precious $f; done`);
    const store = `${site.store}.d/store`;
    const line = await site.refusal('mount', site.mountpoint, '--store', store);
    expect(line).toContain(`it belongs to uid 65534, and this process runs as uid 0; run it as its owner`);
    expect((await site.attempt(`${SPINNEY} check ${store}`)).code).toBe(2);
    // Also where root was careless enough to take over the directory alone, or all of it.
    await site.sh(`chown 0 ${store}`);
    expect(await site.refusal('mount', site.mountpoint, '--store', store)).toMatch(
      /its \S+ (is a symbolic link|belongs to uid 65534)/,
    );
    await site.sh(`chown -hR 0 ${store}`);
    expect(await site.refusal('mount', site.mountpoint, '--store', store)).toContain('is a symbolic link');
    expect(await site.sh('cat $DIR/etc/precious; ls $DIR/etc')).toBe('precious\nprecious');
  });

  it('stops no process that another user names', async () => {
    const site = new Site();
    await site.mount();
    const { child, result } = site.start('exec sleep 300', 400);
    const victim = child.pid!;
    const start = readFileSync(`/proc/${victim}/stat`, 'utf8').split(') ')[1]!.split(' ')[19];
    const record = { pid: victim, startTime: Number(start), mountpoint: site.mountpoint };
    const file = join(site.store, `daemon-${victim}.json`);
    writeFileSync(file, JSON.stringify(record));
    await site.sh(`chown 65534 ${file}`);
    await site.umount('--force');
    expect(existsSync(`/proc/${victim}`)).toBe(true);
    expect(child.exitCode).toBe(null);
    child.kill();
    await result;
  });

  it('reads no content through a link', async () => {
    const site = new Site();
    await site.mount('--driver', 'fuse-native');
    await site.sh('echo mine > $MNT/f; echo precious > $DIR/precious');
    await site.umount();
    await site.sh('file=$(find $STORE/content -type f); ln -sf $DIR/precious $file');
    await site.mount('--driver', 'kernel');
    await site.attempt('cat $MNT/f; echo more >> $MNT/f; truncate -s 0 $MNT/f');
    await site.umount();
    expect(await site.sh('cat $DIR/precious')).toBe('precious');
    await site.sh('mv $STORE/content/0 $DIR/0; ln -s $DIR/0 $STORE/content/0');
    expect(await site.refusal('mount', site.mountpoint, '--store', site.store)).toContain(
      `${site.store}/content/0: it is a symbolic link`,
    );
  });
});
