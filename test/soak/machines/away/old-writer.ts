/** A machine that stands still in the middle of its work, while another takes over, and then wakes up. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { askDaemon } from '../../../../daemon/control/client.js';
import { type Running, Site } from '../../../e2e/site.js';
import { Daemon } from '../../crash/daemon.js';
import { endpointOf } from './bucket.js';
import { now, until } from './machine.js';

const SCRIPT = join(import.meta.dirname, 'old_writer.py');
const WORKS_SECONDS = 300;
/** Refusals of the old writer's calls after which it is believed. */
const REFUSALS = 5;
const AS_IT_SHOULD_BE = new Set(['EIO', 'EROFS', 'ENOTCONN']);

export interface OldWriterOptions {
  readonly remote: string;
  readonly durability: 'local' | 'remote';
}

interface Line {
  readonly at: number;
  readonly name: string;
  /** 0: it was acknowledged. */
  readonly result: 0 | string;
}

export class OldWriter {
  readonly #options: OldWriterOptions;
  readonly #cleanUps: (() => Promise<void>)[] = [];
  readonly #old = this.#newSite();
  readonly #next = this.#newSite();
  readonly #log = join(this.#old.directory, 'log');
  readonly #stop = join(this.#old.directory, 'stop');
  #daemon: Daemon | undefined;
  #work: Running | undefined;
  #takenAt = Number.POSITIVE_INFINITY;
  #found: ReadonlyMap<string, string> = new Map();

  private constructor(options: OldWriterOptions) {
    this.#options = options;
  }

  static async use(options: OldWriterOptions, work: (old: OldWriter) => Promise<void>): Promise<void> {
    const old = new OldWriter(options);
    try {
      await work(old);
    } finally {
      old.#daemon?.signal('SIGCONT');
      old.#daemon?.abort();
      for (const cleanUp of old.#cleanUps) await cleanUp();
    }
  }

  async begin(): Promise<void> {
    this.#daemon = await this.#mount(this.#old);
  }

  /** Lets it work, and stops it when so many calls were acknowledged. */
  async stopInLoad(calls: number): Promise<void> {
    this.#work = this.#old.start(`exec python3 ${SCRIPT} $MNT ${this.#log} ${this.#stop}`, WORKS_SECONDS);
    await until('the old writer works', async () => this.#lines().length >= calls);
    process.kill(this.#daemon!.pid, 'SIGSTOP');
    const status = `/proc/${this.#daemon!.pid}/status`;
    await until('the old writer stands still', async () => /^State:\s+T/m.test(readFileSync(status, 'utf8')));
  }

  /** What was promised is there, and the next one works on. */
  async takeOverElsewhere(): Promise<void> {
    await this.#mount(this.#next);
    this.#takenAt = now();
    this.#found = await this.#look();
    if (this.#options.durability === 'remote') {
      // A file is acknowledged when it was synced, and with it all before it.
      const lines = this.#lines();
      const last = lines.findLastIndex(({ name, result }) => result === 0 && name.startsWith('file'));
      for (const { name, result } of lines.slice(0, last + 1)) if (result === 0) this.#expectFound(name);
    }
    await this.#next.sh('cd $MNT; mkdir next; echo next > next/file; sync -f next/file');
  }

  /** It acknowledges nothing that the next one does not have, answers errors, and says why. */
  async wakeUp(): Promise<void> {
    process.kill(this.#daemon!.pid, 'SIGCONT');
    await until('the old writer knows', async () => {
      const refused = this.#lines().filter(({ at, result }) => at > this.#takenAt && result !== 0);
      return refused.length >= REFUSALS && (await this.#codes(this.#old)).includes('REMOTE_TAKEN');
    });
    await this.#old.sh(`touch ${this.#stop}`);
    await this.#work!.result;
    for (const { at, name, result } of this.#lines()) {
      if (at < this.#takenAt) continue;
      if (result === 0 && !this.#found.has(name))
        throw new Error(`the old writer acknowledged ${name} after it was taken over`);
      if (result !== 0 && !AS_IT_SHOULD_BE.has(result)) throw new Error(`${name} ended with ${result}`);
    }
  }

  /** Ends both: the old one does no harm, and all of the next one is there. */
  async finish(): Promise<Record<string, number>> {
    await this.#old.umount('--force');
    await this.#daemon!.exited();
    const after = await this.#look();
    for (const [name, content] of this.#found) {
      if (after.get(name) !== content) throw new Error(`${name} is other than it was`);
    }
    if (after.get('next/file') !== 'next') throw new Error('the next writer has lost what it wrote');
    const codes = await this.#codes(this.#next);
    if (codes.length > 0) throw new Error(`the next writer is not well: ${codes.join()}`);
    await this.#next.umount();
    const report = await this.#next.must('check', this.#next.store);
    if (!/^status +clean/m.test(report)) throw new Error(report);
    const lines = this.#lines();
    const late = lines.filter(({ at, result }) => at >= this.#takenAt && result === 0);
    return {
      acknowledged: lines.filter(({ result }) => result === 0).length,
      refused: lines.filter(({ result }) => result !== 0).length,
      late: late.length,
    };
  }

  #expectFound(name: string): void {
    const content = this.#found.get(name);
    if (content === undefined) throw new Error(`${name} was acknowledged, and is not there`);
    if (name.startsWith('file') && content !== name) throw new Error(`${name} has other bytes: ${content}`);
  }

  async #mount(site: Site): Promise<Daemon> {
    const { remote, durability } = this.#options;
    const options = ['--no-restart', '--remote', remote, '--remote-endpoint', endpointOf()];
    const daemon = new Daemon(site, [...options, '--remote-durability', durability]);
    await daemon.mounted();
    return daemon;
  }

  /** Names, and what is in files. */
  async #look(): Promise<Map<string, string>> {
    const text = await this.#next.sh(`cd $MNT; find . -mindepth 1 | while read -r name; do
      printf '%s\\t%s\\n' "\${name#./}" "$(test ! -f "$name" || cat "$name")"; done`);
    return new Map(
      text
        .split('\n')
        .filter(Boolean)
        .map((line) => line.split('\t') as [string, string]),
    );
  }

  async #codes(site: Site): Promise<string[]> {
    const { body } = await askDaemon(join(site.store, 'control.sock'), 'GET', '/v1/health');
    return ((body as { problems?: { code: string }[] }).problems ?? []).map(({ code }) => code);
  }

  #lines(): Line[] {
    if (!existsSync(this.#log)) return [];
    const text = readFileSync(this.#log, 'utf8');
    const whole = text
      .slice(0, text.lastIndexOf('\n') + 1)
      .split('\n')
      .filter(Boolean);
    return whole.map((line) => {
      const [at, name, result] = JSON.parse(line) as [number, string, 0 | string];
      return { at, name, result };
    });
  }

  #newSite(): Site {
    return new Site((cleanUp) => this.#cleanUps.push(cleanUp));
  }
}
