/**
 * A place for one test: a store, a mountpoint, and the built command line to join them.
 *
 * The test process itself never touches the mount, so that a mount that hangs cannot hang the tests: all that does
 * is a shell script in a process of its own, with a deadline. Whatever a test did, `Site` unmounts, ends the
 * daemons of its store and removes its directory when the test is over.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished, vi } from 'vitest';
import type { StatsReport } from '../../daemon/control/reports.js';
import { identifyProcess } from '../../daemon/process/process-identity.js';

const CHECKOUT = join(import.meta.dirname, '../..');
const CLI = join(CHECKOUT, 'dist/daemon/cli.js');
const DEADLINE_SECONDS = 120;
/** Thousands of files, on a machine that may be doing other things: only a hang takes longer. */
vi.setConfig({ testTimeout: 400_000, hookTimeout: 400_000 });
const LOOK_AGAIN_MS = 10;
/** Of the log, from the least on. */
const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;

/**
 * For scripts in a namespace of mounts of their own, which begins with copies of all mounts: gives up those of other
 * tests, which would keep their stores in use.
 */
export const GIVE_UP_COPIES = `awk '/ - fuse.spinney / && $5 != ENVIRON["MNT"] { print $5 }' /proc/self/mountinfo |
  while read -r copy; do umount -l "$copy"; done`;

export interface Result {
  /** Exit code; 128 + n for signal n; 124 when the deadline passed. */
  code: number;
  out: string;
  err: string;
}

export interface Running {
  child: ChildProcess;
  result: Promise<Result>;
}

export class Site {
  readonly directory: string;
  readonly mountpoint: string;
  readonly store: string;
  /** Whether daemons rehearse, as they do by themselves; to be set before a mount. */
  rehearses = false;
  readonly #started: ChildProcess[] = [];
  /** Where this site's commands see the checkout. */
  #program = CHECKOUT;
  /** The process whose mount namespace this site's commands run in. */
  #namespace: number | undefined;

  /** Cleaned up at the end of the test that calls this, or when `atEnd` has it done. */
  constructor(atEnd: (cleanUp: () => Promise<void>) => void = onTestFinished) {
    this.directory = mkdtempSync(join(tmpdir(), 'spinney-e2e-'));
    this.mountpoint = join(this.directory, 'mnt');
    this.store = join(this.directory, 'store');
    mkdirSync(this.mountpoint);
    atEnd(() => this.#cleanUp());
  }

  /** Runs the command line to its end. */
  spinney(...args: string[]): Promise<Result> {
    return this.startSpinney(...args).result;
  }

  /** As `spinney`, for a command that is to go on. */
  startSpinney(...args: string[]): Running {
    return this.#start([process.execPath, CLI, ...args]);
  }

  /** As `spinney`, for a command that must succeed; returns what it printed. */
  async must(...args: string[]): Promise<string> {
    const { code, out, err } = await this.spinney(...args);
    if (code !== 0) throw new Error(`spinney ${args.join(' ')} ended with ${code}: ${err}${out}`);
    return out;
  }

  /**
   * Gives the site a mount namespace of its own in which ordinary users may open /dev/fuse, as on a machine with udev,
   * and reach $PROGRAM, wherever the checkout is. The machine's own device stays as it is.
   */
  async letUsersIn(): Promise<void> {
    this.#program = `${this.directory}-program`;
    mkdirSync(this.#program);
    const script = `${GIVE_UP_COPIES}
      mkdir dev; mount -t tmpfs tmpfs dev; mknod -m 666 dev/fuse c 10 229; mount --bind dev/fuse /dev/fuse
      umount -l dev; rmdir dev; mount --bind ${CHECKOUT} $PROGRAM; echo ready; exec sleep infinity`;
    const { child } = this.#start(['unshare', '--mount', 'bash', '-euc', script]);
    await new Promise((resolve, reject) => {
      child.stdout!.once('data', resolve);
      child.once('close', () => reject(new Error('Cannot make a mount namespace')));
    });
    this.#namespace = child.pid!;
  }

  /** Puts the store on a filesystem that is stacked on another, where the kernel passes no contents through. */
  async stackStore(): Promise<void> {
    await this.sh(`mkdir lower upper work $STORE
      mount -t overlay -o lowerdir=$DIR/lower,upperdir=$DIR/upper,workdir=$DIR/work overlay $STORE`);
  }

  mount(...options: string[]): Promise<string> {
    return this.must('mount', this.mountpoint, '--store', this.store, ...options);
  }

  /** As `mount`, under limits that bash's `ulimit` sets. */
  mountWithin(limits: string, ...options: string[]): Promise<string> {
    const mount = [process.execPath, CLI, 'mount', this.mountpoint, '--store', this.store, ...options];
    return this.sh(`ulimit ${limits}; exec ${mount.join(' ')}`);
  }

  umount(...options: string[]): Promise<string> {
    return this.must('umount', this.mountpoint, ...options);
  }

  /** The one line of a `spinney` command that must fail with exit code 1. */
  async refusal(...args: string[]): Promise<string> {
    const { code, out, err } = await this.spinney(...args);
    if (code !== 1 || out !== '' || err.split('\n').length !== 2) {
      throw new Error(`spinney ${args.join(' ')} should have failed in one line: ${code} ${out} ${err}`);
    }
    return err.trimEnd();
  }

  /**
   * Runs a bash script in `$DIR`, with `$MNT`, `$STORE`, and the checkout in `$PROGRAM`. Throws when it fails. Returns
   * what it printed, without the last line's end.
   */
  async sh(script: string, seconds = DEADLINE_SECONDS): Promise<string> {
    const { code, out, err } = await this.start(script, seconds).result;
    if (code !== 0) throw new Error(`A script ended with ${code}: ${err}${out}\n${script}`);
    return out.replace(/\n$/, '');
  }

  /** As `sh`, for a script that may fail. */
  attempt(script: string, seconds = DEADLINE_SECONDS): Promise<Result> {
    return this.start(script, seconds).result;
  }

  /** Starts a script and lets it run. */
  start(script: string, seconds = DEADLINE_SECONDS): Running {
    return this.#start(['timeout', '-k', '2', String(seconds), 'bash', '-euo', 'pipefail', '-c', script]);
  }

  async stats(): Promise<StatsReport> {
    return JSON.parse(await this.must('stats', '--store', this.store, '--json')) as StatsReport;
  }

  /** The pid of the running daemon of this store. */
  daemon(): number {
    const [pid, ...others] = this.daemons();
    if (pid === undefined || others.length > 0) {
      throw new Error(`${others.length + 1} daemons serve ${this.store}`);
    }
    return pid;
  }

  /**
   * Ends the daemon in the hardest way, and waits until the mount has gone: its guard takes it away, or, where that would start the
   * daemon again, goes with it, and the mount is detached here.
   */
  async kill(): Promise<void> {
    const guards = this.guards();
    if (guards.some(startsAgain)) {
      await this.killWithGuard();
      await this.sh(
        `while grep " $MNT .* - fuse.spinney " /proc/self/mountinfo >&2; do umount -l $MNT; done`,
      );
      return;
    }
    await this.signal('SIGKILL');
    for (const guard of guards) await ended(guard);
  }

  /** As `kill`, but nothing takes the mount away: it stays behind, dead. */
  async killWithGuard(): Promise<void> {
    const guards = this.guards();
    for (const guard of guards) process.kill(guard, 'SIGKILL');
    await this.signal('SIGKILL');
    for (const guard of guards) await ended(guard);
  }

  /** Pids of the shells that watch over this site's mounts. */
  guards(): number[] {
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    return pids.map(Number).filter((pid) => {
      const line = commandLine(pid);
      return line.includes('spinney-guard\0') && line.includes(`${this.directory}/`);
    });
  }

  /** Sends a signal to the daemon and waits for its end. */
  async signal(signal: NodeJS.Signals): Promise<void> {
    const pid = this.daemon();
    process.kill(pid, signal);
    await ended(pid);
  }

  isMounted(): boolean {
    return this.#mounts().length > 0;
  }

  /** The table of mounts that this site's commands see. */
  mountinfo(): string {
    return readFileSync(`/proc/${this.#namespace ?? 'self'}/mountinfo`, 'utf8');
  }

  /** Lines of the daemon's log with at least this level. */
  logged(level: (typeof LEVELS)[number]): string[] {
    const file = join(this.store, 'spinney.log');
    if (!existsSync(file)) return [];
    const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean);
    const wanted: readonly string[] = LEVELS.slice(LEVELS.indexOf(level));
    return lines.filter((line) => wanted.includes((JSON.parse(line) as { level: string }).level));
  }

  /** As `daemon`, also where there is none, or the next one begins while the last one ends. */
  daemons(): number[] {
    if (!existsSync(this.store)) return [];
    const records = readdirSync(this.store).map((name) => /^daemon-(\d+)\.json$/.exec(name));
    return records.flatMap((match) => (match === null ? [] : [Number(match[1])])).filter(this.#isOurs);
  }

  /** A record may be left over, and its pid another process's by now. */
  readonly #isOurs = (pid: number): boolean => commandLine(pid).includes(this.store);

  /** Mountpoints below the directory, topmost first, from the table of mounts: nothing is touched. */
  #mounts(): string[] {
    const mountpoints = this.mountinfo()
      .split('\n')
      .map((line) => line.split(' ')[4] ?? '');
    return mountpoints.filter((mountpoint) => mountpoint.startsWith(`${this.directory}/`)).reverse();
  }

  #start(command: string[]): Running {
    const [program, ...args] = this.#inNamespace(command);
    const places = { MNT: this.mountpoint, STORE: this.store, DIR: this.directory, PROGRAM: this.#program };
    const child = spawn(program!, args, {
      cwd: this.directory,
      env: {
        ...process.env,
        ...places,
        // That is for the tests' own processes (vitest.config.ts).
        MALLOC_MMAP_THRESHOLD_: undefined,
        // It takes more processor time than all else that most tests have a mount do.
        SPINNEY_REHEARSAL: this.rehearses ? 'on' : 'off',
        LC_ALL: 'C',
        GIT_CONFIG_GLOBAL: '/dev/null',
        GIT_CONFIG_SYSTEM: '/dev/null',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#started.push(child);
    let out = '';
    let err = '';
    child.stdout!.setEncoding('utf8').on('data', (text) => {
      out += text;
    });
    child.stderr!.setEncoding('utf8').on('data', (text) => {
      err += text;
    });
    const result = new Promise<Result>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) => resolve({ code: code ?? (signal === null ? -1 : 128), out, err }));
    });
    return { child, result };
  }

  #inNamespace(command: string[]): string[] {
    if (this.#namespace === undefined) return command;
    // Entering a mount namespace leaves the working directory.
    return [
      'nsenter',
      `--mount=/proc/${this.#namespace}/ns/mnt`,
      'env',
      `--chdir=${this.directory}`,
      ...command,
    ];
  }

  async #cleanUp(): Promise<void> {
    const mounts = this.#namespace === undefined ? () => this.#mounts() : () => [];
    for (const child of this.#started) if (child.exitCode === null) child.kill('SIGKILL');
    for (const guard of this.guards()) {
      process.kill(guard, 'SIGKILL');
      await ended(guard);
    }
    for (const pid of this.daemons()) {
      process.kill(pid, 'SIGKILL');
      await ended(pid);
    }
    // Those in a namespace of its own went with its last process.
    for (const mountpoint of mounts()) {
      await this.#start(['umount', '-l', mountpoint]).result;
    }
    if (this.#program !== CHECKOUT) rmdirSync(this.#program);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Whether the guard starts the daemon again: then its last argument is not empty. */
function startsAgain(guard: number): boolean {
  return !commandLine(guard).endsWith('\0\0');
}

/** Its arguments, each with a zero after it; empty when there is no such process. */
function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

/** Resolves when the process is gone. */
export async function ended(pid: number): Promise<void> {
  while (identifyProcess(pid) !== undefined) await sleep(LOOK_AGAIN_MS);
}
