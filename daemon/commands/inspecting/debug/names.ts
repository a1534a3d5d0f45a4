/**
 * Takes names of files, directories and snapshots out of what a daemon tells, and leaves what is worth reading.
 *
 * Nobody can list the names that a message may quote. So it is the other way round: a word stays if it is a number or the program's own text has
 * it, and whatever else is there becomes a hash. What goes wrong then makes a message harder to read, and gives nothing
 * away. The same name has the same hash everywhere in a bundle, and another one in the next.
 */
import { createHash, randomBytes } from 'node:crypto';
import { isOwnName } from '../../../../engine/before-open.js';

/** Strings under these keys are paths or names as a whole, spaces and all. */
const WHOLE = new Set([
  'path',
  'to',
  'from',
  'directory',
  'mountpoint',
  'store',
  'control',
  'prefix',
  'source',
]);
/** What may stand around a word. */
const WRAPPED = /^([-([{"'`=]*)(.*?)([)\]}"'`,;:.!?]*)$/su;
const NUMBER = /^[+-]?\d[\d.,:%]*(?:ns|us|µs|ms|s|B|[KMGTP]i?B|[KMGTP])?$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:[\d.]+Z$/;
const HASH = /^~[\da-f]{8}$/;
const PLACEHOLDER = /^<[a-z ]+>$/;
/** Of content files, and the directories that they are in. */
const CONTENT_NAME = /^[\da-f]{1,16}(?:\.\d+)?$/;
const SCHEDULED = /^(?:hourly-\d{4}-\d\d-\d\dT\d\dZ|daily-\d{4}-\d\d-\d\d|weekly-\d{4}-W\d\d)$/;

/** A place that messages may name, and what stands for it: `<store>`. */
export type Place = readonly [path: string, placeholder: string];

export class Names {
  readonly #words: ReadonlySet<string>;
  readonly #places: readonly (readonly [RegExp, string])[];
  readonly #salt = randomBytes(16);

  constructor(words: ReadonlySet<string>, places: readonly Place[]) {
    this.#words = words;
    // The longest first: one may lie in another.
    this.#places = places
      .filter(([path]) => path.length > 1)
      .sort(([a], [b]) => b.length - a.length)
      .map(([path, placeholder]) => {
        const quoted = path.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
        return [new RegExp(`(?<![\\w.~-])${quoted}(?![\\w.~-])`, 'g'), placeholder] as const;
      });
  }

  /** Any value that can be JSON, with its strings and keys without names. */
  value(value: unknown, key = ''): unknown {
    if (typeof value === 'string') return this.#string(value, key);
    if (Array.isArray(value)) return value.map((item) => this.value(item, key));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [
        this.#isKnown(name) ? name : this.#hash(name),
        this.value(item, name),
      ]),
    );
  }

  /** A path, whatever is in it: each of its names becomes a hash. */
  path(path: string): string {
    const told = this.#toldPlaces(path);
    const names = told.split('/');
    return names.map((name, at) => (this.#isTold(names, name, at) ? name : this.#hash(name))).join('/');
  }

  /** Messages, as people read them; lines stay lines. */
  text(text: string): string {
    return this.#toldPlaces(text)
      .split('\n')
      .map((line) => this.#line(line))
      .join('\n');
  }

  /** Prometheus text: names can be in the values of labels. */
  metrics(text: string): string {
    return text
      .split('\n')
      .map((line) => (line.startsWith('#') ? line : this.#labels(line)))
      .join('\n');
  }

  #labels(line: string): string {
    return line.replaceAll(/="((?:[^"\\]|\\.)*)"/g, (_, value: string) => {
      const plain = value.replaceAll(/\\(.)/g, (_escape, of: string) => (of === 'n' ? '\n' : of));
      return `="${this.text(plain).replaceAll(/[\\"\n]/g, (of) => (of === '\n' ? '\\n' : `\\${of}`))}"`;
    });
  }

  #string(text: string, key: string): string {
    if (WHOLE.has(key)) return this.path(text);
    // Bytes of a name, as base64.
    if (key.endsWith('Bytes')) return this.#hash(text);
    return this.text(text);
  }

  #line(line: string): string {
    const frame = /^(\s+at .*\()(.*)\)$/.exec(line) ?? /^(\s+at )(\S*)$/.exec(line);
    if (frame !== null && /^(?:file:\/\/)?(?:<spinney>\/|node:)/.test(frame[2]!)) return line;
    const quoted = line
      .replaceAll(/"(?:[^"\\]|\\.)*"/g, (string) => this.#quoted(string.slice(1, -1), '"'))
      .replaceAll(/'(\/[^']*)'/g, (_, path: string) => this.#quoted(path, "'"));
    let isBehindPath = false;
    return quoted
      .split(/(\s+)/)
      .map((word) => {
        if (/^\s*$/.test(word)) return word;
        const [, before = '', core = '', after = ''] = WRAPPED.exec(word) ?? [];
        if (before.includes('(')) isBehindPath = false;
        const told = this.#word(core, isBehindPath);
        // A name with spaces in it goes on until the message does.
        if (core.includes('/') && !/["']/.test(before)) isBehindPath = true;
        if (/[,;:)]/.test(after)) isBehindPath = false;
        return `${before}${told}${after}`;
      })
      .join('');
  }

  #quoted(text: string, quote: string): string {
    if (SCHEDULED.test(text) || text === '') return `${quote}${text}${quote}`;
    return `${quote}${text.includes('/') ? this.path(text) : this.#hash(text)}${quote}`;
  }

  #word(word: string, isBehindPath: boolean): string {
    if (word === '' || HASH.test(word) || PLACEHOLDER.test(word)) return word;
    if (word.includes('/')) return this.path(word);
    if (/^[^=]+=/.test(word)) {
      const [name = '', ...value] = word.split('=');
      return `${this.#word(name, isBehindPath)}=${this.#word(value.join('='), isBehindPath)}`;
    }
    if (NUMBER.test(word) || TIME.test(word) || SCHEDULED.test(word))
      return isBehindPath ? this.#hash(word) : word;
    return this.#isKnown(word) ? word : this.#hash(word);
  }

  #isKnown(word: string): boolean {
    const plain = word.toLowerCase();
    return this.#words.has(plain) || this.#words.has(plain.replace(/['’]s$/, ''));
  }

  /** Whether a name of a path says nothing of anybody: what is in a store, or in the program's directory, has names of ours. */
  #isTold([first, second]: readonly string[], name: string, at: number): boolean {
    if (name === '' || HASH.test(name)) return true;
    if (at === 0) return PLACEHOLDER.test(name);
    if (first === '<spinney>') return true;
    if (first !== '<store>') return false;
    return at === 1 ? isOwnName(name) : second === 'content' && CONTENT_NAME.test(name);
  }

  #toldPlaces(text: string): string {
    let told = text;
    for (const [place, placeholder] of this.#places) told = told.replaceAll(place, placeholder);
    return told;
  }

  #hash(name: string): string {
    const hash = createHash('sha256').update(this.#salt).update(name).digest('hex');
    return `~${hash.slice(0, 8)}`;
  }
}
