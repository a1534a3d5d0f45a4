/**
 * The systems that are compared. Each has a directory of its own on the same filesystem: `below`, where it keeps its
 * contents, and `mountpoint`.
 *
 * - `argv(place, programs)`: starts its server, in the foreground. Without it, `below` itself is what is measured.
 * - `fill(place, use)`: calls `use` with a directory in which what is made is in the mount later; the fastest way.
 * - `make(place)`: prepares `below`, where an empty directory is not enough.
 * - `isCompiledLate`: whether it is compiled while it runs.
 * - `needs`: what has to be installed. `descriptors`: whether it holds one for each entry that the kernel knows.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withDescriptors } from './client/programs.mjs';
import { Mount, withImage } from './mounted.mjs';
import { run } from './processes.mjs';

const CLI = fileURLToPath(new URL('../../../dist/daemon/cli.js', import.meta.url));
const IMAGE_SIZE = '8G';
const IMAGE_INODES = '600000';

function spinney(name, title, ...flags) {
  const argv = ({ below, mountpoint }, more) => {
    const command = [process.execPath, CLI, 'mount', mountpoint, '--store', below];
    return [...command, '--foreground', '--log-level', 'warn', ...more];
  };
  const fill = async (place, use) => {
    const mount = await Mount.start(argv(place, ['--driver', 'kernel']), place.mountpoint);
    try {
      await use(place.mountpoint);
    } finally {
      await mount.stop();
    }
  };
  return { name, title, needs: [], isCompiledLate: true, argv: (place) => argv(place, flags), fill };
}

function passthrough(name, title, options) {
  return {
    name,
    title,
    needs: ['gcc', 'pkg-config', 'passthrough_ll'],
    descriptors: true,
    // Without the option it answers that there are no attributes, as its default is, and is not asked again.
    argv: ({ below, mountpoint, attributes }, programs) => {
      const all = [`source=${below}`, ...options, ...(attributes ? ['xattr'] : [])].join(',');
      return withDescriptors([programs.passthrough, '-f', '-o', all, mountpoint]);
    },
    fill: fillBelow,
  };
}

function fillBelow({ below }, use) {
  return use(below);
}

const image = ({ below }) => join(below, 'image');

export const SYSTEMS = [
  spinney('spinney', 'Spinney', '--driver', 'kernel'),
  spinney(
    'spinney-uncached',
    'Spinney, time-outs 0',
    ...['--driver', 'kernel', '--entry-timeout', '0', '--attr-timeout', '0', '--negative-timeout', '0'],
  ),
  spinney('spinney-fuse-native', 'Spinney, fuse-native', '--driver', 'fuse-native'),
  passthrough('passthrough', 'passthrough_ll', []),
  passthrough('passthrough-uncached', 'passthrough_ll, `cache=never`', ['cache=never', 'timeout=0']),
  passthrough('passthrough-cached', 'passthrough_ll, `cache=always`', ['cache=always', 'timeout=86400']),
  {
    name: 'bindfs',
    title: 'bindfs',
    needs: ['bindfs'],
    argv: ({ below, mountpoint }) => ['bindfs', '-f', below, mountpoint],
    fill: fillBelow,
  },
  {
    name: 'fuse2fs',
    title: 'fuse2fs',
    needs: ['fuse2fs', 'mke2fs'],
    make: (place) => run(['mke2fs', '-q', '-F', '-t', 'ext4', '-N', IMAGE_INODES, image(place), IMAGE_SIZE]),
    argv: (place) => ['fuse2fs', image(place), place.mountpoint, '-f'],
    // It needs a millisecond for a file where there are thousands in a directory.
    fill: (place, use) => withImage(image(place), place.mountpoint, use),
  },
  { name: 'below', title: 'below', needs: [], fill: fillBelow },
];

/** The name of the one that the others are held against. */
export const BASE = 'spinney';

/** Those whose caches are all off: only what is asked of the server is of interest. */
export const UNCACHED = ['spinney-uncached', 'passthrough-uncached'];
