/**
 * All that can be wrong with a daemon, under codes that stay. Documents, metrics and alert rules have them from here: a test compares.
 *
 * `failing`: some requests fail or hang, or data is damaged. `degraded`: everything is served still, and somebody should look
 * before it is not.
 */
export type Severity = 'degraded' | 'failing';

export interface HealthCondition {
  severity: Severity;
  /** When it holds, and until when where that is not the same. */
  meaning: string;
  /** What to do about it. */
  remedy: string;
}

export const HEALTH_CODES = {
  MOUNT_DOWN: {
    severity: 'failing',
    meaning: 'The mount is not up yet, has ended or has failed.',
    remedy: 'Look at the last lines of the log for the reason, and mount again.',
  },
  MOUNT_DISPLACED: {
    severity: 'degraded',
    meaning: 'The mount is not at its place any more, and yet in use.',
    remedy: 'End the processes that are named, or run spinney umount --force; then mount again.',
  },
  REQUEST_STUCK: {
    severity: 'failing',
    meaning: 'The mount has been busy with one request for 10 s while it has others to serve.',
    remedy:
      "See whether the store's disk answers (dmesg, iostat -x), and keep what spinney debug tells. " +
      'If it does not get on, run spinney umount --force, and mount again.',
  },
  SYNC_STUCK: {
    severity: 'failing',
    meaning: 'The disk has not finished a sync of contents for 30 s.',
    remedy: "See whether the store's disk answers (dmesg, iostat -x).",
  },
  CHANGES_REFUSED: {
    severity: 'failing',
    meaning:
      'Changes fail though nothing is wrong with them, with ENOSPC, EIO, ENOMEM or EROFS; until one succeeds, or nobody tried for 5 minutes.',
    remedy: 'Free space for ENOSPC; for the others see what else health tells, and the log.',
  },
  QUOTA_EXCEEDED: {
    severity: 'degraded',
    meaning: 'A limit of a directory is reached, or just refused a change with EDQUOT.',
    remedy:
      'Remove something below the directory, or set a larger limit with setfattr -n spinney.quota.bytes (or .files).',
  },
  QUOTA_NEARLY_FULL: {
    severity: 'degraded',
    meaning:
      'Nine tenths of a limit of a directory are used; until less than 85 % are. Looked at once a minute.',
    remedy:
      'Remove something below the directory, or set a larger limit with setfattr -n spinney.quota.bytes (or .files).',
  },
  DESCRIPTORS_EXHAUSTED: {
    severity: 'failing',
    meaning: 'Files cannot be opened, for want of a file descriptor.',
    remedy:
      "Raise the daemon's limit (prlimit --pid PID --nofile=N; LimitNOFILE= in its unit) or the system's (fs.file-max).",
  },
  DESCRIPTORS_LOW: {
    severity: 'degraded',
    meaning: 'Fewer than 32 file descriptors are left to the daemon; until 64 are.',
    remedy: "Raise the daemon's limit (prlimit --pid PID --nofile=N; LimitNOFILE= in its unit).",
  },
  BLOB_UNREADABLE: {
    severity: 'failing',
    meaning: 'A blob of the tree or of a snapshot could not be read; until it can be, or is gone.',
    remedy:
      'See to the disk (dmesg, smartctl). What is below the prefix comes back from a snapshot or a backup; ' +
      'spinney repair, on the unmounted store, salvages the rest.',
  },
  SCRUB_FOUND_DAMAGE: {
    severity: 'failing',
    meaning: 'The last scrub found a blob damaged on the disk; until one finds it sound.',
    remedy: 'See to the disk, and make a backup now: spinney backup. Then unmount, and run spinney repair.',
  },
  MANIFEST_DAMAGED: {
    severity: 'failing',
    meaning:
      'The last scrub found the manifest damaged on the disk: the store would not open again. Until one finds it sound.',
    remedy:
      'Leave the store mounted, where it is whole, and make a backup now: spinney backup. Then see to the disk.',
  },
  CONTENT_DAMAGED: {
    severity: 'failing',
    meaning: 'The content of a file is missing, has another size than its record says, or could not be read.',
    remedy:
      'Restore the file from a snapshot or a backup: replacing or removing it ends this. spinney check names all.',
  },
  JOURNAL_FAILED: {
    severity: 'failing',
    meaning:
      'A write or sync of the journal failed, or what tends it has died: every change is refused until the store is mounted again.',
    remedy: 'See to the disk, unmount, and mount again. What fsync acknowledged is there.',
  },
  TREE_UNUSABLE: {
    severity: 'failing',
    meaning: 'A thread failed in the middle of a change, so the tree is not used any more.',
    remedy: 'Unmount, and mount again: the journal is played back. Please report the log.',
  },
  CHECKPOINT_FAILED: {
    severity: 'degraded',
    meaning: 'The last checkpoint failed. The journal keeps what it lacks, and it is tried again by itself.',
    remedy: 'See to what the reason names: space, or the disk. Do not remove journal files.',
  },
  CHECKPOINT_LAGGING: {
    severity: 'degraded',
    meaning:
      'The journal has 512 MiB that no checkpoint covers, twice what is usual at most; until it has less than 256 MiB.',
    remedy:
      'The disk is slower than what is written: see what else uses it. The next start would take long to play the journal back.',
  },
  JOURNAL_LAGGING: {
    severity: 'degraded',
    meaning: 'Changes have waited for 15 s to become durable, which takes a second at most.',
    remedy:
      "See whether the store's disk answers (dmesg, iostat -x). A power cut would now lose more than a second.",
  },
  DISK_FULL: {
    severity: 'failing',
    meaning: "The store's disk is full: what adds is refused with ENOSPC. Removing works.",
    remedy:
      'Remove files, or snapshots (spinney snapshot list tells what each gives back), or enlarge the disk.',
  },
  DISK_NEARLY_FULL: {
    severity: 'degraded',
    meaning:
      "The store's disk has less than 5 % free, and less than 16 GiB; until it has a fifth more than that.",
    remedy:
      'Remove files, or snapshots (spinney snapshot list tells what each gives back), or enlarge the disk.',
  },
  DISK_INODES_LOW: {
    severity: 'degraded',
    meaning:
      "The store's disk has less than 5 % of its inodes free, and less than 100,000; until it has a fifth more than that.",
    remedy:
      'Each file with content takes one. Remove files, or move the store to a filesystem with more (XFS, btrfs, mkfs.ext4 -i).',
  },
  STORE_MOVED: {
    severity: 'degraded',
    meaning: "The store's directory was moved while it is mounted.",
    remedy: 'Move it back, or mount it from its new place when it suits.',
  },
  LOG_FAILING: {
    severity: 'degraded',
    meaning: 'Lines of the log are lost, or its file cannot be rotated.',
    remedy: 'Free space for the log, or see to its directory and its permissions.',
  },
  REMOTE_TAKEN: {
    severity: 'failing',
    meaning:
      "Another machine has taken the store's remote over: everything is refused with EIO, and nothing that is done here counts any more.",
    remedy:
      'Unmount. What the other machine has is got by mounting the remote with an empty directory; what it lacks is in the store here alone.',
  },
  REMOTE_FULL: {
    severity: 'failing',
    meaning:
      "The store's remote lacks 16 GiB: what adds is refused with ENOSPC, until it has caught up by an eighth.",
    remedy: 'See why the object store is slower than what is written, or does not answer.',
  },
  REMOTE_UNREACHABLE: {
    severity: 'degraded',
    meaning:
      "The store's object store does not answer, or refuses. Everything goes on here; with --remote-durability remote an fsync waits.",
    remedy:
      'See to the network, the server and the credentials. The store catches up by itself. No other machine has what it lacks.',
  },
  REMOTE_LAGGING: {
    severity: 'degraded',
    meaning: "The store's remote is a minute behind or more. No other machine has what it lacks.",
    remedy: 'See whether the network and the object store are fast enough for what is written.',
  },
  CONTENT_CACHE_FULL: {
    severity: 'degraded',
    meaning:
      'Contents take more of the disk than --content-cache says, and none can be given up: they are in use, or not in the remote yet.',
    remedy: 'See whether the remote is behind; else give --content-cache more.',
  },
  SNAPSHOTS_FAILING: {
    severity: 'degraded',
    meaning:
      'A snapshot of the schedule could not be made, or an old one not deleted. It is tried again every 15 s.',
    remedy: 'See to what the reason names. Older snapshots are whole.',
  },
} as const satisfies Readonly<Record<string, HealthCondition>>;

export type HealthCode = keyof typeof HEALTH_CODES;

/** Something that is wrong, as whoever looks finds it. */
export interface Problem {
  code: HealthCode;
  /** Tells several of one code apart (a blob, an error, a directory), and stays as long as the problem does. */
  subject?: string;
  /** A sentence, with figures of this moment. */
  reason: string;
  /** Further lines, such as the files that are meant. */
  more?: readonly string[];
  /** The log is told when it has been so for this long. Default: at once. */
  tellAfterMs?: number;
}
