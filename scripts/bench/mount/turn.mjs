/** A system's turn at a workload: mounts it, has the client do things in it, and keeps the times. */
import { writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { Client } from './client/client.mjs';
import { FIGURES } from './figures/figures.mjs';
import { Mount } from './mounted.mjs';
import { run } from './processes.mjs';
import { warmUp } from './warm-up.mjs';

/** What takes less time and can be done again and again is repeated. */
const LEAST_MS = 50;
const REPEATS = 10;
/** Between mounting and a first look, for whoever mounts to type the next command. */
const TYPING_MS = 1000;
const DROP_CACHES = '/proc/sys/vm/drop_caches';
const ENTRIES = '2';
const ALL = '3';

export class Turn {
  #system;
  #place;
  #programs;
  #mount;
  #keep;

  /** `keep(figure, clients, sample)` is told what was measured. */
  constructor(system, place, programs, keep) {
    this.#system = system;
    this.#place = place;
    this.#programs = programs;
    this.#keep = keep;
  }

  get isMounted() {
    return this.#mount !== undefined;
  }

  get client() {
    const { mountpoint, below } = this.#place;
    return new Client(this.#programs.client, this.isMounted ? mountpoint : below, this.#mount);
  }

  /** Mounts anew, and has the server do what warms it up. */
  async mount() {
    await this.end();
    await this.#start();
    if (this.isMounted) await warmUp(this.client, this.#place);
  }

  /** Mounts anew and waits a moment, while the kernel knows no entries, those below neither. False if that cannot be had. */
  async mountCold() {
    await this.end();
    const dropped = await drop(ENTRIES);
    await this.#start();
    await pause(TYPING_MS);
    return dropped;
  }

  async #start() {
    // What was written so far is not to be written during the measurements.
    await run(['sync']);
    if (this.#system.argv === undefined) return;
    const argv = this.#system.argv(this.#place, this.#programs);
    this.#mount = await Mount.start(argv, this.#place.mountpoint);
    // Only a server that is ready answers, and the first request that is timed is not to wait for that.
    await this.client.do('idle', '.');
  }

  /** Has the kernel forget the contents of files too. False if that cannot be had. */
  dropCaches() {
    return drop(ALL);
  }

  async end() {
    const mount = this.#mount;
    this.#mount = undefined;
    await mount?.stop();
  }

  /** Has the client do something on `operations` files or entries, and keeps the time as that of a figure, if it has a name. */
  async time(figure, operation, directory, { operations, ...options }) {
    const { clients = 1, repeats = 1, count } = options;
    const { ns, cpuNs } = await this.client.do(operation, directory, options);
    if (figure === undefined) return ns;
    const done = (operations ?? count) * repeats;
    const time = FIGURES[figure].unit === 'ms' ? ns / 1e6 / repeats : ns / 1000 / done;
    this.keep(figure, { clients, time, cpuUs: cpuNs && cpuNs / 1000 / done });
    return ns;
  }

  /** As `time`, for what the kernel may answer by itself, in so little time that once is not enough. */
  async timeMany(figure, operation, directory, options) {
    const ns = await this.time(figure, operation, directory, options);
    if (ns < LEAST_MS * 1e6) await this.time(figure, operation, directory, { ...options, repeats: REPEATS });
  }

  keep(figure, { clients = 1, ...sample }) {
    this.#keep(figure, clients, sample);
  }
}

/** What has not been written is not forgotten, so it is written first. */
async function drop(what) {
  await run(['sync']);
  try {
    writeFileSync(DROP_CACHES, what);
    return true;
  } catch {
    return false;
  }
}
