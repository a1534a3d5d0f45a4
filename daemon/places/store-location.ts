/**
 * Where the store is for this daemon: found by a descriptor, so that who moves the directory of a mounted store moves
 * nothing under the daemon's feet, and nothing is made at the old path. People are told the path that they gave.
 */
import { closeSync, openSync, readlinkSync } from 'node:fs';
import { SpinneyError } from '../../engine/errors.js';
import type { MountLog } from '../../mount/types.js';

const O_PATH = 0o10000000;

export class StoreLocation {
  /** As it was given. */
  readonly path: string;
  readonly #fd: number;
  readonly #anchored: string;
  /** Its name when it was opened. */
  readonly #name: string;

  /** `location` is the open tree's: the tree and the daemon are in the same directory, whatever happens meanwhile. */
  constructor(path: string, location: string) {
    this.path = path;
    this.#fd = openSync(location, O_PATH);
    this.#anchored = `/proc/self/fd/${this.#fd}`;
    this.#name = readlinkSync(this.#anchored);
  }

  /** Where what lies in the store is found; other paths stay as they are. */
  at(path: string): string {
    const isInside = path === this.path || path.startsWith(`${this.path}/`);
    return isInside ? `${this.#anchored}${path.slice(this.path.length)}` : path;
  }

  /** A message as people are told it. */
  told(message: string): string {
    return message.replaceAll(this.#anchored, this.path);
  }

  toldLog(log: MountLog): MountLog {
    return (level, message, fields) => log(level, this.told(message), fields && this.#toldAll(fields));
  }

  /** What was thrown, as people are told it. */
  toldError(error: unknown): unknown {
    if (error instanceof SpinneyError) {
      const message = this.told(error.message);
      return message === error.message ? error : new SpinneyError(error.code, message, { cause: error });
    }
    if (error instanceof Error) error.message = this.told(error.message);
    return error;
  }

  #toldAll(fields: Record<string, unknown>): Record<string, unknown> {
    const told = (value: unknown) => (typeof value === 'string' ? this.told(value) : this.toldError(value));
    return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, told(value)]));
  }

  /** That the store is not at its path any more. Asks the kernel for names only: a disk that hangs holds nobody up. */
  problem(): string | undefined {
    const now = readlinkSync(this.#anchored);
    if (now === this.#name) return undefined;
    return `the store is no longer at ${this.path}: it is at ${now}, and goes on there`;
  }

  /** No path that `at` gave leads anywhere afterwards. */
  close(): void {
    closeSync(this.#fd);
  }
}
