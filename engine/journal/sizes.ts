import {
  JOURNAL_RESERVE_BYTES,
  JOURNAL_RING_BYTES,
  JOURNAL_SEGMENT_BYTES,
  MAX_RECORD_BODY_BYTES,
} from '../limits.js';
import { GROUP_HEADER_BYTES, recordBytes } from './format.js';

/** The journal's sizes in bytes. They are limits; tests make them small to meet every edge soon. */
export interface JournalSizes {
  /** A power of two. */
  ringBytes: number;
  maxBodyBytes: number;
  segmentBytes: number;
  reserveBytes: number;
}

export const DEFAULT_SIZES: JournalSizes = {
  ringBytes: JOURNAL_RING_BYTES,
  maxBodyBytes: MAX_RECORD_BODY_BYTES,
  segmentBytes: JOURNAL_SEGMENT_BYTES,
  reserveBytes: JOURNAL_RESERVE_BYTES,
};

/** What a record takes of the ring's and the file's credit: in the worst case it has a group to itself. */
export function recordCharge(bodyBytes: number): number {
  return recordBytes(bodyBytes) + GROUP_HEADER_BYTES;
}

export function assertSizes(sizes: JournalSizes): void {
  const { ringBytes, maxBodyBytes } = sizes;
  if ((ringBytes & (ringBytes - 1)) !== 0) throw new Error('Journal ring: its size is no power of two');
  if (recordCharge(maxBodyBytes) > ringBytes)
    throw new Error('Journal ring: too small for the largest record');
}
