/**
 * A checkpoint's failures as seen from outside: a failed write, flush or delete loses nothing that was to be
 * written or deleted, is told, and the next round makes it good. Over a store in memory and one in files.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { CheckpointOptions } from '../../../engine/api.js';
import { FileBlobStore, MemoryBlobStore, Tree } from '../../../engine/index.js';
import { PATIENTLY } from '../../support/until.js';
import { FailpointBlobStore } from './failpoint-store.js';

const VALUE = Buffer.alloc(1024, 'z');

let home: string;
let files: FileBlobStore | undefined;
let tree: Tree;
let store: FailpointBlobStore;

beforeEach(() => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'spinney-seed-'));
});
afterEach(() => {
  tree.close();
  files?.close();
  files = undefined;
  fs.rmSync(home, { recursive: true, force: true });
});

function fileStore(): FileBlobStore {
  files = FileBlobStore.open({ dir: home, create: true });
  return files;
}

const stores = [
  { name: 'MemoryBlobStore', make: () => new MemoryBlobStore() },
  { name: 'FileBlobStore', make: fileStore },
];

describe.each(stores)('on a $name', ({ make }) => {
  function open(checkpoint: CheckpointOptions = {}): void {
    store = new FailpointBlobStore(make());
    tree = Tree.open({ store, flushOnWrite: false, checkpoint });
  }

  /** Loads enough to spill over, deletes most of it, and compacts: the merged blobs are pending deletes. */
  function openWithPendingDelete(): void {
    open();
    for (let i = 0; i < 1000; i++) tree.put(`k${String(i).padStart(5, '0')}`, VALUE);
    for (let i = 0; i < 950; i++) tree.delete(`k${String(i).padStart(5, '0')}`);
    tree.compact();
    expect(tree.stats().bmPendingDeleteCount).toBeGreaterThan(0);
  }

  function expectDrained(): void {
    tree.checkpoint();
    const { bmDirtyCount, bmPendingDeleteCount, blobCount } = tree.stats();
    expect({ bmDirtyCount, bmPendingDeleteCount }).toEqual({ bmDirtyCount: 0, bmPendingDeleteCount: 0 });
    expect(store.inner.listBlobs()).toHaveLength(blobCount);
    for (let i = 950; i < 1000; i++) {
      if (store.counts.delete > 0)
        expect(tree.get(`k${String(i).padStart(5, '0')}`)).toEqual(new Uint8Array(VALUE));
    }
  }

  test('a clean checkpoint does not flush', () => {
    open();
    const { bmDirtyCount, bmPendingDeleteCount } = tree.stats();
    expect({ bmDirtyCount, bmPendingDeleteCount }).toEqual({ bmDirtyCount: 0, bmPendingDeleteCount: 0 });
    store.arm('flush');
    tree.checkpoint();
    expect(store.counts.flush).toBe(0);
  });

  test('a failed delete stays pending and is tried again', () => {
    openWithPendingDelete();
    store.arm('delete');
    expect(() => tree.checkpoint()).toThrow('failpoint: delete');
    expect(tree.stats().bmPendingDeleteCount).toBeGreaterThan(0);
    expectDrained();
  });

  test('a failed flush after the deletes keeps them for the next round', () => {
    openWithPendingDelete();
    store.arm('flush', 2);
    expect(() => tree.checkpoint()).toThrow('failpoint: flush');
    expect(tree.stats().bmPendingDeleteCount).toBeGreaterThan(0);
    expectDrained();
  });

  test('a failed write leaves the blob dirty', () => {
    open();
    tree.put('k1', Buffer.from('v1'));
    store.arm('write');
    expect(() => tree.checkpoint()).toThrow('failpoint: write');
    expect(tree.stats().bmDirtyCount).toBeGreaterThanOrEqual(1);
    tree.checkpoint();
    expect(tree.stats().bmDirtyCount).toBe(0);
    expect(Buffer.from(tree.get('k1') ?? []).toString()).toBe('v1');
  });

  test('after a failed write no delete is applied', () => {
    openWithPendingDelete();
    const before = tree.stats();
    expect(before.bmDirtyCount).toBeGreaterThan(0);
    store.arm('write');
    expect(() => tree.checkpoint()).toThrow('failpoint: write');
    const after = tree.stats();
    expect(after.bmDirtyCount).toBeGreaterThanOrEqual(1);
    expect(after.bmPendingDeleteCount).toBe(before.bmPendingDeleteCount);
    expect(store.counts.delete).toBe(0);
    expectDrained();
  });

  test('a failed first flush gives all pending deletes back', () => {
    openWithPendingDelete();
    const before = tree.stats();
    store.arm('flush');
    expect(() => tree.checkpoint()).toThrow('failpoint: flush');
    expect(tree.stats().bmPendingDeleteCount).toBe(before.bmPendingDeleteCount);
    expect(store.counts.delete).toBe(0);
    expect(store.inner.listBlobs()).toHaveLength(tree.stats().blobCount);
    expectDrained();
  });

  const eager: CheckpointOptions = {
    enabled: true,
    idleIntervalMs: 10,
    dirtyBlobThreshold: 1,
    autoMerge: false,
  };

  test('background rounds survive a failed write', async () => {
    open(eager);
    tree.put('k1', Buffer.from('v1'));
    store.arm('write');
    await vi.waitFor(() => {
      expect(tree.stats().checkpoint.failures).toBe(1);
      expect(tree.stats().bmDirtyCount).toBe(0);
    }, PATIENTLY);
    expect(store.inner.readMark()?.lsn).toBe(1);
  });

  test('background rounds repeat a failed flush', async () => {
    open(eager);
    store.arm('flush');
    tree.put('k1', Buffer.from('v1'));
    await vi.waitFor(() => {
      expect(tree.stats().bmDirtyCount).toBe(0);
      expect(store.needsFlush()).toBe(false);
      expect(store.counts.flush).toBeGreaterThanOrEqual(2);
    }, PATIENTLY);
    expect(store.inner.readMark()?.lsn).toBe(1);
  });
});
