/** Requests on snapshot directories, without a kernel: what it is told, and what it holds. */
import { constants } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MountState } from '../../../../mount/kernel/device/mount-state.js';
import { Dirent, EntryOut, Opcode } from '../../../../mount/kernel/protocol/protocol.js';
import { handle } from '../../../../mount/kernel/session/dispatch.js';
import { Session } from '../../../../mount/kernel/session/session.js';
import { bytes, CALLER, Fixture } from '../../../filesystem/fixture.js';
import { seededRandom } from '../../../support/disk/random.js';

const E = constants.errno;
const OWNER = process.getuid?.() ?? 0;

let f: Fixture;
let session: Session;
let errors: string[];

beforeEach(() => {
  errors = [];
  f = new Fixture(undefined, { snapshotDirectory: '.snap' });
  session = new Session(
    f.fs,
    MountState.forNobody(),
    {
      log: (level, message, fields) => {
        if (level === 'error') errors.push(`${message} ${JSON.stringify(fields)}`);
      },
      ready: () => {},
      sync: () => false,
      makeRoom: () => false,
      interrupted: () => {},
      backingFiles: undefined,
      invalidateAttributes: () => {},
    },
    { entryTimeout: 60, attributeTimeout: 60, negativeTimeout: 5 },
  );
});
afterEach(() => f.cleanUp());

function words(...values: number[]): Buffer {
  const buffer = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) buffer.writeUInt32LE(value >>> 0, i * 4);
  return buffer;
}

/** A 64-bit number as two words. */
const long = (value: number): [number, number] => [value % 2 ** 32, Math.floor(value / 2 ** 32)];

/** Has the session serve a request; returns its error and the reply's body. */
function send(
  opcode: number,
  node: number,
  structure: number[],
  ...names: string[]
): { error: number; body: Buffer } {
  const body = Buffer.concat([words(...structure), ...names.map((name) => Buffer.from(`${name}\0`))]);
  const request = Buffer.concat([words(40 + body.length, opcode, 7, 0, ...long(node), OWNER, 0, 1, 0), body]);
  session.request.bytes.set(request);
  const length = handle(session, request.length);
  const reply = Buffer.from(session.reply.bytes.subarray(0, length));
  return length === 0 ? { error: 0, body: reply } : { error: reply.readInt32LE(4), body: reply.subarray(16) };
}

interface Held {
  error: number;
  node: number;
  ino: bigint;
  entryTimeout: number;
  attributeTimeout: number;
}

function lookup(
  parent: number,
  name: string,
  opcode: number = Opcode.LOOKUP,
  structure: number[] = [],
): Held {
  const { error, body } = send(opcode, parent, structure, name);
  if (error !== 0) return { error, node: 0, ino: 0n, entryTimeout: 0, attributeTimeout: 0 };
  return {
    error,
    node: Number(body.readBigUInt64LE(EntryOut.NODEID)),
    ino: body.readBigUInt64LE(EntryOut.ATTR),
    entryTimeout: Number(body.readBigUInt64LE(EntryOut.ENTRY_VALID)),
    attributeTimeout: Number(body.readBigUInt64LE(EntryOut.ATTR_VALID)),
  };
}

const forget = (node: number, count = 1): void => void send(Opcode.FORGET, node, long(count));
const makeSnapshot = (directory: number, name: string): Held =>
  lookup(directory, name, Opcode.MKDIR, [0o755, 0]);

/** Names, and nodes that the kernel is told of, of a whole listing in replies of `room` bytes. */
function list(node: number, room: number): { names: string[]; nodes: number[] } {
  const opened = send(Opcode.OPENDIR, node, [0, 0]);
  const handleWords = long(Number(opened.body.readBigUInt64LE(0)));
  const names: string[] = [];
  const nodes: number[] = [];
  let position = 0;
  for (;;) {
    const { error, body } = send(Opcode.READDIRPLUS, node, [
      ...handleWords,
      ...long(position),
      room,
      0,
      0,
      0,
      0,
      0,
    ]);
    expect(error).toBe(0);
    if (body.length === 0) break;
    for (let at = 0; at < body.length; ) {
      const entry = at + EntryOut.SIZE;
      const length = body.readUInt32LE(entry + Dirent.NAME_LENGTH);
      const name = body.toString('latin1', entry + Dirent.SIZE, entry + Dirent.SIZE + length);
      names.push(name);
      const held = Number(body.readBigUInt64LE(at + EntryOut.NODEID));
      if (held !== 0) nodes.push(held);
      position = Number(body.readBigUInt64LE(entry + Dirent.OFFSET));
      at = (entry + Dirent.SIZE + length + 7) & ~7;
    }
  }
  send(Opcode.RELEASEDIR, node, [...handleWords, 0, 0, 0, 0]);
  return { names, nodes };
}

describe('what the kernel is told of snapshots', () => {
  it('has numbers that no live inode has, the same by every way', () => {
    f.mkdir('/d');
    f.write('/d/f', 'x');
    f.link('/d/f', '/d/g');
    const d = lookup(1, 'd');
    const here = lookup(d.node, '.snap');
    const root = makeSnapshot(here.node, 's');
    const [one, two] = [lookup(root.node, 'f'), lookup(root.node, 'g')];
    const top = lookup(lookup(lookup(1, '.snap').node, 's').node, 'd');
    const again = lookup(top.node, 'f');
    const live = BigInt(f.stat('/d/f').ino);
    expect(one.ino).toBe((1n << 48n) + live);
    expect([two.ino, again.ino]).toEqual([one.ino, one.ino]);
    expect(top.ino).toBe(root.ino);
    // A directory is in one place only, to the kernel.
    expect(new Set([one.node, two.node, again.node, top.node, root.node, here.node]).size).toBe(6);
    expect(here.ino).toBe((0x7fffn << 48n) + BigInt(d.node));
  });

  it('may be kept, but for whether there is a snapshot', () => {
    f.write('/f', 'x');
    const directory = lookup(1, '.snap');
    expect(directory).toMatchObject({ entryTimeout: 60, attributeTimeout: 0 });
    expect(lookup(directory.node, 's').error).toBe(-E.ENOENT);
    const made = makeSnapshot(directory.node, 's');
    expect(made).toMatchObject({ error: 0, entryTimeout: 0, attributeTimeout: 60 });
    expect(lookup(made.node, 'f')).toMatchObject({ entryTimeout: 60, attributeTimeout: 60 });
    // What was not there then never will be.
    expect(lookup(made.node, 'absent')).toMatchObject({ error: 0, node: 0, entryTimeout: 5 });
  });

  it('is held as often as it was told, and forgotten by as many', () => {
    for (const name of ['/d', '/d/e']) f.mkdir(name);
    for (let i = 0; i < 50; i++) f.write(`/d/file-${i}`, '');
    const d = lookup(1, 'd');
    const before = session.snapshotNodes.size;
    const directory = lookup(d.node, '.snap');
    const root = makeSnapshot(directory.node, 's');
    makeSnapshot(directory.node, 't');
    const listed = list(root.node, 1024);
    expect(listed.names).toHaveLength(53);
    expect(listed.nodes).toHaveLength(51);
    expect(list(root.node, 4096).nodes).toEqual(listed.nodes);
    expect(list(directory.node, 300)).toEqual({ names: ['.', '..', 's', 't'], nodes: [] });
    const again = lookup(root.node, 'file-7');
    expect(listed.nodes).toContain(again.node);
    expect(session.snapshotNodes.size).toBe(before + 2 + 1 + 51);
    // Parents first, as the kernel may do it; BATCH_FORGET has both kinds.
    forget(directory.node);
    forget(root.node);
    send(Opcode.BATCH_FORGET, 0, [2, 0, ...long(d.node), 1, 0, ...long(again.node), 1, 0]);
    for (const node of listed.nodes) forget(node, 2);
    expect(session.nodes.has(d.node)).toBe(false);
    expect(session.snapshotNodes.size).toBe(before + 2);
  });

  it('refuses each change, and whatever leads from one tree into the other', () => {
    f.write('/f', 'x');
    f.mkdir('/d');
    const directory = lookup(1, '.snap');
    const root = makeSnapshot(directory.node, 's');
    const file = lookup(root.node, 'f');
    const [live, d] = [lookup(1, 'f'), lookup(1, 'd')];
    for (const node of [root.node, directory.node]) {
      expect(send(Opcode.MKNOD, node, [0o100644, 0, 0, 0], 'n').error).toBe(-E.EROFS);
      expect(send(Opcode.CREATE, node, [0o101, 0o100644, 0, 0], 'n').error).toBe(-E.EROFS);
      expect(send(Opcode.SYMLINK, node, [], 'n', 'target').error).toBe(-E.EROFS);
      expect(send(Opcode.UNLINK, node, [], 'f').error).toBe(-E.EROFS);
      expect(send(Opcode.SETATTR, node, new Array(22).fill(0)).error).toBe(-E.EROFS);
      expect(send(Opcode.REMOVEXATTR, node, [], 'user.k').error).toBe(-E.EROFS);
      expect(send(Opcode.LINK, node, long(live.node), 'n').error).toBe(-E.EXDEV);
      expect(send(Opcode.LINK, node, long(file.node), 'n').error).toBe(-E.EROFS);
      expect(send(Opcode.RENAME2, node, [...long(d.node), 0, 0], 'f', 'n').error).toBe(-E.EXDEV);
      expect(send(Opcode.RENAME2, node, [...long(root.node), 0, 0], 'f', 'n').error).toBe(-E.EROFS);
      expect(send(Opcode.RENAME, d.node, long(node), 'f', 'n').error).toBe(-E.EXDEV);
      expect(send(Opcode.LINK, d.node, long(node), 'n').error).toBe(-E.EXDEV);
    }
    expect(send(Opcode.MKDIR, root.node, [0o755, 0], 'n').error).toBe(-E.EROFS);
    expect(send(Opcode.RMDIR, root.node, [], 'd').error).toBe(-E.EROFS);
    expect(send(Opcode.OPEN, file.node, [1, 0]).error).toBe(-E.EROFS);
    expect(send(Opcode.OPEN, file.node, [0, 0]).error).toBe(0);
    expect(session.state.stats().refused).toEqual([]);
  });

  it('is stale once the snapshot is gone, also when another has its name', () => {
    f.write('/f', 'x');
    const directory = lookup(1, '.snap');
    const root = makeSnapshot(directory.node, 's');
    const file = lookup(root.node, 'f');
    const opened = Number(send(Opcode.OPEN, file.node, [0, 0]).body.readBigUInt64LE(0));
    expect(send(Opcode.RMDIR, directory.node, [], 's').error).toBe(0);
    expect(lookup(directory.node, 's').error).toBe(-E.ENOENT);
    const second = makeSnapshot(directory.node, 's');
    expect(second.node).not.toBe(root.node);
    expect(send(Opcode.GETATTR, file.node, [0, 0, 0, 0]).error).toBe(-E.ESTALE);
    expect(send(Opcode.OPENDIR, root.node, [0, 0]).error).toBe(-E.ESTALE);
    expect(send(Opcode.READ, file.node, [...long(opened), 0, 0, 4096, 0, 0, 0, 0, 0]).error).toBe(-E.ESTALE);
    expect(send(Opcode.RELEASE, file.node, [...long(opened), 0, 0, 0, 0]).error).toBe(0);
    for (const node of [file.node, root.node, second.node, directory.node]) forget(node);
    expect(session.snapshotNodes.size).toBe(0);
    expect(session.state.stats().openFiles).toBe(0);
  });

  it('is nothing where the name of snapshot directories is none', () => {
    f.fs.close();
    f.open({ snapshotDirectory: undefined });
    expect(f.fs.past.isDirectoryName(bytes('.snap'))).toBe(false);
    expect(f.fs.mkdir(CALLER, bytes(''), bytes('.snap'), 0o755, f.stat(''))).toBe(0);
  });
});

describe.each([1, 2, 3])('requests that no kernel sends, seed %d', (seed) => {
  it('throw nothing, and leave no node behind', () => {
    const random = seededRandom(seed);
    const below = (limit: number): number => Math.floor(random() * limit);
    const of = <T>(items: readonly T[]): T => items[below(items.length)]!;
    const names = ['.snap', 's0', 's1', 's2', 'a', 'b', 'c', 'x'.repeat(300), '..', 'n/o'];
    const opcodes: readonly number[] = Object.values(Opcode).filter(
      (opcode) =>
        ![Opcode.INIT, Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT].includes(opcode as never),
    );
    const entries: readonly number[] = [
      Opcode.LOOKUP,
      Opcode.MKDIR,
      Opcode.MKNOD,
      Opcode.SYMLINK,
      Opcode.LINK,
      Opcode.CREATE,
    ];
    const held = new Map<number, number>();
    const hold = (node: number): void => {
      if (node > 1) held.set(node, (held.get(node) ?? 0) + 1);
    };
    for (let i = 0; i < 4_000; i++) {
      const node = random() < 0.2 ? 1 : (of([...held.keys()]) ?? 1);
      const opcode = random() < 0.4 ? Opcode.LOOKUP : of(opcodes);
      const other = random() < 0.5 ? (of([...held.keys()]) ?? 1) : below(10);
      const isBare = opcode === Opcode.LOOKUP || opcode === Opcode.UNLINK || opcode === Opcode.RMDIR;
      const isList = opcode === Opcode.READDIRPLUS;
      const structure = isBare
        ? []
        : isList
          ? [below(4), 0, below(6), 0, 4096, 0, 0, 0, 0, 0]
          : opcode === Opcode.TMPFILE || opcode === Opcode.CREATE
            ? [below(3), 0o100644, 0, 0]
            : [...long(other), ...Array.from({ length: below(16) }, () => below(5000))];
      const { error, body } = send(opcode, node, structure, of(names), of(names));
      if (error === 0 && entries.includes(opcode) && body.length >= EntryOut.SIZE) {
        hold(Number(body.readBigUInt64LE(EntryOut.NODEID)));
      } else if (error === 0 && opcode === Opcode.TMPFILE)
        hold(Number(body.readBigUInt64LE(EntryOut.NODEID)));
      else if (error === 0 && isList) {
        for (let at = 0; at + EntryOut.SIZE + Dirent.SIZE <= body.length; ) {
          hold(Number(body.readBigUInt64LE(at + EntryOut.NODEID)));
          at =
            (at +
              EntryOut.SIZE +
              Dirent.SIZE +
              body.readUInt32LE(at + EntryOut.SIZE + Dirent.NAME_LENGTH) +
              7) &
            ~7;
        }
      } else if (random() < 0.2 && held.size > 0) {
        const gone = of([...held.keys()]);
        forget(gone, held.get(gone));
        held.delete(gone);
      }
      while (session.work());
    }
    expect([...held.keys()].some((node) => node >= 2 ** 52)).toBe(true);
    for (const [node, count] of held) forget(node, count);
    expect(session.snapshotNodes.size).toBe(0);
    expect(session.nodes.size).toBe(1);
    expect(errors).toEqual([]);
  });
});
