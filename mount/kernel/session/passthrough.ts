/**
 * Which open files the kernel reads and writes by itself, in their backing files (passthrough).
 *
 * Invariants
 * - How an inode is accessed is fixed at its first open and holds until its last release: the kernel refuses to open one
 *   both ways, or through two registrations of a backing file. One that is opened for reading before it has any
 *   content goes through the daemon until it is released.
 * - A writing handle has been told to the filesystem layer (`pass`) before its open is answered, since no write
 *   will be seen here: from then on the backing file is the truth.
 * - The layer lets go of a backing file after its registration has ended, so its writers can be told then. In between the
 *   kernel holds the file itself: the descriptor by which it was registered may be closed.
 */
import { constants as fsConstants } from 'node:fs';
import { constants } from 'node:os';
import type { BackingFiles } from '../device/device-calls.js';
import type { ServedFileSystem } from './served-filesystem.js';

const { EINTR, EMFILE, ENFILE, ENOENT, ENOMEM } = constants.errno;

const { O_DSYNC } = fsConstants;

/** Reasons for which the kernel may refuse one file and not the next. */
const PASSING = [EINTR, EMFILE, ENFILE, ENOMEM];

/** What hands out backing files. */
type PassedFiles = Pick<ServedFileSystem, 'pass' | 'backing' | 'fsync'>;

/** How an open inode is accessed. */
interface Access {
  /** Its number with the kernel; 0: through the daemon. */
  readonly backing: number;
  opens: number;
}

/** For handles that go through the daemon. */
const THROUGH_DAEMON = 0;

export class Passthrough {
  readonly #fileSystem: PassedFiles;
  readonly #files: BackingFiles | undefined;
  readonly #inodes = new Map<number, Access>();
  readonly #refused: (errno: number) => void;
  #enabled = false;

  /** `files` is undefined where it is not to be tried. `refused` is told why the kernel does not do it after all. */
  constructor(fileSystem: PassedFiles, files: BackingFiles | undefined, refused: (errno: number) => void) {
    this.#fileSystem = fileSystem;
    this.#files = files;
    this.#refused = refused;
  }

  /** Whether the kernel is to be asked for it. */
  get isWanted(): boolean {
    return this.#files !== undefined;
  }

  get isEnabled(): boolean {
    return this.#enabled;
  }

  /** Whether the kernel can. */
  enable(enabled: boolean): void {
    this.#enabled = enabled;
  }

  /**
   * Whether a file that nobody has open is passed through where it can be. A write that is to be durable at once is not:
   * its file's name and record must be too, and only a request lets the daemon see to that.
   */
  passesNew(flags: number): boolean {
    return this.#enabled && !isDurable(flags);
  }

  /**
   * A handle of the inode has been opened with these flags of open(2). Returns the backing file's number with the kernel,
   * 0 where the handle goes through the daemon, or a negative errno, with which the open fails.
   */
  opened(ino: number, handle: number, flags: number): number {
    const access = this.#inodes.get(ino);
    if (access !== undefined) {
      if (access.backing !== THROUGH_DAEMON) {
        const unready = this.#fileSystem.pass(handle);
        if (unready < 0) return unready;
        // Its writes are the backing file's alone: name and record are made durable once, now.
        const failed = isDurable(flags) ? this.#fileSystem.fsync(handle) : 0;
        if (failed < 0) return failed;
      }
      access.opens++;
      return access.backing;
    }
    const backing = this.passesNew(flags) ? this.#register(handle) : THROUGH_DAEMON;
    if (backing >= 0) this.#inodes.set(ino, { backing, opens: 1 });
    return backing;
  }

  #register(handle: number): number {
    const fd = this.#fileSystem.backing(handle);
    if (fd === -ENOENT) return THROUGH_DAEMON;
    if (fd < 0) return fd;
    const backing = this.#files!.register(fd);
    if (backing > 0) return backing;
    if (!PASSING.includes(-backing)) {
      this.#enabled = false;
      this.#refused(-backing);
    }
    return THROUGH_DAEMON;
  }

  /** A handle of the inode is open from an earlier process, with this backing file's number or 0. */
  putBack(ino: number, backing: number): void {
    const access = this.#inodes.get(ino);
    if (access === undefined) this.#inodes.set(ino, { backing, opens: 1 });
    else access.opens++;
  }

  /** Ends a registration that nobody uses. */
  drop(backing: number): void {
    this.#files?.end(backing);
  }

  /** A handle of the inode is about to be released. */
  released(ino: number): void {
    const access = this.#inodes.get(ino);
    if (access === undefined || --access.opens > 0) return;
    this.#inodes.delete(ino);
    if (access.backing !== THROUGH_DAEMON) this.drop(access.backing);
  }
}

/** Whether writes by a handle with these flags of open(2) are durable when they return. */
function isDurable(flags: number): boolean {
  return (flags & O_DSYNC) !== 0;
}
