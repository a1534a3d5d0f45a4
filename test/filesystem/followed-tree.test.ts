/** What a mount that follows shows of files: as much as the remote has of their contents. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { DIGEST_BYTES, putShippedContent } from '../../engine/shipping/contents/rows.js';
import { FollowedTree } from '../../mount/filesystem/followed-tree.js';
import { CONTENT_MARK_KEY, entryKey } from '../../mount/filesystem/records/keys.js';
import * as record from '../../mount/filesystem/records/record.js';
import { bytes, Fixture, StepClock } from './fixture.js';

let f: Fixture;
let shown: FollowedTree;

beforeEach(() => {
  f = new Fixture(undefined, { clock: new StepClock() });
  f.write('/file', 'seven b');
  f.fs.close();
  shown = new FollowedTree(f.tree);
});
afterEach(() => f.cleanUp());

function ship(ino: number, size: number): void {
  const part = { name: undefined, offset: 0, bytes: size, crc: 0, digest: new Uint8Array(DIGEST_BYTES) };
  const mtime = { seconds: 77, nanos: 5 };
  f.tree.atomic((batch) =>
    putShippedContent(batch, ino, 0, { size, mtime, ctime: mtime, parts: [part] }, undefined),
  );
}

const key = entryKey(bytes('/file'));
const stored = () => f.tree.get(key)!;
const inoOf = () => record.inoOf(stored());

it('is empty until something of its content is there', () => {
  const inode = shown.get(key)!;
  expect(record.sizeOf(inode)).toBe(0);
  expect(record.hasFlag(inode, record.CONTENT)).toBe(false);
  expect(record.sizeOf(stored())).toBe(7);
});

it('is as its record tells where the remote has that', () => {
  ship(inoOf(), 7);
  expect(shown.get(key)).toEqual(stored());
});

it('has the size and time of what is there, else', () => {
  ship(inoOf(), 3);
  const inode = shown.get(key)!;
  expect(record.sizeOf(inode)).toBe(3);
  expect(record.secondsOf(inode, record.MTIME)).toBe(77);
  expect(record.hasFlag(inode, record.CONTENT)).toBe(true);
  const [entry] = [...shown.range({ prefix: key })];
  expect(entry).toMatchObject({ type: 'key', value: inode });
  expect(shown.getRecord(key)!.value).toEqual(inode);
});

it('is not live, though its writer has it open', () => {
  ship(inoOf(), 7);
  const live = new Uint8Array(stored());
  record.setFlag(live, record.LIVE);
  f.tree.put(key, live);
  expect(record.hasFlag(shown.get(key)!, record.LIVE)).toBe(false);
});

it("has nothing of the writer's disk and of its snapshots, and is not changed", () => {
  f.tree.put(CONTENT_MARK_KEY, new Uint8Array(8));
  expect([shown.get(CONTENT_MARK_KEY), shown.getVersion(CONTENT_MARK_KEY)]).toEqual([undefined, undefined]);
  expect([...shown.range({ prefix: CONTENT_MARK_KEY })]).toEqual([]);
  expect(shown.snapshots()).toEqual([]);
  expect(() => shown.put()).toThrow(expect.objectContaining({ code: 'ERR_READ_ONLY' }));
  expect(() => shown.atomic(() => {})).toThrow(expect.objectContaining({ code: 'ERR_READ_ONLY' }));
});
