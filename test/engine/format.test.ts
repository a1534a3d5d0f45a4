import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { MemoryBlobStore, Tree } from '../../engine/index.js';
import { BLOB_SIZE } from '../../engine/limits.js';

describe('Blob image', () => {
  it('is what the format document shows', () => {
    const document = readFileSync(new URL('../../engine/FORMAT.md', import.meta.url), 'utf8');
    const blocks = [...document.matchAll(/^(\d+): ((?:[0-9a-f]{2} )+)/gm)];
    expect(blocks).toHaveLength(3);

    const image = imageOf([
      ['ab', '1'],
      ['ac', '22'],
    ]);
    for (const [, offset, hex] of blocks) {
      const bytes = Buffer.from(hex!.replaceAll(' ', ''), 'hex');
      const shown = Buffer.from(image.subarray(Number(offset), Number(offset) + bytes.length));
      expect(`${offset}: ${shown.toString('hex')}`).toBe(`${offset}: ${bytes.toString('hex')}`);
    }
    const header = new DataView(image.buffer);
    expect(header.getUint32(24, true)).toBe(16 + 16 + 24);
    expect(header.getUint32(28, true)).toBe(2);
    expect(header.getUint16(42, true)).toBe(352 / 8);
    expect(header.getUint32(44, true)).toBe(376);
  });
});

/** The image of blob 1 of a tree with these entries, put at LSN 5 and on. */
function imageOf(entries: [string, string][]): Uint8Array<ArrayBuffer> {
  const store = new MemoryBlobStore();
  store.flush({ lsn: 4, generation: 1, nextBlobId: 2, pendingDeletes: [] });
  const tree = Tree.open({ store, flushOnWrite: false });
  for (const [key, value] of entries) tree.put(key, Buffer.from(value));
  tree.checkpoint();
  const image = new Uint8Array(BLOB_SIZE);
  store.readBlob(1, image);
  tree.close();
  return image;
}
