/** Writers that are killed, and one that stands still, before a real server. SPINNEY_KILLS tells how many kills, 6 if nothing. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { afterEach, beforeAll, expect, it } from 'vitest';

const KILLS = Number(process.env.SPINNEY_KILLS ?? 6);
const SCRIPT = join(import.meta.dirname, 'writing-process.mjs');
const bucket = `kills-${randomBytes(6).toString('hex')}`;
const newHolder = () => randomBytes(16).toString('hex');

beforeAll(async () => {
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';
  const client = new S3Client({ forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
});

interface Line {
  found?: number[];
  acknowledged?: number;
  ended?: string;
}

/** A writing process, and what it has said so far. */
class Writing {
  readonly process: ChildProcess;
  readonly lines: AsyncIterator<string>;
  readonly acknowledged: number[] = [];

  constructor(prefix: string, holder: string, first: number) {
    this.process = spawn(process.execPath, [SCRIPT, bucket, prefix, holder, String(first)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    processes.push(this.process);
    this.lines = createInterface(this.process.stdout!)[Symbol.asyncIterator]();
  }

  /** Undefined at its end. */
  async next(): Promise<Line | undefined> {
    const { value, done } = await this.lines.next();
    if (done === true) return undefined;
    const line = JSON.parse(value) as Line;
    if (line.acknowledged !== undefined) this.acknowledged.push(line.acknowledged);
    return line;
  }

  async found(): Promise<number[]> {
    const line = await this.next();
    return line!.found!;
  }

  async acknowledging(count: number): Promise<void> {
    while (this.acknowledged.length < count) expect(await this.next()).toHaveProperty('acknowledged');
  }

  /** Whatever it had said before is counted. */
  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
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

it(`loses nothing that was acknowledged in ${KILLS} kills`, {
  timeout: 60_000 + KILLS * 20_000,
}, async () => {
  const acknowledged = new Set<number>();
  let holder = newHolder();
  let first = 1;
  for (let round = 0; round <= KILLS; round++) {
    // Now and then on another machine.
    if (round % 3 === 2) holder = newHolder();
    const writing = new Writing('kills/', holder, first);
    const found = await writing.found();
    expect(new Set(found).size).toBe(found.length);
    const there = new Set(found);
    for (const item of acknowledged) expect(there.has(item), `item ${item} in round ${round}`).toBe(true);
    await writing.acknowledging(randomInt(1, 40));
    await writing.kill();
    for (const item of writing.acknowledged) acknowledged.add(item);
    first += 1_000_000;
  }
});

it('lets a writer that stood still acknowledge nothing once another has begun', async () => {
  const old = new Writing('pause/', newHolder(), 1);
  expect(await old.found()).toEqual([]);
  await old.acknowledging(5);
  old.process.kill('SIGSTOP');
  const next = new Writing('pause/', newHolder(), 1_000_000);
  const found = await next.found();
  await next.acknowledging(5);
  old.process.kill('SIGCONT');
  for (let line = await old.next(); line !== undefined; line = await old.next()) {
    if (line.ended !== undefined) expect(line.ended).toBe('ERR_REMOTE_TAKEN');
  }
  // What it said after it woke up, it had been told before it stood still; so the next writer knows it.
  const there = new Set(found);
  for (const item of old.acknowledged) expect(there.has(item), `item ${item}`).toBe(true);
  await next.kill();
});
