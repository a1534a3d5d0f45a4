/** Results for people: aligned rows of a name and a value, nested objects by indented names. */

/** Where commands write; given by tests. */
export interface Output {
  out: (text: string) => void;
  err: (text: string) => void;
  /** Whether anybody may still read what `out` gets; missing: somebody does. */
  hasReader?: () => boolean;
}

const INDENT = '  ';

/** One line per value, values aligned; objects become indented groups, arrays of objects one line per element. */
export function formatTable(value: object): string {
  const rows = collect(value, '');
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows
    .map(([name, text]) => (text === undefined ? name : `${name.padEnd(width)}  ${text}`))
    .join('\n');
}

/** Rows under headings, each column as wide as it must be. */
export function formatColumns(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  const line = (row: readonly string[]) => row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ');
  return all.map((row) => line(row).trimEnd()).join('\n');
}

/** Controls, what is invisible or changes the direction of writing, halves of surrogate pairs, and what is no character. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;

/** A name or path on one line, whatever is in it, and nothing of it that a terminal obeys: that is told as JSON does (`\n`, `\u001b`). */
export function onOneLine(text: string): string {
  return text.replace(HIDDEN, (hidden) => SHORT_ESCAPES[hidden] ?? escaped(hidden));
}

const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '\b': '\\b',
  '\t': '\\t',
  '\n': '\\n',
  '\f': '\\f',
  '\r': '\\r',
};

function escaped(character: string): string {
  const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}

function collect(value: object, indent: string): [name: string, text: string | undefined][] {
  return Object.entries(value).flatMap(([key, item]): [string, string | undefined][] => {
    const name = indent + key;
    if (item === undefined) return [];
    if (Array.isArray(item)) {
      if (item.length === 0) return [[name, 'none']];
      return [
        [name, undefined],
        ...item.map((row): [string, string | undefined] => [indent + INDENT + cell(row), undefined]),
      ];
    }
    if (typeof item === 'object' && item !== null) {
      const rows = collect(item as object, indent + INDENT);
      return rows.length === 0 ? [[name, 'none']] : [[name, undefined], ...rows];
    }
    return [[name, cell(item)]];
  });
}

function cell(item: unknown): string {
  if (typeof item === 'number') return Number.isInteger(item) ? String(item) : item.toFixed(3);
  if (typeof item === 'object' && item !== null) {
    return Object.entries(item)
      .map(([key, value]) => `${key} ${cell(value)}`)
      .join('  ');
  }
  return String(item);
}
