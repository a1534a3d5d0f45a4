/** The clients of a mixed load: each a chain of processes that run client.py, one after the other. */
import { join } from 'node:path';
import type { Site } from '../../e2e/site.js';
import { seededRandom } from '../../support/disk/random.js';
import { type Call, readLog } from './log.js';

const SCRIPT = join(import.meta.dirname, 'client.py');
/** Exit code of a client that found the daemon gone. */
const DOWN = 3;
/** Of one killed by a signal: by `kill`, or for a page of a mapping that nobody is there to give (see `Site.start`). */
const BY_SIGNAL = [128, 135, 137];
/** Calls of one process: numbers of the next begin behind. */
const MOST_CALLS = 500;
const NUMBERS_PER_PROCESS = 1000;
/** Only a mount that hangs keeps a client for so long, and then it cannot even be killed. */
const DEADLINE_SECONDS = 150;
const HANGS_AFTER_MS = 50_000;

/** What is to be done when so many calls have ended, whatever came of them. */
export interface Moment {
  readonly calls: number;
  readonly strike: () => void;
}

export class Clients {
  readonly count: number;
  #site: Site;
  /** One for each, so that what they do depends on the seed alone. */
  readonly #randoms: readonly (() => number)[];
  /** Processes that each client has had. */
  readonly #processes: number[];
  #round = 0;
  #ended = 0;
  #moments: Moment[] = [];
  #isStopped = false;
  /** Of the processes that run now. */
  readonly #pids = new Set<number>();
  readonly #patienceSeconds: number;

  /** A call may take as long as `patienceSeconds`. */
  constructor(site: Site, seed: number, count: number, patienceSeconds = DEADLINE_SECONDS) {
    this.#site = site;
    this.count = count;
    this.#patienceSeconds = patienceSeconds;
    this.#randoms = Array.from({ length: count }, (_, client) => seededRandom(seed * count + client));
    this.#processes = this.#randoms.map(() => 0);
  }

  /** From now on they work elsewhere, on what they did here. */
  moveTo(site: Site): void {
    this.#site = site;
  }

  /** Makes what they need, in a new mount. */
  async prepare(): Promise<void> {
    await this.#site.sh(`python3 ${SCRIPT} $MNT prepare ${this.count}`, DEADLINE_SECONDS);
  }

  /**
   * Lets them work until the daemon is gone, or `stop` is called. Returns what each wrote down. Throws where a client fails
   * otherwise, or hangs: then `abort` must break the connection that it waits for.
   */
  async run(moments: readonly Moment[], abort: () => void): Promise<Call[][]> {
    this.#round++;
    this.#ended = 0;
    this.#isStopped = false;
    this.#moments = [...moments].sort((a, b) => a.calls - b.calls);
    const logs = this.#randoms.map((_, client) => join(this.#site.directory, `log-${this.#round}-${client}`));
    let hangs = false;
    const deadline = setTimeout(
      () => {
        hangs = true;
        this.stop();
        abort();
      },
      this.#patienceSeconds * 1000 + HANGS_AFTER_MS,
    );
    try {
      await Promise.all(logs.map((log, client) => this.#chain(client, log)));
    } finally {
      this.stop();
      clearTimeout(deadline);
    }
    if (hangs) throw new Error('clients hang');
    return logs.map(readLog);
  }

  /** No further processes; those that run come to their end. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Ends them at once, as the end of the machine does. Each is a group of processes. */
  kill(): void {
    this.stop();
    for (const pid of this.#pids) {
      try {
        process.kill(-pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
  }

  async #chain(client: number, log: string): Promise<void> {
    const random = this.#randoms[client]!;
    while (!this.#isStopped) {
      const first = this.#processes[client]!++ * NUMBERS_PER_PROCESS;
      const calls = 1 + Math.floor(random() * MOST_CALLS);
      const seed = Math.floor(random() * 2 ** 31);
      const { child, result } = this.#site.start(
        `exec python3 ${SCRIPT} $MNT ${log} ${client} ${seed} ${first} ${calls}`,
        this.#patienceSeconds,
      );
      this.#pids.add(child.pid!);
      child.stdout!.on('data', (ticks: string) => this.#tick(ticks.length));
      const { code, err } = await result;
      this.#pids.delete(child.pid!);
      if (code === DOWN || BY_SIGNAL.includes(code)) return;
      if (code !== 0) throw new Error(`client ${client} ended with ${code}: ${err}`);
    }
  }

  #tick(calls: number): void {
    this.#ended += calls;
    while (this.#moments.length > 0 && this.#moments[0]!.calls <= this.#ended) {
      this.#moments.shift()!.strike();
    }
  }
}
