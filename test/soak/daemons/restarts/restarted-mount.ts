/**
 * A mount whose daemon is killed, and replaced by upgrades, under clients that must not notice: each checks what it reads, and at the
 * end all is there that the same clients leave in a directory of another filesystem.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { leftRecord } from '../../../../daemon/places/daemon-record.js';
import type { Durability } from '../../../../engine/api.js';
import { type Running, Site } from '../../../e2e/site.js';
import { allEnded } from '../../crash/daemon.js';

const LOAD = join(import.meta.dirname, 'load.py');
const SHOWN = join(import.meta.dirname, 'shown.py');
/** A step waits for a restart at most, which on a busy machine takes some seconds. */
const CLIENT_DEADLINE_SECONDS = 3600;
const DEADLINE_MS = 60_000;
const LOOK_AGAIN_MS = 2;
/** A guard gives up at the fifth death within a minute. */
const MOST_DEATHS_FOR_A_GUARD = 4;
const ERROR = 'error';
/** A spare that was lent to a file which was closed empty, in the moment before a kill (see crash/crashing-mount.ts). */
const EMPTY_CONTENT = ': no file has this content (0 bytes)';

export interface RestartOptions {
  readonly seed: number;
  readonly durability: Durability;
  /** Contents go through the daemon. */
  readonly isStacked: boolean;
  /** Of each client. */
  readonly steps: number;
}

export class RestartedMount {
  readonly #site: Site;
  readonly #options: RestartOptions;
  readonly pauses: number[] = [];
  emptyLeft = 0;
  #clients: { name: string; running: Running; steps: number }[] = [];
  #steps = 0;
  #running = 0;
  #deaths = 0;
  #longestStepMs = 0;

  private constructor(site: Site, options: RestartOptions) {
    this.#site = site;
    this.#options = options;
  }

  static async use(options: RestartOptions, work: (mount: RestartedMount) => Promise<void>): Promise<void> {
    let cleanUp: (() => Promise<void>) | undefined;
    const site = new Site((atEnd) => {
      cleanUp = atEnd;
    });
    const mount = new RestartedMount(site, options);
    try {
      if (options.isStacked) await site.stackStore();
      await site.mount('--durability', options.durability, '--cache-size', '64');
      await work(mount);
    } finally {
      await cleanUp?.();
    }
  }

  /** Steps that all clients have done together. */
  get steps(): number {
    return this.#steps;
  }

  get isLoaded(): boolean {
    return this.#running > 0;
  }

  /** The longest time that a client has waited for anything. */
  get longestStepMs(): number {
    return this.#longestStepMs;
  }

  /** Starts all clients. What it resolves to settles when they have come to their end, and rejects with what one of them was not told right. */
  async load(): Promise<{ ended: Promise<void> }> {
    const names = (await this.#site.sh(`python3 ${LOAD} . list 0 0`)).split(' ');
    const { seed, steps } = this.#options;
    this.#clients = names.map((name) => {
      const script = `exec python3 ${LOAD} $MNT ${name} ${seed} ${steps}`;
      const running = this.#site.start(script, CLIENT_DEADLINE_SECONDS);
      const client = { name, running, steps: 0 };
      running.child.stdout!.on('data', (text: string) => {
        const done = text.split('.').length - 1;
        client.steps += done;
        this.#steps += done;
      });
      return client;
    });
    this.#running = this.#clients.length;
    const ends = this.#clients.map(async (client) => {
      const { name, running } = client;
      const { code, out, err } = await running.result;
      this.#running--;
      if (code !== 0)
        throw new Error(`the client "${name}" ended with ${code} after ${client.steps} steps: ${err}`);
      this.#longestStepMs = Math.max(this.#longestStepMs, Number(out.trimEnd().split('\n').at(-1)));
    });
    const ended = Promise.all(ends).then(() => {});
    // Who awaits it does so later.
    ended.catch(() => {
      this.#running = 0;
    });
    return { ended };
  }

  /** kill -9 of the daemon. Resolves when the next one serves. */
  async kill(): Promise<void> {
    if (this.#deaths === MOST_DEATHS_FOR_A_GUARD) await this.#renewGuard();
    this.#deaths++;
    const pid = this.#site.daemon();
    process.kill(pid, 'SIGKILL');
    await this.#served(pid);
  }

  /** To this very version, with another option. */
  async upgrade(level: string): Promise<void> {
    const pid = this.#site.daemon();
    await this.#site.must('upgrade', this.#site.mountpoint, '--log-level', level);
    await this.#served(pid);
  }

  /** The guard is killed; the daemon starts another, which has seen no deaths. */
  async #renewGuard(): Promise<void> {
    const guards = this.#site.guards();
    for (const guard of guards) process.kill(guard, 'SIGKILL');
    await allEnded(guards);
    const since = performance.now();
    while (this.#site.guards().length === 0) {
      if (performance.now() - since > DEADLINE_MS) throw new Error('the daemon starts no other guard');
      await sleep(LOOK_AGAIN_MS);
    }
    this.#deaths = 0;
  }

  async #served(before: number): Promise<void> {
    const since = performance.now();
    for (;;) {
      const answer = await this.#site.spinney('stats', '--store', this.#site.store, '--json');
      if (answer.code === 0) {
        const { process: daemon, restarts } = JSON.parse(answer.out) as {
          process: { pid: number };
          restarts?: { last?: { pauseSeconds: number } };
        };
        if (daemon.pid !== before) {
          this.pauses.push((restarts?.last?.pauseSeconds ?? 0) * 1000);
          return;
        }
      }
      if (performance.now() - since > DEADLINE_MS)
        throw new Error(`no daemon has gone on: ${answer.err}${this.#site.logged(ERROR).join('\n')}`);
    }
  }

  /** Compares with what the clients leave elsewhere, unmounts, and checks the store. */
  async finish(): Promise<void> {
    const { seed, steps } = this.#options;
    const plain = join(this.#site.directory, 'plain');
    mkdirSync(plain);
    for (const { name } of this.#clients)
      await this.#site.sh(`python3 ${LOAD} ${plain} ${name} ${seed} ${steps} >&2`, CLIENT_DEADLINE_SECONDS);
    const wanted = await this.#site.sh(`python3 ${SHOWN} ${plain}`, CLIENT_DEADLINE_SECONDS);
    const found = await this.#site.sh(`python3 ${SHOWN} $MNT`, CLIENT_DEADLINE_SECONDS);
    if (found !== wanted) throw new Error(`the end is another one: ${firstDifference(found, wanted)}`);
    await this.#site.umount();
    if (leftRecord(this.#site.store, this.#site.mountpoint) !== undefined)
      throw new Error('a record was left');
    const errors = this.#site.logged(ERROR);
    if (errors.length > 0) throw new Error(`a daemon logged ${errors.join('\n')}`);
    const report = await this.#site.must('check', this.#site.store);
    const notes = report.split('\n').filter((line) => line.startsWith('note:'));
    const strange = notes.filter((note) => !note.endsWith(EMPTY_CONTENT));
    if (!/^status +clean/m.test(report) || strange.length > 0) throw new Error(report);
    this.emptyLeft = notes.length;
  }
}

function firstDifference(found: string, wanted: string): string {
  const [a, b] = [found.split('\n'), wanted.split('\n')];
  const at = a.findIndex((line, index) => line !== b[index]);
  return `"${a[at]}", not "${b[at < 0 ? a.length : at]}"`;
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
