/** What the journal's tests share: a small journal, operations as plain data, appending them and reading them back. */
import type { Durability, PreviousEnd } from '../../../engine/api.js';
import type { Disk } from '../../../engine/disk/disk.js';
import { Journal } from '../../../engine/journal/journal.js';
import { BatchEncoder } from '../../../engine/journal/records/batch-encoder.js';
import {
  operationBodyBytes,
  RECORD_DELETE,
  RECORD_GRAFT,
  RECORD_PUT,
  type RecordReader,
} from '../../../engine/journal/records/record.js';
import { type RecoveryResult, recoverJournal } from '../../../engine/journal/recovery.js';
import { RING_BYTES } from '../../../engine/journal/shared.js';
import type { JournalSizes } from '../../../engine/journal/sizes.js';
import { MemoryDisk } from '../../support/disk/memory-disk.js';

export const DIRECTORY = '/store';
export const UUID = Uint8Array.from({ length: 16 }, (_, index) => 0xa0 + index);
export const SMALL: JournalSizes = {
  ringBytes: 2048,
  maxBodyBytes: 1024,
  segmentBytes: 20480,
  reserveBytes: 2048,
};

/** A journal's shared words, as far as a ring of these sizes looks at them. */
export function ringWords(sizes: JournalSizes): Int32Array {
  return new Int32Array(RING_BYTES + 1).fill(sizes.ringBytes);
}

export interface Operation {
  kind: 'put' | 'delete' | 'graft' | 'deletePrefix';
  first: Uint8Array;
  second: Uint8Array;
}
/** A record: one operation, or a batch of them. */
export type Mutation = Operation | Operation[];

const EMPTY = new Uint8Array(0);

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function put(key: string, value: string): Operation {
  return { kind: 'put', first: bytes(key), second: bytes(value) };
}

/** The nth of a fixed series of different mutations. */
export function sample(lsn: number): Mutation {
  const key = bytes(`key-${lsn}`);
  if (lsn % 7 === 0) return { kind: 'graft', first: key, second: bytes(`to-${lsn}`) };
  if (lsn % 5 === 0) return { kind: 'delete', first: key, second: EMPTY };
  if (lsn % 4 === 0) return [put(`a-${lsn}`, 'x'), { kind: 'deletePrefix', first: key, second: EMPTY }];
  return { kind: 'put', first: key, second: new Uint8Array((lsn * 13) % 90).fill(lsn) };
}

export function newDisk(): MemoryDisk {
  const disk = new MemoryDisk();
  disk.mkdir(DIRECTORY);
  disk.syncDirectory('/');
  return disk;
}

export function openJournal(
  disk: Disk,
  options: {
    nextLsn?: number;
    durability?: Durability;
    sizes?: JournalSizes;
    previousEnd?: PreviousEnd;
  } = {},
): Journal {
  const { nextLsn = 1, durability = 'buffered', sizes = SMALL, previousEnd = 'none' } = options;
  return Journal.open({ disk, directory: DIRECTORY, uuid: UUID, nextLsn, durability, previousEnd, sizes });
}

/** What a writer does, less the tree. */
export function append(journal: Journal, lsn: number, mutation: Mutation): void {
  if (Array.isArray(mutation)) {
    const batch = new BatchEncoder();
    for (const { kind, first, second } of mutation) {
      if (kind === 'put') batch.put(first, second);
      else if (kind === 'delete') batch.delete(first);
      else if (kind === 'graft') batch.graft(first, second);
      else batch.deletePrefix(first);
    }
    reserve(journal, batch.length);
    journal.appendBatch(lsn, batch.body(), batch.length);
    return;
  }
  const { kind, first, second } = mutation;
  reserve(journal, operationBodyBytes(first.length, second.length));
  if (kind === 'put') journal.appendPut(lsn, first, second);
  else if (kind === 'delete') journal.appendDelete(lsn, first);
  else if (kind === 'graft') journal.appendGraft(lsn, first, second);
  else journal.appendDeletePrefix(lsn, first);
}

function reserve(journal: Journal, bodyBytes: number): void {
  while (!journal.reserve(bodyBytes)) journal.makeRoom(bodyBytes);
}

/** Appends and acknowledges the samples from `first` to `last`. */
export function appendSamples(journal: Journal, first: number, last: number): void {
  for (let lsn = first; lsn <= last; lsn++) {
    append(journal, lsn, sample(lsn));
    journal.acknowledge(lsn);
  }
}

function readMutation(record: RecordReader): Operation[] {
  const operations: Operation[] = [];
  while (record.next()) {
    const kind =
      record.kind === RECORD_PUT
        ? 'put'
        : record.kind === RECORD_DELETE
          ? 'delete'
          : record.kind === RECORD_GRAFT
            ? 'graft'
            : 'deletePrefix';
    operations.push({ kind, first: record.first.slice(), second: record.second.slice() });
  }
  return operations;
}

export interface Recovered extends RecoveryResult {
  /** By LSN; one operation is an array of one. */
  mutations: Map<number, Operation[]>;
}

export function recover(
  disk: Disk,
  options: { markLsn?: number; hasRun?: boolean; readOnly?: boolean } = {},
): Recovered {
  const mutations = new Map<number, Operation[]>();
  const { markLsn = 0, hasRun = false, readOnly = false } = options;
  let expected = markLsn + 1;
  const apply = (lsn: number, record: RecordReader): void => {
    if (lsn !== expected++) throw new Error(`LSN ${lsn} came out of order`);
    mutations.set(lsn, readMutation(record));
  };
  const store = { disk, directory: DIRECTORY, uuid: UUID };
  const result = recoverJournal({ ...store, markLsn, hasRun, readOnly, apply });
  if (result.lastLsn !== expected - 1) throw new Error(`lastLsn is ${result.lastLsn}, not ${expected - 1}`);
  return { ...result, mutations };
}

/** Throws unless what was recovered are exactly the samples after `markLsn` up to `lastLsn`. */
export function assertSamples(recovered: Recovered, markLsn = 0): void {
  for (let lsn = markLsn + 1; lsn <= recovered.lastLsn; lsn++) {
    const wanted = [sample(lsn)].flat();
    const got = recovered.mutations.get(lsn);
    if (!got || !sameOperations(got, wanted)) throw new Error(`record ${lsn} came back wrong`);
  }
  if (recovered.mutations.size !== recovered.lastLsn - markLsn) throw new Error('records too many');
}

function sameOperations(got: Operation[], wanted: Operation[]): boolean {
  return (
    got.length === wanted.length &&
    got.every((operation, index) => {
      const other = wanted[index]!;
      return (
        operation.kind === other.kind &&
        Buffer.compare(operation.first, other.first) === 0 &&
        Buffer.compare(operation.second, other.second) === 0
      );
    })
  );
}

/** Segment files of a MemoryDisk in order, as full paths. */
export function segmentPaths(disk: Disk): string[] {
  return disk
    .list(DIRECTORY)
    .filter((name) => name.startsWith('journal-'))
    .sort()
    .map((name) => `${DIRECTORY}/${name}`);
}

/** The code of the SpinneyError that `run` throws; any other error is passed on. */
export function thrownCode(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof Error && error.name === 'SpinneyError')
      return (error as Error & { code: string }).code;
    throw error;
  }
  return undefined;
}
