/** Directories that change while they are listed: by seeks, by removal of what is listed, and by others. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Site } from '../site.js';

const POSITIONS = join(import.meta.dirname, 'directories/positions.py');

describe('positions in a directory', () => {
  it('hold while entries come and go', async () => {
    const site = new Site();
    await site.mount();
    // Entries that stay, bytes of buffers, seed, company. From 8,192 entries on not all are remembered by the daemon.
    const runs = [
      [40, 100, 1, 'alone'],
      [500, 1000, 2, 'alone'],
      [3000, 4096, 3, 'alone'],
      [10_000, 32_768, 4, 'alone'],
      [500, 1000, 5, 'beside'],
      [3000, 32_768, 6, 'beside'],
    ];
    for (const [i, run] of runs.entries()) {
      expect(await site.sh(`python3 ${POSITIONS} $MNT/d${i} ${run.join(' ')}`)).toBe('held');
    }
    expect(site.logged('warn')).toEqual([]);
  });

  it('are those of telldir and seekdir', async () => {
    const site = new Site();
    await site.mount();
    const wrong = await site.sh(`mkdir $MNT/d; cd $MNT/d; perl -e '
      for (1 .. 3000) { open(F, ">", sprintf "f%05d", $_) or die $! }
      opendir(D, ".") or die; my (@names, @told, %rank);
      while (defined(my $name = readdir D)) { $rank{$name} = @names; push @names, $name; push @told, telldir D }
      my @gone = grep { /^f/ && $rank{$_} % 3 == 1 } @names; unlink($_) == 1 or die for @gone;
      my %gone = map { $_ => 1 } @gone;
      for my $n (1 .. 3000) { open(F, ">", sprintf "f%05d-new", $n) or die $! if $n % 5 == 0 }
      opendir(E, "."); 1 while readdir E;
      for (my $at = $#told; $at >= 0; $at -= 13) {
        seekdir(D, $told[$at]); my ($next) = grep { !$gone{$_} } @names[$at + 1 .. $#names];
        my $name; do { $name = readdir D } while defined $name && !exists $rank{$name};
        print "after $names[$at]: $name, not $next\\n" if ($name // "the end") ne ($next // "the end");
      }'`);
    expect(wrong).toBe('');
  });
});

describe('a listing that the kernel keeps', () => {
  it('does not end another’s where it fills its last page', async () => {
    const site = new Site();
    await site.mount();
    // 128 entries of 32 bytes fill a page of 4 KiB. What the reader got first is not in the listing that is kept next.
    await site.sh(`mkdir $MNT/d; cd $MNT/d; perl -e '
      sub fill { for (1 .. 384) { my $f = sprintf "f%03d", $_; open(F, ">", $f) or die $! unless -e $f } }
      sub kept { opendir(my $d, ".") or die; 1 while readdir $d }
      for my $count (124 .. 128) {
        fill(); opendir(D, ".") or die; my @told;
        while (defined(readdir D)) { push @told, telldir D }
        unlink(sprintf "f%03d", $_) == 1 or die for 1 .. 384 - $count;
        kept(); kept(); seekdir(D, $told[100]);
        my @rest = grep { /^f/ } readdir D; die "$count: ", scalar(@rest) unless @rest == $count;
      }'`);
  });
});

describe('a directory that is removed while it is listed', () => {
  /** A tree of files: half of them in one directory, the others in nested ones. */
  const make = (files: number) => `perl -e '
    mkdir "tree" or die; mkdir "tree/large"; for (1 .. ${files / 2}) { open(F, ">", "tree/large/file $_") or die $! }
    for my $a (1 .. 10) { mkdir "tree/$a"; for my $b (1 .. 10) { mkdir "tree/$a/$b";
      for my $c (1 .. ${files / 200}) { open(F, ">", "tree/$a/$b/$c") or die $! } } }'`;
  /** Lists all the time until its standard input ends. */
  const LISTER = `perl -MFile::Find -e '
    $SIG{__WARN__} = sub {}; my $in = ""; vec($in, 0, 1) = 1;
    until (select(my $ready = $in, undef, undef, 0)) { find(sub {}, "tree"); opendir(D, "tree/large") and 1 while readdir D }'`;

  it('is gone after rm -rf, whoever lists or removes it at the same time', async () => {
    const site = new Site();
    await site.mount();
    await site.sh(`cd $MNT; ${make(20_000)}; ls -fR tree > /dev/null
      mkfifo $DIR/end; ${LISTER} < $DIR/end & exec 3> $DIR/end
      rm -rf tree
      exec 3>&-; wait; test "$(ls -A)" = ""`);
    await site.sh(`cd $MNT; ${make(4_000)}; rm -rf tree & rm -rf tree; wait; test "$(ls -A)" = ""`);
    expect(site.logged('warn')).toEqual([]);
  });

  it('gives each entry once to a reader that removes what it gets, with any buffer', async () => {
    const site = new Site();
    await site.mount();
    await site.sh(`cd $MNT; ${make(10_000)}; cd tree/large; mkfifo $DIR/end; (cd $MNT; ${LISTER}) < $DIR/end & exec 3> $DIR/end
      perl -e 'opendir(D, ".") or die; my $n = 0;
        while (defined(my $name = readdir D)) { next if $name =~ /^\\.\\.?$/; unlink($name) == 1 or die "$name: $!"; $n++ }
        die "$n removed" unless $n == 5000'
      exec 3>&-; wait; test "$(ls -A)" = ""; mkdir $MNT/d`);
    // Here the kernel has the listing of another handle, and loses it again and again.
    await site.sh(`cd $DIR; cp ${join(import.meta.dirname, 'directories')}/getdents.py .; python3 -c '
import os
from getdents import Directory
os.chdir("mnt/d")
for size in 50, 300, 2000, 32768:
    for i in range(3000): os.mknod(f"f{i}")
    Directory(".").rest()
    reader = Directory(".", size); removed = 0
    while more := reader.some():
        for name, _ in more:
            if name[0] != ".": os.unlink(name); removed += 1
        if removed % 7 == 0: Directory(".").some()
    assert removed == 3000 and os.listdir(".") == [], (size, removed)'`);
  });
});
