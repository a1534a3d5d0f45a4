/**
 * Gathers what a debug bundle has. Whatever cannot be had, because the daemon is gone or hangs, is told to be missing, and the rest is
 * there all the same.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { arch, cpus, version as kernelVersion, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { SpinneyError } from '../../../../engine/errors.js';
import { askDaemon, askDaemonForLines, askDaemonForText } from '../../../control/client.js';
import type { DebugReport, ThreadReport } from '../../../control/reports.js';
import { settledWithin } from '../../../process/deadline.js';
import { failureOf } from '../../../process/failure.js';
import { version } from '../../../process/version.js';
import { processText, threadsText } from './process-facts.js';
import { stacksText } from './stacks.js';
import type { Subject } from './subject.js';
import type { ArchivedFile } from './tar.js';
import type { Told } from './told.js';

/** How long the daemon has for an answer, beyond the time that the answer is about. */
const ANSWER_DEADLINE_MS = 5_000;
const LOOK_MS = 300;
const PROFILE_MS = 10_000;
/** Of a log file: its end. */
const LOG_TAIL_BYTES = 512 * 1024;

export interface Bundle {
  files: ArchivedFile[];
  /** What is not in it, and why. */
  missing: { name: string; why: string }[];
}

export interface BundleOptions {
  profile: boolean;
  /** How things are told in it: with or without names. */
  told: Told;
}

export async function gatherBundle(subject: Subject, { profile, told }: BundleOptions): Promise<Bundle> {
  const files: ArchivedFile[] = [];
  const missing: Bundle['missing'] = [];
  const add = (name: string, text: string): void => {
    files.push({ name, bytes: Buffer.from(text.endsWith('\n') ? text : `${text}\n`) });
  };
  const attempt = async (name: string, make: () => string | Promise<string>): Promise<void> => {
    try {
      add(name, await make());
    } catch (error) {
      missing.push({ name, why: told.text(failureOf(error).message) });
    }
  };
  const { socket, store, pid, mountLine } = subject;
  const json = (value: unknown): string => JSON.stringify(told.value(value), null, 2);
  let hangs = false;
  /** Rejects where no answer comes in time; then nothing more is asked. */
  const inTime = async <T>(ask: () => Promise<T>, ms = ANSWER_DEADLINE_MS): Promise<T> => {
    if (hangs) throw new SpinneyError('ERR_IO', 'Cannot ask the daemon: it does not answer');
    const asked = ask();
    if (await settledWithin(asked, ms)) return asked;
    hangs = true;
    throw new SpinneyError('ERR_IO', `Cannot reach the daemon: no answer came within ${ms / 1000} s`);
  };
  const answer = async (path: string): Promise<string> =>
    json((await inTime(() => askDaemon(socket, 'GET', path))).body);

  add('system.json', json(systemFacts()));
  // While it is as it was found: asking wakes it.
  await attempt('process.txt', () => processText(pidOf(pid), told));
  await attempt('threads.txt', () => threadsText(pidOf(pid)));
  await attempt('mountinfo.txt', () => told.mountLine(mountLine ?? notThere('it is not mounted')));
  await attempt('store.json', () => json(storeFiles(store ?? notThere('it was not told which store'))));
  await attempt('log.jsonl', async () => {
    const recent = async () =>
      (await inTime(() => askDaemon(socket, 'GET', '/v1/debug'))).body as DebugReport;
    const lines = await recent().then(
      ({ log }) => log,
      (error: unknown) => logTail(store, error),
    );
    return lines.map((line) => told.logLine(line)).join('\n');
  });
  await attempt('health.json', () => answer('/v1/health'));
  await attempt('settings.json', () => answer('/v1/status'));
  const ms = profile ? PROFILE_MS : LOOK_MS;
  let threads: readonly ThreadReport[] = [];
  await attempt('stacks.txt', async () => {
    const ask = () => askDaemon(socket, 'GET', `/v1/debug/threads?ms=${ms}`);
    threads = (await inTime(ask, 2 * ms + ANSWER_DEADLINE_MS)).body as ThreadReport[];
    const text = threads.map(({ name, missing: why, profile: found }) => {
      return `== ${name}\n${found === undefined ? `(${why})` : stacksText(told.profile(found))}\n`;
    });
    return text.join('\n');
  });
  for (const { name, profile: found } of profile ? threads : []) {
    if (found !== undefined)
      add(`profiles/${name.replaceAll(/[^\w-]+/g, '-')}.cpuprofile`, JSON.stringify(told.profile(found)));
  }
  await attempt('slow-requests.jsonl', async () => {
    const lines: string[] = [];
    const take = (line: unknown): void => void lines.push(JSON.stringify(told.value(line)));
    await inTime(() => askDaemonForLines(socket, '/v1/log', take));
    return lines.join('\n');
  });
  // These may wait for the lock of the tree, and nobody else is answered then.
  await attempt('stats.json', () => answer('/v1/stats'));
  await attempt('metrics.txt', async () =>
    told.metrics(await inTime(() => askDaemonForText(socket, '/metrics'))),
  );
  return { files, missing };
}

function pidOf(pid: number | undefined): number {
  return pid ?? notThere('no daemon is running');
}

function notThere(why: string): never {
  throw new SpinneyError('ERR_NOT_FOUND', `Cannot tell: ${why}`);
}

/** Of this machine and of the program that gathers. */
function systemFacts(): object {
  const processors = cpus();
  return {
    version,
    node: process.version,
    kernel: `${release()} ${kernelVersion()}`,
    architecture: arch(),
    processors: processors.length,
    memoryBytes: totalmem(),
    time: new Date().toISOString(),
  };
}

/** The end of the log file that a store has by default. `cause`: why its daemon does not tell. */
function logTail(store: string | undefined, cause: unknown): string[] {
  if (store === undefined) throw cause;
  const bytes = readFileSync(join(store, 'spinney.log'));
  return bytes.subarray(-LOG_TAIL_BYTES).toString().split('\n').filter(Boolean);
}

/** What is in the store's directory itself, and how large it is. */
function storeFiles(store: string): object[] {
  return readdirSync(store).map((name) => {
    const { size, mtime } = statSync(join(store, name));
    return { path: `${store}/${name}`, bytes: size, changed: mtime.toISOString() };
  });
}
