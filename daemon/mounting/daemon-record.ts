/**
 * Which process serves which mount, and where it listens: `daemon-<pid>.json` in the store (or where its files are else,
 * see run-directory.ts), for `umount` to find and await the daemon, and for those who ask it something.
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
import { join } from 'node:path';
import { identifyProcess, isRunning, type ProcessIdentity, userOf } from '../process/process-identity.js';
import { daemonDirectories } from './run-directory.js';

export interface RunningDaemon extends ProcessIdentity {
  mountpoint: string;
  /** Its control socket; absent in the records of versions that did not tell. */
  control?: string;
}

const RECORD_NAME = /^daemon-\d+\.json$/;
const MOST_BYTES = 64 * 1024;

/** Writes this process's record, removes those of processes that are gone, and returns what removes it again. */
export function writeRecord(
  directory: string,
  told: Required<Omit<RunningDaemon, keyof ProcessIdentity>>,
): () => void {
  for (const { file, record } of readRecords(directory)) {
    if (record === undefined || !isRunning(record)) rmSync(file, { force: true });
  }
  const identity = identifyProcess(process.pid);
  if (identity === undefined) throw new Error('Cannot identify this process: /proc is not mounted');
  const file = join(directory, `daemon-${process.pid}.json`);
  const record: RunningDaemon = { ...identity, ...told };
  rmSync(`${file}.new`, { force: true });
  writeFileSync(`${file}.new`, `${JSON.stringify(record)}\n`, { mode: 0o600, flag: 'wx' });
  renameSync(`${file}.new`, file);
  return () => rmSync(file, { force: true });
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
