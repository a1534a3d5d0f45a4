/** Tables of a terminal: a heading and rows in columns, of which one takes the room that is left. */
import { cutEnd, cutStart, fillLine, type Line, lineColumns, padded, type Style, span } from './text.js';

export interface Column<Row> {
  heading: string;
  /** Columns of the terminal; undefined: what the others leave. */
  columns: number | undefined;
  /** Numbers stand on the right, a path's end tells more than its beginning. */
  kind: 'number' | 'text' | 'path';
  cell: (row: Row) => string;
  style?: (row: Row) => Style;
}

const GAP = 1;

/** At most so many lines, the heading included; none at all where there is no room for a row. */
export function table<Row>(
  layout: readonly Column<Row>[],
  rows: readonly Row[],
  size: { columns: number; lines: number },
  without: string,
): Line[] {
  if (size.lines < 2) return [];
  const fixed = layout.reduce((sum, { columns }) => sum + (columns ?? 0), 0) + GAP * (layout.length - 1);
  const rest = Math.max(0, size.columns - fixed);
  const line = (text: (column: Column<Row>) => string, style: (column: Column<Row>) => Style): Line =>
    layout.flatMap((column, index) => {
      const cell = placed(text(column), column.columns ?? rest, column.kind);
      return index === 0
        ? [span(cell, style(column))]
        : [span(' '.repeat(GAP), style(column)), span(cell, style(column))];
    });
  const heading = line(
    ({ heading: text }) => text,
    () => 'heading',
  );
  const shown = rows.slice(0, size.lines - 1).map((row) =>
    line(
      ({ cell }) => cell(row),
      ({ style }) => style?.(row) ?? 'plain',
    ),
  );
  const body = shown.length === 0 ? [[span(without, 'dim')]] : shown;
  return [fillLine(heading, size.columns), ...body];
}

function placed(text: string, columns: number, kind: 'number' | 'text' | 'path'): string {
  const cut = kind === 'path' ? cutStart(text, columns) : cutEnd(text, columns);
  return padded(cut, columns, kind === 'number' ? 'right' : 'left');
}

/** Texts one after another, as many as fit whole into a line; the first is there in any case, and may be cut. */
export function inOneLine(parts: readonly Line[], columns: number, gap: number): Line {
  const line = [...(parts[0] ?? [])];
  for (const part of parts.slice(1)) {
    if (lineColumns(line) + gap + lineColumns(part) > columns) break;
    line.push(span(' '.repeat(gap)), ...part);
  }
  return line;
}

/**
 * Lines for each of several panels that share a height: all get what they need at least, the first ones first, and what is left goes
 * round, one line each, to those that can use more.
 */
export function sharedLines(height: number, panels: readonly { least: number; most: number }[]): number[] {
  let left = height;
  const lines = panels.map(({ least, most }) => {
    const wanted = Math.min(least, most);
    const given = wanted <= left ? wanted : 0;
    left -= given;
    return given;
  });
  while (left > 0) {
    const before = left;
    panels.forEach(({ most }, index) => {
      if (left === 0 || lines[index] === 0 || lines[index]! >= most) return;
      lines[index]!++;
      left--;
    });
    if (left === before) break;
  }
  return lines;
}
