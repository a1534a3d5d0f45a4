/** The guard's shell, with a daemon that is a script: what it does at each end of its pipe. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { GUARD_NAME, GUARD_SCRIPT, MOST_DEATHS } from '../../../daemon/mounting/guard/script.js';
import { identifyProcess } from '../../../daemon/process/process-identity.js';
import { shellWords } from '../../../daemon/process/text/shell-words.js';
import { makePipe } from '../../../mount/process-calls.js';
import { temporaryDirectory } from '../support.js';

vi.setConfig({ testTimeout: 120_000 });

const SHELLS = [['sh'], ['dash'], ['bash'], ['busybox', 'sh']].filter(
  ([program, ...words]) => spawnSync(program!, [...words, '-c', ':']).status === 0,
);

/**
 * A daemon: notes what it was born with, says what the next line of the plan says, and lives until it is killed, or ends with the
 * exit code that the plan has behind it.
 */
const DAEMON = `
cd "$1"; shift
line=$(head -n 1 plan); sed -i 1d plan
{ printf '%s|' "$@"; printf %s "$SPINNEY_GUARD"; } | tr '\\n' '~' >>born; echo >>born
[ -e /proc/self/fd/3 ] || echo 'no connection' >>born
case $line in
  'a child') echo up >&4; sleep 1000 & echo $! >pid.new; mv pid.new pid; exit 0 ;;
  'exit '*) exit \${line#exit } ;;
  *) echo "$line" >&4; echo $$ >pid.new; mv pid.new pid; exec sleep 1000 ;;
esac
`;

class Place {
  readonly directory = temporaryDirectory();
  #pipe: number;
  readonly #shell: ChildProcess;
  /** Resolves when nobody has the connection any more. */
  readonly closed: Promise<void>;
  readonly ended: Promise<number>;
  err = '';

  /** `words`: what the daemon is given; none: it is not started again. */
  constructor(
    shell: readonly string[],
    plan: readonly string[],
    words: readonly string[] | 'none' = ['one'],
  ) {
    writeFileSync(join(this.directory, 'plan'), plan.map((line) => `${line}\n`).join(''));
    const [readEnd, writeEnd] = makePipe();
    // What the guard takes for the connection is the end of a pipe, so that it can be seen when that is closed.
    const [seen, connection] = makePipe();
    this.#pipe = writeEnd;
    const unmount = shellWords(['touch', join(this.directory, 'taken away')]);
    const restart = words === 'none' ? '' : shellWords(this.daemon(...words));
    const [program, ...first] = shell;
    this.#shell = spawn(
      program!,
      [...first, '-c', GUARD_SCRIPT, GUARD_NAME, ...rootMount(), unmount, restart],
      { stdio: [readEnd, 'ignore', 'pipe', connection] },
    );
    closeSync(readEnd);
    closeSync(connection);
    this.#shell.stderr!.on('data', (text) => {
      this.err += text;
    });
    this.ended = new Promise((resolve) => this.#shell.once('exit', (code) => resolve(code ?? -1)));
    const end = new Socket({ fd: seen, readable: true, writable: false });
    this.closed = new Promise((resolve) => end.on('data', () => {}).once('end', () => resolve()));
    onTestFinished(() => {
      this.#shell.kill('SIGKILL');
      const pid = this.#pid();
      if (pid !== undefined && identifyProcess(pid) !== undefined) process.kill(pid, 'SIGKILL');
      this.firstDies();
    });
  }

  get pid(): number {
    return this.#shell.pid!;
  }

  daemon(...words: string[]): string[] {
    return ['sh', '-c', DAEMON, 'daemon', this.directory, ...words];
  }

  /** What the first daemon says. */
  says(line: string): void {
    writeFileSync(this.#pipe, `${line}\n`);
  }

  firstDies(): void {
    if (this.#pipe >= 0) closeSync(this.#pipe);
    this.#pipe = -1;
  }

  /** A line for each daemon that was started: its words, and what it was told. */
  born(): string[] {
    const file = join(this.directory, 'born');
    return existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [];
  }

  /** The daemon of this number, from 1, when it has said what it has to say. */
  async up(number: number): Promise<number> {
    for (;;) {
      const pid = this.#pid();
      if (this.born().length === number && pid !== undefined && identifyProcess(pid) !== undefined)
        return pid;
      await sleep(5);
    }
  }

  async kill(number: number): Promise<void> {
    process.kill(await this.up(number), 'SIGKILL');
  }

  async awaitBorn(count: number): Promise<void> {
    while (this.born().length < count) await sleep(5);
  }

  /** Children of the guard that have not ended. */
  children(): number {
    const pids = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8')
      .split(' ')
      .filter(Boolean);
    return pids.filter((pid) => identifyProcess(Number(pid)) !== undefined).length;
  }

  /** Resolves when the guard ignores signals: SIGUSR2, number 12, is the last of them. */
  async ready(): Promise<void> {
    const status = () => readFileSync(`/proc/${this.pid}/status`, 'utf8');
    while (!/^SigIgn:\t[0-9a-f]*[89a-f]..$/m.test(status())) await sleep(5);
  }

  get isTakenAway(): boolean {
    return existsSync(join(this.directory, 'taken away'));
  }

  #pid(): number | undefined {
    const file = join(this.directory, 'pid');
    return existsSync(file) ? Number(readFileSync(file, 'utf8')) : undefined;
  }
}

/** The mount that the guard is for; there is one at the root in any case. */
function rootMount(): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const [own, filesystem] = lines.findLast((line) => line.split(' ')[4] === '/')!.split(' - ');
  const [id, , device] = own!.split(' ');
  return [id!, device!, '/', filesystem!.split(' ').slice(0, 2).join(' ')];
}

describe.each(SHELLS)('a guard that is %s %s', (...given) => {
  const shell = given.filter((word) => word !== undefined);

  it('starts the daemon again with the connection, and with what it has to know', async () => {
    const place = new Place(shell, ['up', 'up'], ["it's", 'two words', 'two\nlines', '$HOME', '*', '']);
    place.says('cause the session worker died: "x" failed');
    place.firstDies();
    await place.kill(1);
    await place.up(2);
    const words = "it's|two words|two~lines|$HOME|*||3 4 ";
    const [first, second] = place.born();
    expect(first!.startsWith(words)).toBe(true);
    expect(first).toMatch(/3 4 \d+\.\d+ the session worker died: "x" failed$/);
    expect(second!.startsWith(words)).toBe(true);
    expect(second).toMatch(/3 4 \d+\.\d+ signal 9$/);
    expect(place.isTakenAway).toBe(false);
  });

  it('ends with a mount that has ended, and takes nothing away', async () => {
    const place = new Place(shell, []);
    place.says('leave');
    place.says('done');
    expect(await place.ended).toBe(0);
    await place.closed;
    expect(place.isTakenAway).toBe(false);
  });

  it('takes the mount away where no other daemon is wanted', async () => {
    for (const place of [new Place(shell, []), new Place(shell, [], 'none')]) {
      place.says('leave');
      place.firstDies();
      await place.closed;
      expect(await place.ended).toBe(0);
      expect(place.isTakenAway).toBe(true);
      expect(place.born()).toEqual([]);
    }
  });

  it('takes the mount away, and starts nobody, where it was made so', async () => {
    const place = new Place(shell, [], 'none');
    place.firstDies();
    expect(await place.ended).toBe(0);
    expect(place.isTakenAway).toBe(true);
  });

  it(`gives up after ${MOST_DEATHS} deaths within a minute, and says why`, async () => {
    const place = new Place(shell, ['up', 'up', 'up', 'up', 'up']);
    place.firstDies();
    for (let death = 1; death < MOST_DEATHS; death++) await place.kill(death);
    await place.closed;
    expect(await place.ended).toBe(0);
    expect(place.born()).toHaveLength(MOST_DEATHS - 1);
    expect(place.isTakenAway).toBe(true);
    const line = JSON.parse(place.err) as { level: string; msg: string };
    expect(line).toMatchObject({ level: 'error' });
    expect(line.msg).toContain('the daemon died 5 times within 60 s; last: signal 9');
  });

  it('goes on with the next program, and starts that again from then on', async () => {
    const place = new Place(shell, ['up', 'exit 3', 'up', 'up'], ['old']);
    place.says('since 12.34');
    place.says(`next ${shellWords(place.daemon('new'))}`);
    place.firstDies();
    await place.up(1);
    expect(place.born()[0]).toBe('new|3 4 12.34 upgrade');
    // From then on that is the program that is started again.
    await place.kill(1);
    // It has served, so there is no program to go back to where it does not come up once.
    await place.awaitBorn(2);
    expect(place.born()[1]).toMatch(/^new\|3 4 \d+\.\d+ signal 9$/);
    await place.up(3);
    expect(place.born()[2]).toMatch(/^new\|3 4 \d+\.\d+ exit code 3$/);
  });

  it('goes back to the program before where the next one does not come up', async () => {
    const place = new Place(shell, ['exit 1', 'up'], ['old']);
    place.says('since 12.34');
    place.says(`next ${shellWords(place.daemon('new'))}`);
    place.firstDies();
    await place.up(2);
    expect(place.born()).toEqual(['new|3 4 12.34 upgrade', 'old|3 4 12.34 failed upgrade: exit code 1']);
    expect(place.err).toContain('the upgrade failed: the new daemon did not come up (exit code 1)');
    expect(place.isTakenAway).toBe(false);
  });

  it('is not ended by signals that are meant for the daemon', async () => {
    const place = new Place(shell, ['up']);
    await place.ready();
    for (const signal of [
      'SIGHUP',
      'SIGINT',
      'SIGTERM',
      'SIGQUIT',
      'SIGABRT',
      'SIGUSR1',
      'SIGPIPE',
    ] as const) {
      process.kill(place.pid, signal);
    }
    place.firstDies();
    await place.up(1);
    expect(identifyProcess(place.pid)).toBeDefined();
  });
});

it('goes by the pipe, not by the number of a process', async () => {
  const place = new Place(['sh'], ['a child', 'up']);
  place.firstDies();
  // The process that was started has ended; another one has its end of the pipe.
  while (place.children() > 0 || place.born().length === 0) await sleep(5);
  expect(place.born()).toHaveLength(1);
  await place.kill(1);
  await place.up(2);
  expect(place.born()[1]).toMatch(/^one\|3 4 \d+\.\d+ exit code 0$/);
});

it('gives up where the daemon does not come up, however long each try takes', async () => {
  const place = new Place(['sh'], ['exit 1', 'exit 1', 'exit 1', 'exit 1', 'exit 1', 'exit 1']);
  place.firstDies();
  expect(await place.ended).toBe(0);
  expect(place.born().length).toBeLessThanOrEqual(MOST_DEATHS);
  expect(place.isTakenAway).toBe(true);
  expect(place.err).toMatch(/the daemon (did not come up|died) 5 times/);
});
