/** What takes the space below a directory of a mount: its children by size, told by the mount without a walk. */
import { lstatSync, readdirSync, realpathSync } from 'node:fs';
import { basename } from 'node:path';
import { reasonOf, SpinneyError } from '../../../engine/errors.js';
import { numberOption, textOption } from '../options/arguments.js';
import type { Command } from '../options/command.js';
import { type Output, onOneLine } from '../output/output.js';

/** One file or directory, with what is below it. */
interface Item {
  name: string;
  /** Base64 of the name where it is not UTF-8. */
  nameBytes?: string;
  type: 'directory' | 'file';
  /** Sizes of files, as `du --apparent-size` has them. */
  bytes: number;
  files: number;
  subdirs: number;
  /** As far as they were asked for, the largest first. */
  children?: Item[];
}

/** How what is below a directory is looked at. */
interface Looks {
  sumsOf: typeof import('../../../mount/sums/directory-sums.js').directorySums;
  /** Told what cannot be read, which is left out, as du(1) does. */
  unread: (path: Buffer, error: unknown) => void;
}

/** Rows that people are shown of one directory. */
const MOST_ROWS = 50;
const BAR_WIDTH = 20;
const SLASH = Buffer.from('/');

export const du: Command = {
  name: 'du',
  summary: 'Show what takes the space below a directory of a mount, at once',
  argument: {
    name: 'path',
    isRequired: false,
    describe: 'Directory in a mount; default: the present one',
    values: 'directory',
  },
  options: {
    depth: { takesValue: true, describe: 'Levels of directories to show; 0: the total alone', default: '1' },
    json: { describe: 'Print JSON' },
  },
  async run(raw, output) {
    const depth = numberOption(raw, 'depth', { default: 1, min: 0, max: 1000, integer: true });
    const given = textOption(raw, 'path') ?? '.';
    // Loaded here only, so that the other verbs start fast.
    const { directorySums } = await import('../../../mount/sums/directory-sums.js');
    const path = attempt(given, () => realpathSync(given));
    const sums = attempt(given, () => directorySums(Buffer.from(path)));
    if (sums === undefined) {
      throw new SpinneyError('ERR_MOUNT', `Cannot sum up ${given}: it is no directory of a Spinney mount`);
    }
    const total: Item = { name: basename(path) || path, type: 'directory', ...sums };
    let isWhole = true;
    const unread = (child: Buffer, error: unknown): void => {
      isWhole = false;
      output.err(`spinney: Cannot read ${onOneLine(child.toString())}: ${reasonOf(error)}\n`);
    };
    if (depth > 0) addChildren(total, Buffer.from(path), depth, { sumsOf: directorySums, unread });
    if (raw.json === true) output.out(`${JSON.stringify({ path, ...total }, null, 2)}\n`);
    else show(total, path, isWhole, output);
    return isWhole ? 0 : 1;
  },
};

function attempt<T>(path: string, look: () => T): T {
  try {
    return look();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'ERR_NOT_FOUND' : 'ERR_IO';
    throw new SpinneyError(code, `Cannot sum up ${path}: ${reasonOf(error)}`);
  }
}

function addChildren(item: Item, path: Buffer, depth: number, looks: Looks): void {
  const children: Item[] = [];
  for (const entry of entriesOf(path, looks)) {
    const childPath = Buffer.concat([path, SLASH, entry]);
    const child = itemAt(childPath, entry, looks);
    if (child === undefined) continue;
    if (child.type === 'directory' && depth > 1) addChildren(child, childPath, depth - 1, looks);
    children.push(child);
  }
  children.sort((a, b) => b.bytes - a.bytes || (a.name < b.name ? -1 : 1));
  item.children = children;
}

function entriesOf(path: Buffer, { unread }: Looks): Buffer[] {
  try {
    return readdirSync(path, { encoding: 'buffer' });
  } catch (error) {
    if (!hasGone(error)) unread(path, error);
    return [];
  }
}

/** Undefined: it has gone meanwhile, is a mount of its own, or cannot be read. */
function itemAt(path: Buffer, name: Buffer, { sumsOf, unread }: Looks): Item | undefined {
  try {
    const status = lstatSync(path);
    const named = nameOf(name);
    if (status.isDirectory()) {
      const sums = sumsOf(path);
      return sums && { ...named, type: 'directory', ...sums };
    }
    const isSized = status.isFile() || status.isSymbolicLink();
    // One with several names counts in the root alone.
    const bytes = isSized && status.nlink === 1 ? status.size : 0;
    return { ...named, type: 'file', bytes, files: 1, subdirs: 0 };
  } catch (error) {
    if (!hasGone(error)) unread(path, error);
    return undefined;
  }
}

function hasGone(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

function nameOf(name: Buffer): { name: string; nameBytes?: string } {
  const text = name.toString();
  return Buffer.from(text).equals(name) ? { name: text } : { name: text, nameBytes: name.toString('base64') };
}

function show(total: Item, path: string, isWhole: boolean, output: Output): void {
  showChildren(total, total.bytes, '', output);
  const { files, subdirs, children = [] } = total;
  const missing = total.bytes - sum(children);
  const what = `files with several names${isWhole ? '' : ', and what cannot be read'}`;
  if (children.length > 0 && missing > 0) tell(missing, what, '', output);
  output.out(`${size(total.bytes)}  ${path}: ${count(files, 'file')}, ${count(subdirs, 'directory')}\n`);
}

/** Shares are of `whole` bytes. */
function showChildren(item: Item, whole: number, indent: string, output: Output): void {
  const children = item.children ?? [];
  for (const child of children.slice(0, MOST_ROWS)) {
    const share = whole === 0 ? 0 : Math.min(1, child.bytes / whole);
    const bar = '#'.repeat(Math.round(share * BAR_WIDTH)).padEnd(BAR_WIDTH);
    const percent = `${(share * 100).toFixed(1)} %`.padStart(7);
    const name = `${onOneLine(child.name)}${child.type === 'directory' ? '/' : ''}`;
    output.out(`${size(child.bytes)}  ${percent}  ${bar}  ${indent}${name}\n`);
    showChildren(child, whole, `${indent}  `, output);
  }
  const rest = children.slice(MOST_ROWS);
  if (rest.length > 0) tell(sum(rest), `${rest.length} more`, indent, output);
}

function tell(bytes: number, what: string, indent: string, output: Output): void {
  output.out(`${size(bytes)}  ${' '.repeat(9 + BAR_WIDTH)}  ${indent}(${what})\n`);
}

function sum(items: readonly Item[]): number {
  return items.reduce((bytes, item) => bytes + item.bytes, 0);
}

const UNITS = ['B  ', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** In units of 1024, of the same width. */
function size(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`.padStart(11);
}

function count(number: number, what: string): string {
  const noun = number === 1 ? what : what.replace(/y$/, 'ie').concat('s');
  return `${number} ${noun}`;
}
