/**
 * Which process serves which mount, where it listens, and what it is doing: `daemon-<pid>.json` in the store (or where its
 * files are else, see run-directory.ts), for `umount` and `mount` to find and await the daemon, and for those who ask it
 * something.
 *
 * A record counts only while its very process runs, so one that a killed daemon left does no harm; and only if that
 * process is its writer's, so that nobody can have root stop another one.
 */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Device } from '../../mount/mountpoints/mount-users.js';
import type { DriverName } from '../../mount/types.js';
import { settledWithin } from '../process/deadline.js';
import { identifyProcess, isRunning, type ProcessIdentity, userOf } from '../process/process-identity.js';
import { daemonDirectories } from './run-directory.js';

/** `ending`: the daemon is on its way out, and gives the store back without being asked. */
export type DaemonState = 'starting' | 'serving' | 'ending';

export interface RunningDaemon extends ProcessIdentity {
  mountpoint: string;
  /** Its control socket, if that is not where a store has it: a store that is moved takes its own along. */
  control?: string;
  state: DaemonState;
  /** What it serves, once that is mounted. */
  device?: Device;
  /** By which driver, and since when, as ISO 8601 tells it. */
  driver?: DriverName;
  since?: string;
  version?: string;
  /** Texts of the settings that were changed while it served. */
  settings?: Readonly<Record<string, string>>;
  /** Who starts it again when it dies. */
  guard?: ProcessIdentity;
  /** How often that has happened with this mount. */
  restarts?: number;
  /** While the daemon ends: what the store's remote lacks yet. */
  shipping?: { records: number; contents: number; bytes: number } | undefined;
}

const WRITE_DEADLINE_MS = 1_000;
const RECORD_NAME = /^daemon-\d+\.json$/;
const MOST_BYTES = 64 * 1024;

/** This process's record. */
export class DaemonRecord {
  readonly #file: string;
  readonly #told: RunningDaemon;
  /** What is being written: it may hang, and then nobody is to hang with it. */
  #writing: Promise<void> = Promise.resolve();

  private constructor(directory: string, told: RunningDaemon) {
    this.#file = join(directory, `daemon-${process.pid}.json`);
    this.#told = told;
  }

  /** Writes the record, and removes those of processes that are gone. Throws where the directory takes none. */
  static write(
    directory: string,
    told: Pick<RunningDaemon, 'mountpoint' | 'control' | 'version' | 'settings' | 'guard' | 'restarts'>,
  ): DaemonRecord {
    const identity = identifyProcess(process.pid);
    if (identity === undefined) throw new Error('Cannot identify this process: /proc is not mounted');
    const record = new DaemonRecord(directory, { ...identity, ...told, state: 'starting' });
    rmSync(`${record.#file}.new`, { force: true });
    writeFileSync(`${record.#file}.new`, record.#text(), { mode: 0o600, flag: 'wx' });
    renameSync(`${record.#file}.new`, record.#file);
    // Only now: whoever looks for the daemon that is started again finds one of the two.
    for (const { file, record } of readRecords(directory)) {
      if (record === undefined || !isRunning(record)) rmSync(file, { force: true });
    }
    return record;
  }

  /** Resolves when it is written. */
  serving(device: Device, how: Pick<RunningDaemon, 'driver' | 'since'> = {}): Promise<void> {
    const { major, minor } = device;
    Object.assign(this.#told, { device: { major, minor }, ...how, state: 'serving' });
    return this.#write();
  }

  /** For a daemon that takes the mount over when this one has died (`leftSettings`). */
  settings(changed: Readonly<Record<string, string>>): Promise<void> {
    this.#told.settings = { ...changed };
    return this.#write();
  }

  guardedBy(guard: ProcessIdentity | undefined): Promise<void> {
    if (guard === undefined) delete this.#told.guard;
    else this.#told.guard = guard;
    return this.#write();
  }

  shipping(left: RunningDaemon['shipping']): Promise<void> {
    this.#told.shipping = left;
    return this.#write();
  }

  ending(): Promise<void> {
    this.#told.state = 'ending';
    return this.#write();
  }

  async remove(): Promise<void> {
    await settledWithin(this.#writing, WRITE_DEADLINE_MS);
    rmSync(this.#file, { force: true });
  }

  #write(): Promise<void> {
    const text = this.#text();
    const write = async () => {
      await rm(`${this.#file}.new`, { force: true });
      await writeFile(`${this.#file}.new`, text, { mode: 0o600, flag: 'wx' });
      await rename(`${this.#file}.new`, this.#file);
    };
    this.#writing = this.#writing.then(write, write);
    return this.#writing;
  }

  #text(): string {
    return `${JSON.stringify(this.#told)}\n`;
  }
}

/** The running daemon that serves `mountpoint` from `store`, if there is one. */
export function findDaemon(store: string, mountpoint: string): RunningDaemon | undefined {
  return daemonsOf(store).find((daemon) => daemon.mountpoint === mountpoint);
}

/** Whether the daemon serves this mount, or one that the mount is a copy of. */
export function isOf({ mountpoint, device }: RunningDaemon, mount: Device & { mountpoint: string }): boolean {
  if (device === undefined) return mountpoint === mount.mountpoint;
  return device.major === mount.major && device.minor === mount.minor;
}

/** The running daemons of a store: one that writes, or any number that only read. */
export function daemonsOf(store: string): RunningDaemon[] {
  const records = daemonDirectories(store).flatMap((directory) => readRecords(directory));
  return records.flatMap(({ record }) => (record !== undefined && isRunning(record) ? [record] : []));
}

/**
 * What the last daemon of this mount that died was set to while it served, as its record in the directory tells: for
 * one that goes on with the mount. To be asked before that one writes its own record.
 */
export function leftSettings(directory: string, mountpoint: string): Readonly<Record<string, string>> {
  return leftRecord(directory, mountpoint)?.settings ?? {};
}

/** Records of daemons that died, as far as no later one has removed them. The owner of the directory has written them. */
export function readLeft(directory: string): RunningDaemon[] {
  const owner = ownerOf(directory);
  return readRecords(directory, () => owner).flatMap(({ record }) =>
    record !== undefined && !isRunning(record) ? [record] : [],
  );
}

/** Undefined: it is not there, or this user may not look at it. */
function ownerOf(directory: string): number | undefined {
  try {
    return lstatSync(directory).uid;
  } catch {
    return undefined;
  }
}

/**
 * Whether the daemon of a mount, or of any mount of the store, has died and its guard, which starts it again, lives; or whether
 * that next one has been started, and cannot be asked yet.
 */
export function isRestarting(store: string, mountpoint?: string): boolean {
  const isMeant = (record: RunningDaemon) => mountpoint === undefined || record.mountpoint === mountpoint;
  // In this order: the next daemon writes its record before it removes the one that was left.
  const isLeft = daemonDirectories(store).some((directory) =>
    readLeft(directory).some(
      (record) =>
        isMeant(record) &&
        record.state !== 'ending' &&
        record.guard !== undefined &&
        isRunning(record.guard) &&
        userOf(record.guard.pid) === ownerOf(directory),
    ),
  );
  if (isLeft) return true;
  return daemonsOf(store).some(
    (record) => isMeant(record) && record.state === 'starting' && (record.restarts ?? 0) > 0,
  );
}

/** What the last daemon of this mount, which has ended without removing it, said of itself. To be read before the next one writes. */
export function leftRecord(directory: string, mountpoint: string): RunningDaemon | undefined {
  return readLeft(directory)
    .filter((record) => record.mountpoint === mountpoint)
    .sort((a, b) => b.startTime - a.startTime)[0];
}

/** `writer`: the user who alone may have written a record. */
function readRecords(
  directory: string,
  writer = ({ pid }: RunningDaemon) => userOf(pid),
): { file: string; record: RunningDaemon | undefined }[] {
  let names: string[];
  try {
    names = readdirSync(directory).filter((name) => RECORD_NAME.test(name));
  } catch {
    return [];
  }
  return names.map((name) => {
    const file = join(directory, name);
    return { file, record: readRecord(file, writer) };
  });
}

/** Undefined for what no daemon wrote about itself. */
function readRecord(
  file: string,
  writer: (record: RunningDaemon) => number | undefined,
): RunningDaemon | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const status = fstatSync(fd);
    if (!status.isFile() || status.size > MOST_BYTES) return undefined;
    const record = JSON.parse(readFileSync(fd, 'utf8')) as RunningDaemon;
    return writer(record) === status.uid ? record : undefined;
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
