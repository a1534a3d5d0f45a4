import {
  JOURNAL_FIRST_BYTES,
  JOURNAL_RESERVE_BYTES,
  JOURNAL_RING_BYTES,
  JOURNAL_SEGMENT_BYTES,
  MAX_RECORD_BODY_BYTES,
} from '../limits.js';
import { GROUP_HEADER_BYTES, recordBytes } from './records/format.js';

const PAGE_BYTES = 4096;

/** The journal's sizes in bytes. They are limits; tests make them small to meet every edge soon. */
export interface JournalSizes {
  /** A power of two. */
  ringBytes: number;
  maxBodyBytes: number;
  segmentBytes: number;
  reserveBytes: number;
  /** With so much the ring, a power of two, and the steps of reservation begin. Default: with what they come to. */
  firstBytes?: number;
}

export const DEFAULT_SIZES: JournalSizes = {
  ringBytes: JOURNAL_RING_BYTES,
  maxBodyBytes: MAX_RECORD_BODY_BYTES,
  segmentBytes: JOURNAL_SEGMENT_BYTES,
  reserveBytes: JOURNAL_RESERVE_BYTES,
  firstBytes: JOURNAL_FIRST_BYTES,
};

/** The ring's size at first. */
export function firstRingBytes({ ringBytes, firstBytes = ringBytes }: JournalSizes): number {
  return Math.min(ringBytes, firstBytes);
}

/** What is reserved at a time once so many bytes have been written: about as much again. */
export function reserveStep(
  { reserveBytes, firstBytes = reserveBytes }: JournalSizes,
  written: number,
): number {
  return Math.min(reserveBytes, Math.max(firstBytes, Math.ceil(written / PAGE_BYTES) * PAGE_BYTES));
}

/** What a record takes of the ring's and the file's credit: in the worst case it has a group to itself. */
export function recordCharge(bodyBytes: number): number {
  return recordBytes(bodyBytes) + GROUP_HEADER_BYTES;
}

export function assertSizes(sizes: JournalSizes): void {
  const { ringBytes, maxBodyBytes } = sizes;
  for (const size of [ringBytes, firstRingBytes(sizes)]) {
    if ((size & (size - 1)) !== 0) throw new Error('Journal ring: its size is no power of two');
  }
  if (recordCharge(maxBodyBytes) > ringBytes)
    throw new Error('Journal ring: too small for the largest record');
}
