/**
 * A session's tables as files `session.<table>` of one directory, so that another daemon can go on with the mount.
 *
 * Invariants
 * - `session.state` is made last, and removed first: where it is, all are there.
 * - They count as long as the state says OPEN, in the boot and on the filesystem as mounted that they were made in: what a killed
 *   process had stored is in the page cache, and nowhere else. They are never synced.
 * - What ends a mount says VOID before anything else; so does what makes the tables untrue or incomplete, and tells why.
 */
import { randomBytes } from 'node:crypto';
import { type Disk, isSameMount } from '../../../engine/before-open.js';
import { reasonOf, SpinneyError } from '../../../engine/errors.js';
import type { GrowingMemory } from './growing-memory.js';
import { HEADER_BYTES, headerProblem, sessionNumberIn } from './header.js';
import { KeptFile } from './kept-file.js';
import { type SessionFacts, StateNote } from './notes/state-note.js';
import { SessionTables, TABLES, type TableName } from './session-tables.js';

const NAMES = Object.keys(TABLES) as TableName[];
const STATE = 'state';

/** Which mount it is. */
export type MountFacts = Pick<SessionFacts, 'connection' | 'mountpoint'>;

export class SessionFiles {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #files = new Map<TableName, KeptFile>();
  readonly #state: StateNote;
  readonly tables: SessionTables;
  /** Told once why nobody can go on with the session any more. */
  onVoid: (reason: string) => void = () => {};

  private constructor(
    disk: Disk,
    directory: string,
    open: (table: TableName, lost: (reason: string) => void) => KeptFile,
  ) {
    this.#disk = disk;
    this.#directory = directory;
    try {
      for (const table of NAMES.filter((name) => name !== STATE)) {
        this.#files.set(
          table,
          open(table, (reason) => this.void(reason)),
        );
      }
      this.#files.set(
        STATE,
        open(STATE, () => {}),
      );
    } catch (error) {
      this.#drop();
      throw error;
    }
    this.#state = new StateNote(this.#memory(STATE));
    this.tables = new SessionTables((table) => this.#memory(table));
  }

  /**
   * Makes the files of a new session, in place of what an earlier one left. It can be gone on with from `open` on.
   * Throws what the disk says, and leaves none behind then.
   */
  static make(disk: Disk, directory: string, mount: MountFacts): SessionFiles {
    removeSession(disk, directory);
    const number = randomBytes(6).readUIntLE(0, 6);
    try {
      const files = new SessionFiles(disk, directory, (table, lost) =>
        KeptFile.make(optionsOf(disk, directory, table, number, lost), TABLES[table]),
      );
      files.#state.begin(mount, disk.identify(directory));
      return files;
    } catch (error) {
      removeSession(disk, directory);
      throw error;
    }
  }

  /**
   * Takes up the session that another process left.
   * @throws ERR_MOUNT with the reason where nobody can go on with it; the files are left as they are
   */
  static takeUp(disk: Disk, directory: string): SessionFiles {
    examineSession(disk, directory);
    const number = sessionNumberIn(readState(disk, directory));
    return refusing(
      () =>
        new SessionFiles(disk, directory, (table, lost) =>
          KeptFile.takeUp(optionsOf(disk, directory, table, number, lost)),
        ),
    );
  }

  get facts(): SessionFacts {
    return this.#state.facts;
  }

  /** Whether another daemon may go on with it. */
  get isOpen(): boolean {
    return this.#state.problem === undefined;
  }

  /** From here on another daemon may go on with it. */
  open(): void {
    this.#state.open();
  }

  /** Nobody is to go on with it. */
  void(reason: string): void {
    if (!this.#state.void(reason)) return;
    this.onVoid(reason);
  }

  /** Nobody goes on with it from here on, and nobody is told. */
  ending(reason = 'the mount has come to its end'): void {
    this.#state.void(reason);
  }

  /** Removes the files. Nothing may use the tables afterwards. */
  end(): void {
    this.ending();
    this.#drop();
    removeSession(this.#disk, this.#directory);
  }

  /** Leaves all to another daemon. Nothing may use the tables afterwards. */
  leave(): void {
    this.#drop();
  }

  #memory(table: TableName): GrowingMemory {
    return this.#files.get(table)!;
  }

  #drop(): void {
    for (const file of this.#files.values()) file.drop();
    this.#files.clear();
  }
}

/**
 * What is known of the session in a directory, whose tables are not looked at.
 * @throws ERR_MOUNT with the reason where this version cannot go on with it
 */
export function examineSession(disk: Disk, directory: string): SessionFacts {
  return refusing(() => {
    const bytes = readState(disk, directory);
    const problem = headerProblem(bytes.subarray(0, HEADER_BYTES), NAMES.indexOf(STATE), undefined);
    if (problem !== undefined) throw refusal(`${pathOf(directory, STATE)}: ${problem}`);
    const state = new StateNote({ buffer: bytes.buffer, start: HEADER_BYTES });
    if (state.problem !== undefined) throw refusal(state.problem);
    if (!isSameMount(disk.identify(directory), state.identity)) {
      throw refusal('the system was started, or the filesystem of the store mounted, since');
    }
    return state.facts;
  });
}

/** Removes what sessions have left in a directory. */
export function removeSession(disk: Disk, directory: string): void {
  const there = new Set(disk.list(directory));
  for (const table of [STATE, ...NAMES] as const) {
    const name = nameOf(table);
    if (there.delete(name)) disk.unlink(`${directory}/${name}`);
  }
}

function readState(disk: Disk, directory: string): Uint8Array<ArrayBuffer> {
  const path = pathOf(directory, STATE);
  if (!disk.exists(path)) throw refusal(`there is no ${path}`);
  const bytes = new Uint8Array(HEADER_BYTES + TABLES[STATE]);
  const fd = disk.open(path, { write: false });
  try {
    if (disk.size(fd) !== bytes.length) throw refusal(`${path} is cut short`);
    disk.read(fd, bytes, 0, bytes.length, 0);
  } finally {
    disk.close(fd);
  }
  return bytes;
}

function optionsOf(
  disk: Disk,
  directory: string,
  table: TableName,
  number: number,
  lost: (reason: string) => void,
) {
  return { disk, path: pathOf(directory, table), kind: NAMES.indexOf(table), number, lost };
}

function nameOf(table: TableName): string {
  return `session.${table}`;
}

function pathOf(directory: string, table: TableName): string {
  return `${directory}/${nameOf(table)}`;
}

function refusing<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof SpinneyError && error.code === 'ERR_MOUNT') throw error;
    throw refusal(reasonOf(error), error);
  }
}

function refusal(reason: string, cause?: unknown): SpinneyError {
  return new SpinneyError('ERR_MOUNT', `Cannot go on with the mount: ${reason}`, { cause });
}
