/** Mounts with a remote, and the server below it. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CreateBucketCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { askDaemon } from '../../../dist/daemon/control/client.js';
import { Client } from '../mount/client/client.mjs';
import { Mount } from '../mount/mounted.mjs';

const CLI = fileURLToPath(new URL('../../../dist/daemon/cli.js', import.meta.url));
const SERVER = fileURLToPath(new URL('../../radosgw', import.meta.url));
const LOOK_AGAIN_MS = 5;
const SETTLES_MS = 900_000;

process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';

/** Starts a radosgw, whose users find it in the environment, and returns what ends it. One that is there already is taken. */
export function startServer() {
  if (process.env.SPINNEY_RADOSGW !== undefined) return () => {};
  const text = execFileSync(SERVER, ['start'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  for (const [, name, value] of text.matchAll(/^export (\w+)='(.*)'$/gm)) process.env[name] = value;
  return () => execFileSync(SERVER, ['stop']);
}

export function s3Client() {
  return new S3Client({ endpoint: process.env.AWS_ENDPOINT_URL_S3, forcePathStyle: true });
}

export async function makeBucket() {
  const bucket = `bench-${randomBytes(6).toString('hex')}`;
  const s3 = s3Client();
  await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  s3.destroy();
  return bucket;
}

/** The objects of a bucket and their bytes, by the first part of their names. */
export async function contentsOf(bucket) {
  const s3 = s3Client();
  const found = {};
  for (let token; ; ) {
    const answer = await s3.send(new ListObjectsV2Command({ Bucket: bucket, ContinuationToken: token }));
    for (const { Key, Size } of answer.Contents ?? []) {
      const kind = Key.split('/')[1];
      found[kind] ??= { objects: 0, bytes: 0 };
      found[kind].objects++;
      found[kind].bytes += Size;
    }
    token = answer.NextContinuationToken;
    if (token === undefined) break;
  }
  s3.destroy();
  return found;
}

/** A mount of a store in a directory of its own, with a remote or without. */
export class Mounted {
  static async start(place, { bucket, durability = 'local', endpoint, program } = {}) {
    const mounted = new Mounted();
    mounted.mountpoint = join(place, 'mnt');
    mounted.store = join(place, 'store');
    mkdirSync(mounted.mountpoint, { recursive: true });
    const remote =
      bucket === undefined
        ? []
        : [
            ...[
              '--remote',
              `s3://${bucket}/bench`,
              '--remote-endpoint',
              endpoint ?? process.env.AWS_ENDPOINT_URL_S3,
            ],
            ...['--remote-durability', durability],
          ];
    const argv = [
      process.execPath,
      CLI,
      'mount',
      mounted.mountpoint,
      '--store',
      mounted.store,
      '--foreground',
    ];
    const started = performance.now();
    mounted.mount = await Mount.start([...argv, '--log-level', 'warn', ...remote], mounted.mountpoint);
    await mounted.#up();
    mounted.startMs = performance.now() - started;
    if (program !== undefined) mounted.client = new Client(program, mounted.mountpoint, mounted.mount);
    return mounted;
  }

  /** The kernel has the mount a moment before its daemon answers. */
  async #up() {
    for (;;) {
      try {
        await this.ask('GET', '/v1/stats');
        return;
      } catch {
        await pause(LOOK_AGAIN_MS);
      }
    }
  }

  async ask(method, path) {
    const { body } = await askDaemon(join(this.store, 'control.sock'), method, path);
    return body;
  }

  async stats() {
    const { remote } = await this.ask('GET', '/v1/stats');
    return remote;
  }

  /** Waits until the remote has everything; returns what is told then. */
  async settled() {
    const until = performance.now() + SETTLES_MS;
    for (;;) {
      const stats = await this.stats();
      if (stats.lagSeconds === 0 && stats.lagRecords === 0 && stats.contentsWaiting === 0) return stats;
      if (performance.now() > until) throw new Error('Cannot measure: the remote does not get everything');
      await pause(LOOK_AGAIN_MS);
    }
  }

  stop() {
    return this.mount.stop();
  }
}
