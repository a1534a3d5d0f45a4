/**
 * Which process serves which mount: `daemon-<pid>.json` in the store, for `umount` to find and await the daemon.
 * A record counts only while its very process runs, so one that a killed daemon left does no harm.
 */
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { identifyProcess, isRunning, type ProcessIdentity } from '../process/process-identity.js';

interface DaemonRecord extends ProcessIdentity {
  mountpoint: string;
}

const RECORD_NAME = /^daemon-\d+\.json$/;

/** Writes this process's record, removes those of processes that are gone, and returns what removes it again. */
export function writeRecord(store: string, mountpoint: string): () => void {
  for (const { file, record } of readRecords(store)) {
    if (record === undefined || !isRunning(record)) rmSync(file, { force: true });
  }
  const identity = identifyProcess(process.pid);
  if (identity === undefined) throw new Error('Cannot identify this process: /proc is not mounted');
  const file = join(store, `daemon-${process.pid}.json`);
  const record: DaemonRecord = { ...identity, mountpoint };
  writeFileSync(`${file}.new`, `${JSON.stringify(record)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
  return () => rmSync(file, { force: true });
}

/** The running daemon that serves `mountpoint` from `store`, if there is one. */
export function findDaemon(store: string, mountpoint: string): ProcessIdentity | undefined {
  return readRecords(store)
    .map(({ record }) => record)
    .find((record) => record !== undefined && record.mountpoint === mountpoint && isRunning(record));
}

function readRecords(store: string): { file: string; record: DaemonRecord | undefined }[] {
  let names: string[];
  try {
    names = readdirSync(store).filter((name) => RECORD_NAME.test(name));
  } catch {
    return [];
  }
  return names.map((name) => {
    const file = join(store, name);
    try {
      return { file, record: JSON.parse(readFileSync(file, 'utf8')) as DaemonRecord };
    } catch {
      return { file, record: undefined };
    }
  });
}
