/** A state as small as can be: items in order. Kept in packs, with snapshots, so that checkpoints have something to refer to. */
import { type Manifest, readManifest } from '../../../engine/remote/objects/manifest.js';
import type { ObjectStore } from '../../../engine/store/object/object-store.js';

interface Image {
  packs: string[];
  count: number;
  hash: number;
}

export interface Snapshot extends Image {
  id: number;
}

export class RemoteState {
  items: number[] = [];
  hash = 0;
  /** The packs of the checkpoint that it began with, or that it made last, and how many items they have. */
  packs: string[] = [];
  packed = 0;
  snapshots: Snapshot[] = [];

  apply(body: Uint8Array): void {
    for (const item of itemsOf(body)) {
      this.items.push(item);
      this.hash = hashed(this.hash, item);
    }
  }

  /** `read` gets an object's bytes. */
  async load(store: ObjectStore, manifest: string | undefined, read = readerOf(store)): Promise<void> {
    if (manifest === undefined) return;
    const { payload } = await readManifest(store, manifest);
    const { packs, count, hash, snapshots } = JSON.parse(Buffer.from(payload).toString()) as Image & {
      snapshots: Snapshot[];
    };
    for (const name of packs) this.apply(await read(name));
    if (this.items.length !== count || this.hash !== hash)
      throw new Error(`${manifest} is not what its packs have`);
    Object.assign(this, { packs, packed: count, snapshots });
  }

  manifest(): Manifest {
    const { packs, packed: count, snapshots } = this;
    const hash = this.items.slice(0, count).reduce(hashed, 0);
    const references = [...new Set([...packs, ...snapshots.flatMap((snapshot) => snapshot.packs)])];
    return { references, payload: Buffer.from(JSON.stringify({ packs, count, hash, snapshots })) };
  }
}

export function bodyOf(items: readonly number[]): Uint8Array {
  return Buffer.from(Uint32Array.from(items).buffer);
}

export function itemsOf(body: Uint8Array): Uint32Array {
  return new Uint32Array(new Uint8Array(body).buffer);
}

export function hashed(hash: number, item: number): number {
  return Math.imul(hash ^ item, 0x9e3779b1) ^ (hash >>> 15);
}

function readerOf(store: ObjectStore): (name: string) => Promise<Uint8Array> {
  return async (name) => (await store.get(name))!.bytes;
}
