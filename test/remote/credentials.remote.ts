/** Who a mount is to its remote: what its daemons need they have, whoever starts them, and nothing of it is told anywhere. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { Site } from '../e2e/site.js';
import { endpointOf, makeBucket } from '../soak/machines/away/bucket.js';
import { until } from '../soak/machines/away/machine.js';

const before = process.env;
const SECRETS = [before.AWS_ACCESS_KEY_ID!, before.AWS_SECRET_ACCESS_KEY!];

afterEach(() => {
  process.env = before;
});

interface Stats {
  remote: { lagRecords: number; contentsWaiting: number; shippedBytes: number; epoch: number };
}

async function remoteStats(site: Site): Promise<Stats['remote']> {
  const { remote } = (await site.stats()) as unknown as Stats;
  return remote;
}

/** Makes a file, and waits until all is in the remote. */
async function ship(site: Site, name: string): Promise<void> {
  await site.sh(`echo ${name} > $MNT/${name}; sync -f $MNT/${name}`);
  await until('the remote has everything', async () => {
    const { lagRecords, contentsWaiting } = await remoteStats(site);
    return lagRecords === 0 && contentsWaiting === 0;
  });
}

function expectNoSecret(where: string, bytes: Buffer): void {
  for (const secret of SECRETS)
    expect(bytes.includes(secret), `${where} tells ${secret.slice(0, 3)}...`).toBe(false);
}

function expectNoneInCommandLines(): void {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      expectNoSecret(`the command line of ${pid}`, readFileSync(`/proc/${pid}/cmdline`));
    } catch (error) {
      // It has ended meanwhile.
      if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
}

function expectNoneBelow(directory: string): number {
  let files = 0;
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    expectNoSecret(join(entry.parentPath, entry.name), readFileSync(join(entry.parentPath, entry.name)));
    files++;
  }
  return files;
}

describe('credentials', () => {
  it('are had by each daemon of a mount, and told nowhere', async () => {
    const site = new Site();
    const remote = ['--remote', `s3://${await makeBucket()}/a`, '--remote-endpoint', endpointOf()];
    await site.mount(...remote, '--log-level', 'trace');
    await ship(site, 'one');
    expectNoneInCommandLines();

    // The guard starts the next one.
    const { epoch } = await remoteStats(site);
    process.kill(site.daemon(), 'SIGKILL');
    await ship(site, 'two');
    expect((await remoteStats(site)).epoch).toBeGreaterThan(epoch);
    expectNoneInCommandLines();

    await site.must('upgrade', site.mountpoint);
    await ship(site, 'three');
    expectNoneInCommandLines();

    await site.must('debug', site.mountpoint, '--out', 'bundle.tar.gz', '--with-names');
    const bundle = gunzipSync(readFileSync(join(site.directory, 'bundle.tar.gz')));
    // So the search finds what is there.
    expect(bundle.includes(site.store)).toBe(true);
    expectNoSecret('the bundle', bundle);
    for (const verb of ['status', 'stats', 'health']) {
      const { out, err } = await site.spinney(verb, site.mountpoint);
      expectNoSecret(verb, Buffer.from(out + err));
    }
    expect(expectNoneBelow(site.store)).toBeGreaterThan(5);
    expect(site.logged('trace').length).toBeGreaterThan(0);
    await site.umount();
    expectNoneBelow(site.store);
  });

  it('of a profile are found by a detached daemon', async () => {
    const site = new Site();
    const [id, secret] = SECRETS;
    await site.sh(
      `printf '[other]\\naws_access_key_id = %s\\naws_secret_access_key = %s\\n' ${id} ${secret} > credentials`,
    );
    const bare = Object.entries(before).filter(([name]) => !name.startsWith('AWS_'));
    process.env = {
      ...Object.fromEntries(bare),
      AWS_SHARED_CREDENTIALS_FILE: join(site.directory, 'credentials'),
      AWS_PROFILE: 'other',
    };
    const bucket = await bucketAs(before);
    await site.mount('--remote', `s3://${bucket}`, '--remote-endpoint', before.AWS_ENDPOINT_URL_S3!);
    await ship(site, 'one');
    await site.umount();
    expectNoneBelow(site.store);
  });
});

/** A bucket that is made with another environment than the one at the moment. */
async function bucketAs(environment: NodeJS.ProcessEnv): Promise<string> {
  const own = process.env;
  process.env = environment;
  try {
    return await makeBucket();
  } finally {
    process.env = own;
  }
}

describe('a mount is refused in one line', () => {
  /** 1, or 2 where the arguments alone are wrong. */
  const refusal = async (remote: string, ...more: string[]) => {
    const site = new Site();
    const endpoint = more.length > 0 ? more : ['--remote-endpoint', endpointOf(before)];
    const mount = ['mount', site.mountpoint, '--store', site.store, '--remote', remote, ...endpoint];
    const { code, out, err } = await site.spinney(...mount);
    expect([1, 2]).toContain(code);
    expect(out).toBe('');
    expect(err.split('\n').length, err).toBe(2);
    return err;
  };

  it('where credentials are in a URL, and does not repeat them', async () => {
    for (const told of [
      await refusal('s3://key:wordofpass@photos/a'),
      await refusal('s3://photos/a', '--remote-endpoint', 'https://key:wordofpass@s3.example.org'),
    ]) {
      expect(told).toContain('credentials come from the environment, a profile or the instance');
      expect(told).not.toContain('wordofpass');
    }
  });

  it('where plain HTTP would leave the machine', async () => {
    expect(await refusal('s3://photos/a', '--remote-endpoint', 'http://192.0.2.1')).toContain(
      'http:// to 192.0.2.1 can be read and changed on the way; use https://',
    );
  });

  it('with the reason, by its kind', async () => {
    const bucket = await makeBucket();
    expect(await refusal(`s3://${bucket}-none/a`)).toContain('there is no such bucket');
    process.env = { ...before, AWS_SECRET_ACCESS_KEY: 'wordofpass' };
    const wrong = await refusal(`s3://${bucket}/a`);
    expect(wrong).toContain("the secret key is not the access key's");
    expect(wrong).not.toContain('wordofpass');
    process.env = { ...before, AWS_ACCESS_KEY_ID: 'NOBODY' };
    expect(await refusal(`s3://${bucket}/a`)).toContain('the access key is not known there');
    const { AWS_ACCESS_KEY_ID: _, AWS_SECRET_ACCESS_KEY: __, ...none } = before;
    process.env = { ...none, AWS_EC2_METADATA_DISABLED: 'true', AWS_SHARED_CREDENTIALS_FILE: '/dev/null' };
    expect(await refusal(`s3://${bucket}/a`)).toContain('no credentials are found; set AWS_ACCESS_KEY_ID');
    process.env = before;
    // Nobody listens at the port of echo.
    expect(await refusal(`s3://${bucket}/a`, '--remote-endpoint', 'http://127.0.0.1:7')).toContain(
      'no answer from http://127.0.0.1:7 (ECONNREFUSED); look at the endpoint and the network',
    );
  });
});
