/**
 * Requests of a seed, served by a session that is killed at each moment of each of them, and by one that never is. Whoever
 * follows the killed one gives the same answer, and ends in the same state.
 */

import { newAttributes } from '../../../mount/filesystem/arguments.js';
import type { FileSystem } from '../../../mount/filesystem/file-system.js';
import { Opcode } from '../../../mount/kernel/protocol/protocol.js';
import { ReusableBytes } from '../../../mount/kernel/protocol/reusable-bytes.js';
import { MemoryDisk } from '../../support/disk/memory-disk.js';
import { seededRandom } from '../../support/disk/random.js';
import { bytesOf, CALLER, must, readContent, readHandle } from '../../support/files/files-shown.js';
import { Backings, Time, World } from './killed-world.js';

const DIRECTORY = 0o040000;
const TYPE = 0o170000;
const HEADER = 40;

const NOTHING = Buffer.alloc(0);
/** A node may stay after a kill that the kernel has forgotten, or counted once less: the kernel says nothing of it again. */
const MAY_LEAK: readonly number[] = [Opcode.FORGET, Opcode.LOOKUP];

type Part = Buffer | readonly number[] | string;

/** What is left when a process is killed: its disk, and the backing files that the kernel has. */
interface Image {
  disk: MemoryDisk;
  backings: Map<number, string>;
}

/** Something that both kernels know, by what each calls it. */
interface Known {
  killed: number;
  other: number;
}

interface KnownNode extends Known {
  lookups: number;
  isDirectory: boolean;
}

interface Step {
  opcode: number;
  name: string;
  /** For one of the two. */
  build(of: 'killed' | 'other'): Buffer;
  /** What both kernels know from the replies. */
  take?(killed: Buffer, other: Buffer): void;
}

export class KilledRequests {
  readonly #random: () => number;
  readonly #mostKills: number;
  #killed: World;
  readonly #other: World;
  readonly #nodes: KnownNode[] = [{ killed: 1, other: 1, lookups: 1, isDirectory: true }];
  #files: Known[] = [];
  #directories: Known[] = [];
  #unique = 2;
  kills = 0;
  requests = 0;

  /** `mostKills`: moments of each request that are tried. */
  constructor(seed: number, mostKills: number) {
    this.#random = seededRandom(seed);
    this.#mostKills = mostKills;
    const world = () => {
      const time = new Time();
      const made = new World(new MemoryDisk({ clock: time }), {
        resumes: false,
        time,
        backings: new Backings(),
      });
      // Some sessions have the kernel read and write by itself.
      made.session.agree({ minor: 45, flags: 1 << 29, flags2: seed % 2 === 0 ? 1 << 5 : 0 });
      made.session.tables.init.agreed({ minor: 45, flags: 1 << 29, flags2: seed % 2 === 0 ? 1 << 5 : 0 });
      return made;
    };
    this.#killed = world();
    this.#other = world();
  }

  end(): void {
    this.#killed.end();
    this.#other.end();
  }

  /** Serves one request, with kills. Throws where the two come to differ. */
  step(): void {
    const step = this.#next();
    this.requests++;
    const other = this.#other.serve(step.build('other'));
    const expected = this.#shownOf(this.#other);
    const request = step.build('killed');
    const images: Image[] = [];
    const note = () => {
      images.push({ disk: this.#killed.image(), backings: new Map(this.#killed.backings.paths) });
    };
    this.#killed.moment = note;
    note();
    const killed = this.#killed.serve(request);
    note();
    this.#killed.moment = undefined;
    compareReplies(step.name, killed, other);
    const wasAnswered = { disk: this.#killed.image(), backings: new Map(this.#killed.backings.paths) };
    const picked = this.#pick(images);
    const isKept = this.#random() < 0.3;
    const kept = isKept ? Math.floor(this.#random() * picked.length) : -1;
    const known = {
      nodes: this.#nodes.map((node) => ({ ...node })),
      files: [...this.#files],
      directories: [...this.#directories],
    };
    let next: { world: World; reply: Buffer | undefined } | undefined;
    for (const [i, image] of picked.entries()) {
      const name = `${step.name}, killed at moment ${images.indexOf(image)} of ${images.length}`;
      try {
        const followed = this.#follow(image, request, other, step, expected, known, i !== kept);
        if (i === kept) next = followed;
        else followed.world.end();
      } catch (error) {
        throw new Error(`${name}: ${(error as Error).message}`, { cause: error });
      }
    }
    if (next !== undefined) {
      this.#killed.end();
      this.#killed = next.world;
      step.take?.(next.reply ?? NOTHING, other ?? NOTHING);
    } else step.take?.(killed ?? NOTHING, other ?? NOTHING);
    if (next === undefined && this.#random() < 0.1) {
      // Killed when all was answered.
      this.#killed.end();
      this.#killed = this.#resumed(wasAnswered);
      this.#killed.session.resent();
      this.#compare(this.#killed, expected, false);
    }
    if (this.#random() < 0.2) for (const world of [this.#killed, this.#other]) while (world.session.work());
  }

  #pick<T>(images: readonly T[]): T[] {
    if (images.length <= this.#mostKills) return [...images];
    const chosen = new Set<T>();
    while (chosen.size < this.#mostKills) chosen.add(images[Math.floor(this.#random() * images.length)]!);
    return [...chosen];
  }

  /** A process that goes on with what is left; now and then it is killed over that, too, and followed by another. */
  #resumed(image: Image): World {
    const again: Image[] = [];
    const isKilled = this.#random() < 0.2;
    const world = this.#goOn(image, (backings) => {
      if (isKilled && this.#random() < 0.2)
        again.push({ disk: image.disk.afterKill(), backings: new Map(backings.paths) });
    });
    world.moment = undefined;
    const other = this.#of(again);
    if (other === undefined) return world;
    world.end();
    return this.#resumed(other);
  }

  #goOn({ disk, backings: paths }: Image, moment: (backings: Backings) => void): World {
    this.kills++;
    const time = new Time();
    time.seconds = this.#killed.time.seconds + 1;
    disk.volume.clock = time;
    const backings = Object.assign(new Backings(), { paths: new Map(paths) });
    backings.after(this.#killed.backings);
    return new World(disk, { resumes: true, time, backings, moment: () => moment(backings) });
  }

  /** A process that comes after one that was killed answers the request. */
  #follow(
    image: Image,
    request: Buffer,
    other: Buffer | undefined,
    step: Step,
    expected: string,
    known: { nodes: KnownNode[]; files: Known[]; directories: Known[] },
    isLast: boolean,
  ): { world: World; reply: Buffer | undefined } {
    const world = this.#resumed(image);
    try {
      const reply = other === undefined ? undefined : world.serveAgain(request);
      compareReplies(step.name, reply, other);
      const nodes = this.#nodes;
      step.take?.(reply ?? NOTHING, other ?? NOTHING);
      try {
        this.#compare(world, expected, isLast, MAY_LEAK.includes(step.opcode));
      } finally {
        nodes.splice(0, nodes.length, ...known.nodes.map((node) => ({ ...node })));
        this.#files = [...known.files];
        this.#directories = [...known.directories];
      }
      return { world, reply };
    } catch (error) {
      world.end();
      throw error;
    }
  }

  /** Throws where the kernels' views differ. `isLast`: nothing follows in that world. `mayLeak`: a node may have lookups that the kernel does not know of. */
  #compare(killed: World, expected: string, isLast: boolean, mayLeak = false): void {
    const other = this.#other;
    for (const { session } of [killed, other]) while (session.work());
    for (const node of this.#nodes) {
      const [place, otherPlace] = [placeOf(killed, node.killed), placeOf(other, node.other)];
      if ((place === undefined) !== (otherPlace === undefined) || (node.isDirectory && place !== otherPlace))
        throw new Error(`node ${node.killed} is at ${place}, not at ${otherPlace}`);
      if (node.killed === 1) continue;
      // Of a file with several names any will do.
      if (place !== undefined && inoAt(killed.fs, place) !== node.killed)
        throw new Error(`node ${node.killed} is at ${place}, where another is`);
      const [count, otherCount] = [
        killed.session.nodes.lookups(node.killed),
        other.session.nodes.lookups(node.other),
      ];
      if (count !== otherCount && !(mayLeak && count > otherCount))
        throw new Error(`node ${node.killed} has ${count} lookups, not ${otherCount}`);
      const [one, another] = [
        statOf(killed.fs, place ?? node.killed),
        statOf(other.fs, otherPlace ?? node.other),
      ];
      if (one !== another) throw new Error(`node ${node.killed} at ${place} is ${one}, not ${another}`);
    }
    for (const { killed: handle, other: otherHandle } of this.#files) {
      const [one, another] = [contentOf(killed.fs, handle), contentOf(other.fs, otherHandle)];
      if (one !== another) throw new Error(`handle ${handle} reads ${one}, not ${another}`);
    }
    const [stats, otherStats] = [killed.fs.stats(), other.fs.stats()];
    for (const figure of ['openFiles', 'openDirectories', 'openInodes'] as const) {
      if (stats[figure] !== otherStats[figure])
        throw new Error(`${figure} is ${stats[figure]}, not ${otherStats[figure]}`);
    }
    if (killed.backings.paths.size < other.backings.paths.size)
      throw new Error(`${killed.backings.paths.size} backing files, not ${other.backings.paths.size}`);
    const shown = isLast ? shownBy(killed.fs) : this.#shownOf(killed);
    if (shown !== expected) throw new Error(`the names are\n${shown}\nand should be\n${expected}`);
  }

  /** All names, looked at in a copy, since looking changes what is live. */
  #shownOf(world: World): string {
    const time = new Time();
    time.seconds = world.time.seconds + 1;
    const disk = world.image();
    disk.volume.clock = time;
    const copy = new World(disk, {
      resumes: true,
      time,
      backings: Object.assign(new Backings(), { paths: new Map(world.backings.paths) }),
    });
    try {
      return shownBy(copy.fs);
    } finally {
      copy.end();
    }
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #of<T>(items: readonly T[]): T | undefined {
    return items[this.#below(items.length)];
  }

  #next(): Step {
    const node = this.#of(this.#nodes)!;
    const parent = this.#of(this.#nodes.filter(({ isDirectory }) => isDirectory))!;
    const newParent = this.#of(this.#nodes.filter(({ isDirectory }) => isDirectory))!;
    const file = this.#of(this.#files);
    const name = `n${this.#below(6)}`;
    const newName = `n${this.#below(6)}`;
    this.#unique += 2;
    const unique = this.#unique;
    const step = (
      opcode: number,
      at: Known,
      parts: (of: 'killed' | 'other') => Part[],
      take?: Step['take'],
    ): Step => ({
      opcode,
      name: nameOf(opcode),
      build: (of) => request(opcode, unique, at[of], parts(of)),
      ...(take === undefined ? {} : { take }),
    });
    const entry = (killed: Buffer, other: Buffer): void =>
      this.#entry(killed.subarray(16), other.subarray(16));
    const created = (killed: Buffer, other: Buffer): void => {
      if (killed.readInt32LE(4) !== 0) return;
      entry(killed, other);
      this.#files.push({ killed: killed.readUInt32LE(16 + 128), other: other.readUInt32LE(16 + 128) });
    };
    switch (this.#below(20)) {
      case 0:
        return step(Opcode.LOOKUP, parent, () => [name], entry);
      case 1:
      case 2:
        return step(Opcode.CREATE, parent, () => [[this.#flags(unique), 0o100644, 0o022, 0], name], created);
      case 3:
        return step(Opcode.MKNOD, parent, () => [[0o100600, 0, 0, 0], name], entry);
      case 4:
      case 5:
        return step(Opcode.MKDIR, parent, () => [[0o755, 0o022], name], entry);
      case 6:
        return step(Opcode.SYMLINK, parent, () => [name, `target of ${unique}`], entry);
      case 7: {
        const linked = this.#of(this.#nodes.filter(({ isDirectory }) => !isDirectory)) ?? node;
        return step(Opcode.LINK, parent, (of) => [[linked[of], 0], name], entry);
      }
      case 8:
      case 9:
        return step(Opcode.UNLINK, parent, () => [name]);
      case 10:
        return step(Opcode.RMDIR, parent, () => [name]);
      case 11:
      case 12:
        return step(Opcode.RENAME2, parent, (of) => [
          [newParent[of], 0, [0, 0, 1, 2][unique % 4]!, 0],
          name,
          newName,
        ]);
      case 13:
        return step(Opcode.SETATTR, node, () => [
          [
            [1, 8, 2, 9][unique % 4]!,
            0,
            0,
            0,
            unique % 5000,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0o640,
            0,
            7,
            7,
            0,
          ],
        ]);
      case 14:
        return step(Opcode.SETXATTR, node, () => [
          [4, [0, 1, 2][unique % 3]!, 0, 0],
          'user.a',
          Buffer.from(`v${unique % 10}aa`.slice(0, 4).padEnd(4)),
        ]);
      case 15:
        return step(Opcode.REMOVEXATTR, node, () => ['user.a']);
      case 16: {
        const opened = this.#of(this.#nodes.filter(({ isDirectory }) => !isDirectory)) ?? node;
        return step(
          Opcode.OPEN,
          opened,
          () => [[this.#flags(unique), 0]],
          (killed, other) => {
            if (killed.readInt32LE(4) === 0)
              this.#files.push({ killed: killed.readUInt32LE(16), other: other.readUInt32LE(16) });
          },
        );
      }
      case 17:
        if (file !== undefined) {
          const data = Buffer.from(`written by ${unique}`);
          return step(Opcode.WRITE, node, (of) => [
            [file[of], 0, unique % 3000, 0, data.length, 0, 0, 0, 0, 0],
            data,
          ]);
        }
        return step(Opcode.TMPFILE, parent, () => [[2, 0o100600, 0, 0], '/'], created);
      case 18:
        if (file !== undefined) {
          return step(
            Opcode.RELEASE,
            node,
            (of) => [[file[of], 0, 0, 0, 0, 0]],
            () => {
              this.#files = this.#files.filter(
                (one) => one.killed !== file.killed || one.other !== file.other,
              );
            },
          );
        }
        return step(Opcode.GETATTR, node, () => [[0, 0, 0, 0]]);
      default:
        return this.#forget(node, unique) ?? step(Opcode.GETATTR, node, () => [[0, 0, 0, 0]]);
    }
  }

  /** Access mode, now and then with O_TRUNC. */
  #flags(unique: number): number {
    return [0, 1, 2, 2, 0o1002][unique % 5]!;
  }

  #forget(node: KnownNode, unique: number): Step | undefined {
    if (node.killed === 1 || node.lookups === 0) return undefined;
    // A file that is open is held.
    if (this.#files.some((file) => this.#killed.fs.fileOf(file.killed) === node.killed)) return undefined;
    const count = node.lookups;
    return {
      opcode: Opcode.FORGET,
      name: 'FORGET',
      build: (of) => request(Opcode.FORGET, unique, node[of], [[count, 0]]),
      take: () => {
        const at = this.#nodes.findIndex(({ killed }) => killed === node.killed);
        this.#nodes.splice(at, 1);
      },
    };
  }

  /** Both kernels know the entry from the bodies of the replies. */
  #entry(killed: Buffer, other: Buffer): void {
    if (killed.length < 128 || other.length < 128) return;
    const [one, another] = [killed.readUInt32LE(0), other.readUInt32LE(0)];
    if (one === 0) return;
    const known = this.#nodes.find((node) => node.killed === one);
    if (known !== undefined) {
      if (known.other !== another)
        throw new Error(`node ${one} is ${another} to the other, not ${known.other}`);
      known.lookups++;
      return;
    }
    const isDirectory = (killed.readUInt32LE(40 + 60) & TYPE) === DIRECTORY;
    this.#nodes.push({ killed: one, other: another, lookups: 1, isDirectory });
  }
}

export function request(opcode: number, unique: number, node: number, parts: readonly Part[]): Buffer {
  const body = Buffer.concat(parts.map(partOf));
  return Buffer.concat([partOf([HEADER + body.length, opcode, unique, 0, node, 0, 0, 0, 42, 0]), body]);
}

function partOf(part: Part): Buffer {
  if (typeof part === 'string') return Buffer.from(`${part}\0`);
  if (Buffer.isBuffer(part)) return part;
  const words = Buffer.alloc(part.length * 4);
  for (const [i, word] of part.entries()) words.writeUInt32LE(word >>> 0, i * 4);
  return words;
}

function nameOf(of: number): string {
  return Object.entries(Opcode).find(([, opcode]) => opcode === of)![0];
}

function compareReplies(name: string, one: Buffer | undefined, other: Buffer | undefined): void {
  const [error, expected] = [one?.readInt32LE(4), other?.readInt32LE(4)];
  if (error !== expected || one?.length !== other?.length)
    throw new Error(
      `${name} is answered by ${error} and ${one?.length} bytes, not by ${expected} and ${other?.length}`,
    );
}

const into = new ReusableBytes(4096);

function placeOf({ session }: World, node: number): string | undefined {
  const place = session.nodes.place(node, into);
  return typeof place === 'object' ? Buffer.from(place).toString() : undefined;
}

function statOf(fs: FileSystem, place: string | number): string {
  const out = newAttributes();
  const error = fs.getattr(typeof place === 'string' ? bytesOf(place) : place, out);
  return error < 0 ? `errno ${-error}` : `${out.mode.toString(8)} ${out.nlink} ${out.size} ${out.uid}`;
}

function inoAt(fs: FileSystem, path: string): number {
  const out = newAttributes();
  return fs.getattr(bytesOf(path), out) < 0 ? 0 : out.ino;
}

function contentOf(fs: FileSystem, handle: number): string {
  try {
    return Buffer.from(readHandle(fs, handle)).toString('latin1');
  } catch (error) {
    return (error as Error).message.replace(/\d+: errno/, 'errno');
  }
}

function shownBy(fs: FileSystem): string {
  const lines: string[] = [];
  const add = (path: string): void => {
    const out = newAttributes();
    must(fs.getattr(bytesOf(path), out), `stat ${path}`);
    const isDirectory = (out.mode & TYPE) === DIRECTORY;
    const attributes = fs.listxattr(CALLER, bytesOf(path));
    const value = fs.getxattr(bytesOf(path), bytesOf('user.a'));
    const content =
      (out.mode & TYPE) === 0o100000 ? Buffer.from(readContent(fs, path)).toString('latin1') : '';
    lines.push(
      `${path} ${out.mode.toString(8)} ${out.nlink} ${out.size} ${attributes} ${value} ${JSON.stringify(content)}`,
    );
    if (!isDirectory) return;
    const handle = must(fs.opendir(bytesOf(path)), `open ${path}`);
    const names: string[] = [];
    fs.readdir(handle, 0, false, (name) => names.push(Buffer.from(name).toString()) > 0);
    fs.releasedir(handle);
    for (const name of names.slice(2)) add(`${path}/${name}`);
  };
  add('');
  return lines.join('\n');
}
