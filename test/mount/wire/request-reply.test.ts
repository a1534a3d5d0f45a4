/** The wire format on annotated bytes (little-endian hosts, as all that Spinney runs on are). */
import { describe, expect, test } from 'vitest';
import type { Attributes } from '../../../mount/filesystem/types.js';
import { AttrOut, EntryOut, MkdirIn, StatxOut } from '../../../mount/kernel/protocol/protocol.js';
import { Reply, Timeout } from '../../../mount/kernel/protocol/reply.js';
import { Request } from '../../../mount/kernel/protocol/request.js';
import { ReusableBytes } from '../../../mount/kernel/protocol/reusable-bytes.js';

/** Bytes from hex, where `#` begins a comment. */
function hex(text: string): Buffer {
  return Buffer.from(text.replace(/#.*$/gm, '').replace(/\s+/g, ''), 'hex');
}

const MKDIR = hex(`
  37000000                  # length 55
  09000000                  # opcode MKDIR
  0200000001000000          # unique 0x1_0000_0002
  0500000000000000          # node 5
  e8030000 64000000 2a000000 # uid 1000, gid 100, pid 42
  0000 0000                 # no extensions, padding
  ed410000 12000000         # mode 0o40755, umask 0o22
  6e65772064697200          # "new dir"
`).subarray(0, 56);

function load(bytes: Uint8Array): Request {
  const request = new Request(4096);
  request.bytes.fill(0xff);
  request.bytes.set(bytes);
  request.begin(bytes.length);
  return request;
}

const attributes: Attributes = {
  ino: 0x1_0000_0007,
  mode: 0o100644,
  nlink: 2,
  uid: 1000,
  gid: 100,
  rdev: 0,
  size: 2 ** 40 + 1,
  blocks: 8,
  atimeSeconds: -1,
  atimeNanos: 1,
  mtimeSeconds: 5,
  mtimeNanos: 2,
  ctimeSeconds: 6,
  ctimeNanos: 3,
  btimeSeconds: 7,
  btimeNanos: 4,
  live: false,
  changesUnseen: false,
};

describe('Request', () => {
  test('reads header, structure and name', () => {
    const bytes = Buffer.from(MKDIR);
    bytes.writeUInt32LE(56, 0);
    const request = load(bytes);
    expect(request.holds(MkdirIn.SIZE)).toBe(true);
    expect(request.opcode).toBe(9);
    expect([request.uniqueLow, request.uniqueHigh]).toEqual([2, 1]);
    expect([request.node, request.uid, request.gid, request.pid]).toEqual([5, 1000, 100, 42]);
    expect(request.u32(MkdirIn.MODE)).toBe(0o40755);
    expect(request.u32(MkdirIn.UMASK)).toBe(0o22);
    request.skip(MkdirIn.SIZE);
    const name = request.name(new ReusableBytes(4));
    expect(Buffer.from(name!).toString()).toBe('new dir');
  });

  test('a length that disagrees with what was read, or is short, does not hold', () => {
    expect(load(MKDIR).holds(MkdirIn.SIZE)).toBe(false);
    const short = Buffer.from(MKDIR.subarray(0, 44));
    short.writeUInt32LE(44, 0);
    expect(load(short).holds(MkdirIn.SIZE)).toBe(false);
    expect(load(short).holds(4)).toBe(true);
    expect(new Request(64).begin(39)).toBe(false);
  });

  test.each([
    ['without an end', 'name', undefined],
    ['empty', '\0', undefined],
    ['dot', '.\0', undefined],
    ['dot dot', '..\0', undefined],
    ['with a slash', 'a/b\0', undefined],
    ['three dots', '...\0', '...'],
    ['of 255 bytes', `${'x'.repeat(255)}\0`, 'x'.repeat(255)],
  ])('a name %s', (_what, text, expected) => {
    const request = load(Buffer.concat([Buffer.alloc(40), Buffer.from(text)]));
    request.skip(0);
    const name = request.name(new ReusableBytes(8));
    expect(name && Buffer.from(name).toString()).toBe(expected);
  });

  test('reads negative seconds, and data only where all of them are there', () => {
    const request = load(Buffer.concat([Buffer.alloc(40), Buffer.alloc(8, 0xff), Buffer.from('abcd')]));
    expect(request.s64(0)).toBe(-1);
    request.skip(8);
    expect(request.data(4)).toBe(48);
    expect(request.data(5)).toBe(-1);
  });
});

describe('Reply', () => {
  test('an error is a header', () => {
    const reply = new Reply(64);
    const length = reply.finish(2, 1, -2, 0);
    expect(Buffer.from(reply.bytes.subarray(0, length))).toEqual(
      hex('10000000 feffffff 0200000001000000 # length 16, error -2, unique'),
    );
  });

  test('an entry', () => {
    const reply = new Reply(256);
    reply.bytes.fill(0xee);
    reply.entry(0, attributes, new Timeout(1.5), new Timeout(60));
    const body = Buffer.from(reply.bytes.subarray(Reply.BODY, Reply.BODY + EntryOut.SIZE));
    expect(body).toEqual(
      hex(`
        0700000001000000 0000000000000000  # node, generation
        0100000000000000 3c00000000000000  # entry and attributes valid, seconds
        0065cd1d 00000000                  # the same, nanoseconds
        0700000001000000                   # attr: ino
        0100000000010000 0800000000000000  # size, blocks
        ffffffffffffffff 0500000000000000 0600000000000000 # atime, mtime, ctime
        01000000 02000000 03000000         # their nanoseconds
        a4810000 02000000 e8030000 64000000 # mode, nlink, uid, gid
        00000000 00100000 00000000         # rdev, block size, flags
      `),
    );
  });

  test('attributes and statx overwrite all that an earlier reply left', () => {
    const reply = new Reply(512);
    reply.bytes.fill(0xee);
    reply.attrOut(attributes, Timeout.NONE);
    expect(reply.bytes.subarray(Reply.BODY, Reply.BODY + AttrOut.SIZE).includes(0xee)).toBe(false);
    reply.bytes.fill(0xee);
    reply.statxOut({ ...attributes, rdev: 0x12300445 }, Timeout.NONE);
    const body = Buffer.from(reply.bytes.subarray(Reply.BODY, Reply.BODY + StatxOut.SIZE));
    expect(body.includes(0xee)).toBe(false);
    expect(body.readBigInt64LE(StatxOut.BTIME)).toBe(7n);
    expect(body.readUInt32LE(StatxOut.BTIME + 8)).toBe(4);
    expect([body.readUInt32LE(StatxOut.RDEV_MAJOR), body.readUInt32LE(StatxOut.RDEV_MINOR)]).toEqual([
      0x4, 0x12345,
    ]);
  });
});
