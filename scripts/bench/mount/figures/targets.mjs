/** What the mount is to reach, and whether it did. All is said of one client, unless it says more. */
import { table } from '../../lib/table.mjs';

const SMALL = ['create', 'unlink', 'rename', 'setxattr'];

/** `system` takes at most `most` times as long as `against`. */
function atMost(most, text, figure, against, system = 'spinney') {
  return {
    text,
    measure: (samples) => {
      const ratio = samples.ratio(figure, 1, system, against);
      return ratio && { measured: `${ratio.toFixed(2)}x the time`, isMet: ratio <= most };
    },
  };
}

/** Spinney is at least `least` times as fast as `against`. */
function asFast(least, text, figure, against) {
  return {
    text,
    measure: (samples) => {
      const ratio = samples.ratio(figure, 1, against, 'spinney');
      return ratio && { measured: `${ratio.toFixed(2)}x as fast`, isMet: ratio >= least };
    },
  };
}

/** The server uses less than `ms` of CPU time. */
function lessCpu(ms, text, figure) {
  return {
    text,
    measure: (samples) => {
      const times = samples.of(figure, 1, 'spinney').map(({ time }) => time);
      if (times.length === 0) return undefined;
      const most = Math.max(...times);
      return { measured: `at most ${most.toFixed(1)} ms`, isMet: most < ms };
    },
  };
}

const TARGETS = [
  atMost(
    0.75,
    'stat, all caches off: at most 0.75x passthrough_ll',
    'stat.again',
    'passthrough-uncached',
    'spinney-uncached',
  ),
  atMost(1.3, 'warm stat: at most 1.3x ext4', 'stat.again', 'below'),
  atMost(1.3, 'warm stat of an absent file: at most 1.3x ext4', 'absent.again', 'below'),
  atMost(
    1,
    'first `ls -l` of 10,000: not slower than passthrough_ll at its best',
    'ls.first',
    'passthrough-cached',
  ),
  atMost(
    1,
    'first `ls -l` of 10,000, cold: not slower than passthrough_ll at its best',
    'ls.cold',
    'passthrough-cached',
  ),
  atMost(1.5, 'second `ls -l` of 10,000: at most 1.5x ext4', 'ls.again', 'below'),
  ...SMALL.map((figure) => atMost(1, `${figure}: not slower than passthrough_ll`, figure, 'passthrough')),
  ...SMALL.map((figure) => asFast(2, `${figure}: at least 2x as fast as fuse2fs`, figure, 'fuse2fs')),
  asFast(2, 'unpacking an archive: at least 2x as fast as fuse-native', 'untar', 'spinney-fuse-native'),
  atMost(1, 'unpacking an archive: not slower than passthrough_ll', 'untar', 'passthrough'),
  asFast(0.9, 'writing 1 GiB: at least 0.9x as fast as ext4', 'write', 'below'),
  asFast(0.9, 'reading 1 GiB, cold: at least 0.9x as fast as ext4', 'streamRead.cold', 'below'),
  asFast(0.9, 'reading 1 GiB, again: at least 0.9x as fast as ext4', 'streamRead.again', 'below'),
  // One tick, which is the least that the kernel tells of in /proc.
  lessCpu(10, 'idle for 5 s: no CPU time that can be measured (under 10 ms)', 'idle'),
];

/** The table of all that could be measured; empty if nothing was. `quick`: the sizes were not those that are meant. */
export function targetsTable(samples, { quick }) {
  const rows = TARGETS.map(({ text, measure }) => ({ text, ...measure(samples) }))
    .filter(({ measured }) => measured !== undefined)
    .map(({ text, measured, isMet }) => [text, measured, isMet ? 'yes' : 'no']);
  if (rows.length === 0) return [];
  const text = quick ? ['Of a short try: the sizes are not those that are meant.'] : [];
  return ['### Targets', ...text, table(['target', 'measured', 'met'], rows)];
}
