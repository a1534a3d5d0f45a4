/**
 * Random changes of names and contents, snapshots, deletions of snapshots, kills and power cuts: each snapshot shows what was
 * there at its moment until it is deleted, and when all are deleted nothing is left but what the files need.
 */
import { expect } from 'vitest';
import { newAttributes } from '../../../mount/filesystem/arguments.js';
import { inodeKey } from '../../../mount/filesystem/records/keys.js';
import * as record from '../../../mount/filesystem/records/record.js';
import type { Attributes } from '../../../mount/filesystem/types.js';
import { seededRandom } from '../../support/disk/random.js';
import { bytes, CALLER } from '../fixture.js';
import { SnapshotStore, type StoreOptions } from './snapshot-store.js';

const DIRECTORIES = ['', '/d', '/e', '/d/d'];
const NAMES = ['a', 'b', 'c', 'd'];
const MODE = 1;
const STEPS = 120;

/** All that a snapshot has to show. */
interface State {
  /** By path: text of files, undefined of directories. */
  texts: Map<string, string | undefined>;
  attributes: Map<string, Attributes>;
  /** Extended attributes, as the tree has them. */
  xattrs: string[];
}

function xattrsOf(tree: Pick<SnapshotStore['tree'], 'range'>): string[] {
  const found: string[] = [];
  for (const prefix of ['x', 'y']) {
    for (const item of tree.range({ prefix })) {
      if (item.type !== 'key') continue;
      found.push(`${Buffer.from(item.key).toString('latin1')}=${Buffer.from(item.value).toString('latin1')}`);
    }
  }
  return found;
}

export class Walk {
  readonly #s: SnapshotStore;
  readonly #random: () => number;
  readonly #taken = new Map<string, State>();
  /** Handles that are open for writing, and by their files' paths then. */
  #handles: number[] = [];
  #next = 0;
  readonly done: Record<string, number> = {};

  constructor(options: StoreOptions, seed: number) {
    this.#random = seededRandom(seed);
    this.#s = new SnapshotStore(options);
  }

  run(): void {
    try {
      for (let step = 0; step < STEPS; step++) this.#step();
      this.#verify('at the end');
      this.#releaseAll();
      for (const name of [...this.#taken.keys()]) this.#delete(name);
      this.#s.reclaim();
      // After a power cut contents may be left of files whose records, or whose removal from the directory, are lost.
      const wasCut = (this.done.cut ?? 0) > 0;
      const findings = this.#s.findings();
      // A kill makes an empty file of what was borrowed and given back unwritten a moment before.
      const ofSpares = findings.filter((finding) => finding.endsWith('no file has this content (0 bytes)'));
      const left = findings.filter(
        (finding) => !ofSpares.includes(finding) && !(wasCut && finding.endsWith('bytes)')),
      );
      expect([this.#s.keptRecords(), left]).toEqual([0, []]);
      if (!wasCut) expect(this.#s.files().length - ofSpares.length).toBeLessThanOrEqual(this.#inodes());
    } finally {
      this.#s.end();
    }
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)]!;
  }

  #path(): string {
    return `${this.#pick(DIRECTORIES)}/${this.#pick(NAMES)}`;
  }

  #text(): string {
    return this.#pick(['x', 'hello', 'other text', 'y'.repeat(5000), '']);
  }

  #step(): void {
    const kinds = [
      ...[
        'write',
        'write',
        'write',
        'replace',
        'truncate',
        'unlink',
        'rename',
        'rename',
        'link',
        'mkdir',
        'rmdir',
      ],
      ...[
        'chmod',
        'xattr',
        'open',
        'open',
        'put',
        'put',
        'release',
        'pass',
        'take',
        'take',
        'delete',
        'reclaim',
        'go on',
      ],
      ...['kill', 'cut'],
    ] as const;
    const kind = this.#pick(kinds);
    this.done[kind] = (this.done[kind] ?? 0) + 1;
    const s = this.#s;
    const path = this.#path();
    const text = this.#text();
    const at = Math.floor(this.#random() * 8);
    switch (kind) {
      case 'write':
        s.patiently(() => s.write(path, text, at));
        break;
      case 'replace':
        s.patiently(() => s.replace(path, text));
        break;
      case 'truncate':
        s.patiently(() => s.truncate(path, at * 1000));
        break;
      case 'unlink':
        s.unlink(path);
        break;
      case 'rename':
        s.rename(path, this.#path());
        break;
      case 'link':
        s.link(path, this.#path());
        break;
      case 'mkdir':
        s.mkdir(path);
        break;
      case 'rmdir':
        s.rmdir(path);
        break;
      case 'chmod':
        s.setattr(path, { valid: MODE, mode: this.#pick([0o600, 0o644, 0o755]) });
        break;
      case 'xattr':
        s.fs.setxattr(CALLER, bytes(path), bytes('user.x'), bytes(text), 0);
        break;
      case 'open': {
        const flags = this.#pick([0, 1, 2]);
        const handle = s.patiently(() => s.open(path, flags));
        if (handle > 0) this.#handles.push(handle);
        break;
      }
      case 'put':
        if (this.#handles.length > 0) s.put(this.#pick(this.#handles), text);
        break;
      case 'release':
        if (this.#handles.length > 0) s.fs.release(this.#handles.pop()!);
        break;
      case 'pass': {
        const { handle, fd } = s.createPassed(path);
        if (handle < 0) break;
        if (at < 5) s.poke(fd, text);
        s.contents.inner.close(fd);
        if (this.#random() < 0.5) s.fs.release(handle);
        else this.#handles.push(handle);
        break;
      }
      case 'take':
        this.#take();
        break;
      case 'delete':
        if (this.#taken.size > 0) this.#delete(this.#pick([...this.#taken.keys()]));
        break;
      case 'reclaim':
        s.reclaim();
        break;
      case 'go on':
        s.goOn(Math.ceil(this.#random() * 2));
        break;
      case 'kill':
        this.#handles = [];
        s.restart();
        this.#verify('after a kill');
        break;
      case 'cut':
        this.#cut();
        break;
    }
  }

  #take(): void {
    const name = `s${this.#next++}`;
    const state = this.#state();
    this.#s.fs.snapshots.take(name);
    // What is open for writing is copied now: nothing is written in between.
    this.#s.goOn();
    this.#taken.set(name, state);
    this.#verifyOne(name, 'when it was taken');
  }

  #delete(name: string): void {
    this.#s.fs.snapshots.delete(name);
    this.#taken.delete(name);
  }

  #releaseAll(): void {
    for (const handle of this.#handles) this.#s.fs.release(handle);
    this.#handles = [];
  }

  /** What was durable when it was taken is shown after any cut; what came since may be lost. */
  #cut(): void {
    const s = this.#s;
    s.goOn();
    s.tree.sync();
    const fd = s.contents.openDirectory('/store/content');
    s.contents.syncFilesystem(fd);
    s.contents.close(fd);
    const durable = new Set(this.#taken.keys());
    const left = 1 + Math.floor(this.#random() * 6);
    for (let i = 0; i < left; i++) {
      const before = this.#next;
      this.#between();
      if (this.#next !== before) s.goOn();
    }
    this.#handles = [];
    s.restart(this.#pick(['drop', 'keep', this.#random] as const));
    for (const name of [...this.#taken.keys()]) {
      if (!durable.has(name)) this.#delete(name);
    }
    this.#verify('after a power cut');
  }

  #between(): void {
    const s = this.#s;
    const kind = this.#pick([
      'write',
      'replace',
      'unlink',
      'take',
      'delete',
      'reclaim',
      'put',
      'rename',
    ] as const);
    const path = this.#path();
    const text = this.#text();
    if (kind === 'write') s.patiently(() => s.write(path, text));
    else if (kind === 'replace') s.patiently(() => s.replace(path, text));
    else if (kind === 'unlink') s.unlink(path);
    else if (kind === 'rename') s.rename(path, this.#path());
    else if (kind === 'take') this.#take();
    else if (kind === 'reclaim') s.reclaim();
    else if (kind === 'put' && this.#handles.length > 0) s.put(this.#pick(this.#handles), text);
    else if (kind === 'delete' && this.#taken.size > 0) this.#delete(this.#pick([...this.#taken.keys()]));
  }

  #state(): State {
    const s = this.#s;
    const state: State = { texts: new Map(), attributes: new Map(), xattrs: xattrsOf(s.tree) };
    for (const item of s.tree.range({ prefix: 'd', keysOnly: true })) {
      if (item.type !== 'key') continue;
      const path = Buffer.from(item.key.subarray(1)).toString('latin1');
      const attributes = s.stat(path);
      state.attributes.set(path, { ...attributes });
      state.texts.set(
        path,
        (attributes.mode & record.TYPE_MASK) === record.REGULAR ? s.read(path) : undefined,
      );
    }
    return state;
  }

  #inodes(): number {
    const inos = new Set<number>();
    const { attributes, texts } = this.#state();
    for (const [path, { ino }] of attributes) if (texts.get(path) !== undefined) inos.add(ino);
    return inos.size;
  }

  #verify(when: string): void {
    expect([when, this.#s.damage()]).toEqual([when, []]);
    for (const name of this.#taken.keys()) this.#verifyOne(name, when);
  }

  #verifyOne(name: string, when: string): void {
    const s = this.#s;
    const state = this.#taken.get(name)!;
    const reads = s.tree.at(name);
    try {
      expect([name, when, xattrsOf(reads)]).toEqual([name, when, state.xattrs]);
      for (const [path, before] of state.attributes) {
        const found = reads.get(`d${path}`);
        if (found === undefined) throw new Error(`${when}: ${path} is missing in snapshot ${name}`);
        const inode = record.isLink(found) ? reads.get(inodeKey(record.inoOf(found)))! : found;
        const out = newAttributes();
        s.fs.snapshots.attributesOf(inode, out);
        const { ino, mode, nlink, size, mtimeSeconds, mtimeNanos } = before;
        expect([name, when, path, out]).toMatchObject([
          name,
          when,
          path,
          { ino, mode, nlink, size, mtimeSeconds, mtimeNanos },
        ]);
      }
    } finally {
      reads.close();
    }
    const shown = s.shown(name);
    const expected = [...state.texts].map(([path, text]) => [path, text ?? 'directory']);
    expect([name, when, shown]).toEqual([name, when, Object.fromEntries(expected)]);
  }
}
