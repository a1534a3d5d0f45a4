/** The bytes of a remote's objects, as engine/FORMAT.md tells them. */
import { describe, expect, it } from 'vitest';
import { decodeHead, encodeHead } from '../../../engine/remote/objects/head.js';
import { encodeFence, encodeRecords, readJournal } from '../../../engine/remote/objects/journal-object.js';
import { decodeManifest, encodeManifest } from '../../../engine/remote/objects/manifest.js';
import {
  journalName,
  objectName,
  parseJournalName,
  parseObjectName,
  parsePinName,
  pinName,
} from '../../../engine/remote/objects/names.js';
import { MemoryObjectStore } from '../../../engine/store/object/memory-object-store.js';

const ID = '00112233445566778899aabbccddeeff';
const HEAD = {
  epoch: 3,
  nonce: ID,
  holder: 'f'.repeat(32),
  leaseMs: 10_000,
  manifest: objectName('manifest', 2, 17),
  journal: { epoch: 2, sequence: 41 },
};
const failsWith = (code: string) => expect.objectContaining({ name: 'SpinneyError', code });
const textOf = (bytes: Uint8Array) => Buffer.from(bytes).toString();

it('names sort as their numbers', () => {
  expect(journalName({ epoch: 2, sequence: 41 })).toBe('journal/0000000002/0000000000000041');
  expect(parseJournalName('journal/0000000002/0000000000000041')).toEqual({ epoch: 2, sequence: 41 });
  expect(objectName('blobs', 2, 17)).toBe('blobs/0000000002/0000000000000017');
  expect(parseObjectName('content/0000000002/0000000000000017')).toEqual({
    kind: 'content',
    epoch: 2,
    number: 17,
  });
  for (const name of [
    'journal/2/41',
    'blobs/0000000002/0000000000000017/1',
    'HEAD',
    'xblobs/0000000002/0000000000000017',
  ]) {
    expect([parseJournalName(name), parseObjectName(name)]).toEqual([undefined, undefined]);
  }
});

describe('HEAD', () => {
  it('is one line of JSON', () => {
    expect(textOf(encodeHead(HEAD))).toBe(
      `{"format":"spinney-head","version":1,"epoch":3,"nonce":"${ID}","holder":"${'f'.repeat(32)}","leaseMs":10000,` +
        '"manifest":"manifest/0000000002/0000000000000017","journal":{"epoch":2,"sequence":41}}\n',
    );
    expect(decodeHead(encodeHead(HEAD))).toEqual(HEAD);
    const first = { ...HEAD, manifest: undefined };
    expect(decodeHead(encodeHead(first))).toEqual(first);
  });

  it.each([
    ['nothing', ''],
    ['no JSON', 'HEAD'],
    ['null', 'null'],
    ['another format', '{"format":"other","version":1}'],
    ['an epoch of 0', textOf(encodeHead({ ...HEAD, epoch: 0 }))],
    ['a nonce that is none', textOf(encodeHead({ ...HEAD, nonce: 'x' }))],
    ['no holder', textOf(encodeHead({ ...HEAD, holder: '' }))],
    ['a lease below 0', textOf(encodeHead({ ...HEAD, leaseMs: -1 }))],
    ['a manifest of another kind', textOf(encodeHead({ ...HEAD, manifest: objectName('blobs', 1, 1) }))],
    ['a journal ahead of its epoch', textOf(encodeHead({ ...HEAD, journal: { epoch: 4, sequence: 1 } }))],
    ['no sequence', textOf(encodeHead({ ...HEAD, journal: { epoch: 3, sequence: Number.NaN } }))],
  ])('is refused: %s', (_, text) => {
    expect(() => decodeHead(Buffer.from(text))).toThrow(failsWith('ERR_REMOTE_CORRUPT'));
  });

  it('of a later version is not read', () => {
    const later = textOf(encodeHead(HEAD)).replace('"version":1', '"version":2');
    expect(() => decodeHead(Buffer.from(later))).toThrow(failsWith('ERR_FORMAT_VERSION'));
  });
});

describe('objects of the journal', () => {
  const PLACE = { epoch: 2, sequence: 0x29 };
  const read = async (bytes: Uint8Array, place = PLACE) => {
    const store = new MemoryObjectStore();
    await store.put(journalName(place), bytes);
    return readJournal(store, place);
  };

  it('are a header and records', async () => {
    const bytes = encodeRecords(PLACE, ID, Buffer.from('records'));
    expect(Buffer.from(bytes).toString('hex').match(/.{32}/g)!.join(' ')).toBe(
      '5350524a010000000100000007000000 02000000000000002900000000000000' +
        ` ${ID} ${Buffer.from(bytes).toString('hex', 48, 64)}`,
    );
    expect(textOf(bytes.subarray(64))).toBe('records');
    expect(await read(bytes)).toEqual({ isFence: false, writer: ID, body: Buffer.from('records') });
  });

  it('are nothing but a header in a fence', async () => {
    const bytes = encodeFence(PLACE, ID);
    expect(bytes.length).toBe(64);
    expect(await read(bytes)).toEqual({ isFence: true, writer: ID, body: Buffer.alloc(0) });
    expect(() => encodeRecords(PLACE, ID, new Uint8Array())).toThrow(TypeError);
  });

  it('are missing where there are none', async () => {
    expect(await readJournal(new MemoryObjectStore(), PLACE)).toBeUndefined();
  });

  it('are refused with any bit changed, any part missing, and at another place', async () => {
    const bytes = encodeRecords(PLACE, ID, Buffer.from('records'));
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Uint8Array.from(bytes);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      await expect(read(changed), `bit ${bit}`).rejects.toEqual(failsWith('ERR_REMOTE_CORRUPT'));
    }
    for (let length = 0; length < bytes.length; length++) {
      await expect(read(bytes.subarray(0, length))).rejects.toEqual(failsWith('ERR_REMOTE_CORRUPT'));
    }
    await expect(read(bytes, { epoch: 2, sequence: 0x2a })).rejects.toEqual(failsWith('ERR_REMOTE_CORRUPT'));
    await expect(read(bytes, { epoch: 3, sequence: 0x29 })).rejects.toEqual(failsWith('ERR_REMOTE_CORRUPT'));
  });
});

describe('manifests', () => {
  const MANIFEST = {
    references: [objectName('blobs', 1, 2), objectName('content', 2, 3)],
    payload: Buffer.from('rows'),
  };

  it('have the names that they refer to, and a payload', () => {
    const bytes = encodeManifest(MANIFEST);
    expect(Buffer.from(bytes).toString('hex', 0, 16)).toBe('5350524d010000000200000046000000');
    expect(textOf(bytes.subarray(24))).toBe(
      'blobs/0000000001/0000000000000002\ncontent/0000000002/0000000000000003\nrows',
    );
    expect(decodeManifest('m', bytes)).toEqual(MANIFEST);
    const empty = { references: [], payload: Buffer.alloc(0) };
    expect(decodeManifest('m', encodeManifest(empty))).toEqual(empty);
  });

  it('are refused with any bit changed, or any part missing', () => {
    const bytes = encodeManifest(MANIFEST);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Uint8Array.from(bytes);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => decodeManifest('m', changed), `bit ${bit}`).toThrow(failsWith('ERR_REMOTE_CORRUPT'));
    }
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeManifest('m', bytes.subarray(0, length))).toThrow(failsWith('ERR_REMOTE_CORRUPT'));
    }
  });
});

describe('pins', () => {
  const PIN = { adoption: ID, number: 3, manifest: objectName('manifest', 2, 17), leaseMs: 30_000 };

  it('are names', () => {
    const name = `pins/${ID}/0000000003/manifest/0000000002/0000000000000017/30000`;
    expect(pinName(PIN)).toBe(name);
    expect(parsePinName(name)).toEqual(PIN);
  });

  it.each([
    'pins/',
    `pins/${ID}/3/manifest/0000000002/0000000000000017/30000`,
    `pins/${ID}/0000000003/HEAD/30000`,
  ])('are not %s', (name) => {
    expect(parsePinName(name)).toBeUndefined();
  });
});
