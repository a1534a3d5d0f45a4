/** A seeded load on a filesystem: operations as its clients and its driver do them, each of which should work. */
import { newAttributes, newChange } from '../../../mount/filesystem/arguments.js';
import { readMark, writeMark } from '../../../mount/filesystem/contents/content-mark.js';
import { errnoOf } from '../../../mount/filesystem/errno.js';
import { CHANGE_MTIME, CHANGE_SIZE, type RemovalResult } from '../../../mount/filesystem/types.js';
import { below, pick } from '../../engine/tree/keys.js';
import { ContentModel as Content, type ContentModel, NamesModel, resized, written } from './files-model.js';
import { bytesOf, CALLER, readContent, readHandle, shownBy } from './files-shown.js';
import { CONTENT, type OpenHandle, type SeededFiles } from './seeded-files.js';

const REGULAR = 0o100644;
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const KEEP_SIZE = 1;
const PUNCH_HOLE = 2;
const MOST_HANDLES = 5;
const NAMES = ['a', 'b', 'c', 'd', 'e'];
const LENGTHS = [1, 40, 500, 4096, 5000, 9000];

/** What failed, and how. */
export interface Failure {
  what: string;
  /** Positive. */
  errno: number;
}

/** An operation under way: what names and contents are when it is done. */
interface Effect {
  names: NamesModel;
  /** Contents that it changes, each once. */
  contents: Map<ContentModel, Uint8Array>;
  /** What it makes durable: a content, and the names. */
  syncs?: ContentModel | 'names';
}

export class FilesLoad {
  readonly #site: SeededFiles;
  /** What the last operation was, for messages. */
  what = '';

  constructor(site: SeededFiles) {
    this.#site = site;
  }

  /**
   * Does one operation. Returns what it failed by, if it did: then names and contents are as before, or as if it had been
   * done, or partly so. `checked` is called when it is known what it did, and before what it acknowledges counts.
   */
  step(checked: () => void = () => {}): Failure | undefined {
    const site = this.#site;
    const effect: Effect = { names: new NamesModel(site.names), contents: new Map() };
    const before = site.names;
    site.changing.clear();
    const run = this.#choose(effect);
    let errno = 0;
    try {
      const result = run();
      if (result < 0) errno = -result;
    } catch (error) {
      errno = -errnoOf(error);
    }
    if (errno === 0) {
      for (const [content, now] of effect.contents) this.#change(content, now);
      site.note(before, effect.names);
      checked();
      this.#acknowledge(effect.syncs);
      return undefined;
    }
    this.#findOut(before, effect);
    checked();
    return { what: this.what, errno };
  }

  #change(content: ContentModel, now: Uint8Array): void {
    content.become(now);
    this.#site.changing.add(content);
  }

  #acknowledge(syncs: ContentModel | 'names' | undefined): void {
    if (syncs === undefined) return;
    this.#site.acknowledge();
    if (syncs !== 'names') syncs.synced();
  }

  /** An operation failed: looks how much of it was done. */
  #findOut(before: NamesModel, effect: Effect): void {
    const site = this.#site;
    const strike = site.disk.onCall;
    site.disk.onCall = undefined;
    const shown = shownBy(site.fs);
    const after = [before, effect.names].find((names) => names.shown() === shown);
    if (after === undefined)
      throw new Error(`${this.what} failed, and names are\n${shown}\nwhich were\n${before.shown()}`);
    site.note(before, after, true);
    for (const [content, now] of effect.contents) {
      this.#change(content, now);
      const found = this.#look(content, after);
      if (found !== undefined) this.#change(content, found);
    }
    // Looking settles what is left over.
    site.note(after, after, true);
    site.disk.onCall = strike;
  }

  /** The content as it is seen by a name, or by a handle of what has none any more. */
  #look(content: ContentModel, names: NamesModel): Uint8Array | undefined {
    const { fs, handles, contents } = this.#site;
    const path = names.files().find((name) => this.#contentOf(names.paths.get(name)!) === content);
    if (path !== undefined) return readContent(fs, path);
    const open = handles.find(({ id }) => contents.get(id) === content);
    return open === undefined ? undefined : readHandle(fs, open.handle);
  }

  #choose(effect: Effect): () => number {
    const { random, handles } = this.#site;
    const roll = random();
    if (roll < 0.16) return this.#create(effect) ?? this.#rest();
    if (roll < 0.22 && handles.length < MOST_HANDLES) return this.#open() ?? this.#rest();
    if (handles.length > 0) {
      const handle = pick(random, handles);
      if (roll < 0.42) return this.#write(effect, handle);
      if (roll < 0.53) return this.#sync(effect, handle);
      if (roll < 0.63) return this.#close(handle);
    }
    if (roll < 0.68) return this.#resize(effect) ?? this.#rest();
    if (roll < 0.72) return this.#rest();
    if (roll < 0.86) return this.#changeNames(effect) ?? this.#rest();
    if (roll < 0.91) return this.#setXattr(effect);
    return this.#maintain(effect);
  }

  #newPath(names: NamesModel): string | undefined {
    const { random } = this.#site;
    const path = `${pick(random, names.directories())}/${pick(random, NAMES)}`;
    return names.paths.has(path) || path.length > 8 ? undefined : path;
  }

  #file(names: NamesModel): string | undefined {
    const files = names.files();
    return files.length === 0 ? undefined : pick(this.#site.random, files);
  }

  #contentOf(id: number): ContentModel {
    return this.#site.contents.get(id)!;
  }

  #create(effect: Effect): (() => number) | undefined {
    const site = this.#site;
    const path = this.#newPath(effect.names);
    if (path === undefined || site.handles.length >= MOST_HANDLES) return undefined;
    const isPassed = site.isKernel && site.random() < 0.7;
    const flags = pick(site.random, [O_WRONLY, O_RDWR, O_RDONLY]);
    const id = site.nextId++;
    this.what = `create ${path} (${id}) flags ${flags}${isPassed ? ' passed' : ''}`;
    const { parent, name } = split(path);
    const content = new Content();
    site.contents.set(id, content);
    effect.names.add(path, id);
    return () => {
      const out = newAttributes();
      const handle = site.fs.create(CALLER, parent, name, REGULAR, flags, isPassed, out);
      if (handle < 0) return handle;
      return this.#opened({ handle, id, ino: out.ino, writes: flags !== O_RDONLY, kernel: -1 }, isPassed);
    };
  }

  #open(): (() => number) | undefined {
    const site = this.#site;
    const path = this.#file(site.names);
    if (path === undefined) return undefined;
    const isPassed = site.isKernel && site.random() < 0.5;
    const flags = pick(site.random, [O_WRONLY, O_RDWR, O_RDONLY]);
    this.what = `open ${path} flags ${flags}${isPassed ? ' passed' : ''}`;
    const id = site.names.paths.get(path)!;
    return () => {
      const handle = site.fs.open(CALLER, bytesOf(path), flags);
      if (handle < 0) return handle;
      const ino = site.fs.fileOf(handle);
      return this.#opened({ handle, id, ino, writes: flags !== O_RDONLY, kernel: -1 }, isPassed);
    };
  }

  /** Keeps the handle, and has its backing file if it is passed; the driver serves itself what cannot be passed. */
  #opened(opened: OpenHandle, isPassed: boolean): number {
    const site = this.#site;
    site.handles.push(opened);
    if (!isPassed) return 0;
    const fd = site.fs.backing(opened.handle);
    if (fd >= 0) opened.kernel = site.service.contents.inner.duplicate(fd);
    return 0;
  }

  #write(effect: Effect, opened: OpenHandle): () => number {
    const site = this.#site;
    const { handle, id, writes, kernel } = opened;
    if (!writes) return this.#read(opened);
    const content = this.#contentOf(id);
    const kind = site.random();
    const position = site.random() < 0.5 ? content.now.length : below(site.random, 12_000);
    const data = new Uint8Array(pick(site.random, LENGTHS)).fill(1 + below(site.random, 255));
    if (kind < 0.8) {
      this.what = `write ${data.length} at ${position} to ${id}${kernel >= 0 ? ' passed' : ''}`;
      effect.contents.set(content, written(content.now, data, position));
      return () => {
        const count =
          kernel >= 0
            ? site.service.contents.inner.write(kernel, data, 0, data.length, position)
            : site.fs.write(handle, data, 0, data.length, position);
        if (count < data.length && count >= 0)
          effect.contents.set(content, written(content.now, data.subarray(0, count), position));
        return count;
      };
    }
    if (kind < 0.9) {
      this.what = `allocate ${data.length} at ${position} of ${id}`;
      effect.contents.set(
        content,
        resized(content.now, Math.max(content.now.length, position + data.length)),
      );
      return () => site.fs.fallocate(handle, 0, position, data.length);
    }
    this.what = `punch ${data.length} at ${position} of ${id}`;
    const end = Math.min(content.now.length, position + data.length);
    effect.contents.set(content, new Uint8Array(content.now).fill(0, Math.min(position, end), end));
    return () => site.fs.fallocate(handle, PUNCH_HOLE | KEEP_SIZE, position, data.length);
  }

  #read({ handle, id, kernel }: OpenHandle): () => number {
    this.what = `read ${id}`;
    const site = this.#site;
    return () => {
      const { now } = this.#contentOf(id);
      const into = new Uint8Array(now.length + 4096);
      const count =
        kernel >= 0
          ? site.service.contents.inner.read(kernel, into, 0, into.length, 0)
          : site.fs.read(handle, into, 0, into.length, 0);
      if (count >= 0 && Buffer.compare(into.subarray(0, count), now) !== 0)
        throw new Error(`read ${id}: ${count} bytes, which are not its ${now.length}`);
      return count;
    };
  }

  /** As the drivers do: the kernel's on another thread, by a plan; fuse-native at once. */
  #sync(effect: Effect, { handle, id }: OpenHandle): () => number {
    const { fs, tree, service, isKernel } = this.#site;
    effect.syncs = this.#contentOf(id);
    if (!isKernel) {
      this.what = `fsync ${id}`;
      return () => fs.fsync(handle);
    }
    this.what = `fsync ${id} by plan`;
    return () => {
      const plan = fs.fsyncPlan(handle);
      if (plan === undefined) return fs.fsync(handle);
      const { ino, born, identity, spare, names } = plan;
      const isNamed = identity !== undefined && service.access.sync(ino, born, spare, identity, names);
      if (isNamed === undefined) throw new Error(`the content of ${id} is no more`);
      tree.sync();
      if (isNamed && identity !== undefined) fs.fsynced(ino, born, identity);
      return 0;
    };
  }

  #close(opened: OpenHandle): () => number {
    const site = this.#site;
    this.what = `close ${opened.id}`;
    return () => {
      site.handles = site.handles.filter((other) => other !== opened);
      if (opened.kernel >= 0) site.service.contents.inner.close(opened.kernel);
      const result = site.fs.release(opened.handle);
      this.#forget(opened.ino, opened.id);
      return result;
    };
  }

  /** The kernel knows an inode no more that has neither a name nor a handle. */
  #forget(ino: number, id: number): void {
    const { handles, names, fs, isKernel } = this.#site;
    const isUsed = handles.some((other) => other.id === id) || [...names.paths.values()].includes(id);
    if (isKernel && !isUsed) fs.forget(ino);
  }

  #resize(effect: Effect): (() => number) | undefined {
    const site = this.#site;
    const path = this.#file(effect.names);
    if (path === undefined) return undefined;
    const content = this.#contentOf(effect.names.paths.get(path)!);
    const change = newChange();
    if (site.random() < 0.3) {
      this.what = `touch ${path}`;
      Object.assign(change, { valid: CHANGE_MTIME, mtimeSeconds: below(site.random, 2_000_000_000) });
    } else {
      const size = pick(site.random, [0, 0, 1, 4096, content.now.length >> 1, 7000]);
      this.what = `truncate ${path} to ${size}`;
      Object.assign(change, { valid: CHANGE_SIZE, size });
      effect.contents.set(content, resized(content.now, size));
    }
    return () => site.fs.setattr(CALLER, bytesOf(path), change, newAttributes());
  }

  #rest(): () => number {
    this.what = 'rest';
    return () => {
      this.#site.clock.read();
      if (this.#site.isKernel) this.#site.fs.rest();
      return 0;
    };
  }

  #changeNames(effect: Effect): (() => number) | undefined {
    const site = this.#site;
    const { fs, random } = site;
    const { names } = effect;
    const result: RemovalResult = { removedIno: 0, removedLinks: 0, movedIno: 0 };
    const file = this.#file(names);
    const roll = random();
    const to = this.#newPath(names);
    if (roll < 0.15) {
      if (to === undefined) return undefined;
      this.what = `mkdir ${to}`;
      const { parent, name } = split(to);
      names.add(to, site.nextId++, true);
      return () => fs.mkdir(CALLER, parent, name, 0o755, newAttributes());
    }
    if (roll < 0.22) {
      const empty = names.directories().find((path) => path !== '' && names.isEmpty(path));
      if (empty === undefined) return undefined;
      this.what = `rmdir ${empty}`;
      const { parent, name } = split(empty);
      names.remove(empty);
      return () => fs.rmdir(CALLER, parent, name, result);
    }
    if (file === undefined) return undefined;
    const from = split(file);
    if (roll < 0.5) {
      this.what = `unlink ${file}`;
      const id = names.paths.get(file)!;
      names.remove(file);
      return () => {
        const failed = fs.unlink(CALLER, from.parent, from.name, result);
        if (failed === 0) this.#removed(result, id, names);
        return failed;
      };
    }
    if (roll < 0.65) {
      if (to === undefined) return undefined;
      this.what = `link ${file} ${to}`;
      const { parent, name } = split(to);
      names.add(to, names.paths.get(file)!);
      return () => fs.link(CALLER, bytesOf(file), parent, name, newAttributes());
    }
    const target = random() < 0.5 ? to : this.#file(names);
    if (target === undefined || names.paths.get(target) === names.paths.get(file)) return undefined;
    this.what = `rename ${file} ${target}`;
    const replaced = names.paths.get(target);
    const { parent, name } = split(target);
    names.move(file, target);
    return () => {
      const failed = fs.rename(CALLER, from.parent, from.name, parent, name, 0, result);
      if (failed === 0 && replaced !== undefined) this.#removed(result, replaced, names);
      return failed;
    };
  }

  #removed(result: RemovalResult, id: number, after: NamesModel): void {
    const { handles, isKernel, fs } = this.#site;
    const isUsed = handles.some((other) => other.id === id) || [...after.paths.values()].includes(id);
    if (isKernel && !isUsed && result.removedIno !== 0) fs.forget(result.removedIno);
  }

  #setXattr(effect: Effect): () => number {
    const { fs, random } = this.#site;
    const { names } = effect;
    const path = pick(random, [...names.paths.keys()]);
    const name = pick(random, ['user.x', 'user.y']);
    const isRemoved = names.inode(path).xattrs.has(name) && random() < 0.5;
    const value = isRemoved ? undefined : 'v'.repeat(1 + below(random, 300));
    names.setXattr(path, name, value);
    this.what = `${value === undefined ? 'remove' : 'set'} attribute ${name} of ${path}`;
    return () =>
      value === undefined
        ? fs.removexattr(CALLER, bytesOf(path), bytesOf(name))
        : fs.setxattr(CALLER, bytesOf(path), bytesOf(name), bytesOf(value), 0);
  }

  #maintain(effect: Effect): () => number {
    const { tree, fs, random, service, clock } = this.#site;
    const roll = random();
    if (roll < 0.25) {
      this.what = 'fsyncdir';
      effect.syncs = 'names';
      return () => fs.fsyncdir(0);
    }
    if (roll < 0.5) {
      this.what = 'checkpoint';
      effect.syncs = 'names';
      return () => {
        tree.checkpoint();
        return 0;
      };
    }
    if (roll < 0.75) {
      this.what = 'remove contents';
      return () => {
        const due = service.scheduled.splice(0);
        const last = Math.max(0, ...due.map(({ lsn }) => lsn));
        if (tree.durableLsn() < last) tree.sync();
        for (const { ino, born } of due) service.access.remove(ino, born);
        fs.reclaimed(due);
        return 0;
      };
    }
    this.what = 'make all contents durable';
    return () => {
      const lsn = tree.lastLsn();
      clock.read();
      const { seconds } = clock;
      const fd = service.contents.openDirectory(CONTENT);
      try {
        service.contents.syncFilesystem(fd);
      } finally {
        service.contents.close(fd);
      }
      const mark = readMark(tree);
      if (mark !== undefined) writeMark(tree, { ...mark, durableLsn: lsn, durableSeconds: seconds });
      return 0;
    };
  }
}

function split(path: string): { parent: Uint8Array; name: Uint8Array } {
  const slash = path.lastIndexOf('/');
  return { parent: bytesOf(path.slice(0, slash)), name: bytesOf(path.slice(slash + 1)) };
}
