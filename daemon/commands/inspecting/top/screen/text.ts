/**
 * Lines of a terminal: spans of text, each with a style, and what they take in columns.
 *
 * What must hold: no text is told to take fewer columns than a terminal gives it, or a line would run over its end. Terminals
 * differ in a few characters; then the larger figure counts. Text that is not ours goes through `onOneLine` first.
 */

export type Style = 'plain' | 'dim' | 'strong' | 'heading' | 'good' | 'warn' | 'bad' | 'alarm';

export interface Span {
  text: string;
  style: Style;
}

export type Line = readonly Span[];

export function span(text: string, style: Style = 'plain'): Span {
  return { text, style };
}

const SIMPLE = /^[\x20-\x7e]*$/;

/** Characters that stand on the one before them. A variation selector may make that one wide, so it counts. */
const NO_COLUMN = /^(?!\ufe0f)[\p{Mn}\p{Me}]$/u;

/** East Asian wide and full-width characters, and those that are shown as pictures. */
const TWO_COLUMNS = new RegExp(
  '^(?:\\p{Emoji_Presentation}|[' +
    '\\u1100-\\u115f\\u2329\\u232a\\u2630-\\u2637\\u268a-\\u268f\\u2e80-\\u303e\\u3041-\\ua4cf\\ua960-\\ua97f' +
    '\\uac00-\\ud7a3\\uf900-\\ufaff\\ufe10-\\ufe19\\ufe30-\\ufe6f\\uff00-\\uff60\\uffe0-\\uffe6' +
    '\\u{16fe0}-\\u{18dff}\\u{1aff0}-\\u{1b2ff}\\u{1d300}-\\u{1d376}\\u{1f000}-\\u{1faff}\\u{20000}-\\u{3fffd}])$',
  'u',
);

/** Columns that text takes which has gone through `onOneLine`. */
export function columnsOf(text: string): number {
  if (SIMPLE.test(text)) return text.length;
  let columns = 0;
  for (const character of text) columns += columnsOfCharacter(character);
  return columns;
}

function columnsOfCharacter(character: string): number {
  if (NO_COLUMN.test(character)) return 0;
  return TWO_COLUMNS.test(character) ? 2 : 1;
}

const CUT = '…';

/** Text in at most so many columns, with a mark where its end is missing. */
export function cutEnd(text: string, columns: number): string {
  if (columnsOf(text) <= columns) return text;
  return columns <= 0 ? '' : `${beginning(Array.from(text), columns - 1)}${CUT}`;
}

/** As `cutEnd`, of a path, whose end tells more than its beginning. */
export function cutStart(text: string, columns: number): string {
  if (columnsOf(text) <= columns) return text;
  if (columns <= 0) return '';
  const characters = Array.from(text);
  let room = columns - 1;
  let from = characters.length;
  for (; from > 0; from--) {
    room -= columnsOfCharacter(characters[from - 1]!);
    if (room < 0) break;
  }
  return `${CUT}${characters.slice(from).join('')}`;
}

function beginning(characters: readonly string[], columns: number): string {
  let room = columns;
  const end = characters.findIndex((character) => {
    room -= columnsOfCharacter(character);
    return room < 0;
  });
  return characters.slice(0, end < 0 ? undefined : end).join('');
}

/** Text in exactly so many columns. */
export function padded(text: string, columns: number, side: 'left' | 'right' = 'left'): string {
  const space = ' '.repeat(Math.max(0, columns - columnsOf(text)));
  return side === 'left' ? text + space : space + text;
}

export function lineColumns(line: Line): number {
  return line.reduce((sum, { text }) => sum + columnsOf(text), 0);
}

/** A line in at most so many columns. */
export function cutLine(line: Line, columns: number): Line {
  const cut: Span[] = [];
  let room = columns;
  for (const { text, style } of line) {
    const taken = columnsOf(text);
    if (taken <= room) cut.push({ text, style });
    else {
      // The mark stands for all that follows.
      if (room > 0) cut.push({ text: cutEnd(text, room), style });
      break;
    }
    room -= taken;
  }
  return cut;
}

/** A line in exactly so many columns; what is added has the last span's style where that is a heading's. */
export function fillLine(line: Line, columns: number): Line {
  const cut = cutLine(line, columns);
  const missing = columns - lineColumns(cut);
  if (missing <= 0) return cut;
  const style = cut.at(-1)?.style === 'heading' ? 'heading' : 'plain';
  return [...cut, span(' '.repeat(missing), style)];
}

/** Two blocks beside each other. */
export function beside(
  left: readonly Line[],
  right: readonly Line[],
  leftColumns: number,
  gap: number,
): Line[] {
  return Array.from({ length: Math.max(left.length, right.length) }, (_, row) => [
    ...fillLine(left[row] ?? [], leftColumns),
    span(' '.repeat(gap)),
    ...(right[row] ?? []),
  ]);
}

const SGR: Readonly<Record<Style, { colour: string; plain: string }>> = {
  plain: { colour: '', plain: '' },
  dim: { colour: '2', plain: '2' },
  strong: { colour: '1', plain: '1' },
  heading: { colour: '30;46', plain: '7' },
  good: { colour: '32', plain: '' },
  warn: { colour: '33', plain: '1' },
  bad: { colour: '1;31', plain: '1' },
  alarm: { colour: '1;37;41', plain: '7' },
};

export type Paint = 'colour' | 'attributes' | 'none';

/** What is sent: with colours, with bold and reverse alone, or as plain text. */
export function painted(line: Line, paint: Paint): string {
  return line
    .map(({ text, style }) => {
      const codes = paint === 'none' ? '' : SGR[style][paint === 'colour' ? 'colour' : 'plain'];
      return codes === '' ? text : `\x1b[${codes}m${text}\x1b[0m`;
    })
    .join('');
}

const ASCII: Readonly<Record<string, string>> = {
  '…': '~',
  µ: 'u',
  '▼': 'v',
  '·': '-',
  '▁': '.',
  '▂': '.',
  '▃': ':',
  '▄': '-',
  '▅': '=',
  '▆': '+',
  '▇': '*',
  '█': '#',
};

/** For terminals whose locale is not UTF-8: the same columns, one character a column. */
export function inAscii(line: Line): Line {
  return line.map(({ text, style }) => {
    if (SIMPLE.test(text)) return { text, style };
    const ascii = Array.from(text, (character) => {
      if (SIMPLE.test(character)) return character;
      return ASCII[character] ?? '?'.repeat(columnsOfCharacter(character));
    }).join('');
    return { text: ascii, style };
  });
}
