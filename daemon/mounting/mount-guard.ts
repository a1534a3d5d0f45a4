/**
 * Takes the mount away when the daemon dies without a word: a shell that waits for the end of a pipe whose other end
 * only the daemon has, then unmounts. So users of the mount see an empty directory, not ENOTCONN for ever.
 *
 * It unmounts only what it was made for: the entry of the table of mounts with the same mount id, device, place and
 * source, and only while nothing is mounted over it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { MountEntry } from '../../mount/mountinfo.js';
import type { Logger } from '../process/log.js';

/** Arguments: mount id, device, place and `type source` as the table has them, then the command that unmounts. */
const SCRIPT = `
trap '' HUP INT TERM ABRT
read -r word && exit 0
top=no
while read -r id parent device root place rest; do
  [ "$place" = "$3" ] || continue
  case "$id $device $rest" in
    "$1 $2 "*" - $4 "*) top=yes ;;
    *) top=no ;;
  esac
done </proc/self/mountinfo
[ "$top" = yes ] || exit 0
shift 4
exec "$@"
`;
/** What the shell shows as its name in a list of processes. */
const NAME = 'spinney-guard';
const SYSTEM_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

export class MountGuard {
  readonly #shell: ChildProcess;

  /** Guards the mount as long as this process lives. Where there is no shell, that is logged and nothing guards. */
  constructor(mount: MountEntry, log: Logger) {
    const { mountpoint } = mount;
    const unmount =
      process.geteuid?.() === 0
        ? ['umount', '-l', '--', mountpoint]
        : ['fusermount3', '-uzq', '--', mountpoint];
    this.#shell = spawn('/bin/sh', ['-c', SCRIPT, NAME, ...identityOf(mount), ...unmount], {
      // A session of its own: what the terminal sends to the daemon is not for it.
      detached: true,
      cwd: '/',
      env: { ...process.env, PATH: `${process.env.PATH ?? ''}:${SYSTEM_PATH}` },
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.#shell.on('error', (error) => {
      log.warn({ err: error }, 'nothing will take the mount away if this daemon is killed');
    });
    // A guard that was killed is no reason to fail.
    this.#shell.stdin?.on('error', () => {});
    this.#shell.unref();
    (this.#shell.stdin as Socket | null)?.unref();
  }

  /** The mount is gone, and what comes to its place is not the guard's. */
  standDown(): void {
    this.#shell.stdin?.end('done\n');
  }
}

/** The words by which the shell knows the mount again, escaped as in the table. */
function identityOf({ mountId, parentId, major, minor }: MountEntry): string[] {
  const device = `${major}:${minor}`;
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const line = lines.find((text) => text.startsWith(`${mountId} ${parentId} ${device} `)) ?? '';
  const [own = '', filesystem = ''] = line.split(' - ', 2);
  const place = own.split(' ')[4] ?? '';
  return [String(mountId), device, place, filesystem.split(' ').slice(0, 2).join(' ')];
}
