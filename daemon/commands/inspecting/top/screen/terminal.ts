/**
 * The terminal while `spinney top` has it: the alternate screen, no cursor, keys as they are pressed.
 *
 * What must hold: whatever ends the program, the terminal is as it was before. `leave` may be called at any time and any number of
 * times; the exit of the process calls it, too. Nothing of it waits.
 */
import type { ReadStream, WriteStream } from 'node:tty';
import { inAscii, type Line, type Paint, painted } from './text.js';

/** Alternate screen, no cursor, no wrapping: a line that a terminal finds too long is cut there, and never two. */
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l';
const LEAVE = '\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l';
/** A terminal that knows these shows what is between them at once; the others ignore them. */
const BEGIN_FRAME = '\x1b[?2026h';
const END_FRAME = '\x1b[?2026l';
const CLEAR = '\x1b[2J';
/** Before the text: behind it, it would take the last column of a full line away. */
const CLEAR_LINE = '\x1b[K';

/** What there is where a terminal does not say. */
const USUAL = { columns: 80, lines: 24 };

export class Terminal {
  readonly #output: WriteStream;
  readonly #keys: ReadStream | undefined;
  readonly #write: (text: string) => void;
  readonly #isUtf8: boolean;
  readonly paint: Paint;
  #isEntered = false;
  /** Rows as they are on the screen, unless it is to be cleared first. */
  #shown: string[] = [];
  #isBlank = false;

  /** `write` writes to `output`, all of it before it returns. Without `keys` there is nobody to press any. */
  constructor(
    output: WriteStream,
    keys: ReadStream | undefined,
    write: (text: string) => void,
    environment: NodeJS.ProcessEnv,
  ) {
    this.#output = output;
    this.#keys = keys;
    this.#write = write;
    this.#isUtf8 = hasUtf8(environment);
    // Knows TERM and NO_COLOR.
    this.paint = output.getColorDepth(environment) > 1 ? 'colour' : 'attributes';
  }

  get size(): { columns: number; lines: number } {
    const { columns, rows } = this.#output;
    return { columns: columns || USUAL.columns, lines: rows || USUAL.lines };
  }

  /** Returns what ends it. */
  onResize(tell: () => void): () => void {
    this.#output.on('resize', tell);
    return () => void this.#output.off('resize', tell);
  }

  enter(): void {
    if (this.#isEntered) return;
    this.#isEntered = true;
    process.on('exit', this.leave);
    this.#keys?.setRawMode(true);
    this.#write(ENTER);
    this.#isBlank = true;
  }

  readonly leave = (): void => {
    if (!this.#isEntered) return;
    this.#isEntered = false;
    process.off('exit', this.leave);
    try {
      this.#keys?.setRawMode(false);
      this.#write(LEAVE);
    } catch {
      // The terminal has gone: there is nothing to set right.
    }
  };

  /** Everything is drawn again the next time: who knows what is on the screen. */
  forget(): void {
    this.#isBlank = true;
  }

  /** Shows these lines, from the top; what is there already is not sent again. */
  show(lines: readonly Line[]): void {
    if (!this.#isEntered) return;
    const rows = Array.from({ length: this.size.lines }, (_, row) =>
      painted(this.#isUtf8 ? (lines[row] ?? []) : inAscii(lines[row] ?? []), this.paint),
    );
    const isKnown = !this.#isBlank;
    const changed = rows.flatMap((text, row) =>
      isKnown && text === this.#shown[row] ? [] : [`\x1b[${row + 1};1H${CLEAR_LINE}${text}`],
    );
    this.#shown = rows;
    this.#isBlank = false;
    const before = isKnown ? '' : CLEAR;
    if (changed.length > 0) this.#write(`${BEGIN_FRAME}${before}${changed.join('')}${END_FRAME}`);
  }
}

/** Whether this is a terminal that a screen can be drawn on. */
export function canDraw(output: { isTTY?: boolean }, environment: NodeJS.ProcessEnv): boolean {
  return (
    output.isTTY === true &&
    environment.TERM !== undefined &&
    environment.TERM !== '' &&
    environment.TERM !== 'dumb'
  );
}

/** By the locale, as the C library takes it from the environment. */
export function hasUtf8({ LC_ALL, LC_CTYPE, LANG }: NodeJS.ProcessEnv): boolean {
  return /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || '');
}
