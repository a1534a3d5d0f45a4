/**
 * What the threads of this process do: a sampling profile of each, taken at the same time, while they go on serving.
 *
 * Main speaks to its own inspector, and through that (the domain NodeWorker) to those of its workers; no port is opened. A worker takes up what it is
 * told between two steps of its JavaScript. One that sleeps in a call of the system does so when it wakes, so `wake` is called; one that hangs there
 * is told to be missing, and its profiler ends with the session.
 */
import type { Session } from 'node:inspector';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CpuProfile, ThreadReport } from '../control/reports.js';
import { settledWithin } from '../process/deadline.js';

/** How long a worker has to take up what it is told, beyond the time of the profile. */
const ANSWER_DEADLINE_MS = 2_000;
const WAKE_EVERY_MS = 100;

interface Inspector {
  post(method: string, params?: object): Promise<unknown>;
}

interface Thread {
  name: string;
  inspector: Inspector;
}

/** `wake` makes sleeping threads look up. Never rejects for one thread's sake. @throws where Node has no inspector */
export async function profileThreads(
  ms: number,
  samplingMicros: number,
  wake: () => void,
): Promise<ThreadReport[]> {
  const { Session } = await import('node:inspector');
  const session = new Session();
  session.connect();
  const waking = setInterval(wake, WAKE_EVERY_MS);
  try {
    const threads = [{ name: 'main', inspector: ownInspector(session) }, ...(await workersOf(session))];
    return await Promise.all(threads.map((thread) => profile(thread, ms, samplingMicros)));
  } finally {
    clearInterval(waking);
    // Ends the profilers of those that did not answer, too.
    session.disconnect();
  }
}

async function profile({ name, inspector }: Thread, ms: number, interval: number): Promise<ThreadReport> {
  const started = (async () => {
    await inspector.post('Profiler.enable');
    await inspector.post('Profiler.setSamplingInterval', { interval });
    await inspector.post('Profiler.start');
  })();
  const [hasStarted] = await Promise.all([settledWithin(started, ms + ANSWER_DEADLINE_MS), sleep(ms)]);
  try {
    if (!hasStarted) return { name, missing: notAnswering(ms) };
    await started;
    const stopped = inspector.post('Profiler.stop');
    if (!(await settledWithin(stopped, ANSWER_DEADLINE_MS))) return { name, missing: notAnswering(ms) };
    return { name, profile: ((await stopped) as { profile: CpuProfile }).profile };
  } catch (error) {
    return { name, missing: error instanceof Error ? error.message : String(error) };
  }
}

function notAnswering(ms: number): string {
  const seconds = (ms + ANSWER_DEADLINE_MS) / 1000;
  return `it ran no JavaScript for ${seconds} s: it waits in a call of the system, see its kernel stack`;
}

function ownInspector(session: Session): Inspector {
  return {
    post: (method, params) =>
      new Promise((resolve, reject) => {
        session.post(method, params, (error: Error | null, result?: unknown) => {
          if (error === null) resolve(result);
          else reject(new Error(error.message));
        });
      }),
  };
}

interface Attached {
  params: { sessionId: string; workerInfo: { workerId: string; url: string } };
}

interface Received {
  params: { sessionId: string; message: string };
}

interface Answer {
  id?: number;
  result?: unknown;
  error?: { message: string };
}

/** Those of workers that there are now. */
async function workersOf(session: Session): Promise<Thread[]> {
  const own = ownInspector(session);
  const threads: Thread[] = [];
  const waiting = new Map<string, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  let lastId = 0;
  session.on('NodeWorker.attachedToWorker', ({ params: { sessionId, workerInfo } }: Attached) => {
    const post = (method: string, params: object = {}): Promise<unknown> =>
      new Promise((resolve, reject) => {
        const id = ++lastId;
        waiting.set(`${sessionId} ${id}`, { resolve, reject });
        const message = JSON.stringify({ id, method, params });
        own.post('NodeWorker.sendMessageToWorker', { sessionId, message }).catch(reject);
      });
    threads.push({ name: `${nameOf(workerInfo.url)} ${workerInfo.workerId}`, inspector: { post } });
  });
  session.on('NodeWorker.receivedMessageFromWorker', ({ params: { sessionId, message } }: Received) => {
    const { id, result, error } = JSON.parse(message) as Answer;
    const key = `${sessionId} ${id}`;
    const waiter = waiting.get(key);
    waiting.delete(key);
    if (error === undefined) waiter?.resolve(result);
    else waiter?.reject(new Error(error.message));
  });
  await own.post('NodeWorker.enable', { waitForDebuggerOnStart: false });
  return threads;
}

/** As `session-worker`. */
function nameOf(url: string): string {
  return url.replace(/^.*\//, '').replace(/\.m?js$/, '');
}
