/** What the parts of a namespace's repair share. */
import type { RepairFinding, Tree } from '../../engine/index.js';
import type { WorkProgress } from '../../engine/progress.js';
import { SystemClock } from '../filesystem/contents/disk/system.js';
import { ROOT_INO } from '../filesystem/records/inode-numbers.js';
import type { InodeSet } from '../filesystem/records/inode-set.js';
import type { ContentsMove } from './contents-move.js';
import { LostAndFound } from './lost-and-found.js';
import { itemsBelow } from './records.js';

/** A power cut, which may have left contents otherwise than their records say. */
export interface ContentsCut {
  /** Whether the machine came to an end since the store was served: nothing has been settled yet. */
  isLast: boolean;
  /** It came between these, in seconds. */
  after: number;
  before: number;
  /** Inodes whose contents may not have been on the disk when it came, though their records were. */
  unsettled: InodeSet;
}

export interface RepairNamespaceOptions {
  /** Holds what was salvaged. */
  tree: Tree;
  contents: ContentsMove;
  /** Versions up to this are of keys that only older images have. */
  olderLsn: number;
  /** Whether records may be missing: then contents without one are kept. */
  isIncomplete: boolean;
  cut: ContentsCut;
  progress: WorkProgress;
  report: (finding: RepairFinding) => void;
}

export interface RepairedNamespace {
  entries: number;
  directories: number;
  /** Files whose content is gone, or not what their record says. */
  damagedFiles: number;
  /** What lost its place, and is under lost+found. */
  lostPlaces: number;
}

export class RepairContext {
  readonly options: RepairNamespaceOptions;
  readonly tree: Tree;
  readonly found: RepairedNamespace = { entries: 0, directories: 0, damagedFiles: 0, lostPlaces: 0 };
  readonly clock = new SystemClock();
  /** Inode numbers from here on are not given out yet. */
  nextIno = ROOT_INO + 1;
  #lost: LostAndFound | undefined;

  constructor(options: RepairNamespaceOptions) {
    this.options = options;
    this.tree = options.tree;
    this.clock.read();
  }

  /** Its name is chosen when it is first asked for: REQUIRES that all records can be read. */
  get lost(): LostAndFound {
    this.#lost ??= new LostAndFound(this.tree, () => this.takeIno(), this.clock);
    return this.#lost;
  }

  takeIno(): number {
    return this.nextIno++;
  }

  report(kind: RepairFinding['kind'], message: string): void {
    this.options.report({ kind, message });
  }

  dropBelow(prefix: Uint8Array): void {
    for (const { key } of itemsBelow(this.tree, prefix)) this.tree.delete(key);
  }
}
