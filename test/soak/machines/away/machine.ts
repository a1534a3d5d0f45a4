/**
 * Machines that come one after another: each has a directory of its own, a store in it, which is empty at first, and a mount of the same
 * remote. One dies with all of its processes, and what the next one finds is compared with what clients were told on it.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { askDaemon } from '../../../../daemon/control/client.js';
import { Site } from '../../../e2e/site.js';
import { Clients, type Moment } from '../../crash/clients.js';
import { compare } from '../../crash/comparison.js';
import { allEnded, Daemon } from '../../crash/daemon.js';
import { readFound } from '../../crash/found.js';
import { type Call, showCall } from '../../crash/log.js';
import type { Inode } from '../../crash/model.js';
import { endpointOf } from './bucket.js';
import { compareCut, syncedUntil } from './cut.js';

const LOOK = join(import.meta.dirname, '../../crash/look.py');
const LOOK_DEADLINE_SECONDS = 120;
const CLIENTS = 4;
/** Only something that hangs takes longer. */
const PATIENCE_MS = 120_000;
const LOOK_AGAIN_MS = 50;
/** Calls before and after the one that a failure is about. */
const TOLD_BEFORE = 10;
const TOLD_AFTER = 50;

export interface MachinesOptions {
  readonly seed: number;
  /** s3://bucket/prefix */
  readonly remote: string;
  readonly durability: 'local' | 'remote';
  /** Of one process of a client, in seconds. */
  readonly patienceSeconds?: number;
}

/** What a daemon told of its lag. */
interface Lag {
  /** When it was asked, in seconds of CLOCK_MONOTONIC: what was acknowledged `seconds` before is in the remote. */
  readonly askedAt: number;
  readonly seconds: number;
}

const NOTHING_TOLD: Lag = { askedAt: Number.NEGATIVE_INFINITY, seconds: 0 };

export interface RemoteStats {
  state: string;
  epoch: number;
  lagSeconds: number;
  lagRecords: number;
  contentsWaiting: number;
  requests: number;
  shippedBytes: number;
  failure?: string;
}

export class Machines {
  readonly clients: Clients;
  readonly counts = { acknowledged: 0, lost: 0, contents: 0, takeOvers: 0, resumptions: 0 };
  /** Of all losses at `local` and lags that were told, in milliseconds. */
  longestLossMs = 0;
  longestLagMs = 0;
  readonly #options: MachinesOptions;
  readonly #cleanUps: (() => Promise<void>)[] = [];
  readonly #known = new Set<number>();
  #site: Site;
  #daemon: Daemon | undefined;
  #guards: number[] = [];
  #histories: Call[][] = Array.from({ length: CLIENTS }, () => []);
  #base: Inode | undefined;
  #lag: Lag = NOTHING_TOLD;
  #hasEndedWell = false;
  #diedAt = Number.POSITIVE_INFINITY;

  private constructor(options: MachinesOptions) {
    this.#options = options;
    this.#site = this.#newSite();
    this.clients = new Clients(this.#site, options.seed, CLIENTS, options.patienceSeconds);
  }

  /** Does `work` with a first machine whose daemon is still to be started, and cleans up whatever became of all. */
  static async use(options: MachinesOptions, work: (machines: Machines) => Promise<void>): Promise<void> {
    const machines = new Machines(options);
    try {
      await work(machines);
    } finally {
      machines.#daemon?.abort();
      for (const cleanUp of machines.#cleanUps) await cleanUp();
    }
  }

  get site(): Site {
    return this.#site;
  }

  get daemon(): Daemon {
    if (this.#daemon === undefined) throw new Error('no daemon was started');
    return this.#daemon;
  }

  /** Starts a daemon, and does not wait for it. */
  launch(): Daemon {
    const { remote, durability } = this.#options;
    // It dies for good.
    const options = ['--no-restart', '--remote', remote, '--remote-endpoint', endpointOf()];
    this.#daemon = new Daemon(this.#site, [...options, '--remote-durability', durability]);
    return this.#daemon;
  }

  /** Starts a daemon that begins the remote. */
  async begin(): Promise<void> {
    await this.#start();
    await this.clients.prepare();
    await this.settled();
    this.#base = await this.#look();
  }

  /** Another machine, with an empty store, takes over. It has what was promised. */
  async takeOver(): Promise<void> {
    this.moveOn();
    await this.#start();
    this.counts.takeOvers++;
    await this.#compareCut();
    await this.settled();
  }

  /** A machine with an empty store, without a daemon so far, in place of the one that is gone. */
  moveOn(): void {
    // Its disk is gone.
    rmSync(this.#site.store, { recursive: true, force: true });
    this.#site = this.#newSite();
    this.clients.moveTo(this.#site);
  }

  /** The same machine starts again: it has everything, its page cache included. */
  async resume(): Promise<void> {
    await this.#start();
    this.counts.resumptions++;
    const found = await this.#look();
    this.counts.acknowledged += compare(this.#base!, this.#histories, found, this.#known);
    this.#forget(found);
    await this.settled();
  }

  /** Lets clients work until the machine is gone or they are told to stop, and meanwhile asks the daemon for its lag. */
  async load(moments: readonly Moment[]): Promise<void> {
    this.#lag = NOTHING_TOLD;
    const asking = new AbortController();
    const asked = this.#ask(asking.signal);
    try {
      this.#histories = await this.clients.run(moments, () => this.daemon.abort());
    } finally {
      asking.abort();
      await asked;
    }
  }

  /** The machine dies: the daemon, its guard and all clients, in any order. */
  die(random: () => number): void {
    const parts = [
      () => this.daemon.kill(),
      () => this.daemon.kill(this.#guards, true),
      () => this.clients.kill(),
    ].sort(() => random() - 0.5);
    for (const part of parts) part();
    this.#diedAt = now();
  }

  /** Waits until nothing of the machine is left. */
  async died(): Promise<void> {
    // One that was told to end may have been faster: then it has brought everything away.
    this.#hasEndedWell = (await this.daemon.exited()) === 0;
    await allEnded([...this.#guards, ...this.#site.guards()]);
    await this.#site.sh('while grep " $MNT " /proc/self/mountinfo >/dev/null; do umount -l $MNT; done');
  }

  /** Resolves when all that was acknowledged is in the remote. */
  async settled(): Promise<void> {
    await until('the remote has everything', async () => {
      const { lagSeconds, lagRecords, contentsWaiting } = await this.stats();
      return lagSeconds === 0 && lagRecords === 0 && contentsWaiting === 0;
    });
  }

  async stats(): Promise<RemoteStats> {
    const { body } = await askDaemon(join(this.#site.store, 'control.sock'), 'GET', '/v1/stats');
    const { remote } = body as { remote?: RemoteStats };
    if (remote === undefined) throw new Error('the daemon tells nothing of its remote');
    return remote;
  }

  async health(): Promise<{ status: string; codes: string[] }> {
    const { body } = await askDaemon(join(this.#site.store, 'control.sock'), 'GET', '/v1/health');
    const { status, problems = [] } = body as { status: string; problems?: { code: string }[] };
    return { status, codes: problems.map(({ code }) => code) };
  }

  /** Waits until the daemon is as healthy as told, with this problem where one is told. */
  async healthIs(status: string, code?: string): Promise<void> {
    await until(`health is ${status} ${code ?? ''}`, async () => {
      const health = await this.health();
      return health.status === status && (code === undefined || health.codes.includes(code));
    });
  }

  /** What the clients were told without an end of the machine: it is all there. */
  async compareLive(): Promise<void> {
    const found = await this.#look();
    this.counts.acknowledged += compare(this.#base!, this.#histories, found, this.#known);
    this.#forget(found);
  }

  /** Ends the mount as its owner does. Then another machine has all of it, and its store is sound. */
  async finish(): Promise<void> {
    await this.#end();
    await this.takeOver();
    await this.#end();
    const report = await this.#site.must('check', this.#site.store);
    if (!/^status +clean/m.test(report)) throw new Error(report);
  }

  async #end(): Promise<void> {
    await this.#site.umount('--force');
    await this.died();
    if (!this.#hasEndedWell) throw new Error('the daemon did not end well');
  }

  async #start(): Promise<void> {
    await this.launch().mounted();
    this.#guards = this.#site.guards();
    if (this.#guards.length !== 1) throw new Error(`${this.#guards.length} guards watch over the mount`);
  }

  async #look(): Promise<Inode> {
    // What the remote never had of a file is given up when that is opened (taken-store.ts).
    await this.#site.sh('find $MNT -type f -exec cat {} + > /dev/null', LOOK_DEADLINE_SECONDS);
    const text = await this.#site.sh(`python3 ${LOOK} $MNT`, LOOK_DEADLINE_SECONDS);
    try {
      return readFound(text);
    } catch (error) {
      const { message } = error as Error;
      throw new Error(`${message}\nafter\n${this.#toldOf(message.split(':')[0]!).join('\n')}`);
    }
  }

  /** What clients were told about a path, and what else they did at that time. */
  #toldOf(path: string): string[] {
    const calls = this.#histories.find((each) => each.some(({ step }) => step.includes(path))) ?? [];
    const last = calls.findLastIndex(({ step }) => step.includes(path) && step[0] !== 'open');
    return calls.slice(Math.max(0, last - TOLD_BEFORE), last + TOLD_AFTER).map(showCall);
  }

  async #compareCut(): Promise<void> {
    const found = await this.#look();
    const isRemote = this.#options.durability === 'remote';
    const { askedAt, seconds } = this.#lag;
    const promised = isRemote ? syncedUntil(this.#histories) : askedAt - seconds;
    const sureUntil = this.#hasEndedWell ? Number.POSITIVE_INFINITY : promised;
    const options = { sureUntil, fsyncIsRemote: isRemote };
    const { kept, lost, lostSince, contents } = compareCut(
      this.#base!,
      this.#histories,
      found,
      this.#known,
      options,
    );
    this.counts.acknowledged += kept;
    this.counts.lost += lost;
    this.counts.contents += contents;
    if (lostSince !== undefined) {
      this.longestLossMs = Math.max(this.longestLossMs, Math.round((this.#diedAt - lostSince) * 1000));
    }
    this.#forget(found);
  }

  #forget(found: Inode): void {
    this.#base = found;
    this.#histories = Array.from({ length: CLIENTS }, () => []);
  }

  async #ask(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const askedAt = now();
      try {
        const { lagSeconds } = await this.stats();
        this.#lag = { askedAt, seconds: lagSeconds };
        this.longestLagMs = Math.max(this.longestLagMs, Math.round(lagSeconds * 1000));
      } catch {
        // It is gone, or will be; what it told before holds.
      }
      await sleep(LOOK_AGAIN_MS, undefined, { signal }).catch(() => {});
    }
  }

  #newSite(): Site {
    return new Site((cleanUp) => this.#cleanUps.push(cleanUp));
  }
}

/** Seconds of CLOCK_MONOTONIC, as clients have them. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e9;
}

/** Waits for a condition; throws with `what` where it does not come. */
export async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const since = performance.now();
  while (!(await isSo())) {
    if (performance.now() - since > PATIENCE_MS) throw new Error(`in vain: ${what}`);
    await sleep(LOOK_AGAIN_MS);
  }
}
