/**
 * The daemon's side of its guard (script.ts): a shell that sees the daemon's death by the end of a pipe. It starts the daemon again,
 * with the connection, so that users of the mount wait for a moment; or, where nobody can go on, takes the mount away, so that they
 * see an empty directory, not ENOTCONN for ever.
 *
 * It takes away only what it was made for: the entry of the table of mounts with the same mount id, device, place and
 * source, and only while nothing is mounted over it.
 */
import { spawn } from 'node:child_process';
import { closeSync, readFileSync, writeSync } from 'node:fs';
import type { MountEntry } from '../../../mount/mountpoints/mountinfo.js';
import { hasReader, makePipe } from '../../../mount/process-calls.js';
import { failureOf } from '../../process/failure.js';
import type { Logger } from '../../process/log/log.js';
import { identifyProcess, type ProcessIdentity } from '../../process/process-identity.js';
import { shellWords } from '../../process/text/shell-words.js';
import { uptimeSeconds } from '../../process/uptime.js';
import { CONNECTION_DESCRIPTOR, GUARD_NAME, GUARD_SCRIPT } from './script.js';

const SYSTEM_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
const LOOK_EVERY_MS = 1_000;
/** The next guard comes at once, the one after it later, unless one has lasted so long. */
const LONG_LIFE_MS = 60_000;

export interface Guarded {
  /** Undefined: it is in the table of mounts no more, and another guard cannot be made for it. */
  entry: MountEntry | undefined;
  /** The connection's descriptor, for the next daemon; undefined: the mount is taken away when this one dies. */
  connection: number | undefined;
  /** Starts the daemon again. */
  command: readonly string[];
}

/** Told of each guard that is started, and of this process's end of its pipe. */
export type GuardListener = (guard: ProcessIdentity | undefined, pipe: number) => void;

/** Tells the guard at the other end of the pipe that no other daemon is wanted when this one ends. */
export function leaveMount(pipe: number): void {
  try {
    writeSync(pipe, 'leave\n');
  } catch {
    // It is gone, and starts nobody.
  }
}

export class MountGuard {
  readonly #guarded: Guarded;
  readonly #log: Logger;
  readonly #listener: GuardListener;
  readonly #watching: NodeJS.Timeout;
  /** This process's end; nobody else has one. */
  #pipe: number;
  #startedAt = Number.NEGATIVE_INFINITY;
  #patienceMs = 0;

  /**
   * Guards the mount as long as this process lives; `pipe` leads to the guard that is there already, if there is one. Where there is no shell,
   * that is logged and nothing guards.
   */
  constructor(guarded: Guarded, log: Logger, listener: GuardListener, pipe?: number) {
    this.#guarded = guarded;
    this.#log = log;
    this.#listener = listener;
    this.#pipe = pipe ?? this.#start();
    if (pipe !== undefined) this.#tell('up');
    this.#watching = setInterval(() => this.#look(), LOOK_EVERY_MS).unref();
  }

  /** The mount is about to end on purpose: the next daemon is not wanted. */
  endComes(): void {
    this.#tell('leave');
  }

  /** The mount is gone, and what comes to its place is not the guard's. */
  standDown(): void {
    clearInterval(this.#watching);
    this.#tell('done');
  }

  /** Why this process is going to end. */
  endsBecause(cause: string): void {
    this.#tell(`cause ${cause.replaceAll('\n', ' ')}`);
  }

  /** At the end of this process `command` goes on with the mount, which was served up to now. */
  handOverTo(command: readonly string[], since = uptimeSeconds()): void {
    this.#tell(`since ${since}`);
    this.#tell(`next ${shellWords(command)}`);
  }

  #tell(line: string): void {
    if (this.#pipe < 0) return;
    try {
      writeSync(this.#pipe, `${line}\n`);
    } catch (error) {
      // A guard that was killed is no reason to fail; the next look makes another.
      this.#log.debug({ err: error }, 'could not tell the guard');
    }
  }

  #look(): void {
    if (this.#pipe < 0 || hasReader(this.#pipe)) return;
    const life = performance.now() - this.#startedAt;
    if (life > LONG_LIFE_MS) this.#patienceMs = 0;
    if (life < this.#patienceMs) return;
    this.#patienceMs = Math.min(LONG_LIFE_MS, LOOK_EVERY_MS + 2 * this.#patienceMs);
    this.#log.warn('the guard of the mount has ended: starting another');
    closeSync(this.#pipe);
    this.#pipe = this.#start();
  }

  /** Returns this process's end of the pipe; -1 where there is no guard. */
  #start(): number {
    this.#startedAt = performance.now();
    const { entry } = this.#guarded;
    if (entry === undefined) return -1;
    try {
      const [readEnd, writeEnd] = makePipe();
      this.#spawn(entry, readEnd, writeEnd);
      return writeEnd;
    } catch (error) {
      this.#unguarded(error);
      return -1;
    }
  }

  #spawn(entry: MountEntry, readEnd: number, writeEnd: number): void {
    const { connection, command } = this.#guarded;
    const { mountpoint } = entry;
    const unmount =
      process.geteuid?.() === 0
        ? ['umount', '-l', '--', mountpoint]
        : ['fusermount3', '-uzq', '--', mountpoint];
    const restart = connection === undefined ? '' : shellWords(command);
    const words = [...identityOf(entry), shellWords(unmount), restart];
    const shell = spawn('/bin/sh', ['-c', GUARD_SCRIPT, GUARD_NAME, ...words], {
      // A session of its own: what the terminal sends to the daemon is not for it.
      detached: true,
      cwd: '/',
      env: { ...process.env, PATH: `${process.env.PATH ?? ''}:${SYSTEM_PATH}` },
      stdio: stdioOf(readEnd, connection),
    });
    closeSync(readEnd);
    shell.on('error', (error) => this.#unguarded(error));
    shell.unref();
    if (shell.pid !== undefined) this.#listener(identifyProcess(shell.pid), writeEnd);
  }

  #unguarded(error: unknown): void {
    this.#log.warn(
      { err: error, reason: failureOf(error).message },
      'nothing will start this daemon again, nor take the mount away, if it is killed',
    );
  }
}

/** It says what it has to say where the daemon's own last words go. */
function stdioOf(pipe: number, connection: number | undefined): (number | 'ignore' | 'inherit')[] {
  const stdio: (number | 'ignore' | 'inherit')[] = [pipe, 'ignore', 'inherit'];
  if (connection !== undefined) stdio[CONNECTION_DESCRIPTOR] = connection;
  return stdio;
}

/** The words by which the shell knows the mount again, escaped as in the table. */
function identityOf({ mountId, parentId, major, minor }: MountEntry): string[] {
  const device = `${major}:${minor}`;
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const line = lines.find((text) => text.startsWith(`${mountId} ${parentId} ${device} `)) ?? '';
  const [own = '', filesystem = ''] = line.split(' - ', 2);
  const place = own.split(' ')[4] ?? '';
  return [String(mountId), device, place, filesystem.split(' ').slice(0, 2).join(' ')];
}
