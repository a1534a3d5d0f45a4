/** The server that scripts/radosgw has started, and a bucket of one's own in it. Without one it fails: nothing is skipped. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateBucketCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { ended } from '../../../e2e/site.js';

const LOOK_AGAIN_MS = 100;
const COMES_UP_MS = 120_000;
/** Debian has it for administrators. */
const ADMINISTRATORS = '/usr/sbin:/sbin';

export function endpointOf(environment: NodeJS.ProcessEnv = process.env): string {
  const { AWS_ENDPOINT_URL_S3: endpoint } = environment;
  if (endpoint === undefined)
    throw new Error('no S3 server: start this by scripts/test-remote or scripts/soak');
  return endpoint;
}

function client(): S3Client {
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';
  return new S3Client({ endpoint: endpointOf(), forcePathStyle: true });
}

export async function makeBucket(): Promise<string> {
  const bucket = `spinney-${randomBytes(6).toString('hex')}`;
  const s3 = client();
  await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  s3.destroy();
  return bucket;
}

/** How many objects are in it, and their bytes. */
export async function sizeOf(bucket: string): Promise<{ objects: number; bytes: number }> {
  const s3 = client();
  const size = { objects: 0, bytes: 0 };
  for (let token: string | undefined, more = true; more; more = token !== undefined) {
    const answer = await s3.send(
      new ListObjectsV2Command({ Bucket: bucket, ...(token !== undefined && { ContinuationToken: token }) }),
    );
    for (const { Size = 0 } of answer.Contents ?? []) {
      size.objects++;
      size.bytes += Size;
    }
    token = answer.NextContinuationToken;
  }
  s3.destroy();
  return size;
}

/** The server's process: what its users see when it stands still, or is gone. */
export class Radosgw {
  readonly #place: string;
  readonly #file: string;

  constructor({ SPINNEY_RADOSGW: place }: NodeJS.ProcessEnv = process.env) {
    if (place === undefined)
      throw new Error('no radosgw of our own: start this by scripts/test-remote or scripts/soak');
    this.#place = place;
    this.#file = join(place, 'client.rgw.pid');
  }

  pause(): void {
    process.kill(this.#pid(), 'SIGSTOP');
  }

  goOn(): void {
    process.kill(this.#pid(), 'SIGCONT');
  }

  async kill(): Promise<void> {
    const pid = this.#pid();
    process.kill(pid, 'SIGKILL');
    await ended(pid);
  }

  /** Again, with the same data and at the same port. Resolves when it answers. */
  async start(): Promise<void> {
    const PATH = `${process.env.PATH}:${ADMINISTRATORS}`;
    const options = ['-c', join(this.#place, 'ceph.conf'), '-n', 'client.rgw'];
    // Else it would be taken for something that a test has left behind (test/support/run-guardian.mjs).
    const TMPDIR = dirname(this.#place);
    execFileSync('radosgw', options, { cwd: '/', env: { ...process.env, PATH, TMPDIR }, stdio: 'ignore' });
    const until = performance.now() + COMES_UP_MS;
    while (!(await answers(endpointOf()))) {
      if (performance.now() > until) throw new Error('radosgw does not come up');
      await sleep(LOOK_AGAIN_MS);
    }
  }

  #pid(): number {
    return Number(readFileSync(this.#file, 'utf8'));
  }
}

async function answers(endpoint: string): Promise<boolean> {
  try {
    await fetch(endpoint, { signal: AbortSignal.timeout(5_000) });
    return true;
  } catch {
    return false;
  }
}
