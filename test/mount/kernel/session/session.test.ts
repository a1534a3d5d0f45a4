/** The dispatcher on buffers, without a kernel. */

import { constants } from 'node:os';
import { beforeEach, describe, expect, test } from 'vitest';
import { PARTS } from '../../../../engine/stopwatch.js';
import { ContentAwaited } from '../../../../mount/filesystem/errno.js';
import { LISTED_CHANGED } from '../../../../mount/filesystem/types.js';
import { MountState } from '../../../../mount/kernel/device/mount-state.js';
import { EntryOut, Opcode } from '../../../../mount/kernel/protocol/protocol.js';
import { handle } from '../../../../mount/kernel/session/dispatch.js';
import { Session } from '../../../../mount/kernel/session/session.js';
import { MemoryFileSystem } from './memory-filesystem.js';

const { EBADF, EFBIG, EINVAL, EIO, ENODATA, ENOENT, ENOSPC, ENOSYS, EPROTO, ERANGE, ESTALE } =
  constants.errno;

let fileSystem: MemoryFileSystem;
let session: Session;
let logged: string[];
let ready: number;
let interrupted: number[][];
let makeRoom: () => boolean;

beforeEach(() => {
  fileSystem = new MemoryFileSystem();
  logged = [];
  ready = 0;
  interrupted = [];
  makeRoom = () => false;
  session = new Session(
    fileSystem,
    MountState.forNobody(),
    {
      log: (_level, message) => logged.push(message),
      ready: () => ready++,
      sync: () => false,
      makeRoom: () => makeRoom(),
      interrupted: (low, high) => interrupted.push([low, high]),
      backingFiles: undefined,
      invalidateAttributes: () => {},
    },
    { entryTimeout: 60, attributeTimeout: 60, negativeTimeout: 5 },
  );
});

type Part = string | Buffer;

function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) bytes.writeUInt32LE(value >>> 0, i * 4);
  return bytes;
}

function build(opcode: number, node: number, ...parts: Part[]): Buffer {
  const body = Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`) : part)),
  );
  return Buffer.concat([words(40 + body.length, opcode, 77, 0, node, 0, 1000, 100, 42, 0), body]);
}

/** Sends raw bytes; undefined: no reply. */
function send(bytes: Uint8Array): { error: number; body: Buffer } | undefined {
  session.request.bytes.set(bytes);
  const length = handle(session, bytes.length);
  if (length === 0) return undefined;
  const reply = Buffer.from(session.reply.bytes.subarray(0, length));
  expect(reply.readUInt32LE(0)).toBe(length);
  return { error: reply.readInt32LE(4), body: reply.subarray(16) };
}

function call(opcode: number, node: number, ...parts: Part[]) {
  const reply = send(build(opcode, node, ...parts));
  if (reply === undefined) throw new Error('There was no reply');
  return reply;
}

/** Makes a directory or file and returns its node. */
function make(opcode: number, parent: number, name: string): number {
  const structure = opcode === Opcode.MKDIR ? words(0o755, 0) : words(0o100644, 0, 0, 0);
  const reply = call(opcode, parent, structure, name);
  expect(reply.error).toBe(0);
  return reply.body.readUInt32LE(0);
}

function pathOf(node: number): string | number | undefined {
  const place = session.otherPlace(node);
  return typeof place === 'object' ? Buffer.from(place).toString() : place;
}

describe('INIT', () => {
  const NEEDED = (1 << 5) | (1 << 22) | (1 << 3);

  test('takes what it wants of what the kernel has', () => {
    const flags = NEEDED | (1 << 30) | (1 << 16);
    const { error, body } = call(Opcode.INIT, 0, words(7, 45, 131072, flags, 0xff, ...Array(11).fill(0)));
    expect(error).toBe(0);
    expect(body.length).toBe(64);
    expect([body.readUInt32LE(0), body.readUInt32LE(4), body.readUInt32LE(8)]).toEqual([7, 45, 131072]);
    expect(body.readUInt32LE(12)).toBe((NEEDED | (1 << 30)) >>> 0);
    expect(body.readUInt32LE(20)).toBe(1 << 20);
    expect(body.readUInt16LE(28)).toBe(256);
    expect(body.readUInt32LE(32)).toBe(1 << 6);
    expect(ready).toBe(1);
  });

  test('an older kernel sends the short form and gets no second flags', () => {
    const { error, body } = call(Opcode.INIT, 0, words(7, 31, 131072, NEEDED));
    expect(error).toBe(0);
    expect(body.readUInt32LE(32)).toBe(0);
  });

  test('a kernel that is too old is refused, a newer one is asked to come again', () => {
    expect(call(Opcode.INIT, 0, words(7, 30, 0, NEEDED)).error).toBe(-EPROTO);
    expect(call(Opcode.INIT, 0, words(8, 0, 0, NEEDED)).error).toBe(0);
    expect(ready).toBe(0);
  });
});

describe('names', () => {
  test('are in the figures by the time of the reply, on a mount that is never idle too', () => {
    const nodes = () => session.state.stats().nodes;
    const directory = make(Opcode.MKDIR, 1, 'd');
    expect(nodes()).toBe(2);
    const file = make(Opcode.CREATE, directory, 'f');
    expect(nodes()).toBe(3);
    expect(send(build(Opcode.FORGET, file, words(1, 0)))).toBe(undefined);
    expect(nodes()).toBe(2);
  });

  test('an absent name is node 0 with a validity', () => {
    const { error, body } = call(Opcode.LOOKUP, 1, 'nothing');
    expect(error).toBe(0);
    expect(body.length).toBe(EntryOut.SIZE);
    expect([body.readUInt32LE(EntryOut.NODEID), body.readUInt32LE(EntryOut.ENTRY_VALID)]).toEqual([0, 5]);
  });

  test('links, renames and removals keep the node and its place', () => {
    const directory = make(Opcode.MKDIR, 1, 'd');
    const file = make(Opcode.MKNOD, directory, 'f');
    expect(call(Opcode.LINK, 1, words(file, 0), 'g').body.readUInt32LE(0)).toBe(file);
    expect(session.nodes.lookups(file)).toBe(2);
    expect(call(Opcode.RENAME2, 1, words(1, 0, 0, 0), 'd', 'e').error).toBe(0);
    expect(call(Opcode.UNLINK, 1, 'g').error).toBe(0);
    expect(pathOf(file)).toBe('/e/f');
    const other = make(Opcode.MKNOD, 1, 'other');
    expect(call(Opcode.RENAME, 1, words(directory, 0), 'other', 'f').error).toBe(0);
    expect(pathOf(other)).toBe('/e/f');
    expect(pathOf(file)).toBe(file);
    expect(call(Opcode.GETATTR, file, words(0, 0, 0, 0)).error).toBe(0);
    expect(send(build(Opcode.BATCH_FORGET, 0, words(2, 0, file, 0, 2, 0, other, 0, 1, 0)))).toBeUndefined();
    expect(fileSystem.forgotten).toEqual([file, other]);
  });

  test('a file made without a name is held, and may get one', () => {
    const { error, body } = call(Opcode.TMPFILE, 1, words(0o2, 0o100600, 0, 0), '/');
    expect(error).toBe(0);
    expect(body.length).toBe(EntryOut.SIZE + 16);
    const file = body.readUInt32LE(EntryOut.NODEID);
    expect([session.nodes.lookups(file), pathOf(file)]).toEqual([1, file]);
    expect(call(Opcode.LINK, 1, words(file, 0), 'named').error).toBe(0);
    expect([session.nodes.lookups(file), pathOf(file)]).toEqual([2, '/named']);
    expect(send(build(Opcode.FORGET, file, words(2, 0)))).toBeUndefined();
    expect(fileSystem.forgotten).toEqual([file]);
  });

  test('two names exchanged are each other’s', () => {
    const directory = make(Opcode.MKDIR, 1, 'd');
    const inner = make(Opcode.MKNOD, directory, 'f');
    const outer = make(Opcode.MKNOD, 1, 'g');
    expect(call(Opcode.RENAME2, directory, words(1, 0, 2, 0), 'f', 'g').error).toBe(0);
    expect([pathOf(inner), pathOf(outer)]).toEqual(['/g', '/d/f']);
  });

  test('READDIRPLUS takes a lookup of each entry but the dots, and stops where the room ends', () => {
    const first = make(Opcode.MKNOD, 1, 'first');
    make(Opcode.MKNOD, 1, 'second');
    const handle = call(Opcode.OPENDIR, 1, words(0, 0)).body.readUInt32LE(0);
    const list = (room: number, from: number) =>
      call(Opcode.READDIRPLUS, 1, words(handle, 0, from, 0, room, 0, 0, 0, 0, 0)).body;
    const body = list(3 * 160, 0);
    expect(body.length).toBe(3 * 160);
    expect(body.readUInt32LE(0)).toBe(0);
    expect(body.readUInt32LE(320)).toBe(first);
    expect(body.subarray(320 + 152, 320 + 157).toString()).toBe('first');
    expect(session.nodes.lookups(first)).toBe(2);
    expect(list(160, 3).subarray(152, 158).toString()).toBe('second');
    expect(list(159, 3).length).toBe(0);
  });

  test('READDIRPLUS of another directory than the handle’s gives no node a name that it does not have', () => {
    const directory = make(Opcode.MKDIR, 1, 'd');
    const handle = call(Opcode.OPENDIR, 1, words(0, 0)).body.readUInt32LE(0);
    const list = call(Opcode.READDIRPLUS, directory, words(handle, 0, 0, 0, 4096, 0, 0, 0, 0, 0));
    expect(list.error).toBe(-EBADF);
    expect(pathOf(directory)).toBe('/d');
  });
});

test('a listing that the kernel must not keep ends with less than an entry', () => {
  const handle = call(Opcode.OPENDIR, 1, words(0, 0)).body.readUInt32LE(0);
  const list = () => call(Opcode.READDIR, 1, words(handle, 0, 2, 0, 4096, 0, 0, 0, 0, 0));
  expect(list()).toMatchObject({ error: 0, body: { length: 0 } });
  fileSystem.readdir = () => LISTED_CHANGED;
  expect(list()).toEqual({ error: 0, body: Buffer.alloc(8) });
  const short = call(Opcode.READDIR, 1, words(handle, 0, 2, 0, 4, 0, 0, 0, 0, 0));
  expect(short.body.length).toBe(4);
});

describe('contents and attributes', () => {
  test('what was written is read', () => {
    const created = call(Opcode.CREATE, 1, words(0, 0o100644, 0, 0), 'f');
    const handle = created.body.readUInt32LE(EntryOut.SIZE);
    const data = Buffer.from('some data');
    const written = call(Opcode.WRITE, 2, words(handle, 0, 0, 0, data.length, 0, 0, 0, 0, 0), data);
    expect(written.body.readUInt32LE(0)).toBe(data.length);
    expect(call(Opcode.READ, 2, words(handle, 0, 5, 0, 100, 0, 0, 0, 0, 0)).body.toString()).toBe('data');
    expect(call(Opcode.WRITE, 2, words(handle, 0, 0, 0, 10, 0, 0, 0, 0, 0), data).error).toBe(-EINVAL);
    expect(call(Opcode.FSYNC, 2, words(handle, 0, 0, 0)).error).toBe(0);
    expect(call(Opcode.RELEASE, 2, words(handle, 0, 0, 0, 0, 0)).error).toBe(0);
  });

  test('a file whose content cannot be passed through is not made', () => {
    session.passthrough.enable(true);
    fileSystem.backing = () => -ENOSPC;
    expect(call(Opcode.CREATE, 1, words(1, 0o100644, 0, 0), 'f').error).toBe(-ENOSPC);
    expect(call(Opcode.LOOKUP, 1, 'f').body.readUInt32LE(EntryOut.NODEID)).toBe(0);
    expect(call(Opcode.TMPFILE, 1, words(0o2, 0o100600, 0, 0), '/').error).toBe(-ENOSPC);
    expect(fileSystem.forgotten.length).toBe(2);
    expect(session.state.stats().openFiles).toBe(0);
  });

  test('a request that finds the disk full is served once more if that made room', () => {
    const node = make(Opcode.MKNOD, 1, 'f');
    const handleOf = (reply: { body: Buffer }) => reply.body.readUInt32LE(0);
    const opened = handleOf(call(Opcode.OPEN, node, words(1, 0)));
    const write = () =>
      call(Opcode.WRITE, node, words(opened, 0, 0, 0, 5, 0, 0, 0, 0, 0), Buffer.from('hello'));
    const real = fileSystem.write.bind(fileSystem);
    let free = 0;
    let tries = 0;
    fileSystem.write = (...args) => {
      tries++;
      return free > 0 ? real(...args) : -ENOSPC;
    };
    expect([write().error, tries]).toEqual([-ENOSPC, 1]);
    makeRoom = () => true;
    expect([write().error, tries]).toEqual([-ENOSPC, 3]);
    makeRoom = () => {
      free = 1;
      return true;
    };
    expect([write().error, tries]).toEqual([0, 5]);
    expect(Buffer.from(fileSystem.items.get('/f')!.data).toString()).toBe('hello');
  });

  test('extended attributes: a size of 0 asks for the length, a small one is ERANGE', () => {
    expect(call(Opcode.SETXATTR, 1, words(5, 0), 'user.a', Buffer.from('value')).error).toBe(0);
    expect(call(Opcode.GETXATTR, 1, words(0, 0), 'user.a').body.readUInt32LE(0)).toBe(5);
    expect(call(Opcode.GETXATTR, 1, words(5, 0), 'user.a').body.toString()).toBe('value');
    expect(call(Opcode.GETXATTR, 1, words(4, 0), 'user.a').error).toBe(-ERANGE);
    expect(call(Opcode.GETXATTR, 1, words(0, 0), 'user.b').error).toBe(-ENODATA);
    expect(call(Opcode.LISTXATTR, 1, words(64, 0)).body.toString()).toBe('user.a\0');
    expect(call(Opcode.REMOVEXATTR, 1, 'user.a').error).toBe(0);
    expect(call(Opcode.LISTXATTR, 1, words(64, 0)).body.length).toBe(0);
  });

  test('an access control list is no attribute like others; the longer structure tells who keeps sgid', () => {
    const lists: unknown[] = [];
    fileSystem.setAccessList = (_place, name, list, killsSetgid) => {
      lists.push([Buffer.from(name).toString(), Buffer.from(list).toString(), killsSetgid]);
      return 0;
    };
    const access = 'system.posix_acl_access';
    expect(call(Opcode.SETXATTR, 1, words(4, 0), access, Buffer.from('list')).error).toBe(0);
    const flags = (1 << 5) | (1 << 22) | (1 << 3) | (1 << 29) | (1 << 30);
    call(Opcode.INIT, 0, words(7, 45, 131072, flags, 0, ...Array(11).fill(0)));
    expect(call(Opcode.SETXATTR, 1, words(4, 0, 0, 0), access, Buffer.from('list')).error).toBe(0);
    expect(call(Opcode.SETXATTR, 1, words(4, 0, 1, 0), access, Buffer.from('list')).error).toBe(0);
    expect(lists).toEqual([
      [access, 'list', false],
      [access, 'list', false],
      [access, 'list', true],
    ]);
    expect(call(Opcode.SETXATTR, 1, words(5, 0, 0, 0), 'user.a', Buffer.from('value')).error).toBe(0);
    expect(call(Opcode.GETXATTR, 1, words(5, 0), 'user.a').body.toString()).toBe('value');
    expect(call(Opcode.SETXATTR, 1, words(5, 0)).error).toBe(-EINVAL);
  });

  test('ranges are copied and allocated, unless they are beyond what a number holds', () => {
    const created = call(Opcode.CREATE, 1, words(0, 0o100644, 0, 0), 'f');
    const handle = created.body.readUInt32LE(EntryOut.SIZE);
    const data = Buffer.from('some data');
    call(Opcode.WRITE, 2, words(handle, 0, 0, 0, data.length, 0, 0, 0, 0, 0), data);
    const copy = words(handle, 0, 5, 0, 2, 0, handle, 0, 0, 0, 4, 0, 0, 0);
    expect(call(Opcode.COPY_FILE_RANGE, 2, copy).body.readUInt32LE(0)).toBe(4);
    expect(call(Opcode.READ, 2, words(handle, 0, 0, 0, 100, 0, 0, 0, 0, 0)).body.toString()).toBe(
      'data data',
    );
    expect(call(Opcode.FALLOCATE, 2, words(handle, 0, 0, 0, 10, 0, 0, 0)).error).toBe(0);
    expect(call(Opcode.FALLOCATE, 2, words(handle, 0, 0, 1 << 30, 10, 0, 0, 0)).error).toBe(-EFBIG);
    const far = words(handle, 0, 5, 0, 2, 0, handle, 0, 0, 1 << 30, 4, 0, 0, 0);
    expect(call(Opcode.COPY_FILE_RANGE, 2, far).error).toBe(-EFBIG);
  });
});

describe('what may wait', () => {
  const open = () => call(Opcode.CREATE, 1, words(0, 0o100644, 0, 0), 'f').body.readUInt32LE(EntryOut.SIZE);
  let released: number[];
  beforeEach(() => {
    released = [];
    const release = fileSystem.release.bind(fileSystem);
    fileSystem.release = (handle) => {
      released.push(handle);
      return release(handle);
    };
  });

  test('a release is answered at once, and done when there is time, or before an open', () => {
    const handle = open();
    expect(call(Opcode.RELEASE, 2, words(handle, 0, 0, 0, 0, 0)).error).toBe(0);
    expect([released, session.state.stats().openFiles]).toEqual([[], 1]);
    expect([session.work(), session.work()]).toEqual([true, false]);
    expect([released, session.state.stats().openFiles]).toEqual([[handle], 0]);
    const again = call(Opcode.OPEN, 2, words(0, 0)).body.readUInt32LE(0);
    call(Opcode.RELEASE, 2, words(again, 0, 0, 0, 0, 0));
    call(Opcode.OPEN, 2, words(0, 0));
    expect(released).toEqual([handle, again]);
  });

  test('no more than a few releases wait', () => {
    const made = call(Opcode.LOOKUP, 1, 'f').body.readUInt32LE(0) || make(Opcode.MKNOD, 1, 'f');
    const handles = Array.from({ length: 40 }, () =>
      call(Opcode.OPEN, made, words(0, 0)).body.readUInt32LE(0),
    );
    for (const handle of handles) session.putOffRelease(handle);
    expect(released.length).toBe(24);
    while (session.work());
    expect(released).toEqual(handles);
  });

  test('a handle is released once, also where it waits for its end when it is named again', () => {
    const handle = open();
    expect(call(Opcode.RELEASE, 2, words(handle, 0, 0, 0, 0, 0)).error).toBe(0);
    expect(call(Opcode.RELEASE, 2, words(handle, 0, 0, 0, 0, 0)).error).toBe(-EBADF);
    expect(call(Opcode.RELEASE, 2, words(handle + 9, 0, 0, 0, 0, 0)).error).toBe(-EBADF);
    while (session.work());
    expect(released).toEqual([handle]);
  });

  test('the filesystem layer gets time also when requests never end, and what it cannot do is told once', () => {
    let times = 0;
    fileSystem.rest = () => {
      times++;
      if (times > 1) throw new Error('no space');
      return false;
    };
    for (let i = 0; i < 1024; i++) call(Opcode.GETATTR, 1, words(0, 0, 0, 0));
    expect(times).toBe(4);
    expect(logged.filter((line) => line.includes('no space')).length).toBe(1);
  });
});

describe('what should not be', () => {
  test('unknown opcodes are ENOSYS, unknown nodes ESTALE, short requests EINVAL, less than a header nothing', () => {
    expect(call(49, 1).error).toBe(-ENOSYS);
    expect(call(0xffff_ffff, 1).error).toBe(-ENOSYS);
    expect(call(Opcode.GETATTR, 99, words(0, 0, 0, 0)).error).toBe(-ESTALE);
    expect(call(Opcode.MKDIR, 1, words(0)).error).toBe(-EINVAL);
    expect(send(Buffer.alloc(39))).toBeUndefined();
    expect(send(build(Opcode.FORGET, 5))).toBeUndefined();
  });

  test('an interrupt is passed on, and not answered', () => {
    expect(send(build(Opcode.INTERRUPT, 0, words(7, 1)))).toBeUndefined();
    expect(send(build(Opcode.INTERRUPT, 0))).toBeUndefined();
    expect(interrupted).toEqual([[7, 1]]);
  });

  test('an exception is EIO, is logged and counted, and the next request is served', () => {
    fileSystem.lookup = () => {
      throw new Error('the disk is on fire');
    };
    expect(call(Opcode.LOOKUP, 1, 'x').error).toBe(-EIO);
    expect(logged).toEqual(['Cannot serve LOOKUP: Error: the disk is on fire']);
    expect(session.state.stats()).toMatchObject({ requests: 1, errors: 1, operations: { lookup: 1 } });
    fileSystem.lookup = () => -ENOENT;
    expect(call(Opcode.LOOKUP, 1, 'x').error).toBe(0);
  });

  test('errors are counted by name, and a refused change is told until one of its kind is made', () => {
    const { state } = session;
    const mkdir = () => call(Opcode.MKDIR, 1, words(0o755, 0), 'd').error;
    const { mkdir: make } = fileSystem;
    call(Opcode.GETXATTR, 1, words(0, 0), 'user.absent');
    fileSystem.mkdir = () => -ENOSPC;
    expect([mkdir(), mkdir()]).toEqual([-ENOSPC, -ENOSPC]);
    expect(state.stats().errorsByName).toEqual({ ENODATA: 1, ENOSPC: 2 });
    expect(state.stats().errors).toBe(0);
    expect(state.refused()).toMatchObject([{ operation: 'MKDIR', error: 'ENOSPC', count: 2 }]);
    call(Opcode.STATFS, 1);
    expect(state.refused()).toHaveLength(1);
    const times = new Float64Array(PARTS);
    state.syncAnswered(Opcode.FSYNC, -EIO, times);
    expect(state.refused().map(({ operation }) => operation)).toEqual(['MKDIR', 'FSYNC']);
    fileSystem.mkdir = make.bind(fileSystem);
    expect(mkdir()).toBe(0);
    state.syncAnswered(Opcode.FSYNC, 0, times);
    expect(state.refused()).toEqual([]);
    // An answer to what was asked is no refusal.
    expect(mkdir()).toBeLessThan(0);
    expect(state.refused()).toEqual([]);
  });

  test('mutated requests never throw, and never confuse the node table', () => {
    let seed = 12345;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const opcodes = Object.values(Opcode);
    const names = ['a', 'b', 'c'];
    for (let i = 0; i < 20_000; i++) {
      const structure = words(...Array.from({ length: random(24) }, () => random(6)));
      const tail: Part[] = [names[random(3)]!, names[random(3)]!].slice(random(3));
      const request = build(opcodes[random(opcodes.length)]!, 1 + random(8), structure, ...tail);
      for (let flips = random(3); flips > 0; flips--) request[random(request.length)] = random(256);
      send(request.subarray(0, random(8) === 0 ? random(request.length) : request.length));
    }
    expect(
      logged.filter(
        (message) => !message.startsWith('Cannot serve the kernel') && !message.startsWith('The kernel'),
      ),
    ).toEqual([]);
    for (const [path, item] of fileSystem.items) {
      const place = session.otherPlace(item.ino);
      if (path !== '' && item.links === 1 && typeof place === 'object')
        expect(Buffer.from(place).toString('latin1')).toBe(path);
    }
  });
});

test('a request that must wait for a content is put aside, and served from its beginning later', () => {
  const node = make(Opcode.MKNOD, 1, 'file');
  const open = fileSystem.open.bind(fileSystem);
  let isThere = false;
  fileSystem.open = (...args: Parameters<typeof open>) => {
    if (!isThere) throw new ContentAwaited();
    return open(...args);
  };
  const request = build(Opcode.OPEN, node, words(1, 0));
  expect(send(request)).toBe(undefined);
  expect(call(Opcode.GETATTR, node, words(0, 0, 0, 0)).error).toBe(0);
  const again = session.takeParked();
  expect(again.map(({ bytes }) => Buffer.from(bytes))).toEqual([request]);
  expect(session.takeParked()).toEqual([]);
  expect(send(again[0]!.bytes)).toBe(undefined);
  isThere = true;
  expect(send(session.takeParked()[0]!.bytes)!.error).toBe(0);
  expect([session.takeParked(), logged]).toEqual([[], []]);
});
