/**
 * The live view on a terminal: looks, draws, and does what keys say, until someone ends it.
 *
 * What must hold: the terminal is left as it was, whatever ends this: a key, a signal, an error. One look at a time; a daemon that
 * hangs holds up nothing but its own figures.
 */
import type { ReadStream } from 'node:tty';
import { keysOf, type Settings, stepOf } from './keys.js';
import { isSameDaemon, type Look, type Names, viewOf } from './look/rates.js';
import type { Watch } from './look/watch.js';
import type { Moment } from './screen/panels.js';
import { screenLines } from './screen/screen.js';
import type { Terminal } from './screen/terminal.js';
import type { View } from './view.js';

/** The first figures are there so soon, whatever the interval. */
const FIRST_SECONDS = 0.4;
/** The clock goes on, and how long a daemon has been away. */
const TICK_MS = 1_000;
/** A daemon that has not answered for so long is told to be away. */
const PATIENCE_SECONDS = 3;
/** Looks that are kept for the bars: more than a window has columns. */
const MOST_MOMENTS = 1_000;

/** What shells add to the number of the signal that ended a program. */
const SIGNAL_EXIT_CODE = 128;
const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;

export interface LiveOptions {
  watch: Watch;
  /** The first look, which shows that there is somebody to look at. */
  first: Look;
  terminal: Terminal;
  /** Undefined: nobody can press keys. */
  keys: ReadStream | undefined;
  names: Names;
  /** As the user has given it. */
  place: string;
  intervalSeconds: number;
}

/** Returns the exit code: 0, or 128 and the number of the signal that ended it. */
export async function runLive(options: LiveOptions): Promise<number> {
  return new Live(options).run();
}

class Live {
  readonly #options: LiveOptions;
  #settings: Settings;
  #last: Look;
  #view: View | undefined;
  #history: (Moment | undefined)[] = [];
  /** Why the daemon does not answer, and since when: seconds of a clock that never jumps. */
  #away: { reason: string; since: number } | undefined;
  /** When the look that is under way began. */
  #askedAt: number | undefined;
  #isOver = false;
  /** Ends the sleep between two looks. */
  #wake = (): void => {};
  #end = (_exitCode: number): void => {};
  #fail = (_error: unknown): void => {};

  constructor(options: LiveOptions) {
    this.#options = options;
    this.#last = options.first;
    this.#settings = {
      sort: 'rate',
      isPaused: false,
      isHelpShown: false,
      intervalSeconds: options.intervalSeconds,
    };
  }

  async run(): Promise<number> {
    const { terminal, keys } = this.#options;
    const ended = new Promise<number>((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
    const end = (_name: NodeJS.Signals, number: number): void => this.#end(SIGNAL_EXIT_CODE + number);
    for (const signal of ENDING_SIGNALS) process.on(signal, end);
    process.on('SIGTSTP', this.#suspend);
    process.on('SIGCONT', this.#resume);
    const stopWatchingSize = terminal.onResize(this.#redraw);
    keys?.setEncoding('utf8').on('data', this.#pressed).on('error', this.#fail);
    const ticks = setInterval(this.#draw, TICK_MS);
    try {
      terminal.enter();
      this.#draw();
      this.#lookOn().catch(this.#fail);
      return await ended;
    } finally {
      this.#isOver = true;
      this.#wake();
      clearInterval(ticks);
      stopWatchingSize();
      keys?.off('data', this.#pressed).off('error', this.#fail).pause();
      terminal.leave();
      process.off('SIGTSTP', this.#suspend);
      process.off('SIGCONT', this.#resume);
      for (const signal of ENDING_SIGNALS) process.off(signal, end);
    }
  }

  async #lookOn(): Promise<void> {
    let seconds = Math.min(FIRST_SECONDS, this.#settings.intervalSeconds);
    for (;;) {
      await this.#sleep(seconds);
      if (this.#isOver) return;
      await this.#look();
      this.#draw();
      seconds = this.#settings.intervalSeconds;
    }
  }

  #sleep(seconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, seconds * 1e3);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #look(): Promise<void> {
    const askedAt = now();
    this.#askedAt = askedAt;
    let look: Look;
    try {
      look = await this.#options.watch.look();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#away = { reason, since: this.#away?.since ?? askedAt };
      this.#remember(undefined);
      return;
    } finally {
      this.#askedAt = undefined;
    }
    this.#away = undefined;
    this.#take(look);
  }

  #take(look: Look): void {
    const before = this.#last;
    this.#last = look;
    // Another daemon counts from nothing: there is something to tell at the next look.
    if (!isSameDaemon(before, look)) return;
    const view = viewOf(before, look, this.#options.names);
    const { requests, contents } = view;
    this.#remember({
      rate: requests.rate,
      p99Seconds: requests.p99Seconds,
      bytesRate: contents.readRate + contents.writtenRate,
      waiting: requests.waiting,
    });
    if (!this.#settings.isPaused || this.#view === undefined) this.#view = view;
  }

  #remember(moment: Moment | undefined): void {
    this.#history.push(moment);
    if (this.#history.length > MOST_MOMENTS) this.#history.shift();
  }

  readonly #draw = (): void => {
    const { terminal, place } = this.#options;
    const shownAt =
      this.#settings.isPaused && this.#view !== undefined ? new Date(this.#view.time) : new Date();
    const lines = screenLines(
      {
        view: this.#view,
        settings: this.#settings,
        place,
        clock: shownAt.toTimeString().slice(0, 8),
        away: this.#absence(),
        history: this.#history,
      },
      terminal.size,
    );
    try {
      terminal.show(lines);
    } catch (error) {
      // The terminal has gone.
      this.#fail(error);
    }
  };

  #absence(): { reason: string; seconds: number } | undefined {
    if (this.#away !== undefined) return { reason: this.#away.reason, seconds: now() - this.#away.since };
    const seconds = this.#askedAt === undefined ? 0 : now() - this.#askedAt;
    if (seconds < PATIENCE_SECONDS) return undefined;
    return { reason: 'it is there, but takes its time', seconds };
  }

  readonly #pressed = (input: string | Buffer): void => {
    for (const key of keysOf(String(input))) {
      const step = stepOf(key, this.#settings);
      if (step === 'quit') this.#end(0);
      else if (step === 'suspend') this.#suspend();
      else if (step === 'redraw') this.#redraw();
      else if (step !== undefined) this.#settingsAre(step);
    }
    this.#draw();
  };

  #settingsAre(settings: Settings): void {
    const isOther = settings.intervalSeconds !== this.#settings.intervalSeconds;
    this.#settings = settings;
    // The interval that was begun is not waited for.
    if (isOther) this.#wake();
  }

  readonly #redraw = (): void => {
    this.#options.terminal.forget();
    this.#draw();
  };

  /** Stops the process as ^Z does, the terminal as it was meanwhile. Goes on behind the signal when the shell says so. */
  readonly #suspend = (): void => {
    this.#options.terminal.leave();
    process.off('SIGTSTP', this.#suspend);
    process.kill(process.pid, 'SIGTSTP');
    process.on('SIGTSTP', this.#suspend);
    this.#resume();
  };

  /** Whoever stopped it may have changed the terminal. */
  readonly #resume = (): void => {
    this.#options.terminal.leave();
    this.#options.terminal.enter();
    this.#redraw();
  };
}

function now(): number {
  return performance.now() / 1e3;
}
