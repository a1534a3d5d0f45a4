/**
 * Two directories, one on the local filesystem and one in a mount, on which the same system calls are made by a
 * client program each; and what is compared. The client programs are the only ones that touch the mount.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Site } from '../site.js';

export type Json = null | boolean | number | string | readonly Json[] | { [key: string]: Json };
/** Name and arguments; calls.py has them all. */
export type Call = [name: string, ...arguments: Json[]];

/** What a call did: its value, and which times it changed, by path. */
export interface Result {
  value: Json;
  changed: Record<string, string>;
}

/** What a side answered: see client.py. */
export interface Answer {
  results: Result[];
  tree: Record<string, Record<string, Json>>;
  inodes: Record<string, number>;
  failure?: string;
}

/** The mount that is compared. */
export interface MountKind {
  /** Options of the command line, besides those that give it all that a local filesystem has by default. */
  options: readonly string[];
  /** How many nanoseconds apart two changes must be for its times to tell one from the other. */
  grain: number;
  /** The store is on a stacked filesystem, so contents go through the daemon. */
  isStacked: boolean;
}

export const KERNEL_DRIVER: MountKind = { options: ['--driver', 'kernel'], grain: 0, isStacked: false };
export const THROUGH_DAEMON: MountKind = { ...KERNEL_DRIVER, isStacked: true };
export const FUSE_NATIVE: MountKind = {
  options: ['--driver', 'fuse-native'],
  grain: 1_000_000,
  isStacked: false,
};

const EXT4 = 0xef53;
const CHECKOUT = join(import.meta.dirname, '../../..');
/** Longer than the client gives a sequence. */
const DEADLINE_MS = 90_000;

/**
 * A directory whose filesystem is ext4, to compare with. Undefined where this machine has none to offer, where it is not
 * root who runs this, and with kernels before 6.6, whose FUSE lacks O_TMPFILE and times of birth.
 */
export function findExt4(): string | undefined {
  const [major = 0, minor = 0] = release().split('.').map(Number.parseFloat);
  if (process.getuid?.() !== 0 || major < 6 || (major === 6 && minor < 6)) return undefined;
  return [tmpdir(), CHECKOUT].find((directory) => statfsSync(directory).type === EXT4);
}

/** A client program and the directory that it works in. */
class Side {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  constructor(
    readonly directory: string,
    readonly grain: number,
  ) {
    this.#child = spawn('python3', ['-B', join(import.meta.dirname, 'client.py')], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#answers = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** Sends a request; only one may be under way. */
  async ask(request: Record<string, Json>): Promise<Answer> {
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), DEADLINE_MS);
    this.#child.stdin!.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#answers.next();
    clearTimeout(timer);
    if (done) throw new Error(`The client program in ${this.directory} ended before its answer`);
    const answer = JSON.parse(value) as Answer;
    if (answer.failure !== undefined) throw new Error(`In ${this.directory}: ${answer.failure}`);
    return answer;
  }

  /** Resolves when the program is gone, and with it its hold on the mount. */
  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }
}

export class Sides {
  readonly #site: Site;
  readonly #kind: MountKind;
  readonly #local: string;
  #sides: [mounted: Side, local: Side] | undefined;
  #cleanUp: () => Promise<void> = async () => {};
  #sequences = 0;
  #isReadOnly = false;
  #tellsTimes = true;

  constructor(ext4: string, kind: MountKind) {
    this.#kind = kind;
    this.#site = new Site((cleanUp) => {
      this.#cleanUp = cleanUp;
    });
    this.#local = mkdtempSync(join(ext4, 'spinney-posix-'));
  }

  /** Whether the local filesystem's times tell one call from the next, or are of a coarser clock. */
  get tellsTimes(): boolean {
    return this.#tellsTimes;
  }

  async begin(): Promise<void> {
    if (this.#kind.isStacked) await this.#site.stackStore();
    await this.#mount();
    await this.#site.sh(`chmod 755 $DIR $MNT ${this.#local}`);
    this.#start();
    const probe: Call[] = [['create', 'f']];
    for (let i = 0; i < 20; i++) probe.push(['chmod', 'f', i]);
    const [, local] = await this.run(probe);
    this.#tellsTimes = local.results.slice(1).every(({ changed }) => changed.f === 'c');
  }

  async end(): Promise<void> {
    await this.#stop();
    await this.#cleanUp();
    if (this.#isReadOnly) execFileSync('umount', ['-l', this.#local]);
    rmSync(this.#local, { recursive: true, force: true });
  }

  /** A name for the directory of the next sequence. */
  nextName(): string {
    return `sequence${this.#sequences++}`;
  }

  /** Makes the calls on both sides, each in a directory of its own. The first answer is the mount's. */
  async run(calls: readonly Call[], name = this.nextName()): Promise<[mounted: Answer, local: Answer]> {
    const answers = await this.#both((side) => ({
      dir: join(side.directory, name),
      calls,
      grain: side.grain,
    }));
    for (const answer of answers) this.#forgetTimes(answer);
    return answers;
  }

  /** Makes other calls in the local directory of this name, which is emptied before. */
  async runLocal(calls: readonly Call[], name: string): Promise<Answer> {
    const [, local] = this.#running();
    const dir = join(local.directory, name);
    const answer = await local.ask({ dir, calls, grain: local.grain, anew: !this.#isReadOnly });
    this.#forgetTimes(answer);
    return answer;
  }

  /** All that is on the two sides now. */
  look(): Promise<[mounted: Answer, local: Answer]> {
    return this.#both((side) => ({ dir: side.directory }));
  }

  /** Ends the daemon as told, and mounts anew. */
  async restart(how: 'umount' | 'kill'): Promise<void> {
    await this.#stop();
    if (how === 'kill') await this.#site.kill();
    else await this.#site.umount();
    await this.#mount();
    this.#start();
  }

  /** Mounts read-only, both sides, what is on them. */
  async makeReadOnly(): Promise<void> {
    await this.#stop();
    await this.#site.umount();
    await this.#mount('--read-only');
    await this.#site.sh(`mount --bind ${this.#local} ${this.#local}`);
    this.#isReadOnly = true;
    await this.#site.sh(`mount -o remount,bind,ro ${this.#local}`);
    this.#start();
  }

  /** What the daemon complained of. */
  complaints(): string[] {
    return this.#site.logged('error');
  }

  async #mount(...options: string[]): Promise<void> {
    await this.#site.mount('--allow-other', '-o', 'suid,dev', ...this.#kind.options, ...options);
  }

  #start(): void {
    this.#sides = [new Side(this.#site.mountpoint, this.#kind.grain), new Side(this.#local, 0)];
  }

  async #stop(): Promise<void> {
    for (const side of this.#sides ?? []) await side.end();
    this.#sides = undefined;
  }

  #running(): [mounted: Side, local: Side] {
    if (this.#sides === undefined) throw new Error('Cannot run: nothing is mounted');
    return this.#sides;
  }

  #forgetTimes({ results }: Answer): void {
    if (!this.#tellsTimes) for (const result of results) result.changed = {};
  }

  async #both(request: (side: Side) => Record<string, Json>): Promise<[Answer, Answer]> {
    const [mounted, local] = this.#running();
    return Promise.all([mounted.ask(request(mounted)), local.ask(request(local))]);
  }
}
