/**
 * A disk that remembers all that was done to it: device-recorder.mjs MOUNTPOINT IMAGE LOG
 *
 * Serves, through FUSE, the file `disk`, which a loop device is to be made of, and `marks`. Each write of the device and each
 * of its flushes goes into the log in the order in which they are done, and so does what is written to `marks`: an
 * acknowledgement that is marked there stands behind all that it rests on. One thread, one request after the other.
 *
 * The log is a sequence of { u32 kind, u32 length, f64 position, `length` bytes }, little-endian.
 */
import { fstatSync, openSync, readSync, writeSync, writevSync } from 'node:fs';
import { constants } from 'node:os';
import {
  AttrOut,
  BUFFER_SIZE,
  EntryOut,
  InHeader,
  InitFlag,
  InitOut,
  MAX_TRANSFER,
  MAX_TRANSFER_PAGES,
  Opcode,
  OpenOut,
  OutHeader,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
  ReadIn,
  ROOT_NODE,
  StatfsOut,
  WriteIn,
  WriteOut,
} from '../../../../dist/mount/kernel/protocol/protocol.js';
import { NO_REPLY, Reply, Timeout } from '../../../../dist/mount/kernel/protocol/reply.js';
import { Request } from '../../../../dist/mount/kernel/protocol/request.js';
import * as libc from '../../../../dist/mount/libc/libc.js';

const { EINTR, ENODEV, ENOENT, ENOSYS } = constants.errno;
const DISK_NODE = 2;
const MARKS_NODE = 3;
const NODES = { disk: DISK_NODE, marks: MARKS_NODE };
/** Kinds of what is in the log. */
const WRITE = 1;
const FLUSH = 2;
const MARK = 3;
/** fuse_open_out.open_flags: each write is a request of its own. */
const DIRECT_IO = 1;
const ALWAYS = new Timeout(3600);

const [mountpoint, imagePath, logPath] = process.argv.slice(2);
const image = openSync(imagePath, 'r+');
const { size } = fstatSync(image);
const log = openSync(logPath, 'w');
const request = new Request(BUFFER_SIZE);
const reply = new Reply(BUFFER_SIZE);

function record(kind, position, data) {
  const head = Buffer.alloc(16);
  head.writeUInt32LE(kind, 0);
  head.writeUInt32LE(data.length, 4);
  head.writeDoubleLE(position, 8);
  writevSync(log, [head, data]);
}

function attributesOf(ino) {
  const isRoot = ino === ROOT_NODE;
  const times = {
    atimeSeconds: 0,
    mtimeSeconds: 0,
    ctimeSeconds: 0,
    atimeNanos: 0,
    mtimeNanos: 0,
    ctimeNanos: 0,
  };
  const mode = isRoot ? 0o040700 : 0o100600;
  const bytes = ino === DISK_NODE ? size : 0;
  return { ...times, ino, mode, size: bytes, blocks: bytes / 512, nlink: 1, uid: 0, gid: 0, rdev: 0 };
}

/** Each returns the length of the reply's body, a negative errno, or NO_REPLY. */
const OPERATIONS = {
  [Opcode.INIT]() {
    reply.clear(InitOut.SIZE);
    reply.u32(InitOut.MAJOR, PROTOCOL_MAJOR);
    reply.u32(InitOut.MINOR, PROTOCOL_MINOR);
    reply.u32(InitOut.MAX_READAHEAD, MAX_TRANSFER);
    reply.u32(InitOut.FLAGS, InitFlag.ASYNC_READ | InitFlag.BIG_WRITES | InitFlag.MAX_PAGES);
    reply.u32(InitOut.MAX_BACKGROUND, 16 | (12 << 16));
    reply.u32(InitOut.MAX_WRITE, MAX_TRANSFER);
    reply.u32(InitOut.TIME_GRANULARITY, 1);
    reply.u32(InitOut.MAX_PAGES, MAX_TRANSFER_PAGES);
    return InitOut.SIZE;
  },
  [Opcode.LOOKUP](length) {
    const node = NODES[Buffer.from(request.bytes.subarray(InHeader.SIZE, length - 1)).toString()];
    if (node === undefined) return -ENOENT;
    reply.entry(0, attributesOf(node), ALWAYS, ALWAYS);
    return EntryOut.SIZE;
  },
  [Opcode.GETATTR]() {
    reply.attrOut(attributesOf(request.node), ALWAYS);
    return AttrOut.SIZE;
  },
  [Opcode.OPEN]() {
    reply.clear(OpenOut.SIZE);
    reply.u32(OpenOut.OPEN_FLAGS, request.node === MARKS_NODE ? DIRECT_IO : 0);
    return OpenOut.SIZE;
  },
  [Opcode.READ]() {
    const { bytes } = reply;
    return readSync(image, bytes, OutHeader.SIZE, request.u32(ReadIn.LENGTH), request.u64(ReadIn.POSITION));
  },
  [Opcode.WRITE]() {
    const length = request.u32(WriteIn.LENGTH);
    const position = request.u64(WriteIn.POSITION);
    request.skip(WriteIn.SIZE);
    const from = request.data(length);
    const data = request.bytes.subarray(from, from + length);
    if (request.node === MARKS_NODE) record(MARK, 0, data);
    else {
      record(WRITE, position, data);
      for (let done = 0; done < length; )
        done += writeSync(image, data, done, length - done, position + done);
    }
    reply.clear(WriteOut.SIZE);
    reply.u32(WriteOut.LENGTH, length);
    return WriteOut.SIZE;
  },
  [Opcode.FSYNC]() {
    if (request.node === DISK_NODE) record(FLUSH, 0, Buffer.alloc(0));
    return 0;
  },
  [Opcode.STATFS]() {
    reply.clear(StatfsOut.SIZE);
    reply.u32(StatfsOut.BLOCK_SIZE, 4096);
    reply.u32(StatfsOut.NAME_MAX, 255);
    return StatfsOut.SIZE;
  },
  // What `> marks` asks for.
  [Opcode.SETATTR]: () => OPERATIONS[Opcode.GETATTR](),
  [Opcode.FLUSH]: () => 0,
  [Opcode.RELEASE]: () => 0,
  [Opcode.DESTROY]: () => 0,
  [Opcode.FORGET]: () => NO_REPLY,
  [Opcode.BATCH_FORGET]: () => NO_REPLY,
  [Opcode.INTERRUPT]: () => NO_REPLY,
};

const device = libc.open('/dev/fuse', libc.O_RDWR | libc.O_CLOEXEC, 0);
const data = `fd=${device},rootmode=40000,user_id=0,group_id=0`;
if (
  device < 0 ||
  libc.mount('recorder', mountpoint, 'fuse.recorder', libc.MS_NOSUID | libc.MS_NODEV, data) !== 0
) {
  throw new Error(`Cannot mount the recorder: ${libc.errnoName(libc.errno())}`);
}
writeSync(1, 'ready\n');
for (;;) {
  const length = libc.read(device, request.bytes, request.bytes.length);
  if (length <= 0) {
    const error = libc.errno();
    if (length === 0 || error === ENODEV) break;
    if (error === EINTR || error === ENOENT) continue;
    throw new Error(`Cannot read requests: ${libc.errnoName(error)}`);
  }
  request.begin(length);
  const result = OPERATIONS[request.opcode]?.(length) ?? -ENOSYS;
  if (result === NO_REPLY) continue;
  const sent = reply.finish(request.uniqueLow, request.uniqueHigh, Math.min(result, 0), Math.max(result, 0));
  libc.write(device, reply.bytes, sent);
}
