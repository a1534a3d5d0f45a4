/** How a daemon's life begins and ends, as the one who types the commands sees it. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GIVE_UP_COPIES, Site } from '../site.js';

describe('mount', () => {
  it('says what it did, and refuses a mountpoint that cannot be one', async () => {
    const site = new Site();
    writeFileSync(join(site.directory, 'file'), '');
    mkdirSync(join(site.directory, 'full', 'x'), { recursive: true });
    for (const [name, reason] of [
      ['absent', 'it does not exist; make the directory first'],
      ['file', 'it is not a directory'],
      ['full', 'it is not empty; move away what is in it, or give another directory'],
    ]) {
      const path = join(site.directory, name!);
      const line = await site.refusal('mount', path, '--store', site.store);
      expect(line).toBe(`spinney: Cannot mount at ${path}: ${reason}`);
      expect(existsSync(site.store)).toBe(false);
    }
    expect(await site.mount()).toBe(`mounted ${site.store} at ${site.mountpoint}\n`);
  });

  it('refuses a store that is in use, with the pid of its user', async () => {
    const site = new Site();
    await site.mount();
    const again = await site.refusal('mount', site.mountpoint, '--store', site.store);
    expect(again).toContain(`the store ${site.store} is mounted there already`);
    const second = join(site.directory, 'second');
    mkdirSync(second);
    const other = await site.refusal('mount', second, '--store', site.store);
    expect(other).toBe(
      `spinney: Cannot open the store ${site.store}: it is in use by process ${site.daemon()}`,
    );
    const covered = await site.refusal('mount', site.mountpoint, '--store', join(site.directory, 'other'));
    expect(covered).toContain(`the store ${site.store} is mounted there; "spinney umount" it first`);
    await site.sh('echo still > $MNT/works; test "$(cat $MNT/works)" = still');
  });

  it('serves a store read-only, and does not change it', async () => {
    const site = new Site();
    const missing = await site.refusal('mount', site.mountpoint, '--store', site.store, '--read-only');
    expect(missing).toBe(`spinney: Cannot mount the store ${site.store} read-only: no such store`);
    await site.mount();
    await site.sh('mkdir $MNT/d; echo text > $MNT/d/f; setfattr -n user.k -v v $MNT/d/f; ln -s d $MNT/l');
    await site.umount();
    const before = await site.sh(
      'cd $STORE; find blobs.dat manifest* content -type f | sort | xargs sha256sum',
    );
    await site.mount('--read-only', '--driver', 'kernel');
    await site
      .sh(`
      cd $MNT
      test "$(cat l/f)" = text; test "$(getfattr --only-values -n user.k d/f)" = v
      for change in 'touch n' 'mkdir n' 'rm d/f' 'rmdir d' 'mv d e' 'ln d/f n' 'ln -s x n' 'chmod 0 d/f' 'chown 1 d/f' \\
        'touch d/f' 'truncate -s 0 d/f' 'dd of=d/f conv=notrunc status=none' 'mkfifo n' 'setfattr -n user.k -v w d/f' \\
        'setfattr -x user.k d/f'; do
        if $change < /dev/null 2> $DIR/message; then echo "$change worked"; fi
        grep -q 'Read-only file system' $DIR/message || { echo "$change:"; cat $DIR/message; }
      done`)
      .then((printed) => expect(printed).toBe(''));
    expect(await site.refusal('compact', '--store', site.store)).toContain('it was opened read-only');
    await site.umount();
    expect(
      await site.sh('cd $STORE; find blobs.dat manifest* content -type f | sort | xargs sha256sum'),
    ).toBe(before);
  });

  it('stays in the foreground when asked to', async () => {
    const site = new Site();
    const command = `exec node ${join(import.meta.dirname, '../../../dist/daemon/cli.js')} mount $MNT --store $STORE`;
    const { child, result } = site.start(`${command} --foreground`);
    const log = await new Promise<string>((resolve) => {
      child.stderr!.on('data', (text: string) => text.includes('mounted') && resolve(text));
    });
    expect(log).toContain(site.mountpoint);
    await site.sh('touch $MNT/f');
    await site.umount();
    expect(await result).toMatchObject({ code: 0, out: '' });
  });
});

describe('umount', () => {
  it('refuses while the mount is busy, and detaches it with --force', async () => {
    const site = new Site();
    await site.mount();
    const { child } = site.start('exec 3> $MNT/open; echo open; exec sleep 100', 200);
    await new Promise((resolve) => child.stdout!.once('data', resolve));
    const line = await site.refusal('umount', site.mountpoint);
    expect(line).toBe(
      `spinney: Cannot unmount ${site.mountpoint}: it is busy: a process has files or its working directory there (--force detaches it)`,
    );
    await site.sh('touch $MNT/works');
    await site.umount('--force');
    expect(site.isMounted()).toBe(false);
    await site.mount();
    expect(await site.sh('ls $MNT')).toBe('open\nworks');
  });

  it('leaves a store that can be mounted again at once', async () => {
    const site = new Site();
    for (let round = 0; round < 5; round++) {
      await site.mount();
      expect(site.guards()).toHaveLength(1);
      await site.sh(`test "$(ls $MNT | wc -l)" = ${round}; echo ${round} > $MNT/${round}`);
      await site.umount();
    }
    expect(site.logged('warn')).toEqual([]);
  });

  it('works with umount(8) too', async () => {
    const site = new Site();
    await site.mount();
    await site.sh(
      'touch $MNT/f; umount $MNT; while ls $STORE/daemon-*.json 2>/dev/null; do sleep 0.02; done',
    );
    await site.mount();
    expect(await site.sh('ls $MNT')).toBe('f');
  });

  it('removes a mount that a killed daemon left', async () => {
    const site = new Site();
    await site.mount();
    await site.killWithGuard();
    expect(site.isMounted()).toBe(true);
    await site.umount();
    expect(site.isMounted()).toBe(false);
  });
});

/** Makes files until it is stopped or the mount goes, and acknowledges on stdout each that close(2) accepted. */
const LOAD = `exec perl -e '
  $| = 1;
  for (my $i = 0; ; $i++) {
    mkdir "$ENV{MNT}/d" . int($i / 100);
    my $name = "d" . int($i / 100) . "/f$i";
    open(F, ">", "$ENV{MNT}/$name.new") or last;
    print F $i x 100;
    close F or last;
    rename("$ENV{MNT}/$name.new", "$ENV{MNT}/$name") or last;
    print "$i\\n";
  }'`;

const CHECK_LOAD = `perl -e '
  while (<STDIN>) {
    chomp;
    my $name = "$ENV{MNT}/d" . int($_ / 100) . "/f$_";
    open(F, "<", $name) or do { print "$name: $!\\n"; next };
    my $content = do { local $/; <F> };
    print "$name holds ", length $content, " bytes\\n" if $content ne $_ x 100;
  }' < $DIR/acknowledged`;

describe.each(['SIGTERM', 'SIGINT', 'SIGKILL'] as const)('%s under load', (signal) => {
  it('loses nothing that was acknowledged, and leaves no stale mount', async () => {
    const site = new Site();
    await site.mount();
    for (let round = 0; round < 3; round++) {
      const loads = [0, 1].map((n) => site.start(`export MNT=$MNT/${n}; mkdir -p $MNT; ${LOAD}`));
      // Both are well under way when the signal comes.
      await Promise.all(
        loads.map(
          ({ child }) =>
            new Promise<void>((resolve) => {
              let lines = 0;
              child.stdout!.on('data', (text: string) => {
                lines += text.split('\n').length - 1;
                if (lines > 300) resolve();
              });
            }),
        ),
      );
      if (signal === 'SIGKILL') await site.kill();
      else await site.signal(signal);
      for (const [n, { result }] of loads.entries()) {
        const { out } = await result;
        // The last line may be cut; a whole one was acknowledged.
        const lines = out.slice(0, out.lastIndexOf('\n') + 1);
        writeFileSync(join(site.directory, `acknowledged${n}`), lines);
      }
      expect(site.isMounted()).toBe(false);
      await site.mount();
      for (const n of [0, 1]) {
        const check = `cp acknowledged${n} acknowledged; test -s acknowledged; export MNT=$MNT/${n}; ${CHECK_LOAD}`;
        expect(await site.sh(check)).toBe('');
      }
      await site.sh('rm -r $MNT/*');
    }
    await site.umount();
    expect(site.logged('error')).toEqual([]);
  });
});

describe('a killed daemon', () => {
  it('takes its mount with it where no other is to go on, so that users see an empty directory', async () => {
    const site = new Site();
    await site.mount('--no-restart');
    const { child } = site.start('exec 3> $MNT/open; cd $MNT; echo open; exec sleep 100', 200);
    await new Promise((resolve) => child.stdout!.once('data', resolve));
    await site.kill();
    expect(site.isMounted()).toBe(false);
    expect(await site.sh('ls -A $MNT')).toBe('');
    expect(await site.mount()).toMatch(/^mounted /);
    expect(await site.sh('ls $MNT')).toBe('open');
  });

  it('leaves alone what was mounted over its mount', async () => {
    const site = new Site();
    await site.mount('--no-restart');
    await site.sh('mount -t tmpfs none $MNT; touch $MNT/theirs');
    await site.kill();
    expect(await site.sh('ls $MNT')).toBe('theirs');
    await site.sh('umount $MNT');
    // What is below comes to light dead, and is replaced.
    expect(await site.mount()).toMatch(/^replaced the stale mount/);
  });

  it('leaves alone what was mounted after its mount had gone', async () => {
    const site = new Site();
    await site.mount('--no-restart');
    // Stopped, the daemon cannot see that its mount has gone, and so cannot dismiss the guard.
    await site.sh(`kill -STOP ${site.daemon()}; umount -l $MNT; mount -t tmpfs none $MNT; touch $MNT/theirs`);
    await site.kill();
    expect(await site.sh('ls $MNT; umount $MNT')).toBe('theirs');
  });

  it('leaves a dead mount only if its guard was killed too, and the next daemon replaces that', async () => {
    const site = new Site();
    await site.mount();
    await site.sh('touch $MNT/f');
    await site.killWithGuard();
    // Which of the two depends on whether the kernel has come to the end of all the daemon's threads.
    expect((await site.attempt('ls $MNT')).err).toMatch(
      /Transport endpoint is not connected|Software caused connection abort/,
    );
    expect(await site.mount()).toMatch(/^replaced the stale mount/);
    expect(await site.sh('ls $MNT')).toBe('f');
  });

  it('leaves no content of files that had no name', async () => {
    const site = new Site();
    await site.mount();
    const { child } = site.start(
      `exec perl -e '$| = 1; for (1 .. 50) {
         open(my $f, "+>", "$ENV{MNT}/o$_") or die $!; push @open, $f;
         unlink "$ENV{MNT}/o$_" or die $!; syswrite($f, "content"); sysseek($f, 0, 0); sysread($f, my $back, 10);
         print "$back\\n" }
       sleep 100'`,
      200,
    );
    let printed = '';
    await new Promise<void>((resolve) => {
      child.stdout!.on('data', (text: string) => {
        printed += text;
        if (printed.length === 50 * 8) resolve();
      });
    });
    expect(printed).toBe('content\n'.repeat(50));
    await site.sh('echo kept > $MNT/kept');
    expect(await site.sh('find $STORE/content -type f ! -name owners | wc -l')).toBe('51');
    await site.kill();
    await site.mount();
    // Removal goes on behind the mount; an unmount waits for it.
    await site.umount();
    expect(await site.sh('find $STORE/content -type f | wc -l')).toBe('1');
    await site.mount();
    expect(await site.sh('cat $MNT/*')).toBe('kept');
  });

  it('leaves the right sizes and times of files that were being written', async () => {
    const site = new Site();
    await site.mount();
    const { child } = site.start(
      `exec perl -e '$| = 1;
         open(A, ">", "$ENV{MNT}/new"); syswrite(A, "x" x 123_456);
         open(B, ">>", "$ENV{MNT}/log"); syswrite(B, "line\\n") for 1 .. 1000;
         open(C, "+>", "$ENV{MNT}/cut"); syswrite(C, "x" x 9999); truncate(C, 77);
         open(D, ">", "$ENV{MNT}/linked"); link("$ENV{MNT}/linked", "$ENV{MNT}/second"); syswrite(D, "1234");
         open(E, ">", "$ENV{MNT}/before"); syswrite(E, "1234"); rename("$ENV{MNT}/before", "$ENV{MNT}/after");
         syswrite(E, "5");
         print "ready\\n"; sleep 100'`,
      200,
    );
    await new Promise((resolve) => child.stdout!.once('data', resolve));
    const list = `cd $MNT; stat -c '%n %s %Y %h' after cut linked log new second; sha256sum *`;
    const before = await site.sh(list);
    expect(before).toMatch(
      /after 5 .*\ncut 77 .*\nlinked 4 .* 2\nlog 5000 .*\nnew 123456 .*\nsecond 4 .* 2\n/,
    );
    await site.kill();
    await site.mount();
    expect(await site.sh(list)).toBe(before);
    await site.umount();
    await site.mount('--read-only');
    expect(await site.sh(list)).toBe(before);
  });
});

const CLI = join(import.meta.dirname, '../../../dist/daemon/cli.js');

/** A process with a copy of the mount in a namespace of its own; the pid of that process. */
async function copyMount(site: Site, script = 'exec sleep 300'): Promise<number> {
  writeFileSync(join(site.directory, 'copy'), `${GIVE_UP_COPIES}; echo $$; ${script}`);
  const { child } = site.start(`exec unshare -m bash $DIR/copy`, 300);
  return Number(await new Promise<string>((resolve) => child.stdout!.once('data', resolve)));
}

describe('a copy of the mount in another namespace', () => {
  it('keeps the mount alive; umount and health name its processes, and --force ends it', async () => {
    const site = new Site();
    await site.mount();
    await site.sh('echo text > $MNT/f');
    const pid = await copyMount(
      site,
      'mkfifo $DIR/go; read < $DIR/go; cat $MNT/f > $DIR/seen; exec sleep 300',
    );
    const kept = await site.refusal('umount', site.mountpoint);
    expect(kept).toContain(
      `no longer mounted at ${site.mountpoint}, but still in use: process ${pid} (bash) has it`,
    );
    expect(kept).toContain(`spinney umount --force ${site.mountpoint}`);
    expect(site.isMounted()).toBe(false);
    // Whoever has the copy goes on.
    await site.sh('echo > $DIR/go; while ! test -s $DIR/seen; do sleep 0.02; done; grep -q text $DIR/seen');
    const health = await site.spinney('health', '--store', site.store);
    expect(health.code).toBe(1);
    expect(health.out).toContain(`still in use: process ${pid} (sleep)`);
    expect(await site.refusal('umount', site.mountpoint)).toContain(`process ${pid} (sleep)`);
    const log = join(site.directory, 'other.log');
    const other = await site.spinney('mount', site.mountpoint, '--store', site.store, '--log-file', log);
    expect([other.code, other.err.split('\n')]).toEqual([
      1,
      [
        expect.stringMatching(
          /^spinney: waiting for the daemon of the last mount \(pid \d+\) to leave/,
        ) as string,
        expect.stringContaining(`still in use: process ${pid} (sleep)`) as string,
        '',
      ],
    ]);
    // By the store, too, which is all that is known of a mount that is gone.
    expect(await site.refusal('umount', site.store)).toContain(`process ${pid} (sleep)`);
    await site.umount('--force');
    expect(site.logged('warn').join()).toContain(`process ${pid} (sleep)`);
    expect(site.logged('error')).toEqual([]);
    expect(await site.mount()).toMatch(/^mounted /);
    expect(await site.sh('cat $MNT/f')).toBe('text');
  });

  it('is unmounted by itself, and the mount goes on', async () => {
    const site = new Site();
    await site.mount();
    writeFileSync(
      join(site.directory, 'script'),
      `${GIVE_UP_COPIES}; node ${CLI} umount $MNT && ! grep -q " $MNT " /proc/self/mountinfo`,
    );
    await site.sh('touch $MNT/f; unshare -m bash $DIR/script; ls $MNT/f');
    expect(site.isMounted()).toBe(true);
    await site.umount();
    expect(site.logged('warn')).toEqual([]);
  });

  it('frees the store by its end, and mount waits for that', async () => {
    const site = new Site();
    await site.mount();
    const pid = await copyMount(site);
    await site.sh('umount $MNT');
    const mounting = site.spinney('mount', site.mountpoint, '--store', site.store);
    process.kill(pid);
    expect(await mounting).toMatchObject({ code: 0 });
    expect(site.logged('error')).toEqual([]);
  });

  it('cannot keep a daemon that was told to end', async () => {
    const site = new Site();
    await site.mount();
    await site.sh('touch $MNT/f');
    const pid = await copyMount(site);
    await site.signal('SIGTERM');
    const log = site.logged('info').map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(log.map(({ msg }) => msg)).toContainEqual(
      expect.stringContaining(`still in use: process ${pid} (sleep)`) as string,
    );
    expect(log.at(-1)).toMatchObject({ msg: 'ended', clean: true });
    expect(await site.mount()).toMatch(/^mounted /);
    expect(await site.sh('ls $MNT')).toBe('f');
  });
});

describe('a store that is moved while it is mounted', () => {
  it('loses nothing, and nothing is made at the old place', async () => {
    const site = new Site();
    await site.mount('--log-file', join(site.directory, 'log'));
    await site.sh(`echo before > $MNT/before; exec 3> $MNT/open; mv $STORE $DIR/moved; echo more >&3; exec 3>&-
      for i in $(seq 300); do echo $i > $MNT/f$i; done; rm $MNT/f1; mv $MNT/f2 $MNT/f3; sync $MNT/f4`);
    const moved = join(site.directory, 'moved');
    const { code, out } = await site.spinney('health', '--store', moved);
    expect([code, out]).toEqual([1, expect.stringContaining(`it is at ${moved}, and goes on there`)]);
    await site.must('checkpoint', '--store', moved);
    await site.sh(
      'test ! -e $STORE; umount $MNT; while ls $DIR/moved/daemon-*.json 2> /dev/null; do sleep 0.02; done',
    );
    expect(existsSync(site.store)).toBe(false);
    expect(await site.must('check', moved)).toMatch(/status +clean/);
    await site.must('mount', site.mountpoint, '--store', moved);
    expect(await site.sh('cd $MNT; cat before open f3 f4 f300; ls | wc -l')).toBe(
      'before\nmore\n2\n4\n300\n300',
    );
    await site.umount();
    expect(readFileSync(join(site.directory, 'log'), 'utf8')).not.toContain('/proc/self');
  });
});
