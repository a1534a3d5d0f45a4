/** The options that mount(8) gives its helper, from the command line or from /etc/fstab: what they are, and what help says of them. */
import { mount } from './commands/mounts/mount.js';

/** Of the options of `spinney mount` these come in another way. */
const GIVEN_OTHERWISE = new Set(['store', 'o']);

/** Options that become one of `spinney mount` with a value. */
export const VALUES: ReadonlySet<string> = new Set(
  Object.entries(mount.options)
    .filter(([name, { takesValue }]) => takesValue && !GIVEN_OTHERWISE.has(name))
    .map(([name]) => name),
);

/** Options of `spinney mount` without a value; false takes the word back. */
export const SWITCHES: Readonly<Record<string, readonly [name: string, on: boolean]>> = {
  ro: ['read-only', true],
  rw: ['read-only', false],
  allow_other: ['allow-other', true],
  'allow-other': ['allow-other', true],
  'no-restart': ['no-restart', true],
};

/** Options that `spinney mount -o` takes, in their order. */
export const MOUNT_WORDS: ReadonlySet<string> = new Set(['suid', 'nosuid', 'dev', 'nodev', 'exec', 'noexec']);

/** Options that are for mount(8), for systemd or for whoever else reads /etc/fstab, or that hold anyway. */
export const IGNORED =
  /^(defaults|(no)?auto|nofail|_netdev|(no)?(user|users|owner|group)|async|silent|loud|(no)?(a|dira|rela|lazy)time|strictatime|(user|u?helper)=.*|comment=.*|x-.*|X-.*)$/;

/** What mount(8) reads from the table of mounts and gives back when it remounts. */
export const OF_MOUNTED =
  /^(user_id=\d+|group_id=\d+|default_permissions|max_read=\d+|blksize=\d+|fd=\d+|rootmode=\d+)$/;

/** All that is taken, as help and manual tell it. */
export const TOLD: readonly { words: string; describe: string; default?: string }[] = [
  { words: 'ro, rw', describe: 'Read-only, for which the store must exist, or not', default: 'rw' },
  { words: 'allow_other', describe: 'Let other users in' },
  { words: 'no-restart', describe: mount.options['no-restart']!.describe },
  {
    words: 'suid, nosuid, dev, nodev, exec, noexec',
    describe: 'As on every filesystem',
    default: 'suid,dev,exec for root, nosuid,nodev,exec for others',
  },
  {
    words: 'remount',
    describe: 'Change ro, rw and the words above of a mount in place; all else stays as it is',
  },
  ...[...VALUES].map((name) => {
    const { describe, default: usual } = mount.options[name]!;
    return { words: `${name}=VALUE`, describe, ...(usual !== undefined && { default: usual }) };
  }),
  {
    words: 'nofail, _netdev, noauto, user, x-systemd.*, ...',
    describe: 'For mount(8), systemd and others that read /etc/fstab: passed over',
  },
];

/** Options of the helper itself. */
export const FLAGS: readonly (readonly [flags: string, describe: string])[] = [
  ['-f', 'Read the arguments and do nothing'],
  ['-s', 'Pass over options that are unknown'],
  ['-n, -v, -t TYPE', 'Change nothing'],
  ['-h, --help', 'Show help'],
  ['-V, --version', 'Show version number'],
];

export const EXIT_CODES = '0 done, 1 wrong arguments, 32 the mount failed';

const COLUMN = 26;

export const HELP = `Usage: mount.fuse.spinney <store> <mountpoint> [-o options]

What mount(8) runs for the type fuse.spinney. Options, with commas between them:
${TOLD.map(({ words, describe, default: usual }) => row(words, usual === undefined ? describe : `${describe}  [${usual}]`)).join('')}
${FLAGS.map(([flags, describe]) => row(flags, describe)).join('')}Exit codes: ${EXIT_CODES}.
`;

function row(left: string, right: string): string {
  const fits = left.length < COLUMN;
  return fits ? `  ${left.padEnd(COLUMN)}${right}\n` : `  ${left}\n  ${' '.repeat(COLUMN)}${right}\n`;
}
