/** The ends of what names, attributes, files and directories may be. */
import { describe, expect, it } from 'vitest';
import { Site } from '../site.js';

/** Two scripts around which the mount is closed, or its daemon killed: what the first made, the second checks. */
async function survives(make: string, check: string): Promise<void> {
  const site = new Site();
  await site.mount();
  await site.sh(`cd $MNT; ${make}`);
  await site.sh(`cd $MNT; ${check}`);
  await site.kill();
  await site.mount();
  await site.sh(`cd $MNT; ${check}`);
  await site.umount();
  expect(site.logged('error')).toEqual([]);
}

describe('names', () => {
  it('are bytes: not UTF-8, control characters, newlines', async () => {
    const list = `
      my @names = ("\\xff\\xfe", "a\\nb", "\\x01\\x1b[31m", " ", "-rf", "\\xc3\\x28", "\\x80" x 255, "tab\\t", "\\\\", "*",
        (map { chr } 1 .. 46, 48 .. 255));
      @names = grep { $_ ne "." } @names;`;
    await survives(
      `perl -e '${list} for (@names) { open(F, ">", $_) or die "$_: $!"; print F $_; close F or die; }'`,
      `perl -e '${list}
        opendir(D, ".") or die; my %seen = map { $_ => 1 } grep { !/^\\.\\.?$/s } readdir D;
        for (@names) { open(F, "<", $_) or die; local $/; <F> eq $_ or die "content"; }
        delete @seen{@names}; die join(",", map { unpack "H*", $_ } keys %seen) if %seen;'`,
    );
  });

  it('have up to 255 bytes', async () => {
    const site = new Site();
    await site.mount();
    await site.sh(`
      cd $MNT
      name=$(printf 'n%.0s' $(seq 255))
      touch $name; test -f $name; mv $name moved; ln moved $name; rm $name; mkdir $name; rmdir $name
      for command in touch mkdir mkfifo 'mv moved' 'ln moved' 'ln -s x' stat; do
        { $command n$name 2>&1 || true; } | grep -q 'File name too long'
      done
      test "$(ls)" = moved`);
  });

  it('lie as deep as paths go', async () => {
    await survives(
      `perl -e 'for (1 .. 80) { mkdir "d" x 100 or die $!; chdir "d" x 100 or die $!; } open(F, ">", "end") or die $!'`,
      `perl -e 'for (1 .. 80) { chdir "d" x 100 or die $!; } -f "end" or die; my $n = () = readpipe "find . -type f"; die unless $n == 1'
       test "$(find . -type d | wc -l)" = 81`,
    );
    // A path of 16 KiB is the end, and not a crash.
    const site = new Site();
    await site.mount();
    const made = await site.sh(`cd $MNT; perl -e '
      my $n = 0; while (mkdir "d" x 200) { chdir "d" x 200 or die $!; $n++ } print "$n $!\\n"'`);
    expect(made).toBe('81 File name too long');
    await site.sh('rm -r $MNT/d*');
  });

  it('may be a hundred thousand in one directory', async () => {
    const site = new Site();
    await site.mount();
    await site.sh(
      `mkdir $MNT/big; cd $MNT/big; perl -e 'for (1 .. 100_000) { open(F, ">", "f$_") or die $! }'`,
      120,
    );
    expect(await site.sh('ls -f $MNT/big | wc -l')).toBe('100002');
    expect(await site.sh('ls $MNT/big | sort -u | wc -l')).toBe('100000');
    expect(await site.sh('find $MNT/big -type f -name "*77" | wc -l')).toBe('1000');
    await site.kill();
    await site.mount();
    expect(await site.sh('ls -f $MNT/big | wc -l')).toBe('100002');
    await site.sh('rm -rf $MNT/big', 120);
    expect(await site.sh('ls -A $MNT')).toBe('');
    await site.umount();
    expect(site.logged('error')).toEqual([]);
  });
});

describe('extended attributes', () => {
  it('take values of 0 to 65,536 bytes', async () => {
    await survives(
      `touch f; mkdir d; ln -s f l; mkfifo p
       for file in f d; do setfattr -n user.empty $file; done
       perl -e 'print "# file: f\nuser.largest=0x", "a5" x 65_536, "\n\n# file: d\nuser.large=0x", "07" x 30_000, "\n"' |
         setfattr --restore=-
       { perl -e 'print "# file: f\nuser.larger=0x", "a5" x 65_537, "\n"' | setfattr --restore=- 2>&1 || true; } |
         grep -q 'Argument list too long'
       setfattr -h -n trusted.link -v 1 l
       setfattr -n trusted.pipe -v 1 p`,
      `test "$(getfattr --only-values -n user.empty f)" = ""
       test "$(getfattr --only-values -n user.largest f | wc -c)" = 65536
       test "$(getfattr --only-values -n user.largest f | tr -d '\\245' | wc -c)" = 0
       test "$(getfattr --only-values -n user.large d | wc -c)" = 30000
       test "$(getfattr -h --only-values -n trusted.link l)" = 1
       test "$(getfattr --absolute-names -d -m - f | grep -c user)" = 2
       setfattr -x user.empty f; setfattr -n user.empty f
       ! getfattr -n user.absent f 2>/dev/null
       ! setfattr -x user.absent f 2>/dev/null`,
    );
  });

  it('follow their file through rename and links, and go with it', async () => {
    await survives(
      `mkdir -p a/b; touch a/b/f; setfattr -n user.k -v file a/b/f; setfattr -n user.k -v dir a/b
       ln a/b/f link; mv a moved; rm moved/b/f; mkdir gone; setfattr -n user.k -v x gone; rmdir gone; mkdir gone`,
      `test "$(getfattr --only-values -n user.k link)" = file
       test "$(getfattr --only-values -n user.k moved/b)" = dir
       test "$(getfattr -d gone)" = ""`,
    );
  });
});

describe('symbolic links', () => {
  it('have targets of up to 4,095 bytes', async () => {
    const target = 'x'.repeat(4095);
    await survives(
      `ln -s ${target} long; ! ln -s ${target}x longer 2>/dev/null
       ln -s "$(printf 'new\\nline \\377')" odd`,
      `test "$(readlink long)" = ${target}
       test "$(readlink odd)" = "$(printf 'new\\nline \\377')"
       test "$(stat -c %s long)" = 4095`,
    );
  });
});

describe('files', () => {
  it('may be larger than 4 GiB and have holes', async () => {
    await survives(
      `printf begin > f; truncate -s 5G f
       printf end | dd of=f bs=1 seek=$((5 * 1024 ** 3)) conv=notrunc status=none
       mkdir copies; cp --sparse=always f copies/f`,
      `for file in f copies/f; do
         test "$(stat -c %s $file)" = 5368709123
         test "$(du -k $file | cut -f1)" -lt 1024
         test "$(head -c 5 $file)" = begin
         test "$(tail -c 3 $file)" = end
         test "$(dd if=$file bs=1M skip=2500 count=1 status=none | tr -d '\\0' | wc -c)" = 0
       done`,
    );
  });

  it('shrink, grow, are appended to, and written by mmap', async () => {
    await survives(
      `printf 0123456789 > f; truncate -s 4 f; printf ab >> f; truncate -s 8 f
       printf 'x%.0s' $(seq 9000) > m
       perl -e 'open(F, "+<", "m") or die; seek(F, 8192, 0); print F "Y"; close F or die'
       exec 3>> g; printf 1 >&3; printf 2 >> g; printf 3 >&3; exec 3>&-
       : > f2; printf old > f3; : > f3`,
      `test "$(od -An -c f | tr -d ' ')" = '0123ab\\0\\0'
       test "$(stat -c %s m)" = 9000; test "$(tr -d x < m)" = Y
       test "$(cat g)" = 123
       test "$(stat -c %s f2 f3 | tr '\\n' ' ')" = '0 0 '`,
    );
  });
});
