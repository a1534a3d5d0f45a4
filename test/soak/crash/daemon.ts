/** A daemon as a process that is watched from its first moment on, and that can be killed at any. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ended, type Running, type Site } from '../../e2e/site.js';
import { callsOf } from '../../support/killed-program.js';

/** Only a hang takes longer, on a machine that does other things too. */
const DEADLINE_MS = 120_000;
const LOOK_AGAIN_MS = 1;
const ERRORS = ['error', 'fatal'];

interface LogLine {
  level: string;
  msg: string;
}

export class Daemon {
  readonly pid: number;
  readonly #site: Site;
  readonly #running: Running;
  readonly #exited: Promise<number>;
  #hasExited = false;
  #signalledAt = 0;
  #endedAt = 0;
  #log = '';
  /** Of the connection, in /sys/fs/fuse/connections. */
  #connection: string | undefined;

  /** `options` are those of `spinney mount`. */
  constructor(site: Site, options: readonly string[]) {
    this.#site = site;
    this.#running = site.startSpinney(
      'mount',
      site.mountpoint,
      '--store',
      site.store,
      '--foreground',
      ...options,
    );
    const { child } = this.#running;
    this.pid = child.pid!;
    child.stderr!.on('data', (text: string) => {
      this.#log += text;
    });
    this.#exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#hasExited = true;
        this.#endedAt = performance.now();
        resolve(signal === null ? code! : 128);
      });
    });
  }

  get hasExited(): boolean {
    return this.#hasExited;
  }

  get isMounted(): boolean {
    return this.#log.includes('"msg":"mounted"');
  }

  /** Resolves when the mount answers. Throws when the daemon ends before. */
  async mounted(): Promise<void> {
    await this.#until(() => this.isMounted || this.hasExited);
    if (!this.isMounted) throw new Error(`the daemon did not come up: ${this.#log}`);
    const line = this.#site
      .mountinfo()
      .split('\n')
      .find((text) => text.split(' ')[4] === this.#site.mountpoint);
    this.#connection = line?.split(' ')[2]?.split(':')[1];
  }

  /** Calls of the kinds of read(2) and write(2) that it has made so far: how far it has come, by no clock. */
  systemCalls(): number {
    return callsOf(this.pid);
  }

  /** Resolves when it has made so many calls since it began, is mounted where `orMounted`, or has ended. */
  async reached(systemCalls: number, orMounted = false): Promise<void> {
    await this.#until(
      () => this.hasExited || (orMounted && this.isMounted) || this.systemCalls() >= systemCalls,
    );
  }

  /** At once; what `guards` names goes with it, before it or after it. */
  kill(guards: readonly number[] = [], guardsFirst = false): void {
    const victims = guardsFirst ? [...guards, this.pid] : [this.pid, ...guards];
    for (const pid of victims) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
  }

  signal(signal: NodeJS.Signals): void {
    if (this.hasExited) return;
    if (this.#signalledAt === 0) this.#signalledAt = performance.now();
    process.kill(this.pid, signal);
  }

  /** From the first signal to the end. */
  get endedAfterMs(): number {
    return this.#endedAt - this.#signalledAt;
  }

  /** Its exit code, 128 where a signal ended it. Throws, and breaks the connection, where it does not end. */
  async exited(): Promise<number> {
    await this.#until(() => this.hasExited);
    return this.#exited;
  }

  /** Whoever waits for the daemon gets an error. Where the mount is gone, its connection's number may be another mount's. */
  abort(): void {
    const isThere = this.#site
      .mountinfo()
      .split('\n')
      .map((line) => line.split(' '))
      .some(([, , device, , place]) => place === this.#site.mountpoint && device === `0:${this.#connection}`);
    if (!isThere) return;
    try {
      writeFileSync(join('/sys/fs/fuse/connections', this.#connection ?? 'none', 'abort'), '1');
    } catch {
      // The connection has gone.
    }
  }

  /** What it logged that should not happen. */
  errors(): string[] {
    const lines = this.#log.slice(0, this.#log.lastIndexOf('\n') + 1).split('\n');
    return lines.filter((line) => line !== '' && ERRORS.includes(levelOf(line)));
  }

  async #until(isSo: () => boolean): Promise<void> {
    const since = performance.now();
    while (!isSo()) {
      if (performance.now() - since > DEADLINE_MS) {
        this.abort();
        this.kill();
        throw new Error(`the daemon hangs: ${this.#log}`);
      }
      await sleep(LOOK_AGAIN_MS);
    }
  }
}

/** What is no line of the log is a message of the runtime. */
function levelOf(line: string): string {
  try {
    return (JSON.parse(line) as LogLine).level;
  } catch {
    return 'fatal';
  }
}

/** Waits until those are gone. */
export async function allEnded(pids: readonly number[]): Promise<void> {
  const deadline = sleep(DEADLINE_MS, 'late', { ref: false });
  const all = Promise.all(pids.map(ended));
  if ((await Promise.race([all, deadline])) === 'late') throw new Error(`of ${pids.join()} some go on`);
}
