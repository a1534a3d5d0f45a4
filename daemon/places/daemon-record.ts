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
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Device } from '../../mount/mount-users.js';
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
  static write(directory: string, told: { mountpoint: string; control?: string }): DaemonRecord {
    for (const { file, record } of readRecords(directory)) {
      if (record === undefined || !isRunning(record)) rmSync(file, { force: true });
    }
    const identity = identifyProcess(process.pid);
    if (identity === undefined) throw new Error('Cannot identify this process: /proc is not mounted');
    const record = new DaemonRecord(directory, { ...identity, ...told, state: 'starting' });
    rmSync(`${record.#file}.new`, { force: true });
    writeFileSync(`${record.#file}.new`, record.#text(), { mode: 0o600, flag: 'wx' });
    renameSync(`${record.#file}.new`, record.#file);
    return record;
  }

  /** Resolves when it is written. */
  serving(device: Device): Promise<void> {
    Object.assign(this.#told, { device: { major: device.major, minor: device.minor }, state: 'serving' });
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

/** The running daemons of a store: one that writes, or any number that only read. */
export function daemonsOf(store: string): RunningDaemon[] {
  const records = daemonDirectories(store).flatMap(readRecords);
  return records.flatMap(({ record }) => (record !== undefined && isRunning(record) ? [record] : []));
}

function readRecords(directory: string): { file: string; record: RunningDaemon | undefined }[] {
  let names: string[];
  try {
    names = readdirSync(directory).filter((name) => RECORD_NAME.test(name));
  } catch {
    return [];
  }
  return names.map((name) => {
    const file = join(directory, name);
    return { file, record: readRecord(file) };
  });
}

/** Undefined for what no daemon wrote about itself. */
function readRecord(file: string): RunningDaemon | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const status = fstatSync(fd);
    if (!status.isFile() || status.size > MOST_BYTES) return undefined;
    const record = JSON.parse(readFileSync(fd, 'utf8')) as RunningDaemon;
    return userOf(record.pid) === status.uid ? record : undefined;
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
