/** What the dispatcher tells of the requests that it serves, and of how long they took. */
import { constants } from 'node:os';
import { beforeEach, expect, test } from 'vitest';
import { Part, stopwatch } from '../../../../engine/stopwatch.js';
import { ContentAwaited } from '../../../../mount/filesystem/errno.js';
import { MountState } from '../../../../mount/kernel/device/mount-state.js';
import { Opcode } from '../../../../mount/kernel/protocol/protocol.js';
import { handle } from '../../../../mount/kernel/session/dispatch.js';
import { Session } from '../../../../mount/kernel/session/session.js';
import { MemoryFileSystem } from '../session/memory-filesystem.js';

const { ENOENT, ENOSYS, ESTALE } = constants.errno;
const ROOT = 1;

let fileSystem: MemoryFileSystem;
let session: Session;
let state: MountState;

beforeEach(() => {
  fileSystem = new MemoryFileSystem();
  state = MountState.forNobody();
  const services = {
    log: () => {},
    ready: () => {},
    sync: () => false,
    makeRoom: () => false,
    interrupted: () => {},
    backingFiles: undefined,
    invalidateAttributes: () => {},
  };
  session = new Session(fileSystem, state, services, {
    entryTimeout: 0,
    attributeTimeout: 0,
    negativeTimeout: 0,
  });
});

function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [at, value] of values.entries()) bytes.writeUInt32LE(value, at * 4);
  return bytes;
}

function build(opcode: number, node: number, ...parts: (string | Buffer)[]): Buffer {
  const body = Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`) : part)),
  );
  return Buffer.concat([words(40 + body.length, opcode, 77, 0, node, 0, 1000, 100, 42, 0), body]);
}

/** The reply's error; undefined: there is none. */
function send(request: Uint8Array, arrived?: number): number | undefined {
  session.request.bytes.set(request);
  const length = handle(session, request.length, arrived);
  return length === 0 ? undefined : Buffer.from(session.reply.bytes).readInt32LE(4);
}

/** Makes a file, and returns its node. */
function makeFile(): number {
  expect(send(build(Opcode.MKNOD, ROOT, words(0o100644, 0, 0, 0), 'file'))).toBe(0);
  return Number(Buffer.from(session.reply.bytes).readBigUInt64LE(16));
}

/** Holds up the thread. */
function pause(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

test('an operation that takes long is in a bucket above that, and what it waited for is told apart', () => {
  const node = makeFile();
  const getattr = fileSystem.getattr.bind(fileSystem);
  fileSystem.getattr = (...args: Parameters<typeof getattr>) => {
    pause(2);
    const before = stopwatch.turn(Part.BELOW);
    pause(5);
    stopwatch.turn(before);
    return getattr(...args);
  };
  expect(send(build(Opcode.GETATTR, node, words(0, 0, 0, 0)))).toBe(0);
  const { getattr: figures, mknod } = state.stats().latency;
  expect(figures).toMatchObject({ count: 1, errors: {} });
  expect(figures!.buckets[0]![0]).toBeGreaterThanOrEqual(7000);
  expect(figures!.micros.tree).toBeGreaterThanOrEqual(2000);
  expect(figures!.micros.below).toBeGreaterThanOrEqual(5000);
  expect(mknod!.micros.below).toBe(0);
});

test('a request that is put aside is one, and waits from when it came', () => {
  const node = makeFile();
  const open = fileSystem.open.bind(fileSystem);
  fileSystem.open = () => {
    throw new ContentAwaited();
  };
  const request = build(Opcode.OPEN, node, words(1, 0));
  expect(send(request)).toBe(undefined);
  expect([state.stats().putAside, state.stats().latency.open]).toEqual([1, undefined]);
  fileSystem.open = open;
  const [parked] = session.takeParked();
  pause(3);
  expect(send(parked!.bytes, parked!.arrived)).toBe(0);
  const { putAside, latency, operations } = state.stats();
  expect([putAside, operations.open, latency.open!.count]).toEqual([0, 1, 1]);
  expect(latency.open!.micros.waiting).toBeGreaterThanOrEqual(3000);
  expect(latency.open!.sumMicros).toBeGreaterThanOrEqual(latency.open!.micros.waiting);
});

test('errors are counted by operation and errno, also of operations that nobody serves', () => {
  for (let at = 0; at < 3; at++) expect(send(build(Opcode.UNLINK, ROOT, 'absent'))).toBe(-ENOENT);
  expect(send(build(Opcode.GETATTR, 99, words(0, 0, 0, 0)))).toBe(-ESTALE);
  expect(send(build(39, ROOT, words(0)))).toBe(-ENOSYS);
  expect(send(build(Opcode.FORGET, ROOT, words(0, 0)))).toBe(undefined);
  expect(send(build(1000, ROOT, words(0)))).toBe(-ENOSYS);
  const { latency, errorsByName } = state.stats();
  const errors = Object.fromEntries(Object.entries(latency).map(([name, figures]) => [name, figures.errors]));
  expect(errors).toEqual({
    unlink: { ENOENT: 3 },
    getattr: { ESTALE: 1 },
    ioctl: { ENOSYS: 1 },
    forget: {},
    opcode_0: { ENOSYS: 1 },
  });
  expect(errorsByName).toEqual({ ENOENT: 3, ESTALE: 1, ENOSYS: 2 });
});

test('nothing is timed where that is off', () => {
  state.memory.isTiming = false;
  expect(send(build(Opcode.UNLINK, ROOT, 'absent'))).toBe(-ENOENT);
  expect(state.stats()).toMatchObject({
    operations: { unlink: 1 },
    latency: {},
    errorsByName: { ENOENT: 1 },
  });
});
