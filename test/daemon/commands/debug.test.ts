import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, it, onTestFinished } from 'vitest';
import { type ControlServer, startControl } from '../../../daemon/control/server.js';
import { silentLog, spinney, stubTarget, temporaryDirectory } from '../support.js';

/** Asked for a profile it gives one at once, and notes for how long it was to look. */
async function controlSocket(directory: string): Promise<{ path: string; asked: number[] }> {
  const asked: number[] = [];
  const callFrame = { functionName: 'serve', url: 'file:///zebra/x.js', lineNumber: 1, columnNumber: 2 };
  const root = { ...callFrame, functionName: '(root)', url: '' };
  const profile = {
    nodes: [
      { id: 1, callFrame: root, children: [2] },
      { id: 2, callFrame },
    ],
    startTime: 1,
    endTime: 2,
    samples: [2, 2, 1],
  };
  const target = stubTarget({
    threads: async (ms) => {
      asked.push(ms);
      return [
        { name: 'main', profile },
        { name: 'io-worker 3', missing: 'it ran no JavaScript' },
      ];
    },
  });
  const path = join(directory, 'control.sock');
  const server: ControlServer = await startControl({ path, target, log: silentLog });
  onTestFinished(() => server.close());
  return { path, asked };
}

it('profiles for 10 s where that is asked for, else it only looks at the stacks', async () => {
  const directory = temporaryDirectory();
  const { path, asked } = await controlSocket(directory);
  const out = join(directory, 'bundle.tar.gz');
  const archive = () => gunzipSync(readFileSync(out)).toString('latin1');
  expect(await spinney('debug', '--control', path, '--out', out)).toMatchObject({ code: 0, out: '' });
  expect(archive()).toMatch(/== main\n67 % of 3 looks\n {4}at serve \(\/~[\da-f]{8}\/~[\da-f]{8}:2:3\)/);
  expect(archive()).toContain('(it ran no JavaScript)');
  expect(archive()).not.toMatch(/zebra|cpuprofile\0/);
  expect(await spinney('debug', '--control', path, '--out', out, '--force', '--profile')).toMatchObject({
    code: 0,
  });
  expect(asked).toEqual([300, 10_000]);
  expect(archive()).toContain('spinney-debug/profiles/main.cpuprofile\0');
});
