/** What the request log has of requests, on buffers, without a kernel. */
import { constants } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ContentAwaited } from '../../../../mount/filesystem/errno.js';
import { MountState } from '../../../../mount/kernel/device/mount-state.js';
import { Opcode } from '../../../../mount/kernel/protocol/protocol.js';
import { handle } from '../../../../mount/kernel/session/dispatch.js';
import { Session } from '../../../../mount/kernel/session/session.js';
import { OPERATION_NAMES } from '../../../../mount/kernel/session/session-log.js';
import { type Entry, NO_PATH } from '../../../../mount/request-log/entry.js';
import { RequestLogMemory } from '../../../../mount/request-log/memory.js';
import { type Listener, RequestLog } from '../../../../mount/request-log/reader.js';
import { monotonic } from '../../../../mount/requests/request-failures.js';
import { Fixture } from '../../../filesystem/fixture.js';

const { EEXIST, EINVAL, EIO, ENOENT, ENOSYS, ESTALE, EXDEV } = constants.errno;
const ROOT = 1;
/** All that a test has written is before. */
const LATER = Number.POSITIVE_INFINITY;
const ALL = { micros: 0, operations: undefined, path: undefined, uid: undefined };
/** Longer than what is slow. */
const SLOW_MS = 12;

let f: Fixture;
let session: Session;
let log: RequestLog;

beforeEach(() => {
  f = new Fixture(undefined, { snapshotDirectory: '.snap' });
  const memory = new RequestLogMemory();
  log = new RequestLog(memory, { operations: OPERATION_NAMES, tellsCaller: true });
  session = new Session(
    f.fs,
    new MountState({ ...MountState.forNobody().memory, requestLog: memory.shared }),
    {
      log: () => {},
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

const long = (value: number): [number, number] => [value % 2 ** 32, Math.floor(value / 2 ** 32)];

/** Has the session serve a request: numbers are words, texts are names. Returns the node in its reply. */
function send(opcode: number, node: number, ...parts: (number | string | Buffer)[]): number {
  const body = Buffer.concat(
    parts.map((part) => {
      if (typeof part === 'number') return Buffer.from(new Uint32Array([part]).buffer);
      return Buffer.concat([Buffer.from(part), Buffer.of(0)]);
    }),
  );
  const words = new Uint32Array([40 + body.length, opcode, 7, 0, ...long(node), 1000, 100, 42, 0]);
  session.request.bytes.set(Buffer.from(words.buffer));
  session.request.bytes.set(body, 40);
  if (handle(session, 40 + body.length) < 24) return 0;
  const reply = Buffer.from(session.reply.bytes.buffer, 16, 8);
  return reply.readUInt32LE(0) + reply.readUInt32LE(4) * 2 ** 32;
}

const mkdir = (parent: number, name: string | Buffer) => send(Opcode.MKDIR, parent, 0o755, 0, name);
const mknod = (parent: number, name: string) => send(Opcode.MKNOD, parent, 0o100644, 0, 0, 0, name);

type Seen = [operation: string, path: string | undefined, to: string | undefined, result: number];

function text(path: Buffer, kept: number, length: number): string | undefined {
  return length === NO_PATH ? undefined : path.toString('latin1', 0, kept);
}

function seen(listener: Listener): Seen[] {
  const found: Seen[] = [];
  listener.take(LATER, 1000, (entry) => {
    expect([entry.uid, entry.pid]).toEqual([1000, 42]);
    found.push([
      OPERATION_NAMES[entry.operation] ?? String(entry.operation),
      text(entry.path, entry.pathKept, entry.pathLength),
      text(entry.to, entry.toKept, entry.toLength),
      entry.result,
    ]);
  });
  return found;
}

type Slow = Pick<Entry, 'begun' | 'microseconds' | 'result' | 'pathLength' | 'parts'>;

function slow(): Slow[] {
  const found: Slow[] = [];
  log.slow(ALL, ({ begun, microseconds, result, pathLength, parts }) =>
    found.push({ begun, microseconds, result, pathLength, parts: parts.slice() }),
  );
  return found;
}

/** Takes as long, as a disk may. */
function dawdle(): void {
  const until = performance.now() + SLOW_MS;
  while (performance.now() < until);
}

describe('the log of a session', () => {
  it('has the paths that a request is about', () => {
    const listener = log.listen(ALL);
    const d = mkdir(ROOT, 'd');
    const file = mknod(d, 'f');
    send(Opcode.LOOKUP, d, 'absent');
    send(Opcode.LINK, ROOT, ...long(file), 'hard');
    send(Opcode.SYMLINK, d, 'sym', 'where it points');
    send(Opcode.RENAME, d, ...long(ROOT), 'f', 'g');
    send(Opcode.RENAME2, ROOT, ...long(d), 1, 0, 'g', 'sym');
    send(Opcode.SETXATTR, file, 1, 0, 'user.name', 'v');
    send(Opcode.GETATTR, ROOT, 0, 0, 0, 0);
    send(Opcode.COPY_FILE_RANGE, file, 0, 0, 0, 0, ...long(d), 0, 0, 0, 0, 0, 0, 0, 0);
    send(Opcode.UNLINK, ROOT, 'hard');
    send(Opcode.RMDIR, ROOT, 'd');
    send(Opcode.STATFS, ROOT);
    send(Opcode.FORGET, file, 1, 0);
    expect(seen(listener)).toEqual([
      ['mkdir', '/d', undefined, 0],
      ['mknod', '/d/f', undefined, 0],
      ['lookup', '/d/absent', undefined, ENOENT],
      ['link', '/d/f', '/hard', 0],
      ['symlink', '/d/sym', undefined, 0],
      ['rename', '/d/f', '/g', 0],
      ['rename', '/g', '/d/sym', EEXIST],
      ['setxattr', expect.stringMatching(/^\/(g|hard)$/), undefined, 0],
      ['getattr', '', undefined, 0],
      ['copy_file_range', expect.any(String), '/d', expect.any(Number)],
      ['unlink', '/hard', undefined, 0],
      ['rmdir', '/d', undefined, constants.errno.ENOTEMPTY],
      ['statfs', '', undefined, 0],
      ['forget', '/g', undefined, 0],
    ]);
  });

  it('has what is in snapshots by where people find it', () => {
    const d = mkdir(ROOT, 'd');
    mkdir(d, 'e');
    f.fs.snapshots.take('monday');
    const listener = log.listen(ALL);
    const directory = send(Opcode.LOOKUP, d, '.snap');
    const monday = send(Opcode.LOOKUP, directory, 'monday');
    const e = send(Opcode.LOOKUP, monday, 'e');
    send(Opcode.GETATTR, e, 0, 0, 0, 0);
    send(Opcode.RENAME2, e, ...long(d), 0, 0, 'x', 'y');
    send(Opcode.GETATTR, directory, 0, 0, 0, 0);
    expect(seen(listener)).toEqual([
      ['lookup', '/d/.snap', undefined, 0],
      ['lookup', '/d/.snap/monday', undefined, 0],
      ['lookup', '/d/.snap/monday/e', undefined, 0],
      ['getattr', '/d/.snap/monday/e', undefined, 0],
      ['rename', '/d/.snap/monday/e/x', '/d/y', EXDEV],
      ['getattr', '/d/.snap', undefined, 0],
    ]);
  });

  it('has names byte by byte, and long ones by their beginnings', () => {
    const listener = log.listen(ALL);
    let at = mkdir(ROOT, Buffer.from('caf\xe9', 'latin1'));
    for (let depth = 0; depth < 4; depth++) at = mkdir(at, 'n'.repeat(200));
    const paths = seen(listener).map(([, path]) => path);
    expect(paths[0]).toBe('/caf\xe9');
    expect(paths[1]).toBe(`/caf\xe9/${'n'.repeat(200)}`);
    expect(paths[4]).toBe(`/caf\xe9${`/${'n'.repeat(200)}`.repeat(4)}`.slice(0, 440));
  });

  it('has the number of what has no path, and requests that are no good', () => {
    const d = mkdir(ROOT, 'd');
    send(Opcode.RMDIR, ROOT, 'd');
    const listener = log.listen(ALL);
    send(Opcode.GETATTR, d, 0, 0, 0, 0);
    send(Opcode.GETATTR, 4711, 0, 0, 0, 0);
    send(Opcode.LOOKUP, ROOT, 'a/b');
    send(63, ROOT);
    send(Opcode.MKDIR, ROOT);
    send(Opcode.LINK, ROOT, ...long(4711), 'x');
    const inos: number[] = [];
    const found: Seen[] = [];
    listener.take(LATER, 100, (entry) => {
      inos.push(entry.ino);
      found.push([
        OPERATION_NAMES[entry.operation] ?? String(entry.operation),
        text(entry.path, entry.pathKept, entry.pathLength),
        text(entry.to, entry.toKept, entry.toLength),
        entry.result,
      ]);
    });
    expect(inos.slice(0, 2)).toEqual([d, 4711]);
    expect(found).toEqual([
      ['getattr', undefined, undefined, 0],
      ['getattr', undefined, undefined, ESTALE],
      ['lookup', '/a/b', undefined, EINVAL],
      ['63', '', undefined, ENOSYS],
      ['mkdir', '', undefined, EINVAL],
      ['link', undefined, '/x', ESTALE],
    ]);
  });

  it('writes nothing while nobody listens', () => {
    const listener = log.listen(ALL);
    mkdir(ROOT, 'a');
    listener.end();
    const { written } = log.figures();
    expect(written).toBe(1);
    for (let i = 0; i < 1000; i++) send(Opcode.LOOKUP, ROOT, 'a');
    expect(log.figures()).toEqual({ listeners: 0, written });
  });

  it('has one entry of a request that was put aside, with all of its time', () => {
    const listener = log.listen(ALL);
    let waits = true;
    const original = f.fs.getattr.bind(f.fs);
    f.fs.getattr = (...args) => {
      if (waits) throw new ContentAwaited();
      return original(...args);
    };
    send(Opcode.GETATTR, ROOT, 0, 0, 0, 0);
    expect(seen(listener)).toEqual([]);
    dawdle();
    waits = false;
    const [parked] = session.takeParked();
    session.request.bytes.set(parked!.bytes);
    handle(session, parked!.bytes.length, parked!.arrived);
    expect(seen(listener)).toEqual([['getattr', '', undefined, 0]]);
    const [entry] = slow();
    expect(entry!.microseconds).toBeGreaterThanOrEqual(SLOW_MS * 1000);
    expect(entry!.parts[1]).toBeGreaterThanOrEqual(SLOW_MS * 1000);
  });

  it('keeps slow requests though nobody listens, and what they failed with', () => {
    const original = f.fs.lookup.bind(f.fs);
    f.fs.lookup = (parent, name, out) => {
      dawdle();
      if (Buffer.from(name).toString() === 'broken') throw new Error('broken');
      return original(parent, name, out);
    };
    send(Opcode.LOOKUP, ROOT, 'broken');
    send(Opcode.LOOKUP, ROOT, 'absent');
    send(Opcode.GETATTR, ROOT, 0, 0, 0, 0);
    expect(slow().map(({ result, pathLength }) => [result, pathLength])).toEqual([
      [EIO, '/broken'.length],
      [ENOENT, '/absent'.length],
    ]);
    for (const { microseconds, parts, begun } of slow()) {
      expect(microseconds).toBeGreaterThanOrEqual(SLOW_MS * 1000);
      expect(Math.abs(parts.reduce((sum, part) => sum + part) - microseconds)).toBeLessThan(5);
      expect(begun).toBeLessThanOrEqual(monotonic() - SLOW_MS);
    }
  });
});
