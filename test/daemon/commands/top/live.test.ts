/** The live view on a terminal that is made of two streams. What a real one makes of it is in test/e2e/commands/top.test.ts. */
import { EventEmitter } from 'node:events';
import type { ReadStream, WriteStream } from 'node:tty';
import { describe, expect, it } from 'vitest';
import { runLive } from '../../../../daemon/commands/inspecting/top/live.js';
import type { Look } from '../../../../daemon/commands/inspecting/top/look/rates.js';
import type { Watch } from '../../../../daemon/commands/inspecting/top/look/watch.js';
import { canDraw, hasUtf8, Terminal } from '../../../../daemon/commands/inspecting/top/screen/terminal.js';
import { span } from '../../../../daemon/commands/inspecting/top/screen/text.js';
import { statsReport } from '../../support.js';

const ENTERED = '\x1b[?1049h';
const LEFT = '\x1b[?1049l';
const UTF8 = { LANG: 'C.UTF-8' };

class Keys extends EventEmitter {
  readonly modes: boolean[] = [];
  isPaused = false;
  setRawMode(isRaw: boolean): this {
    this.modes.push(isRaw);
    return this;
  }
  setEncoding(): this {
    return this;
  }
  pause(): this {
    this.isPaused = true;
    return this;
  }
}

function fakes(columns = 80, rows = 24, colours = 8) {
  const output = Object.assign(new EventEmitter(), {
    columns,
    rows,
    isTTY: true,
    getColorDepth: () => colours,
  });
  const keys = new Keys();
  const written: string[] = [];
  /** Given the text before it is written; may throw. */
  const state = { check: (_text: string): void => {} };
  const write = (text: string): void => {
    state.check(text);
    written.push(text);
  };
  const terminal = new Terminal(output as unknown as WriteStream, keys as unknown as ReadStream, write, UTF8);
  return { output, keys, written, state, terminal };
}

function look(seconds: number): Look {
  const stats = statsReport();
  stats.mount.operations.lookup = seconds * 1_000;
  return {
    time: new Date(),
    seconds,
    stats,
    health: { status: 'ok', reasons: [] },
    activity: undefined,
    slow: [],
  };
}

function running(parts: ReturnType<typeof fakes>, next: () => Promise<Look>): Promise<number> {
  return runLive({
    watch: { look: next } as unknown as Watch,
    first: look(0),
    terminal: parts.terminal,
    keys: parts.keys as unknown as ReadStream,
    names: { user: String, program: () => undefined },
    place: '/mnt/x',
    intervalSeconds: 0.1,
  });
}

function listeners(): number[] {
  return ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGTSTP', 'SIGCONT', 'exit'].map((event) =>
    process.listenerCount(event),
  );
}

describe('the live view', () => {
  it('draws, ends by a key, and leaves nothing behind', async () => {
    const before = listeners();
    const parts = fakes();
    let seconds = 0;
    const ended = running(parts, async () => {
      if (++seconds === 3) setImmediate(() => parts.keys.emit('data', 'tq'));
      return look(seconds);
    });
    expect(await ended).toBe(0);
    const all = parts.written.join('');
    expect(all.startsWith(ENTERED)).toBe(true);
    expect(all.endsWith(LEFT)).toBe(true);
    expect(all).toContain('1,000/s');
    expect(parts.keys.modes).toEqual([true, false]);
    expect(parts.keys.isPaused).toBe(true);
    expect(parts.keys.listenerCount('data')).toBe(0);
    expect(parts.output.listenerCount('resize')).toBe(0);
    expect(listeners()).toEqual(before);
  });

  it('leaves the terminal when it cannot be written, and tells why', async () => {
    const parts = fakes();
    const ended = running(parts, async () => {
      parts.state.check = (text) => {
        if (!text.includes(LEFT)) throw new Error('the terminal has gone');
      };
      return look(1);
    });
    await expect(ended).rejects.toThrow('the terminal has gone');
    expect(parts.keys.modes.at(-1)).toBe(false);
    expect(parts.written.at(-1)).toContain(LEFT);
  });

  it('leaves the terminal on an error of its own, which is not taken for an absence', async () => {
    const parts = fakes();
    const broken = { ...look(1), stats: { ...statsReport(), mount: undefined } } as unknown as Look;
    await expect(running(parts, async () => broken)).rejects.toThrow(TypeError);
    expect(parts.written.at(-1)).toContain(LEFT);
  });
});

describe('a terminal', () => {
  it('is sent what has changed, and all of it once nobody knows what is there', () => {
    const { terminal, written } = fakes(10, 3);
    terminal.show([[span('not entered')]]);
    expect(written).toEqual([]);
    terminal.enter();
    terminal.show([[span('one')], [span('two')]]);
    expect(written[1]).toContain('\x1b[2J');
    terminal.show([[span('one')], [span('2')]]);
    expect(written[2]).toContain('\x1b[2;1H\x1b[K2');
    expect(written[2]).not.toContain('one');
    terminal.show([[span('one')], [span('2')]]);
    expect(written).toHaveLength(3);
    terminal.forget();
    terminal.show([[span('one')], [span('2')]]);
    expect(written[3]).toContain('one');
    terminal.leave();
  });

  it('is left once, also by the end of the process', () => {
    const { terminal, written, keys } = fakes();
    const before = process.listenerCount('exit');
    terminal.enter();
    terminal.enter();
    expect(process.listeners('exit')).toContain(terminal.leave);
    terminal.leave();
    terminal.leave();
    expect(written.map((text) => text.includes(LEFT))).toEqual([false, true]);
    expect(keys.modes).toEqual([true, false]);
    expect(process.listenerCount('exit')).toBe(before);
  });

  it('has the usual size where it does not say, and colours where it has some', () => {
    expect(fakes(0, 0).terminal.size).toEqual({ columns: 80, lines: 24 });
    expect(fakes(80, 24, 8).terminal.paint).toBe('colour');
    expect(fakes(80, 24, 1).terminal.paint).toBe('attributes');
  });

  it('can be drawn on if it says what it is', () => {
    expect(canDraw({ isTTY: true }, { TERM: 'xterm' })).toBe(true);
    expect(canDraw({ isTTY: true }, { TERM: 'dumb' })).toBe(false);
    expect(canDraw({ isTTY: true }, {})).toBe(false);
    expect(canDraw({}, { TERM: 'xterm' })).toBe(false);
  });

  it('takes UTF-8 if the locale is of it', () => {
    expect(hasUtf8({ LANG: 'de_DE.UTF-8' })).toBe(true);
    expect(hasUtf8({ LANG: 'de_DE.UTF-8', LC_ALL: 'C' })).toBe(false);
    expect(hasUtf8({ LANG: 'C', LC_CTYPE: 'en_US.utf8', LC_ALL: '' })).toBe(true);
    expect(hasUtf8({})).toBe(false);
  });
});
