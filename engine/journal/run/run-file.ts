/**
 * `journal.run`: what the last run of the store, from its opening for writing to its end, knew of itself. engine/FORMAT.md
 * tells its bytes.
 *
 * The journal's other files tell what they hold, and nothing in them tells that there was more. A process that was
 * killed has lost nothing that it wrote as long as the system runs; so what this file says it appended must be there
 * then, and what is not is damage. After a power cut less may be left, but never less than it knew to be durable.
 *
 * Invariants:
 * - The file has two slots, and a run writes to the one that the run before did not: at any moment one of them is
 *   whole. The later whole one counts.
 * - A slot is one sector, so what a power cut leaves of its numbers belongs to the run in its header.
 * - A number is stored after what it tells has come to pass: an LSN after its record is in the ring, a durable one after
 *   the sync. Each is stored twice, one store after the other, and the lesser counts: so one may be stale, after a
 *   kill, or damaged, and none claims more than there is.
 * - A run is starting until its ring has its name durably, and closed once all is durable in segments, before the ring
 *   loses its name: while it is open, the ring's file is there.
 */
import { crc32 } from 'node:zlib';
import type { PreviousEnd } from '../../api.js';
import type { Disk } from '../../disk/disk.js';
import { BOOT_ID_BYTES, type DirectoryIdentity } from '../../disk/identity.js';
import { diskError, hasErrno, readFully } from '../../disk/io.js';
import { hasUuid, isKnownVersion, JOURNAL_FORMAT_VERSION, viewOf } from '../records/format.js';
import { unknownVersion, writeFully } from '../segments/segment-file.js';

/** "SPRR" */
const RUN_MAGIC = 0x52525053;
const SLOT_BYTES = 512;
const SLOT_OFFSETS = [0, 4096] as const;
const FILE_BYTES = 8192;
const HEADER_BYTES = 128;
const OFFSET = {
  magic: 0, // u32
  version: 4, // u32
  uuid: 8,
  number: 24, // f64
  boot: 32,
  device: 48, // u64
  inode: 56, // u64
  mount: 64, // u64
  openedLsn: 72, // f64
  endBefore: 80, // u32
  crc: 124, // u32
} as const;

// What follows the header, as f64; no CRC covers it.
const STATE = 0;
const APPENDED = 2;
const DURABLE = 4;
const SEGMENT = 6;
const NUMBERS = 8;

const STARTING = 1;
const OPEN = 2;
const CLOSED = 3;

const ENDS: readonly PreviousEnd[] = ['none', 'closed', 'killed', 'power-cut'];

/** A run as the file tells of it. */
export interface RunRecord {
  path: string;
  /** File offset of its slot. */
  offset: number;
  /** Runs are numbered from 1. */
  number: number;
  identity: DirectoryIdentity;
  /** The last LSN when it began; everything up to there was durable. */
  openedLsn: number;
  /** What it found. */
  endBefore: PreviousEnd;
  state: 'starting' | 'open' | 'closed';
  /** The last LSN that it acknowledged, or may have. */
  appendedLsn: number;
  /** Everything up to this LSN was durable. */
  durableLsn: number;
  /** The first LSN of its last segment; 0 before it made one. For messages only. */
  segmentLsn: number;
}

export function runPath(directory: string): string {
  return `${directory}/journal.run`;
}

/**
 * The last run.
 * @returns undefined where there is no such file, or nothing has been written to it yet; a string that tells what is
 *   wrong where neither slot is whole
 * @throws ERR_FORMAT_VERSION, ERR_IO naming the file
 */
export function readRun(disk: Disk, directory: string, uuid: Uint8Array): RunRecord | string | undefined {
  const path = runPath(directory);
  const file = readFile(disk, path);
  if (file === undefined) return undefined;
  let last: RunRecord | undefined;
  for (const offset of SLOT_OFFSETS) {
    const run = decodeSlot(path, file, offset, uuid);
    if (run === 'foreign') return 'it belongs to another store';
    if (run !== undefined && (last === undefined || run.number > last.number)) last = run;
  }
  if (last === undefined && file.every((byte) => byte === 0)) return undefined;
  return last ?? 'neither of its two records is whole';
}

function readFile(disk: Disk, path: string): Uint8Array | undefined {
  let fd = -1;
  try {
    fd = disk.open(path, { write: false });
    const bytes = new Uint8Array(FILE_BYTES);
    return bytes.subarray(0, readFully(disk, fd, bytes, 0, FILE_BYTES, 0));
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw diskError(`read what the last run left: ${path}`, error);
  } finally {
    if (fd >= 0) disk.close(fd);
  }
}

function decodeSlot(
  path: string,
  file: Uint8Array,
  offset: number,
  uuid: Uint8Array,
): RunRecord | 'foreign' | undefined {
  if (file.length < offset + SLOT_BYTES) return undefined;
  const slot = file.subarray(offset, offset + SLOT_BYTES);
  const view = viewOf(slot);
  if (view.getUint32(OFFSET.magic, true) !== RUN_MAGIC) return undefined;
  if (view.getUint32(OFFSET.crc, true) !== crc32(slot.subarray(0, OFFSET.crc))) return undefined;
  const version = view.getUint32(OFFSET.version, true);
  if (!isKnownVersion(version)) throw unknownVersion(path, version);
  if (!hasUuid(slot, uuid)) return 'foreign';
  const openedLsn = view.getFloat64(OFFSET.openedLsn, true);
  const number = (index: number) => view.getFloat64(HEADER_BYTES + 8 * index, true);
  /** Of two copies; what is no LSN since the opening is damaged. */
  const lesser = (index: number): number => {
    const copies = [number(index), number(index + 1)];
    return Math.min(...copies.filter((lsn) => Number.isSafeInteger(lsn) && lsn >= openedLsn));
  };
  const orOpened = (lsn: number) => (Number.isFinite(lsn) ? lsn : openedLsn);
  const state = number(STATE);
  return {
    path,
    offset,
    number: view.getFloat64(OFFSET.number, true),
    identity: {
      boot: slot.slice(OFFSET.boot, OFFSET.boot + BOOT_ID_BYTES),
      device: view.getBigUint64(OFFSET.device, true),
      inode: view.getBigUint64(OFFSET.inode, true),
      mount: view.getBigUint64(OFFSET.mount, true),
    },
    openedLsn,
    endBefore: ENDS[view.getUint32(OFFSET.endBefore, true)] ?? 'power-cut',
    state: state === CLOSED ? 'closed' : state === OPEN ? 'open' : 'starting',
    appendedLsn: orOpened(lesser(APPENDED)),
    durableLsn: orOpened(lesser(DURABLE)),
    segmentLsn: number(SEGMENT) > openedLsn && Number.isSafeInteger(number(SEGMENT)) ? number(SEGMENT) : 0,
  };
}

export interface RunStart {
  directory: string;
  uuid: Uint8Array;
  /** The run before; undefined where none is known. */
  last: RunRecord | undefined;
  /** What is told of how it ended. */
  endBefore: PreviousEnd;
  /** The last LSN, up to which everything is durable in segments or covered by the checkpoint. */
  lsn: number;
}

/**
 * Begins a run: its record is durable, but for the file's name, when this returns.
 * @returns where in the file it is, for `mapRun`
 * @throws ERR_NO_SPACE, ERR_IO naming the file
 */
export function beginRun(disk: Disk, start: RunStart): number {
  const { directory, uuid, last, endBefore, lsn } = start;
  const path = runPath(directory);
  const offset = last?.offset === SLOT_OFFSETS[0] ? SLOT_OFFSETS[1] : SLOT_OFFSETS[0];
  let fd = -1;
  try {
    const identity = disk.identify(directory);
    const slot = new Uint8Array(SLOT_BYTES);
    const view = viewOf(slot);
    view.setUint32(OFFSET.magic, RUN_MAGIC, true);
    view.setUint32(OFFSET.version, JOURNAL_FORMAT_VERSION, true);
    slot.set(uuid, OFFSET.uuid);
    view.setFloat64(OFFSET.number, (last?.number ?? 0) + 1, true);
    slot.set(identity.boot, OFFSET.boot);
    view.setBigUint64(OFFSET.device, identity.device, true);
    view.setBigUint64(OFFSET.inode, identity.inode, true);
    view.setBigUint64(OFFSET.mount, identity.mount, true);
    view.setFloat64(OFFSET.openedLsn, lsn, true);
    view.setUint32(OFFSET.endBefore, ENDS.indexOf(endBefore), true);
    view.setUint32(OFFSET.crc, crc32(slot.subarray(0, OFFSET.crc)), true);
    view.setFloat64(HEADER_BYTES + 8 * STATE, STARTING, true);
    for (const index of [APPENDED, DURABLE]) {
      view.setFloat64(HEADER_BYTES + 8 * index, lsn, true);
      view.setFloat64(HEADER_BYTES + 8 * index + 8, lsn, true);
    }
    fd = disk.open(path, { write: true, create: true });
    disk.allocate(fd, 0, FILE_BYTES);
    writeFully(disk, fd, [slot], offset);
    disk.fsync(fd);
    return offset;
  } catch (error) {
    throw diskError(`note that the store is in use: ${path}`, error);
  } finally {
    if (fd >= 0) disk.close(fd);
  }
}

/** One thread's mapping of the run's record. */
export class RunMap {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #mapping: ArrayBuffer;
  #numbers: Float64Array;

  private constructor(disk: Disk, directory: string, mapping: ArrayBuffer, offset: number) {
    this.#disk = disk;
    this.#directory = directory;
    this.#mapping = mapping;
    this.#numbers = new Float64Array(mapping, offset + HEADER_BYTES, NUMBERS);
  }

  /** Maps the record that `beginRun` wrote at `offset`. Throws ERR_IO. */
  static map(disk: Disk, directory: string, offset: number): RunMap {
    const path = runPath(directory);
    let fd = -1;
    try {
      fd = disk.open(path, { write: true });
      return new RunMap(disk, directory, disk.map(fd, FILE_BYTES), offset);
    } catch (error) {
      throw diskError(`map the record of the store's use: ${path}`, error);
    } finally {
      if (fd >= 0) disk.close(fd);
    }
  }

  /** Ends the mapping. This object is of no use afterwards. */
  drop(): void {
    this.#numbers = new Float64Array(NUMBERS);
    this.#disk.unmap(this.#mapping);
  }

  /** To be called once the record with this LSN is in the ring, before it is acknowledged. */
  appended(lsn: number): void {
    const numbers = this.#numbers;
    numbers[APPENDED] = lsn;
    numbers[APPENDED + 1] = lsn;
  }

  /** To be called once everything up to `lsn` is durable. */
  durable(lsn: number): void {
    this.#numbers[DURABLE] = lsn;
    this.#numbers[DURABLE + 1] = lsn;
  }

  /** To be called once there is a segment that begins with this LSN. */
  segment(firstLsn: number): void {
    this.#numbers[SEGMENT] = firstLsn;
  }

  /** To be called once the ring has its name durably. */
  opened(): void {
    this.#numbers[STATE] = OPEN;
  }

  /**
   * To be called once everything up to `lsn`, the last record, is durable in segments. Durable when this returns. A thread
   * that died after it noted a record and before it published it leaves one more that was never appended.
   * @throws ERR_IO
   */
  closed(lsn: number): void {
    this.appended(lsn);
    this.#numbers[STATE] = CLOSED;
    const path = runPath(this.#directory);
    let fd = -1;
    try {
      fd = this.#disk.open(path, { write: true });
      this.#disk.fdatasync(fd);
    } catch (error) {
      throw diskError(`note that the store was closed: ${path}`, error);
    } finally {
      if (fd >= 0) this.#disk.close(fd);
    }
  }
}
