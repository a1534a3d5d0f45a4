/** Stores to be damaged and repaired: made through the filesystem, closed, and compared by what is in them. */
import fs from 'node:fs';
import { join } from 'node:path';
import { type Finding, type RepairFinding, Tree, type TreeReads, verifyTree } from '../../../engine/index.js';
import { BLOB_SIZE, MIN_CACHE_BYTES } from '../../../engine/limits.js';
import { SILENT, type WorkProgress } from '../../../engine/progress.js';
import { walkImage } from '../../../engine/repair/image-walk.js';
import { Wreck } from '../../../engine/repair/wreck.js';
import { checkNamespace } from '../../../mount/check/namespace.js';
import { contentPath } from '../../../mount/filesystem/contents/content.js';
import * as record from '../../../mount/filesystem/records/record.js';
import { type Repaired, repairStore } from '../../../mount/repair/repair-store.js';
import { FILESYSTEM_MEASURE } from '../../../mount/sums/filesystem-measure.js';
import { bytes, CALLER, Fixture } from '../../filesystem/fixture.js';

const VALUE = Buffer.alloc(300, 'v');

export class DamagedStore {
  readonly fixture: Fixture;
  readonly store: string;
  readonly target: string;
  #isOpen = true;

  constructor() {
    // The fixture's directory is the store: contents lie beside the tree.
    const holder: { tree?: Tree } = {};
    const home = fs.mkdtempSync(join(fs.realpathSync(process.env.TMPDIR ?? '/tmp'), 'spinney-repair-'));
    this.store = join(home, 'store');
    this.target = join(home, 'new');
    holder.tree = Tree.open({ dir: this.store, checkpoint: { enabled: false }, measure: FILESYSTEM_MEASURE });
    this.fixture = new Fixture(holder.tree, { contentDirectory: join(this.store, 'content') });
  }

  /** Directories with files that have contents and attributes, of several blobs; a file with two names. */
  fill(directories = 6, files = 120): void {
    const { fixture } = this;
    for (let d = 0; d < directories; d++) {
      fixture.mkdir(`/dir${d}`);
      for (let f = 0; f < files; f++) {
        const path = `/dir${d}/file${f}`;
        if (f % 10 === 0 && f < 100) fixture.write(path, `content of ${path}`);
        else fixture.create(path);
        fixture.fs.setxattr(CALLER, bytes(path), bytes('user.value'), VALUE, 0);
      }
    }
    fixture.mkdir('/dir0/sub');
    fixture.write('/dir0/sub/linked', 'of two names');
    fixture.link('/dir0/sub/linked', '/dir1/second');
    this.checkpoint();
  }

  checkpoint(): void {
    (this.fixture.tree as Tree).checkpoint();
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.fixture.fs.close();
    this.fixture.tree.close?.();
  }

  path(name: string): string {
    return join(this.store, name);
  }

  flip(name: string, offset: number): void {
    const fd = fs.openSync(this.path(name), 'r+');
    const byte = Buffer.alloc(1);
    fs.readSync(fd, byte, 0, 1, offset);
    byte[0]! ^= 0x10;
    fs.writeSync(fd, byte, 0, 1, offset);
    fs.closeSync(fd);
  }

  /** The blobs and, as text, the keys in each. */
  blobs(): Map<number, { slot: number; keys: Set<string>; crossings: number }> {
    const wreck = new Wreck(this.store, SILENT);
    try {
      const found = new Map<number, { slot: number; keys: Set<string>; crossings: number }>();
      const queue = [{ id: 1, prefix: Buffer.alloc(0) }];
      for (let place = queue.pop(); place !== undefined; place = queue.pop()) {
        const { id, prefix } = place;
        wreck.read(id);
        const blob = { slot: wreck.look(id).slot, keys: new Set<string>(), crossings: 0 };
        found.set(id, blob);
        walkImage(wreck.frame, {
          record: (rest) => blob.keys.add(Buffer.concat([prefix, rest]).toString('latin1')),
          crossing: (way, other) => {
            blob.crossings++;
            queue.push({ id: other, prefix: Buffer.concat([prefix, way]) });
          },
        });
      }
      return found;
    } finally {
      wreck.close();
    }
  }

  /** Slots that have, or had, an image of the blob. */
  slotsOf(id: number): number[] {
    const data = fs.readFileSync(this.path('blobs.dat'));
    const slots = Array.from({ length: Math.floor(data.length / BLOB_SIZE) }, (_, slot) => slot);
    return slots.filter((slot) => data.readUInt32LE(slot * BLOB_SIZE + 8) === id);
  }

  damageSlot(slot: number): void {
    this.flip('blobs.dat', slot * BLOB_SIZE + 2000);
  }

  /** Flips a bit in all images of a blob. */
  damageBlob(id: number): void {
    for (const slot of this.slotsOf(id)) this.damageSlot(slot);
  }

  repair(
    options: { isDry?: boolean; unproven?: boolean; target?: string; progress?: WorkProgress } = {},
  ): Repaired & { findings: RepairFinding[] } {
    const findings: RepairFinding[] = [];
    const repaired = repairStore({
      store: this.store,
      target: options.target ?? this.target,
      isDry: options.isDry ?? false,
      unproven: options.unproven ?? false,
      cacheBytes: MIN_CACHE_BYTES,
      progress: options.progress ?? SILENT,
      report: (finding) => findings.push(finding),
    });
    return { ...repaired, findings };
  }

  cleanUp(): void {
    this.close();
    this.fixture.cleanUp();
    fs.rmSync(join(this.store, '..'), { recursive: true, force: true });
  }
}

/** All of a store's directory, byte for byte. */
export function filesOf(directory: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const entry of fs.readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) found.set(path, fs.readFileSync(path, 'latin1'));
  }
  return found;
}

/** What a closed store holds: its records but for facts, and each content. */
export function holdings(store: string): Map<string, string> {
  const tree = Tree.open({ dir: store, readOnly: true });
  try {
    return holdingsOf(tree, store);
  } finally {
    tree.close();
  }
}

/** As `holdings`, of a store that is open. */
export function holdingsOf(tree: TreeReads, store: string): Map<string, string> {
  const held = new Map<string, string>();
  for (const item of tree.range()) {
    if (item.type !== 'key' || item.key[0] === 0x73) continue;
    held.set(Buffer.from(item.key).toString('latin1'), Buffer.from(item.value).toString('hex'));
    const isInode = item.key[0] === 0x64 || item.key[0] === 0x69;
    if (!isInode || record.isLink(item.value) || !record.hasFlag(item.value, record.CONTENT)) continue;
    const path = contentPath(join(store, 'content'), record.inoOf(item.value));
    if (fs.existsSync(path))
      held.set(`content of ${record.inoOf(item.value)}`, fs.readFileSync(path, 'latin1'));
  }
  return held;
}

/** Damage that `spinney check` finds. */
export function damageOf(store: string): string[] {
  const found: Finding[] = [];
  const report = (finding: Finding) => void found.push(finding);
  verifyTree({
    dir: store,
    report,
    inspect: (tree) => void checkNamespace(tree, join(store, 'content'), report),
  });
  return found.map(({ kind, message }) => `${kind}: ${message}`);
}
