/** Snapshots by the control socket and the command line. */
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { askDaemonForLines } from '../../../daemon/control/client.js';
import type { ChangeReport, SnapshotTarget } from '../../../daemon/control/reports.js';
import { startControl } from '../../../daemon/control/server.js';
import { Snapshots } from '../../../daemon/mounting/snapshots/snapshots.js';
import { SpinneyError } from '../../../engine/errors.js';
import { Tree } from '../../../engine/index.js';
import { newAttributes } from '../../../mount/filesystem/arguments.js';
import { withUnmounted } from '../../../mount/stores/unmounted.js';
import { bytes, CALLER } from '../../filesystem/fixture.js';
import {
  ask,
  failure,
  silentLog,
  spinney,
  stubSnapshots,
  stubTarget,
  temporaryDirectory,
} from '../support.js';

async function controlSocket(replaced: Partial<SnapshotTarget> = {}): Promise<string> {
  const path = join(temporaryDirectory(), 'control.sock');
  const target = stubTarget({ snapshots: stubSnapshots(replaced) });
  const server = await startControl({ path, target, log: silentLog });
  onTestFinished(() => server.close());
  return path;
}

const CHANGES: ChangeReport[] = [
  { change: 'made', path: '/a new\nfile', type: 'file', ino: 7 },
  { change: 'moved', path: '/to', from: '/from', isChanged: true, type: 'directory', ino: 8 },
  {
    change: 'removed',
    path: '/\ufffd',
    pathBytes: Buffer.from([0x2f, 0xff]).toString('base64'),
    type: 'symlink',
    ino: 9,
  },
  { change: 'changed', path: '/', type: 'directory', ino: 1 },
];

describe('the control socket', () => {
  it('lists snapshots', async () => {
    const { status, text } = await ask(await controlSocket(), 'GET', '/v1/snapshots');
    expect(status).toBe(200);
    expect(JSON.parse(text).snapshots).toMatchObject([
      { name: 'first', id: 1 },
      { name: 'second', id: 2 },
    ]);
  });

  it('makes one by a name in the body or in the query, and deletes one', async () => {
    const done: string[] = [];
    const path = await controlSocket({
      create: async (name) => {
        done.push(`create ${name}`);
        return stubSnapshots().create(name);
      },
      delete: async (name) => {
        done.push(`delete ${name}`);
        return stubSnapshots().delete(name);
      },
    });
    const body = JSON.stringify({ name: 'by body ü' });
    for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded']) {
      const made = await ask(path, 'POST', '/v1/snapshots', { body, headers: { 'content-type': type } });
      expect(JSON.parse(made.text)).toMatchObject({ name: 'by body ü', id: 3 });
    }
    expect((await ask(path, 'POST', '/v1/snapshots?name=by%20query')).status).toBe(200);
    expect((await ask(path, 'DELETE', '/v1/snapshots/by%20query')).status).toBe(200);
    expect(done.slice(2)).toEqual(['create by body ü', 'create by query', 'delete by query']);
    for (const bad of ['', '{', '[]', 'null', '{"name": 7}']) {
      const { status, text } = await ask(path, 'POST', '/v1/snapshots', { body: bad });
      expect([status, JSON.parse(text).error.code]).toEqual([400, 'ERR_INVALID_ARGUMENT']);
    }
    const { status, headers } = await ask(path, 'DELETE', '/v1/snapshots');
    expect([status, headers.allow]).toEqual([405, 'GET, POST']);
    expect((await ask(path, 'POST', '/v1/snapshots/x')).headers.allow).toBe('DELETE');
  });

  it('tells failures of the request by their status', async () => {
    const fails = (code: 'ERR_EXISTS' | 'ERR_NOT_FOUND' | 'ERR_IO') => () =>
      Promise.reject(new SpinneyError(code, 'Cannot do that: a reason'));
    const path = await controlSocket({ create: fails('ERR_EXISTS'), delete: fails('ERR_NOT_FOUND') });
    expect((await ask(path, 'POST', '/v1/snapshots?name=x')).status).toBe(409);
    expect((await ask(path, 'DELETE', '/v1/snapshots/x')).status).toBe(404);
    const broken = await controlSocket({ create: fails('ERR_IO') });
    expect((await ask(broken, 'POST', '/v1/snapshots?name=x')).status).toBe(500);
  });

  it('gives what changed an object a line', async () => {
    const asked: unknown[] = [];
    const path = await controlSocket({
      async *diff(before, after) {
        asked.push([before, after]);
        yield* CHANGES;
      },
    });
    const { headers, text } = await ask(path, 'GET', '/v1/snapshots/o%20ld/diff?to=new');
    expect(headers['content-type']).toBe('application/x-ndjson');
    expect(
      text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual(CHANGES);
    expect((await ask(path, 'GET', '/v1/snapshots/old/diff')).status).toBe(200);
    expect(asked).toEqual([
      ['o ld', 'new'],
      ['old', undefined],
    ]);
    const none = await ask(await controlSocket(), 'GET', '/v1/snapshots/old/diff');
    expect([none.status, none.text]).toEqual([200, '']);
  });

  it('looks no further for what changed where the client has gone, though there was nothing to tell', async () => {
    const client = new AbortController();
    const given = await new Promise<AbortSignal>((resolve) => {
      const diff: SnapshotTarget['diff'] = async function* (_before, _after, signal) {
        resolve(signal);
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
        yield* CHANGES;
      };
      const path = controlSocket({ diff });
      void path.then((socket) =>
        askDaemonForLines(socket, '/v1/snapshots/old/diff', () => {}, { signal: client.signal }),
      );
    });
    client.abort();
    await vi.waitFor(() => expect(given.aborted).toBe(true), { timeout: 30_000, interval: 10 });
  });
});

describe('the command line', () => {
  it('lists, makes and deletes', async () => {
    const control = await controlSocket();
    const list = await spinney('snapshot', 'list', '--control', control);
    expect(list.out).toBe(
      'first   2026-11-01T00:00:00Z  512 KiB of its own\nsecond  2026-11-02T00:00:00Z  1 MiB of its own\n',
    );
    const json = await spinney('snapshot', 'list', '--control', control, '--json');
    expect(JSON.parse(json.out).snapshots).toHaveLength(2);
    expect((await spinney('snapshot', 'create', 'x', '--control', control)).out).toBe(
      'made the snapshot x\n',
    );
    expect((await spinney('snapshot', 'delete', 'x', '--control', control)).out).toBe(
      'deleted the snapshot x\n',
    );
    const none = await controlSocket({ list: async () => [] });
    expect((await spinney('snapshot', 'list', '--control', none)).out).toBe('no snapshots\n');
  });

  it('tells what changed in lines that names cannot break', async () => {
    const control = await controlSocket({
      async *diff() {
        yield* CHANGES;
      },
    });
    expect((await spinney('diff', 'old', 'new', '--control', control)).out).toBe(
      'made     /a new\\nfile\nmoved    /from/ -> /to/  (changed)\nremoved  /\\xff\nchanged  /\n',
    );
    const json = await spinney('diff', 'old', '--control', control, '--json');
    expect(
      json.out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual(CHANGES);
  });

  it('says what is wrong in one sentence', async () => {
    const control = await controlSocket({
      create: () => Promise.reject(new SpinneyError('ERR_EXISTS', 'Cannot take snapshot x: there is one')),
      // biome-ignore lint/correctness/useYield: it fails before.
      async *diff() {
        throw new SpinneyError('ERR_NOT_FOUND', 'Cannot read snapshot old: there is none');
      },
    });
    const told = async (...args: string[]) => (await failure(...args, '--control', control)).line;
    expect(await told('snapshot', 'create', 'x')).toBe('spinney: Cannot take snapshot x: there is one');
    expect(await told('diff', 'old')).toBe('spinney: Cannot read snapshot old: there is none');
    expect(await told('snapshot', 'crate', 'x')).toContain(
      'snapshot has no action "crate"; did you mean "create"?',
    );
    expect(await told('snapshot', 'delete')).toContain('snapshot delete needs the name of the snapshot');
    expect(await told('snapshot', 'list', 'a', 'b')).toContain('takes one place, and "b" is one too many');
    expect(await told('diff', 'a', '/b', '/c')).toContain('both /b and /c are places');
    const { line } = await failure('snapshot', 'list', join(temporaryDirectory(), 'absent'));
    expect(line).toContain('no such store or mountpoint');
    const empty = await failure('snapshot', 'create', 'x', temporaryDirectory());
    expect(empty.line).toMatch(/: Cannot use .* as a store: it is an empty directory$/);
  });
});

it('works on a store that is not mounted', async () => {
  const store = join(temporaryDirectory(), 'store');
  const content = join(store, 'content');
  const change = (work: Parameters<typeof withUnmounted>[2]): void =>
    void withUnmounted(Tree.open({ dir: store }), content, work);
  change((fs) => fs.mkdir(CALLER, bytes(''), bytes('d'), 0o755, newAttributes()));
  expect(await spinney('snapshot', 'create', 'one', store)).toMatchObject({ code: 0 });
  change((fs) => {
    fs.mkdir(CALLER, bytes('/d'), bytes('e'), 0o755, newAttributes());
    const handle = fs.create(CALLER, bytes('/d'), bytes('f'), 0o100644, 2, false, newAttributes());
    fs.write(handle, Buffer.alloc(100_000, 1), 0, 100_000, 0);
    fs.release(handle);
  });
  expect(await spinney('snapshot', 'create', 'two', '--store', store)).toMatchObject({ code: 0 });
  change((fs) => fs.unlink(CALLER, bytes('/d'), bytes('f'), { removedIno: 0, removedLinks: 0, movedIno: 0 }));
  expect((await spinney('diff', 'one', 'two', '--store', store)).out).toBe('made     /d/e/\nmade     /d/f\n');
  expect((await spinney('diff', 'two', store)).out).toBe('removed  /d/f\n');
  const listed = JSON.parse((await spinney('snapshot', 'list', store, '--json')).out);
  expect(listed.snapshots.map(({ name }: { name: string }) => name)).toEqual(['one', 'two']);
  // The content that it alone has is told with it.
  expect(listed.snapshots[1].ownBytes).toBeGreaterThanOrEqual(100_000);
  expect((await failure('snapshot', 'create', 'two', store)).line).toMatch(/^spinney: Cannot .*two.*: /);
  expect((await failure('snapshot', 'create', 'daily-2026-11-30', store)).line).toContain(
    'the schedule gives such names',
  );
  expect((await failure('snapshot', 'delete', 'three', store)).line).toContain('there is none');
  expect(await spinney('snapshot', 'delete', 'two', store)).toMatchObject({
    code: 0,
    out: 'deleted the snapshot two\n',
  });
  expect(await spinney('check', store)).toMatchObject({ code: 0 });
});

it('counts contents that only snapshots have, and tells what one has by itself', async () => {
  const directory = temporaryDirectory();
  const tree = Tree.open({ dir: join(directory, 'store') });
  onTestFinished(() => tree.close());
  const parts = [
    { bytes: 10, own: new Map([[1, 4]]), next: Uint8Array.of(1) },
    {
      bytes: 20,
      own: new Map([
        [1, 1],
        [2, 7],
      ]),
      next: undefined,
    },
  ];
  let asked = 0;
  const admin = {
    run: async (work: string) => (work === 'checkpoint' ? undefined : parts[asked++ % 2]),
  } as unknown as ConstructorParameters<typeof Snapshots>[1];
  const mounted = {
    takeSnapshot: async (name: string) => tree.snapshot(name),
    deleteSnapshot: async (name: string) => tree.deleteSnapshot(name),
    purgeProgress: async () => undefined,
  };
  const snapshots = new Snapshots(tree, admin, () => mounted, directory, silentLog);
  await snapshots.create('one');
  await snapshots.make('hourly-2026-11-30T06Z');
  expect((await snapshots.list()).map(({ ownBytes }) => ownBytes % 4_096)).toEqual([5, 7]);
  expect(snapshots.contentBytes).toBe(30);
  await expect(snapshots.create('hourly-2026-11-30T07Z')).rejects.toThrow('the schedule gives such names');
  await expect(snapshots.delete('absent')).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' });
  expect(await snapshots.delete('one')).toMatchObject({ name: 'one', id: 1 });
  expect(snapshots.names()).toMatchObject([{ name: 'hourly-2026-11-30T06Z' }]);
});
