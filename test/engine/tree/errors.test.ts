/** Every argument error and limit: the code that it has, and that nothing is changed by the call. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Batch, Key, RangeOptions, TreeOptions } from '../../../engine/api.js';
import { MemoryBlobStore, type SpinneyError, Tree, type TreeHandle } from '../../../engine/index.js';
import {
  MAX_BATCH_OPERATIONS,
  MAX_KEY_BYTES,
  MAX_RECORD_BODY_BYTES,
  MAX_VALUE_BYTES,
} from '../../../engine/limits.js';

let tree: Tree;
beforeEach(() => {
  tree = Tree.open({ store: new MemoryBlobStore(), flushOnWrite: false });
  tree.put('a', Buffer.from('1'));
  tree.put('b/c', Buffer.from('2'));
});
afterEach(() => tree.close());

function errorOf(act: () => unknown): SpinneyError {
  try {
    act();
  } catch (error) {
    return error as SpinneyError;
  }
  throw new Error('Nothing was thrown');
}

/** The call fails with the code and a message of the form "Cannot X: Y", and leaves everything as it is. */
function refused(code: string, act: () => unknown): SpinneyError {
  const before = { entries: [...tree.range()], lsn: tree.lastLsn() };
  const error = errorOf(act);
  expect(error.code).toBe(code);
  expect(error.message).toMatch(/^Cannot [^:]+: ./);
  expect({ entries: [...tree.range()], lsn: tree.lastLsn() }).toEqual(before);
  return error;
}

const value = Buffer.from('x');
const longKey = Buffer.alloc(MAX_KEY_BYTES + 1, 'k');
const longValue = Buffer.alloc(MAX_VALUE_BYTES + 1);

/** Each way to write a key. */
const writes: { name: string; write: (target: Batch | Tree, key: Key) => void }[] = [
  { name: 'put', write: (target, key) => target.put(key, value) },
  { name: 'putIfAbsent', write: (target, key) => target.putIfAbsent(key, value) },
  { name: 'compareAndPut', write: (target, key) => target.compareAndPut(key, 1, value) },
  { name: 'rename from', write: (target, key) => target.rename(key, 'z') },
  { name: 'rename to', write: (target, key) => target.rename('a', key, { force: true }) },
];

describe('a batch whose callback is asynchronous', () => {
  test('is refused at once, and nothing of it is made, also not later', async () => {
    let late: unknown;
    refused('ERR_INVALID_ARGUMENT', () =>
      tree.atomic(async (batch) => {
        batch.put('early', value);
        await undefined;
        late = errorOf(() => batch.put('late', value));
        throw late;
      }),
    );
    await new Promise(setImmediate);
    expect((late as SpinneyError).code).toBe('ERR_INVALID_ARGUMENT');
    expect([tree.get('early'), tree.get('late')]).toEqual([undefined, undefined]);
  });
  test('takes nothing after the call', () => {
    let kept: Batch | undefined;
    tree.atomic((batch) => {
      kept = batch;
    });
    refused('ERR_INVALID_ARGUMENT', () => kept!.put('late', value));
  });
});

describe.each(writes)('keys in $name', ({ write }) => {
  test('empty', () => {
    refused('ERR_INVALID_ARGUMENT', () => write(tree, ''));
    refused('ERR_INVALID_ARGUMENT', () => tree.atomic((batch) => write(batch, new Uint8Array(0))));
  });
  test('too long', () => {
    const { message } = refused('ERR_KEY_TOO_LARGE', () => write(tree, longKey));
    expect(message).toContain('16384');
    refused('ERR_KEY_TOO_LARGE', () => tree.atomic((batch) => write(batch, longKey)));
    refused('ERR_KEY_TOO_LARGE', () => write(tree, '\u00e9'.repeat(MAX_KEY_BYTES / 2 + 1)));
  });
  test.each([undefined, null, 7, {}, [1, 2], new ArrayBuffer(3)])('not bytes: %s', (key) => {
    refused('ERR_INVALID_ARGUMENT', () => write(tree, key as unknown as Key));
    refused('ERR_INVALID_ARGUMENT', () => tree.atomic((batch) => write(batch, key as unknown as Key)));
  });
});

describe('values', () => {
  test('too large', () => {
    const { message } = refused('ERR_VALUE_TOO_LARGE', () => tree.put('a', longValue));
    expect(message).toContain('131072');
    refused('ERR_VALUE_TOO_LARGE', () => tree.putIfAbsent('n', longValue));
    refused('ERR_VALUE_TOO_LARGE', () => tree.compareAndPut('a', 1, longValue));
    refused('ERR_VALUE_TOO_LARGE', () => tree.atomic((batch) => batch.put('n', longValue)));
  });
  test.each(['text', undefined, null, 7, [1], new ArrayBuffer(3)])('not bytes: %s', (given) => {
    const bad = given as unknown as Uint8Array;
    refused('ERR_INVALID_ARGUMENT', () => tree.put('a', bad));
    refused('ERR_INVALID_ARGUMENT', () => tree.putIfAbsent('n', bad));
    refused('ERR_INVALID_ARGUMENT', () => tree.compareAndPut('a', 1, bad));
    refused('ERR_INVALID_ARGUMENT', () => tree.atomic((batch) => batch.put('n', bad)));
  });
  test('the largest key and value are taken', () => {
    const key = Buffer.alloc(MAX_KEY_BYTES, 'k');
    tree.put(key, Buffer.alloc(MAX_VALUE_BYTES, 7));
    expect(tree.get(key)).toEqual(new Uint8Array(MAX_VALUE_BYTES).fill(7));
  });
});

describe('versions', () => {
  test.each([-1, -2, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '1', undefined])('%s', (given) => {
    const version = given as number;
    refused('ERR_INVALID_ARGUMENT', () => tree.compareAndPut('a', version, value));
    refused('ERR_INVALID_ARGUMENT', () => tree.deleteIfVersion('a', version));
    refused('ERR_INVALID_ARGUMENT', () => tree.atomic((batch) => batch.compareAndPut('a', version, value)));
    refused('ERR_INVALID_ARGUMENT', () => tree.atomic((batch) => batch.deleteIfVersion('a', version)));
    refused('ERR_INVALID_ARGUMENT', () => tree.atomic((batch) => batch.assertVersion('a', version)));
  });
  test('a key that the batch itself wrote has no version that matches', () => {
    const done = tree.atomic((batch) => {
      batch.put('a', value);
      batch.assertVersion('a', tree.lastLsn() + 1);
    });
    expect(done).toBe(false);
    expect(Buffer.from(tree.get('a') ?? []).toString()).toBe('1');
  });
});

describe('reads', () => {
  test('keys that cannot exist are absent', () => {
    for (const key of ['', longKey]) {
      expect(tree.get(key)).toBeUndefined();
      expect(tree.getVersion(key)).toBeUndefined();
      expect(tree.getRecord(key)).toBeUndefined();
      expect(tree.delete(key)).toBe(false);
    }
    expect(tree.isPrefixEmpty(longKey)).toBe(true);
    expect(tree.isPrefixEmpty('')).toBe(false);
  });
  test('keys that are no bytes', () => {
    const key = 5 as unknown as Key;
    const reads: (() => unknown)[] = [
      () => tree.get(key),
      () => tree.getRecord(key),
      () => tree.getVersion(key),
      () => tree.delete(key),
      () => tree.isPrefixEmpty(key),
      () => tree.deletePrefix(key),
      () => tree.renamePrefix(key, 'z'),
      () => [...tree.range({ prefix: key })],
      () => [...tree.range({ startAfter: key })],
    ];
    for (const read of reads) refused('ERR_INVALID_ARGUMENT', read);
  });
  test.each(['', '//', '\u00e9', -1, 256, 1.5, Number.NaN, null])('delimiter %s', (delimiter) => {
    const options = { delimiter } as RangeOptions;
    refused('ERR_INVALID_ARGUMENT', () => [...tree.range(options)]);
  });
});

describe('batches', () => {
  test('too many operations', () => {
    refused('ERR_BATCH_TOO_LARGE', () =>
      tree.atomic((batch) => {
        for (let i = 0; i <= MAX_BATCH_OPERATIONS; i++) batch.put(`k${i}`, value);
      }),
    );
  });
  test('the most operations are taken', () => {
    const done = tree.atomic((batch) => {
      for (let i = 0; i < MAX_BATCH_OPERATIONS; i++) batch.put(`k${i}`, value);
    });
    expect(done).toBe(true);
    expect(tree.stats().keyCount).toBe(MAX_BATCH_OPERATIONS + 2);
  });
  test('too many bytes', () => {
    const count = MAX_RECORD_BODY_BYTES / MAX_VALUE_BYTES;
    refused('ERR_BATCH_TOO_LARGE', () =>
      tree.atomic((batch) => {
        for (let i = 0; i < count; i++) batch.put(`k${i}`, Buffer.alloc(MAX_VALUE_BYTES));
      }),
    );
  });
  test('too many keys below a prefix', () => {
    for (let i = 0; i <= MAX_BATCH_OPERATIONS; i++) tree.put(`p${i}`, new Uint8Array(0));
    refused('ERR_BATCH_TOO_LARGE', () => tree.deletePrefix('p'));
    tree.renamePrefix('p', 'moved');
    tree.renamePrefix('moved', 'p');
    tree.delete('p0');
    tree.deletePrefix('p');
    expect(tree.isPrefixEmpty('p')).toBe(true);
  });
  test('a prefix that is too long to move to', () => {
    refused('ERR_KEY_TOO_LARGE', () => tree.renamePrefix('b', Buffer.alloc(MAX_KEY_BYTES + 1, 'z')));
  });
  test('an exception from the callback records nothing', () => {
    const before = [...tree.range()];
    expect(() =>
      tree.atomic((batch) => {
        batch.put('new', value);
        throw new Error('changed my mind');
      }),
    ).toThrow('changed my mind');
    expect([...tree.range()]).toEqual(before);
  });
  test('a failed guard does nothing', () => {
    const before = { entries: [...tree.range()], lsn: tree.lastLsn() };
    const guards: ((batch: Batch) => void)[] = [
      (batch) => batch.assertAbsent('a'),
      (batch) => batch.assertVersion('a', 77),
      (batch) => batch.assertVersion('absent', 1),
      (batch) => batch.assertPrefixEmpty('b'),
      (batch) => batch.putIfAbsent('a', value),
      (batch) => batch.compareAndPut('a', 77, value),
      (batch) => batch.deleteIfVersion('a', 77),
      (batch) => batch.rename('absent', 'z'),
      (batch) => batch.rename('a', 'b/c'),
      (batch) => batch.renamePrefix('a', 'b'),
    ];
    for (const guard of guards) {
      const done = tree.atomic((batch) => {
        batch.put('before', value);
        batch.delete('b/c');
        batch.put('b/c', value);
        guard(batch);
        batch.put('after', value);
      });
      expect(done).toBe(false);
      expect({ entries: [...tree.range()], lsn: tree.lastLsn() }).toEqual(before);
    }
  });
});

describe('outcomes', () => {
  test('rename', () => {
    refused('ERR_NOT_FOUND', () => tree.rename('absent', 'z'));
    refused('ERR_EXISTS', () => tree.rename('a', 'b/c'));
    refused('ERR_EXISTS', () => tree.rename('a', 'a'));
    refused('ERR_PREFIX_NOT_EMPTY', () => tree.renamePrefix('a', 'b'));
    tree.renamePrefix('absent', 'b');
    tree.renamePrefix('b', 'b/');
    expect(Buffer.from(tree.get('b//c') ?? []).toString()).toBe('2');
  });
  test('an unshareable tree', () => {
    refused('ERR_NOT_SHAREABLE', () => tree.share());
  });
  test.each([undefined, null, {}, { options: {} }])('a handle that is none: %s', (handle) => {
    refused('ERR_INVALID_ARGUMENT', () => Tree.attach(handle as unknown as TreeHandle));
  });
  test('the end of no thread', () => {
    // What Worker.threadId is once the worker has ended.
    for (const id of [-1, undefined, 1.5])
      refused('ERR_INVALID_ARGUMENT', () => tree.threadDied(id as number));
    tree.put('a', value);
  });
  test.each([undefined, null, {}])('a callback that is none: %s', (callback) => {
    refused('ERR_INVALID_ARGUMENT', () => tree.atomic(callback as unknown as () => void));
    refused('ERR_INVALID_ARGUMENT', () => tree.view('', callback as unknown as () => void));
  });
});

describe('a closed tree', () => {
  test('refuses everything but closing', () => {
    const range = tree.range();
    tree.close();
    tree.close();
    const calls: (() => unknown)[] = [
      () => tree.get('a'),
      () => tree.getRecord('a'),
      () => tree.getVersion('a'),
      () => [...tree.range()],
      () => [...range],
      () => tree.isPrefixEmpty('a'),
      () => tree.put('a', value),
      () => tree.putIfAbsent('n', value),
      () => tree.compareAndPut('a', 1, value),
      () => tree.delete('a'),
      () => tree.deleteIfVersion('a', 1),
      () => tree.rename('a', 'z'),
      () => tree.renamePrefix('a', 'z'),
      () => tree.deletePrefix('a'),
      () => tree.atomic((batch) => batch.put('a', value)),
      () => tree.sync(),
      () => tree.checkpoint(),
      () => tree.compact(),
      () => tree.stats(),
    ];
    for (const call of calls) expect(errorOf(call).code).toBe('ERR_CLOSED');
  });
});

describe('options', () => {
  const bad: [name: string, options: Record<string, unknown>][] = [
    ['none', {}],
    ['two places', { memory: true, dir: '/tmp/x' }],
    ['memory: false', { memory: false }],
    ['an empty dir', { dir: '' }],
    ['a dir that is no text', { dir: 5 }],
    ['a small cache', { memory: true, cacheBytes: 8 * 1024 * 1024 - 1 }],
    ['no cache', { memory: true, cacheBytes: Number.NaN }],
    ['durability', { memory: true, durability: 'always' }],
    ['idleIntervalMs', { memory: true, checkpoint: { idleIntervalMs: 0 } }],
    ['dirtyBlobThreshold', { memory: true, checkpoint: { dirtyBlobThreshold: -1 } }],
    ['host', { memory: true, checkpoint: { host: 'elsewhere' } }],
    ['a worker in memory', { memory: true, checkpoint: { host: 'worker' } }],
    ['checkpoint: false', { memory: true, checkpoint: false }],
    ['checkpoint: null', { memory: true, checkpoint: null }],
    ['no store', { store: null }],
    ['a store that is none', { store: { readBlob() {} } }],
    ['a dir with a zero byte', { dir: 'a\0b' }],
  ];
  test.each(bad)('%s', (_name, options) => {
    expect(errorOf(() => Tree.open(options as TreeOptions)).code).toBe('ERR_INVALID_ARGUMENT');
  });
  test.each([undefined, null, 'dir'])('%s in place of options', (options) => {
    expect(errorOf(() => Tree.open(options as unknown as TreeOptions)).code).toBe('ERR_INVALID_ARGUMENT');
  });
  test('a dir that is a file', () => {
    const { code, message } = errorOf(() => Tree.open({ dir: '/etc/passwd' }));
    expect({ code, message }).toEqual({
      code: 'ERR_NO_STORE',
      message: 'Cannot use /etc/passwd as a store: it is not a directory',
    });
  });
  test.each([true, null])('%s in place of the options of a call', (options) => {
    const given = options as unknown as object;
    const calls: (() => unknown)[] = [
      () => tree.rename('a', 'z', given),
      () => tree.atomic((batch) => batch.rename('a', 'z', given)),
      () => tree.atomic((batch) => batch.put('z', value), given),
      () => tree.range(given),
      () => tree.view('', (view) => view.range(given)),
      () => tree.diff(undefined, undefined, given),
    ];
    for (const call of calls) refused('ERR_INVALID_ARGUMENT', call);
  });
});
