/**
 * A filesystem (tree and contents) on a seeded disk under a seeded load, with its history: the names at each LSN, and how much
 * of them and of each content must survive. Whatever is done to the disk, a filesystem that starts on what is left must be one
 * of those states, and no file of it be damaged.
 */
import type { Durability } from '../../../engine/api.js';
import type { Tree } from '../../../engine/index.js';
import { SILENT } from '../../../engine/progress.js';
import { checkNamespace } from '../../../mount/check/namespace.js';
import type { Clock } from '../../../mount/filesystem/contents/disk/system.js';
import { FileSystem } from '../../../mount/filesystem/file-system.js';
import { contentAccess } from '../../../mount/kernel/workers/content-access.js';
import type { ContentAccess } from '../../../mount/kernel/workers/io-service.js';
import { pick, type Random } from '../../engine/tree/keys.js';
import { FaultContents } from '../disk/fault-contents.js';
import { FaultDisk } from '../disk/fault-disk.js';
import { MemoryDisk } from '../disk/memory-disk.js';
import { seededRandom } from '../disk/random.js';
import { abandon, openOn, STORE } from '../seeded-tree.js';
import { type ContentModel, faultOf, NamesModel } from './files-model.js';
import { readContent, shownBy } from './files-shown.js';

export const CONTENT = `${STORE}/content`;

/** Goes on by less than a second with each reading; the disk's own stands still meanwhile, as a coarse clock does. */
class SeededClock implements Clock {
  seconds = 1_700_000_000;
  nanos = 0;

  read(): void {
    this.nanos += 350_000_000;
    if (this.nanos < 1_000_000_000) return;
    this.nanos -= 1_000_000_000;
    this.seconds++;
  }
}

/** What a process does with the disk. */
export class Service {
  readonly tree: Tree;
  readonly fs: FileSystem;
  readonly access: ContentAccess;
  readonly contents: FaultContents;
  /** Inodes whose contents are to be removed once what came up to the LSN is durable. */
  readonly scheduled: { ino: number; born: number; lsn: number }[] = [];
  readonly logged: string[] = [];

  constructor(
    readonly disk: FaultDisk,
    readonly options: { durability: Durability; isKernel: boolean; clock: Clock },
  ) {
    const { isKernel, clock, durability } = options;
    this.contents = new FaultContents(disk);
    this.tree = openOn(disk, { durability, scale: 'small' });
    this.access = contentAccess(this.contents, CONTENT);
    this.fs = new FileSystem(this.tree, {
      contentDirectory: CONTENT,
      readOnly: false,
      keepsNodes: isKernel,
      rests: isKernel,
      reclaimer: { schedule: (ino, born, lsn) => this.scheduled.push({ ino, born, lsn }) },
      log: (level, message) => this.logged.push(`${level}: ${message}`),
      clock,
      disk: this.contents,
      mostContents: () => 3,
    });
  }

  start(): this {
    this.fs.start();
    return this;
  }

  /** Throws where a check finds damage. */
  check(when: string): void {
    checkNamespace(
      this.tree,
      CONTENT,
      ({ kind, message }) => {
        if (kind === 'damage') throw new Error(`${when}: check tells of damage: ${message}`);
      },
      SILENT,
      this.contents,
    );
  }

  end(): void {
    abandon(this.tree);
  }
}

/** An open file. */
export interface OpenHandle {
  handle: number;
  id: number;
  ino: number;
  writes: boolean;
  /** The kernel's own descriptor of the backing file, where it was passed. */
  kernel: number;
}

export class SeededFiles {
  readonly random: Random;
  readonly durability: Durability;
  /** As the kernel's driver uses it, or as fuse-native. */
  readonly isKernel: boolean;
  readonly clock = new SeededClock();
  service: Service;
  names = new NamesModel();
  readonly contents = new Map<number, ContentModel>();
  /** Those that the operation under way changes, or that the last one did. */
  readonly changing = new Set<ContentModel>();
  handles: OpenHandle[] = [];
  nextId = 1;
  /** Changes of names up to this one were acknowledged. */
  acknowledged = 0;
  /** The last one that a call returned from. */
  returned = 0;
  /** What the names may be at each LSN. */
  readonly #moments = new Map<number, NamesModel[]>();

  constructor(
    seed: number,
    options: { isKernel?: boolean; durability?: Durability; capacityBytes?: number } = {},
  ) {
    this.random = seededRandom(seed);
    this.durability = options.durability ?? pick(this.random, ['buffered', 'written', 'synced'] as const);
    this.isKernel = options.isKernel ?? this.random() < 0.75;
    const disk = new MemoryDisk({ clock: this.clock });
    this.service = new Service(new FaultDisk(disk), this).start();
    this.note(this.names, this.names);
    this.returned = this.tree.lastLsn();
    this.service.tree.sync();
    this.acknowledged = this.returned;
  }

  get disk(): FaultDisk {
    return this.service.disk;
  }

  get tree(): Tree {
    return this.service.tree;
  }

  get fs(): FileSystem {
    return this.service.fs;
  }

  /** What of the names must survive a power cut now. */
  get durable(): number {
    return Math.max(this.acknowledged, this.tree.durableLsn());
  }

  /** Notes that the names changed, from the last LSN to the present one. `hasFailed`: so nothing was acknowledged. */
  note(before: NamesModel, after: NamesModel, hasFailed = false): void {
    const lsn = this.tree.lastLsn();
    const isNew = lsn > this.returned;
    for (let at = this.returned + 1; at < lsn; at++) this.#moments.set(at, [before, after]);
    if (isNew) this.#moments.set(lsn, [after]);
    else this.#moments.set(lsn, [...(this.#moments.get(lsn) ?? []), after]);
    this.names = after;
    this.returned = lsn;
    // Who only looks acknowledges nothing, though it may settle what is left over.
    const isChange = isNew && before.shown() !== after.shown();
    if (this.durability === 'synced' && isChange && !hasFailed) this.acknowledged = lsn;
  }

  /** All changes of names so far are acknowledged. */
  acknowledge(): void {
    this.acknowledged = this.returned;
  }

  /**
   * Starts on what is left of the disk and compares. `least`: the LSN that must be there. `mayBeLost`: what was not synced of
   * contents, after a power cut.
   */
  checkLeft(left: MemoryDisk, least: number, mayBeLost: boolean): void {
    const service = new Service(new FaultDisk(left), this);
    try {
      this.#checkService(service, least, mayBeLost);
      service.fs.close();
      const open = left.openPaths().filter((path) => path.startsWith(CONTENT) && path !== CONTENT);
      if (open.length > 0) throw new Error(`left open: ${open}`);
    } finally {
      service.end();
    }
  }

  /** Returns the names that it has. */
  #checkService(service: Service, least: number, mayBeLost: boolean): NamesModel {
    const lsn = service.tree.lastLsn();
    const most = this.tree.lastLsn();
    if (lsn < least || lsn > most) throw new Error(`found LSN ${lsn}, must be ${least} to ${most}`);
    service.check('before the start');
    service.start();
    const names = this.#compareNames(service.fs, lsn);
    for (const path of names.files()) {
      const content = this.contents.get(names.paths.get(path)!)!;
      const found = readContent(service.fs, path);
      const fault = faultOf(found, this.#versionsOf(content, mayBeLost), mayBeLost);
      if (fault !== undefined) throw new Error(`${path} at LSN ${lsn}: ${fault}\n${service.logged}`);
    }
    service.check('when all is read');
    return names;
  }

  #versionsOf(content: ContentModel, mayBeLost: boolean): Uint8Array[] {
    if (mayBeLost) return content.versions;
    return this.changing.has(content) ? content.versions.slice(-2) : [content.now];
  }

  #compareNames(fs: FileSystem, lsn: number): NamesModel {
    const shown = shownBy(fs);
    const known = this.#moments.get(lsn) ?? [];
    const found = known.find((names) => names.shown() === shown);
    if (found !== undefined) return found;
    throw new Error(`names at LSN ${lsn} are\n${shown}\nand should be\n${known.at(-1)?.shown()}`);
  }

  /** Throws unless the filesystem shows what it should now. */
  checkNow(): void {
    const shown = shownBy(this.fs);
    if (shown !== this.names.shown())
      throw new Error(`names are\n${shown}\nand should be\n${this.names.shown()}`);
    for (const path of this.names.files()) {
      const content = this.contents.get(this.names.paths.get(path)!)!;
      const fault = faultOf(readContent(this.fs, path), [content.now], false);
      if (fault !== undefined) throw new Error(`${path}: ${fault}\n${this.service.logged}`);
    }
    // Looking settles what is left over.
    this.note(this.names, this.names, true);
  }

  /** Goes on with what a kill, a power cut or a clean end left. */
  restart(left: MemoryDisk, least: number, mayBeLost: boolean): void {
    this.changing.clear();
    const service = new Service(new FaultDisk(left), this);
    const names = this.#checkService(service, least, mayBeLost);
    this.disk.heal();
    this.service.end();
    this.service = service;
    this.handles = [];
    this.#moments.clear();
    this.names = names;
    this.returned = service.tree.lastLsn();
    this.#moments.set(this.returned, [names]);
    service.tree.sync();
    this.acknowledged = this.returned;
    for (const path of names.files()) {
      const content = this.contents.get(names.paths.get(path)!)!;
      const found = readContent(service.fs, path);
      // What a power cut left is on the disk; what a kill left is as durable as it was.
      if (!mayBeLost) continue;
      content.now = found;
      content.versions = [found];
    }
  }

  end(): void {
    this.service.end();
  }
}
