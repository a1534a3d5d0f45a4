/** Replies that leave together, through a socket that keeps each message apart, as the FUSE device does. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Crowd } from '../../../../mount/kernel/device/crowd.js';
import { HeldReplies } from '../../../../mount/kernel/device/held-replies.js';
import { Reply } from '../../../../mount/kernel/protocol/reply.js';
import { WriteRing } from '../../../../mount/libc/io-uring.js';
import * as libc from '../../../../mount/libc/libc.js';

const EBADF = 9;
const RING = { most: 4, bytes: 512 };

let [device, kernel] = [-1, -1];
let ring: WriteRing;
let asked: string[];
let isHolding: boolean;
let held: HeldReplies;

beforeEach(() => {
  const ends = new Int32Array(2);
  expect(libc.socketpair(libc.AF_UNIX, libc.SOCK_DGRAM | libc.O_NONBLOCK, 0, ends)).toBe(0);
  [device, kernel] = ends as unknown as [number, number];
  ring = WriteRing.make(RING.most, RING.bytes)!;
  isHolding = true;
  held = holding(device);
});
afterEach(() => {
  held.close();
  for (const fd of [device, kernel]) libc.close(fd);
});

function holding(fd: number): HeldReplies {
  asked = [];
  const session = {
    holdReply: () => {
      asked.push('hold');
      return isHolding;
    },
    heldSent: () => asked.push('sent'),
  };
  return new HeldReplies(fd, session, (errno) => asked.push(`refused ${errno}`), ring);
}

/** Makes the reply to request `unique` with a body of so many bytes, all of them `unique`, and holds it. */
function hold(unique: number, bodyLength: number): boolean {
  const reply = new Reply(1024);
  reply.bytes.fill(unique, Reply.BODY);
  return held.hold(reply, reply.finish(unique, 0, 0, bodyLength));
}

/** What has arrived: of each reply the unique, and its body's length. */
function arrived(): [unique: number, bodyLength: number][] {
  const message = new Uint8Array(1024);
  const all: [number, number][] = [];
  for (let length = libc.read(kernel, message, 1024); length > 0; length = libc.read(kernel, message, 1024)) {
    const [told, , unique] = new Uint32Array(message.buffer) as unknown as [number, number, number];
    expect(told).toBe(length);
    expect([...message.subarray(Reply.BODY, length)].every((byte) => byte === unique)).toBe(true);
    all.push([unique, length - Reply.BODY]);
  }
  return all;
}

test('leave together, each whole and in their order, and not before', () => {
  for (let round = 0; round < 10; round++) {
    expect(hold(1, 104)).toBe(true);
    expect(hold(2, 0)).toBe(true);
    expect(hold(3, 496)).toBe(true);
    expect(arrived()).toEqual([]);
    expect(held.send()).toBe(3);
    expect(arrived()).toEqual([
      [1, 104],
      [2, 0],
      [3, 496],
    ]);
  }
  expect(asked.slice(0, 4)).toEqual(['hold', 'hold', 'hold', 'sent']);
  expect(held.send()).toBe(0);
});

test('a single one leaves as well, and of four the last sends all', () => {
  hold(7, 8);
  expect(held.send()).toBe(1);
  expect(arrived()).toEqual([[7, 8]]);
  for (const unique of [1, 2, 3]) hold(unique, 16);
  expect(arrived()).toEqual([]);
  expect(hold(4, 16)).toBe(true);
  expect(arrived().map(([unique]) => unique)).toEqual([1, 2, 3, 4]);
  expect(held.send()).toBe(0);
});

test('what is too long, or may not be held, is to be sent at once', () => {
  expect(hold(1, 497)).toBe(false);
  expect(asked).toEqual([]);
  isHolding = false;
  expect(hold(1, 8)).toBe(false);
  expect(held.send()).toBe(0);
  expect(arrived()).toEqual([]);
});

test('tells of each that is refused', () => {
  held = holding(-1);
  hold(1, 8);
  held.send();
  hold(2, 8);
  hold(3, 8);
  held.send();
  const refused = `refused ${EBADF}`;
  expect(asked).toEqual(['hold', refused, 'sent', 'hold', 'hold', refused, refused, 'sent']);
});

test('without a ring that works, those that are held leave one by one, and no others are held', () => {
  hold(1, 8);
  hold(2, 8);
  ring.close();
  expect(held.send()).toBe(2);
  expect(arrived()).toEqual([
    [1, 8],
    [2, 8],
  ]);
  expect(hold(3, 8)).toBe(false);
});

test('one client alone is no crowd, and several are until nobody waits', () => {
  const crowd = new Crowd();
  const asks = (...pids: number[]) => pids.map((pid) => crowd.asks(pid));
  expect(asks(5, 5, 5)).toEqual([false, false, false]);
  expect(asks(6, 5, 6)).toEqual([true, true, true]);
  expect(asks(6, 6, 6, 6, 6, 6, 6, 6)).toEqual([true, true, true, true, true, true, true, false]);
  expect(asks(5)).toEqual([true]);
  crowd.isAway();
  expect(asks(5, 5, 6)).toEqual([false, false, true]);
});
