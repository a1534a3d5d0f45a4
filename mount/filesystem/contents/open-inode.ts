/** What is known of an inode while it is open. */
import type { FileIdentity } from '../types.js';
import type { PartialContent } from './remote-content.js';
import type { Spare } from './spares/spare-files.js';

/** A backing file's mtime after it was given the record's: the same, unless its filesystem cannot hold that. */
export interface Aligned {
  alignedSeconds: number;
  alignedNanos: number;
}

/** An inode with open handles. */
export interface OpenInode extends Aligned {
  readonly ino: number;
  /** Of its content, as in its record: the newest snapshot's id when that was made. */
  born: number;
  /** Of its record. */
  key: Uint8Array;
  /** Whether there is a backing file yet. */
  hasContent: boolean;
  /** The backing file's descriptor, shared by all handles; -1: it is closed. For `Descriptors` alone: others ask that for it. */
  fd: number;
  /** Which file it is; undefined: not asked yet. */
  identity: FileIdentity | undefined;
  /** Neighbours among the inodes whose backing files are open, by last use. */
  newer: OpenInode | undefined;
  older: OpenInode | undefined;
  /** The backing file as long as it has not the inode's name; the same descriptor. */
  spare: Spare | undefined;
  /** As long as not all of the content is here: what is, and only reads of that use the file. */
  partial: PartialContent | undefined;
  handles: number;
  /** Handles that may write. */
  writers: number;
  /** Its record has LIVE, put by this run. */
  live: boolean;
  /**
   * A write came through here since the record's mtime was set, last at this time. The backing file's own clock is
   * a coarse one: with it a write just after a chmod would seem to be before it.
   */
  written: boolean;
  writtenSeconds: number;
  writtenNanos: number;
  /** The backing file's name survives a power cut. */
  nameDurable: boolean;
  /** Another thread was told to give the backing file its name, and may do so at any time. */
  isNamedElsewhere: boolean;
  /** Its backing file was passed through to a handle that writes. */
  isPassed: boolean;
  /** And to one by which it can be mapped for writing. */
  mayBeMapped: boolean;
  /** It was passed through to one that only reads, whose mappings nobody can tell of. */
  mayBeSeen: boolean;
  /**
   * The backing file's mtime when the record's ctime was set last. Another one means a write since, even where the backing
   * file's coarse clock says that it was before.
   */
  seenSeconds: number;
  seenNanos: number;
  /** The driver knows the inode no more. */
  forgotten: boolean;
}

/** One without a backing file and handles; its record is at `key`. */
export function newOpenInode(ino: number, born: number, key: Uint8Array): OpenInode {
  return {
    ino,
    born,
    key,
    hasContent: false,
    fd: -1,
    identity: undefined,
    newer: undefined,
    older: undefined,
    spare: undefined,
    partial: undefined,
    handles: 0,
    writers: 0,
    live: false,
    written: false,
    writtenSeconds: 0,
    writtenNanos: 0,
    nameDurable: false,
    isNamedElsewhere: false,
    isPassed: false,
    mayBeMapped: false,
    mayBeSeen: false,
    seenSeconds: 0,
    seenNanos: 0,
    alignedSeconds: Number.NaN,
    alignedNanos: 0,
    forgotten: false,
  };
}
