/** Threads that share a store, and processes that must not. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { NodeDisk } from '../../../engine/disk/node-disk.js';
import { FileBlobStore } from '../../../engine/store/file/file-blob-store.js';
import { FaultDisk } from '../../support/disk/fault-disk.js';
import { MemoryDisk } from '../../support/disk/memory-disk.js';
import { contentsOf, makeImage, makeMark } from './images.js';
import type { StoreOrders, StoreOutcome } from './store-worker.js';

const root = resolve(import.meta.dirname, '../../..');
const withCode = (code: string) => expect.objectContaining({ code });
let build: string;
let workerFile: string;

/** Threads and processes cannot load TypeScript: what they need is compiled into a directory of its own. */
beforeAll(() => {
  build = mkdtempSync(join(tmpdir(), 'spinney-sharing-'));
  const config = join(build, 'tsconfig.json');
  const compilerOptions = {
    composite: false,
    declaration: false,
    sourceMap: false,
    rootDir: root,
    outDir: build,
    typeRoots: [join(root, 'node_modules/@types')],
  };
  const files = [join(root, 'test/engine/store/store-worker.ts')];
  writeFileSync(
    config,
    JSON.stringify({ extends: join(root, 'tsconfig.base.json'), compilerOptions, files }),
  );
  writeFileSync(join(build, 'package.json'), '{"type":"module"}');
  symlinkSync(join(root, 'node_modules'), join(build, 'node_modules'));
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', config], { stdio: 'inherit' });
  workerFile = join(build, 'test/engine/store/store-worker.js');
});
afterAll(() => rmSync(build, { recursive: true, force: true }));

describe('FileBlobStore shared by threads', () => {
  async function run(orders: StoreOrders): Promise<StoreOutcome> {
    const worker = new Worker(workerFile, { workerData: orders });
    const exited = once(worker, 'exit');
    const [outcome] = (await once(worker, 'message')) as [StoreOutcome];
    await exited;
    return outcome;
  }

  it('readers see every publish and nothing torn while a worker writes', async () => {
    const dir = join(build, 'threads');
    const store = FileBlobStore.open({ dir, disk: new NodeDisk(), create: true });
    const blobs = 4;
    for (let id = 1; id <= blobs; id++) store.writeBlob(id, makeImage(id, 0));
    store.flush();
    store.handOver();
    expect(() => store.writeBlob(1, makeImage(1, 1))).toThrow(withCode('ERR_READ_ONLY'));
    const shared = {
      handle: store.share(),
      progress: new Int32Array(new SharedArrayBuffer(8)),
      rounds: 60,
      blobs,
    };
    const outcomes = await Promise.all([
      run({ ...shared, role: 'reader' }),
      run({ ...shared, role: 'reader' }),
      run({ ...shared, role: 'writer' }),
    ]);
    for (const { faults } of outcomes) expect(faults).toEqual([]);
    const expected = { blobs: { 1: 60, 2: 60, 3: 60, 4: 60, 100: 60 }, mark: makeMark(60, [60]) };
    expect(contentsOf(store)).toEqual(expected);

    // The writer has handed over and its thread is gone: the descriptor lives on, and this thread takes over.
    const again = FileBlobStore.attach(store.share(), new NodeDisk(), 'writer');
    again.deleteBlob(100);
    again.flush();
    again.close();
    store.close();
    const reopened = FileBlobStore.open({ dir, disk: new NodeDisk() });
    expect(contentsOf(reopened).blobs).toEqual({ 1: 60, 2: 60, 3: 60, 4: 60 });
    reopened.close();
  });

  it('has one writer at a time, who hands over only what is published', () => {
    const store = FileBlobStore.open({ dir: '/store', disk: new MemoryDisk(), create: true });
    const disk = new MemoryDisk();
    expect(() => FileBlobStore.attach(store.share(), disk, 'writer')).toThrow();
    store.writeBlob(1, makeImage(1, 1));
    expect(() => store.handOver()).toThrow(withCode('ERR_INVALID_ARGUMENT'));
    store.flush();
    store.handOver();
    expect(() => store.handOver()).toThrow(withCode('ERR_READ_ONLY'));
  });

  it('refuses a second writer, and ends a doubt when handing over', () => {
    const disk = new FaultDisk(new MemoryDisk());
    const store = FileBlobStore.open({ dir: '/store', disk, create: true });
    expect(() => FileBlobStore.attach(store.share(), disk, 'writer')).toThrow(
      withCode('ERR_INVALID_ARGUMENT'),
    );
    disk.failNth('fdatasync', 1, { error: 'EIO', lose: true }, /manifest\.log/);
    expect(() => store.flush(makeMark(5))).toThrow(withCode('ERR_IO'));
    expect(store.needsFlush()).toBe(true);
    store.handOver();
    const next = FileBlobStore.attach(structuredClone(store.share()), disk, 'writer');
    expect(next.readMark()).toEqual(makeMark(5));
    next.writeBlob(1, makeImage(1, 1));
    next.flush();
    const cut = disk.inner.afterPowerCut('drop');
    expect(contentsOf(FileBlobStore.open({ dir: '/store', disk: cut }))).toEqual({
      blobs: { 1: 1 },
      mark: makeMark(5),
    });
  });
});

describe('FileBlobStore, its lock', () => {
  const disk = new NodeDisk();
  let dir: string;
  let holder: ChildProcess | undefined;

  beforeAll(() => {
    dir = join(build, 'locked');
  });
  afterEach(async () => {
    if (holder !== undefined && holder.exitCode === null && holder.signalCode === null) {
      holder.kill('SIGKILL');
      await once(holder, 'exit');
    }
    holder = undefined;
  });

  async function hold(): Promise<number> {
    holder = spawn(process.execPath, [workerFile, dir], { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(holder.stdout!, 'data');
    return holder.pid!;
  }
  const refusal = (readOnly: boolean): Error => {
    try {
      FileBlobStore.open({ dir, disk, readOnly }).close();
    } catch (error) {
      expect(error).toEqual(withCode('ERR_STORE_LOCKED'));
      return error as Error;
    }
    throw new Error('the lock did not hold');
  };

  it('refuses a second process with the pid of the first, until that is killed', async () => {
    const pid = await hold();
    expect(refusal(false).message).toContain(`process ${pid}`);
    expect(refusal(true).message).toContain(`process ${pid}`);
    rmSync(join(dir, 'lock'));
    expect(refusal(false).message).toContain('in use by another open');
    holder!.kill('SIGKILL');
    await once(holder!, 'exit');
    FileBlobStore.open({ dir, disk }).close();
  });

  it('refuses a second open in the same process; readers share', () => {
    const writer = FileBlobStore.open({ dir, disk, create: true });
    expect(refusal(false).message).toContain(`process ${process.pid}`);
    refusal(true);
    writer.close();
    const readers = [1, 2].map(() => FileBlobStore.open({ dir, disk, readOnly: true }));
    expect(refusal(false).message).toContain('another open');
    for (const reader of readers) reader.close();
    FileBlobStore.open({ dir, disk }).close();
    expect(readFileSync(join(dir, 'lock'), 'utf8')).toBe(`${process.pid}\n`);
  });

  it('locks the file that is at the path, not one that was replaced meanwhile', () => {
    const faults = new FaultDisk(new NodeDisk());
    const data = join(dir, 'blobs.dat');
    let replaced = 0;
    faults.onCall = ({ name }) => {
      if (name === 'lock' && replaced++ === 0) {
        renameSync(data, `${data}.old`);
        writeFileSync(data, readFileSync(`${data}.old`));
      }
      return undefined;
    };
    const store = FileBlobStore.open({ dir, disk: faults });
    expect(replaced).toBe(2);
    refusal(false);
    store.close();
  });
});
