/** All that a session keeps in rows: in files that the next daemon finds (session-files.ts), or in this process's memory. */

import type { InodeKeepers } from '../../filesystem/types.js';
import { type GrowingMemory, HeapMemory } from './growing-memory.js';
import type { NodeMemory } from './node-memory.js';
import { InitNote } from './notes/init-note.js';
import { PastNote } from './notes/past-note.js';
import { RequestNote } from './notes/request-note.js';
import { STATE_BYTES } from './notes/state-layout.js';
import { DIRECTORY_BYTES, DirectoryRows } from './rows/directory-rows.js';
import { FILE_BYTES, FileRows } from './rows/file-rows.js';
import { LEFT_BYTES, LeftRows } from './rows/left-rows.js';
import { ORPHAN_BYTES, OrphanRows } from './rows/orphan-rows.js';

/** The tables, and how many bytes of rows each begins with. */
export const TABLES = {
  state: STATE_BYTES,
  nodes: 4096,
  aliases: 4096,
  names: 4096,
  files: 256 * FILE_BYTES,
  directories: 8 * DIRECTORY_BYTES,
  orphans: 16 * ORPHAN_BYTES,
  left: 512 * LEFT_BYTES,
} as const;

export type TableName = keyof typeof TABLES;

export class SessionTables implements InodeKeepers {
  readonly request: RequestNote;
  readonly init: InitNote;
  readonly past: PastNote;
  /** For the table of nodes. */
  readonly nodes: NodeMemory;
  readonly files: FileRows;
  readonly directories: DirectoryRows;
  readonly orphans: OrphanRows;
  readonly left: LeftRows;

  /** `memory` gives each table's. */
  constructor(memory: (table: TableName) => GrowingMemory = (table) => new HeapMemory(TABLES[table])) {
    const state = memory('state');
    this.request = new RequestNote(state);
    this.init = new InitNote(state);
    this.past = new PastNote(state);
    this.nodes = { nodes: memory('nodes'), aliases: memory('aliases'), names: memory('names') };
    this.files = new FileRows(memory('files'));
    this.directories = new DirectoryRows(memory('directories'));
    this.orphans = new OrphanRows(memory('orphans'));
    this.left = new LeftRows(memory('left'));
  }
}
