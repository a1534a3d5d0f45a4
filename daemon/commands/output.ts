/** Results for people: aligned rows of a name and a value, nested objects by indented names. */

/** Where commands write; given by tests. */
export interface Output {
  out: (text: string) => void;
  err: (text: string) => void;
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

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `1536` is 1.5 KiB. */
export function formatBytes(bytes: number): string {
  let unit = 0;
  let count = bytes;
  for (; count >= 1024 && unit < UNITS.length - 1; unit++) count /= 1024;
  return `${Number.isInteger(count) ? count : count.toFixed(1)} ${UNITS[unit]}`;
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
