import { readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BatchEncoder } from '../../../engine/journal/records/batch-encoder.js';
import { crc32Words } from '../../../engine/journal/records/crc32.js';
import { RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES } from '../../../engine/journal/records/format.js';
import { RECORD_PUT, RecordReader } from '../../../engine/journal/records/record.js';
import { Ring } from '../../../engine/journal/ring/ring.js';
import { MAX_BATCH_OPERATIONS, MAX_RECORD_BODY_BYTES } from '../../../engine/limits.js';
import {
  append,
  bytes,
  newDisk,
  openJournal,
  put,
  ringWords,
  SMALL,
  segmentPaths,
  thrownCode,
} from './harness.js';

describe('Journal format', () => {
  it('is what the format document shows', () => {
    const document = readFileSync(new URL('../../../engine/FORMAT.md', import.meta.url), 'utf8');
    const example = /```hex\n([^`]+)```/.exec(document)![1]!.replaceAll(/\s/g, '');
    const seed = Number(/seed is (0x[0-9a-f]+)/.exec(document)![1]);
    const ring = new Ring(new ArrayBuffer(8192), SMALL, seed, ringWords(SMALL));
    const size = ring.putOperation(0, 7, RECORD_PUT, bytes('a/b'), bytes('hello'));
    const [record] = ring.pieces(0, size, 7)!.pieces;
    expect(Buffer.from(record!).toString('hex')).toBe(example);
    const disk = newDisk();
    const journal = openJournal(disk, { nextLsn: 7 });
    append(journal, 7, put('a/b', 'hello'));
    journal.flush();
    const file = disk.readFile(segmentPaths(disk)[0]!);
    expect(Buffer.from(file.subarray(0, 4)).toString()).toBe('SPJS');
    expect(Buffer.from(file.subarray(SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES + 4)).toString()).toBe(
      'SPJG',
    );
  });

  it('has the checksum of zlib', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 200 }), fc.nat(), (data, seed) => {
        const words = new Int32Array((data.length >> 3) << 1);
        const whole = data.subarray(0, words.byteLength);
        new Uint8Array(words.buffer).set(whole);
        expect(crc32Words(words, 0, words.length, seed) >>> 0).toBe(crc32(whole, seed));
      }),
    );
  });

  it('refuses a record whose checksums hold and whose lengths do not', () => {
    const bodies = [[], [1, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0], [255, 255, 255, 255, 1, 0, 0, 0, 0]];
    const batches = [
      [],
      [1, 0, 0, 0],
      [1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0],
      [0, 0, 0, 0, 0],
      [255, 255, 255, 255],
    ];
    for (const [type, list] of [
      [1, bodies],
      [3, batches],
    ] as const) {
      for (const body of list) {
        const record = sealed(type, body);
        const words = new Int32Array(record.buffer);
        expect(RecordReader.peek(words, 0, 0)).toBe(body.length);
        expect(new RecordReader().load(record, words, 0)).toBe(false);
      }
    }
    const valid = sealed(3, [1, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 107]);
    expect(new RecordReader().load(valid, new Int32Array(valid.buffer), 0)).toBe(true);
  });
});

/** A record with right checksums around any body. */
function sealed(type: number, body: number[]): Uint8Array {
  const record = new Uint8Array((RECORD_HEADER_BYTES + body.length + 7) & ~7);
  const view = new DataView(record.buffer);
  record.set([0x53, 0x52, type, 0]);
  view.setUint32(4, body.length, true);
  record.set(body, RECORD_HEADER_BYTES);
  const headerCrc = crc32(record.subarray(0, 16));
  view.setUint32(16, headerCrc, true);
  view.setUint32(20, crc32(record.subarray(RECORD_HEADER_BYTES), headerCrc), true);
  return record;
}

describe('BatchEncoder', () => {
  it('refuses more operations or bytes than a batch may have, and keeps what it has', () => {
    const batch = new BatchEncoder();
    for (let count = 0; count < MAX_BATCH_OPERATIONS; count++) batch.delete(bytes('k'));
    expect(thrownCode(() => batch.delete(bytes('k')))).toBe('ERR_BATCH_TOO_LARGE');
    expect(batch.count).toBe(MAX_BATCH_OPERATIONS);
    batch.reset();
    const half = new Uint8Array(MAX_RECORD_BODY_BYTES / 2 - 11);
    batch.put(half, new Uint8Array(0));
    batch.put(half, new Uint8Array(0));
    expect(batch.length).toBe(MAX_RECORD_BODY_BYTES);
    expect(thrownCode(() => batch.graft(new Uint8Array(0), new Uint8Array(0)))).toBe('ERR_BATCH_TOO_LARGE');
    expect(batch.length).toBe(MAX_RECORD_BODY_BYTES);
    expect([...batch.body().subarray(0, 4)]).toEqual([2, 0, 0, 0]);
  });
});
