/** Torn and rotten manifests: each damage is noticed or harmless, never a wrong answer. */
import { beforeAll, describe, expect, it } from 'vitest';
import { FileBlobStore } from '../../../engine/store/file/file-blob-store.js';
import { LOG_CONFIRM_AT, LOG_RECORDS_AT } from '../../../engine/store/file/manifest/manifest-reader.js';
import { HEADER_BYTES, recordBytes } from '../../../engine/store/file/manifest/record.js';
import { FaultDisk } from '../../support/disk/fault-disk.js';
import { MemoryDisk } from '../../support/disk/memory-disk.js';
import { type Contents, contentsOf, makeImage, makeMark } from './images.js';

const DELTAS = 3;
const DELTA_BYTES = recordBytes(1, 0, 1, true, undefined);
const DATA_END = LOG_RECORDS_AT + DELTAS * DELTA_BYTES;
/** Contents after each of the deltas; [0] is after the snapshot. */
const contents: Contents[] = [];
let disk: MemoryDisk;

const openForReading = () => FileBlobStore.open({ dir: '/store', disk, readOnly: true });
/** What a reader sees of the map, without reading the blobs. */
function outline(): { ids: number[]; generations: (number | undefined)[]; mark: unknown } {
  const store = openForReading();
  try {
    const ids = store.listBlobs();
    return { ids, generations: ids.map((id) => store.blobRow(id)?.generation), mark: store.readMark() };
  } finally {
    store.close();
  }
}
function errorCode(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

beforeAll(() => {
  disk = new MemoryDisk();
  const first = FileBlobStore.open({ dir: '/store', disk, create: true });
  first.writeBlob(1, makeImage(1, 1));
  first.flush(makeMark(1, [1]));
  first.close();
  // Reopening compacts, so that the snapshot has something in it.
  const store = FileBlobStore.open({ dir: '/store', disk });
  contents.push(contentsOf(store));
  for (let delta = 1; delta <= DELTAS; delta++) {
    store.writeBlob(1 + delta, makeImage(1 + delta, delta));
    store.flush(makeMark(1 + delta, [delta]));
    contents.push(contentsOf(store));
  }
  store.close();
});

describe('FileBlobStore, every bit of the manifest files', () => {
  function flipEveryBit(
    path: string,
    ranges: [from: number, to: number][],
  ): { noticed: number; harmless: number } {
    const expected = outline();
    const original = disk.readFile(path);
    const fd = disk.open(path, { write: true });
    const outcome = { noticed: 0, harmless: 0 };
    for (const [from, to] of ranges) {
      for (let offset = from; offset < to; offset++) {
        for (let bit = 0; bit < 8; bit++) {
          disk.write(fd, [Uint8Array.of(original[offset]! ^ (1 << bit))], offset);
          const code = errorCode(() => expect(outline()).toEqual(expected));
          if (code === undefined) outcome.harmless++;
          else if (code === 'ERR_MANIFEST_CORRUPT') outcome.noticed++;
          else throw new Error(`bit ${bit} of byte ${offset} of ${path}: ${code}`);
        }
        disk.write(fd, [original.subarray(offset, offset + 1)], offset);
        disk.fsync(fd);
      }
    }
    disk.close(fd);
    return outcome;
  }

  it('of the snapshot', () => {
    const bytes = recordBytes(1, 0, 1, true, undefined);
    const outcome = flipEveryBit('/store/manifest', [[0, bytes]]);
    expect(outcome).toEqual({ noticed: bytes * 8, harmless: 0 });
    expect(flipEveryBit('/store/manifest', [[bytes, bytes + 16]]).noticed).toBe(0);
  });

  it('of the log, its last record included', () => {
    const records = flipEveryBit('/store/manifest.log', [[LOG_RECORDS_AT, DATA_END]]);
    expect(records).toEqual({ noticed: DELTAS * DELTA_BYTES * 8, harmless: 0 });
    expect(flipEveryBit('/store/manifest.log', [[0, 32]])).toEqual({ noticed: 256, harmless: 0 });
    const rest = flipEveryBit('/store/manifest.log', [
      [32, 40],
      [LOG_CONFIRM_AT, LOG_CONFIRM_AT + 16],
      [DATA_END, DATA_END + HEADER_BYTES],
    ]);
    expect(rest.noticed).toBe(0);
  });

  it('names the file and the offset', () => {
    const damaged = disk.afterKill();
    const fd = damaged.open('/store/manifest.log', { write: true });
    damaged.write(fd, [Uint8Array.of(0xff)], LOG_RECORDS_AT + DELTA_BYTES + HEADER_BYTES);
    expect(() => FileBlobStore.open({ dir: '/store', disk: damaged })).toThrow(
      new RegExp(`/store/manifest.log: at offset ${LOG_RECORDS_AT + DELTA_BYTES}`),
    );
  });
});

describe('FileBlobStore, manifests that do not belong together', () => {
  it('refuses an older snapshot beside a newer log', () => {
    const old = disk.readFile('/store/manifest');
    const newer = disk.afterKill();
    const store = FileBlobStore.open({ dir: '/store', disk: newer });
    store.writeBlob(1, makeImage(1, 50));
    store.flush();
    store.close();
    newer.writeFile('/store/manifest', old);
    expect(errorCode(() => FileBlobStore.open({ dir: '/store', disk: newer }))).toBe('ERR_MANIFEST_CORRUPT');
  });

  it('ignores a log that a newer snapshot has made stale', () => {
    const stale = disk.readFile('/store/manifest.log');
    const newer = disk.afterKill();
    FileBlobStore.open({ dir: '/store', disk: newer }).close();
    newer.writeFile('/store/manifest.log', stale);
    const store = FileBlobStore.open({ dir: '/store', disk: newer });
    expect(contentsOf(store)).toEqual(contents[DELTAS]);
    store.close();
  });

  it('refuses the log of another store', () => {
    const other = new MemoryDisk();
    FileBlobStore.open({ dir: '/store', disk: other, create: true }).close();
    other.writeFile('/store/manifest.log', disk.readFile('/store/manifest.log'));
    expect(errorCode(() => FileBlobStore.open({ dir: '/store', disk: other }))).toBe('ERR_MANIFEST_CORRUPT');
  });
});

describe('FileBlobStore, a torn log', () => {
  /** The log as it is when the last flush has written its record and not returned. */
  function unconfirmed(): { torn: MemoryDisk; from: number } {
    const faults = new FaultDisk(disk.afterKill());
    const store = FileBlobStore.open({ dir: '/store', disk: faults });
    store.writeBlob(1, makeImage(1, 90));
    store.flush(makeMark(90, [90]));
    store.writeBlob(1, makeImage(1, 91));
    faults.failNth('fdatasync', 1, { crash: 'after' }, /manifest\.log/);
    expect(() => store.flush(makeMark(91, [91]))).toThrow();
    return { torn: faults.inner, from: LOG_RECORDS_AT + DELTA_BYTES };
  }

  it('cut at every byte of the last record: that flush has not happened, and the store works on', () => {
    const { torn, from } = unconfirmed();
    const log = torn.readFile('/store/manifest.log');
    for (let keep = 0; keep <= DELTA_BYTES; keep++) {
      for (const garbage of [0, 0xa5]) {
        const cut = torn.afterKill();
        const bytes = log.slice();
        bytes.fill(garbage, from + keep, from + DELTA_BYTES);
        cut.writeFile('/store/manifest.log', bytes);
        const store = FileBlobStore.open({ dir: '/store', disk: cut });
        // The padding at the end of a record is zeros already, so the last bytes may be cut without a difference.
        const whole = bytes.every((byte, index) => byte === log[index]);
        const tag = whole ? 91 : 90;
        expect(store.readMark()).toEqual(makeMark(tag, [tag]));
        expect(store.blobRow(1)?.generation).toBe(tag);
        store.writeBlob(5, makeImage(5, 92));
        store.flush(makeMark(92));
        store.close();
        const again = FileBlobStore.open({ dir: '/store', disk: cut });
        expect(again.readMark()).toEqual(makeMark(92));
        expect(again.blobRow(1)?.generation).toBe(tag);
        again.close();
      }
    }
  });

  it('cut off short as a file, at every byte', () => {
    const { torn, from } = unconfirmed();
    const log = torn.readFile('/store/manifest.log');
    for (let keep = 0; keep < DELTA_BYTES; keep++) {
      const cut = torn.afterKill();
      cut.writeFile('/store/manifest.log', log.slice(0, from + keep));
      const store = FileBlobStore.open({ dir: '/store', disk: cut });
      expect(store.readMark()).toEqual(makeMark(90, [90]));
      store.close();
    }
  });
});
