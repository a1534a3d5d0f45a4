/** Stores that are shipped to a real server, killed, and taken over elsewhere. SPINNEY_KILLS tells how many kills, 4 if nothing. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';

const KILLS = Number(process.env.SPINNEY_KILLS ?? 4);
const SCRIPT = join(import.meta.dirname, 'shipping-process.mjs');
const bucket = `ships-${randomBytes(6).toString('hex')}`;
const directory = mkdtempSync(join(tmpdir(), 'spinney-shipping-'));

beforeAll(async () => {
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';
  const client = new S3Client({ forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
});

afterAll(() => rmSync(directory, { recursive: true }));

interface Line {
  found?: number[];
  contents?: number[];
  acknowledged?: number;
  content?: number;
  ended?: string;
}

/** A store, the machine that it is on, and the process that has it. */
class Machine {
  readonly acknowledged: number[] = [];
  readonly contents: number[] = [];
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(holder: string, first: number) {
    const given = [bucket, 'ships/', holder, join(directory, holder), String(first)];
    this.#process = spawn(process.execPath, [SCRIPT, ...given], { stdio: ['ignore', 'pipe', 'inherit'] });
    processes.push(this.#process);
    this.#lines = createInterface(this.#process.stdout!)[Symbol.asyncIterator]();
  }

  /** Undefined at its end. */
  async next(): Promise<Line | undefined> {
    const { value, done } = await this.#lines.next();
    if (done === true) return undefined;
    const line = JSON.parse(value) as Line;
    if (line.acknowledged !== undefined) this.acknowledged.push(line.acknowledged);
    if (line.content !== undefined) this.contents.push(line.content);
    return line;
  }

  /** Whatever it had said before is counted. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    while ((await this.next()) !== undefined);
  }
}

let processes: ChildProcess[] = [];
afterEach(async () => {
  for (const child of processes) {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
  processes = [];
});

it(`loses no record and no content that was acknowledged in ${KILLS} kills`, {
  timeout: 60_000 + KILLS * 30_000,
}, async () => {
  const acknowledged = new Set<number>();
  const shipped = new Set<number>();
  let holder = randomBytes(16).toString('hex');
  let first = 1;
  for (let round = 0; round <= KILLS; round++) {
    // Every other time on another machine, with an empty directory.
    if (round % 2 === 1) holder = randomBytes(16).toString('hex');
    const machine = new Machine(holder, first);
    const { found, contents } = (await machine.next())!;
    const there = new Set(found);
    for (const item of acknowledged) expect(there.has(item), `item ${item} in round ${round}`).toBe(true);
    const contentsThere = new Set(contents);
    for (const item of shipped)
      expect(contentsThere.has(item), `content ${item} in round ${round}`).toBe(true);
    const count = randomInt(1, 120);
    while (machine.acknowledged.length < count) expect(await machine.next()).not.toHaveProperty('ended');
    await machine.kill();
    for (const item of machine.acknowledged) acknowledged.add(item);
    for (const item of machine.contents) shipped.add(item);
    first += 1_000_000;
  }
});
