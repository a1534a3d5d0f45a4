/** Each request, with the session killed at moments of it. All moments of more requests: test/soak/crash/line-01-requests.test.ts. */
import { expect, it } from 'vitest';
import { HEADER_BYTES } from '../../../mount/kernel/kept/header.js';
import { Opcode } from '../../../mount/kernel/protocol/protocol.js';
import { MemoryDisk } from '../../support/disk/memory-disk.js';
import { CONTENT } from '../../support/files/seeded-files.js';
import { STORE } from '../../support/seeded-tree.js';
import { KilledRequests, request } from './killed-requests.js';
import { Backings, Time, World } from './killed-world.js';

const REQUESTS = 15;
const MOMENTS = 2;

it.each([1, 2])('requests of seed %i are done once', { timeout: 120_000 }, (seed) => {
  const run = new KilledRequests(seed, MOMENTS);
  try {
    for (let i = 0; i < REQUESTS; i++) run.step();
  } finally {
    run.end();
  }
  expect(run.kills).toBeGreaterThan(REQUESTS);
});

const PASSTHROUGH = { minor: 45, flags: 0, flags2: 1 << 5 };
const O_RDWR = 2;

it('a file that is mapped and open no more is one that a snapshot gets a copy of, also after a kill', () => {
  const time = new Time();
  const world = new World(new MemoryDisk({ clock: time }), {
    resumes: false,
    time,
    backings: new Backings(),
  });
  world.session.agree(PASSTHROUGH);
  world.session.tables.init.agreed(PASSTHROUGH);
  const made = world.serve(request(Opcode.CREATE, 2, 1, [[O_RDWR, 0o100644, 0, 0], 'mapped']))!;
  const [ino, handle] = [made.readUInt32LE(16), made.readUInt32LE(16 + 128)];
  // The kernel's own, and the mapping.
  const path = [...world.backings.paths.values()][0]!;
  const mapped = world.contents.inner.open(path, 'write');
  world.contents.inner.write(mapped, Buffer.from('before'), 0, 6, 0);
  world.serve(request(Opcode.RELEASE, 4, ino, [[handle, 0, 0, 0, 0, 0]]));
  while (world.session.work());
  expect(world.session.tables.left.inos).toEqual([ino]);
  const disk = world.image();
  world.end();
  const later = new Time();
  later.seconds = time.seconds + 10;
  disk.volume.clock = later;
  // It outlives the daemon.
  const next = new World(disk, {
    resumes: true,
    time: later,
    backings: new Backings(),
    before: (contents) => contents.inner.open(`${CONTENT}/0/${ino.toString(16)}`, 'write'),
  });
  expect(next.session.tables.left.inos).toEqual([ino]);
  next.fs.snapshots.take('one');
  // The file goes on under another name: what is written to it now is no snapshot's.
  const names = next.contents.inner
    .list(`${CONTENT}/0`)
    .map(({ name }) => name)
    .sort();
  expect(names).toEqual([ino.toString(16), `${ino.toString(16)}.1`]);
  next.end();
});

it('replies that were held back are given to who asks again, and nothing is done twice', () => {
  const start = () => {
    const time = new Time();
    const world = new World(new MemoryDisk({ clock: time }), {
      resumes: false,
      time,
      backings: new Backings(),
    });
    world.session.tables.init.agreed({ minor: 45, flags: 0, flags2: 0 });
    return world;
  };
  const requests = [
    request(Opcode.MKDIR, 2, 1, [[0o755, 0], 'a']),
    request(Opcode.LOOKUP, 4, 1, ['a']),
    request(Opcode.RENAME, 6, 1, [[1, 0], 'a', 'b']),
    request(Opcode.MKDIR, 8, 1, [[0o755, 0], 'a']),
  ];
  const world = start();
  const images: MemoryDisk[] = [];
  const replies: Buffer[] = [];
  world.moment = () => images.push(world.image());
  for (const one of requests) {
    replies.push(world.serve(one)!);
    expect(world.session.holdReply()).toBe(true);
  }
  world.moment = undefined;
  images.push(world.image());
  world.session.heldSent();
  world.end();
  for (const [i, disk] of images.entries()) {
    if (i % 7 !== 0 && i !== images.length - 1) continue;
    const next = new World(disk, { resumes: true, time: new Time(), backings: new Backings() });
    // The kernel has none of the replies. Those that were not made yet it sends for the first time, or again.
    const got = requests.map((one) => next.serveAgain(one)!);
    // All but the mark, and the inode's number and times where it was made only now.
    const shown = (reply: Buffer) => [reply.readInt32LE(4), reply.length];
    expect([i, ...got.map(shown)]).toEqual([i, ...replies.map(shown)]);
    expect([...next.tree.range({ prefix: 'd' })].filter(({ type }) => type === 'key')).toHaveLength(3);
    next.end();
  }
  expect(images.length).toBeGreaterThan(50);
});

it.each(['files', 'directories'] as const)('a damaged table of open %s is refused', (table) => {
  const time = new Time();
  const world = new World(new MemoryDisk({ clock: time }), {
    resumes: false,
    time,
    backings: new Backings(),
  });
  world.session.tables.init.agreed(PASSTHROUGH);
  const disk = world.image();
  world.end();
  const path = `${STORE}/session.${table}`;
  const bytes = disk.readFile(path);
  new DataView(bytes.buffer).setFloat64(HEADER_BYTES, 0.5, true);
  disk.writeFile(path, bytes);
  const resumed = () => new World(disk, { resumes: true, time, backings: new Backings() });
  expect(resumed).toThrow(`the table of open ${table} is damaged at handle 0`);
});
