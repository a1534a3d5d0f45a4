import type { DirectoryIdentity } from './identity.js';

/**
 * Every system call of the file store and of the journal goes through this interface, so that tests can
 * record, fail, shorten, reorder and tear them. Calls are synchronous and throw Node's errno errors
 * (`err.code === 'ENOSPC'` and so on) unchanged; callers turn them into SpinneyErrors that name the file.
 *
 * Thread safety: a descriptor may be used by any thread of the process. It is not closed when the thread
 * that opened it ends (a number then reused would misdirect writes): only `close` closes it.
 */
export interface Disk {
  /**
   * Opens a plain file. `create` makes it (mode 0600) where it is missing; without it a missing file is ENOENT.
   * @throws ERR_UNSAFE for a link or anything else that is not a plain file; to write, also for one that is another
   *   user's or has a second name
   */
  open(path: string, options: { write: boolean; create?: boolean }): number;
  close(fd: number): void;
  /** Reads up to `length` bytes at file offset `position` into `into` at `offset`; may be short; 0 at the end. */
  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number;
  /** Writes the buffers one after another at file offset `position` with one call; returns bytes written, may be short. */
  write(fd: number, buffers: readonly Uint8Array[], position: number): number;
  /** Data, and what of the metadata is needed to read it back (its size), is durable when this returns. */
  fdatasync(fd: number): void;
  fsync(fd: number): void;
  truncate(fd: number, size: number): void;
  /** Reserves space and extends the file to at least `offset + length` with zeros; ENOSPC when there is none. */
  allocate(fd: number, offset: number, length: number): void;
  /** Gives the range's space back and leaves zeros; does nothing where the filesystem cannot. */
  punchHole(fd: number, offset: number, length: number): void;
  /**
   * Maps the file's first `length` bytes, which are allocated, into memory that all mappings, reads and writes of the
   * file share: what is stored there survives the process, and a power cut may leave any mixture of its pages' ages.
   * The mapping outlives the descriptor.
   */
  map(fd: number, length: number): ArrayBuffer;
  /** Ends a mapping of this thread's. The process dies if anything touches the buffer afterwards. */
  unmap(buffer: ArrayBuffer): void;
  /** Says that reads of the file will follow no order, so that the system reads no more than it is asked for. */
  expectRandomReads(fd: number): void;
  /** Asks the system to read the range ahead of a call that will want it; returns at once. */
  readAhead(fd: number, offset: number, length: number): void;
  size(fd: number): number;
  /** Bytes that the disk of this directory has for files of this process. */
  freeBytes(path: string): number;
  rename(from: string, to: string): void;
  /**
   * Gives the file a second name, in place of what has that name; false where the filesystem has no hard links. Only
   * `from` may be relied on after a power cut until the directory is synced.
   */
  link(from: string, to: string): boolean;
  unlink(path: string): void;
  /** Makes a directory (mode 0700); one of the caller's that exists is no error. @throws ERR_UNSAFE where it is another's */
  mkdir(path: string): void;
  /** Names in a directory, unordered. */
  list(path: string): string[];
  exists(path: string): boolean;
  /** Makes creations, renames and removals in the directory durable. */
  syncDirectory(path: string): void;
  /** Takes a flock without waiting; false when another open file description holds a conflicting one. */
  lock(fd: number, mode: 'shared' | 'exclusive'): boolean;
  /** Whether `path` still names the file that `fd` has open (same device and inode). */
  isSameFile(fd: number, path: string): boolean;
  /** What tells whether all that is written below a directory from now on was kept; see DirectoryIdentity. */
  identify(directory: string): DirectoryIdentity;
}
