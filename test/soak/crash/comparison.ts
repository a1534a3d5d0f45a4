/**
 * Compares what is there after a crash with what clients were told before it: what was acknowledged is there, what was in
 * flight is there wholly or not at all, and nothing else has changed.
 */
import { BEGIN, type Call, showCall } from './log.js';
import { type Inode, Model, pattern } from './model.js';

const PAGE_BYTES = 4096;
export const RECORD_BYTES = 8;
export const LOG = 'shared/log';
export const HUB = 'shared/hub';
export const CLAIM = /^shared\/claim-\d+$/;
/** Calls of the history of a violation that are told. */
const TOLD_CALLS = 12;
const NONE: ReadonlySet<Inode> = new Set();

/** What one sees at a path: the inode, and what it was like when it was looked at. */
interface Seen {
  readonly inode: Inode;
  readonly state: Readonly<Inode>;
}
export type View = ReadonlyMap<string, Seen>;

/** A write that may have been done in part. */
interface Torn {
  readonly inode: Inode;
  readonly before: Buffer;
}

/**
 * Throws at the first difference. `base` is what was there before the calls, and is of no use any more afterwards;
 * `known` are all inode numbers that ever were, and gets the new ones. Returns how many calls were acknowledged.
 */
export function compare(
  base: Inode,
  histories: readonly (readonly Call[])[],
  found: Inode,
  known: Set<number>,
): number {
  compareShared(base, histories, found);
  let acknowledged = 0;
  for (const [client, calls] of histories.entries()) {
    acknowledged += compareClient(base, client, calls, found, known);
  }
  for (const inode of everything(found).values()) known.add(inode.ino!);
  return acknowledged;
}

function compareClient(
  base: Inode,
  client: number,
  calls: readonly Call[],
  found: Inode,
  known: ReadonlySet<number>,
): number {
  const model = new Model(base, client);
  const inFlight = calls.at(-1)?.result === undefined ? calls.at(-1) : undefined;
  let acknowledged = 0;
  for (const call of calls) {
    if (call === inFlight) break;
    if (call.step[0] === BEGIN) model.begin();
    else if (isShared(call)) acknowledged += Number(call.result === 0);
    else {
      // Nothing else changes these names, so it is certain which calls work.
      const works = model.apply(call.number, call.step);
      if (works !== (call.result === 0))
        throw new Error(`client ${client} was told wrongly: ${showCall(call)}`);
      acknowledged += Number(works);
    }
  }
  const torn = inFlight && tornBy(model, inFlight);
  const expected = [viewOf(base, client)];
  if (inFlight !== undefined && inFlight.step[0] !== BEGIN && !isShared(inFlight)) {
    if (model.apply(inFlight.number, inFlight.step)) expected.push(viewOf(base, client));
  }
  const seen = viewOf(found, client);
  const differences = expected.map((view) => difference(view, seen, known, torn));
  if (!differences.includes(undefined)) throw violation(client, calls, differences as Difference[]);
  return acknowledged;
}

/** Whether the call is on what no client has to itself. */
export function isShared({ step: [name] }: Call): boolean {
  return name === 'append' || name === 'claim';
}

function tornBy(model: Model, { step }: Call): Torn | undefined {
  const inode = model.writtenBy(step);
  if (inode === undefined) return undefined;
  // The time of a write is set before its bytes are.
  inode.mtime = undefined;
  return { inode, before: inode.content };
}

/** What the client alone can change: its directory, its names in the shared one, its attributes of the hub. */
export function viewOf(root: Inode, client: number): View {
  const view = new Map<string, Seen>();
  const hub = everything(root).get(HUB);
  for (const [path, inode] of everything(root)) {
    if (path !== HUB && !isNameOf(client, path)) continue;
    const own = [...inode.xattrs].filter(([name]) => inode !== hub || name.startsWith(`user.c${client}-`));
    view.set(path, { inode, state: { ...inode, xattrs: new Map(own) } });
  }
  return view;
}

export function isNameOf(client: number, path: string): boolean {
  const own = `c${client}`;
  return path === own || path.startsWith(`${own}/`) || path.startsWith(`shared/${own}-`);
}

/** All paths, parents first. */
export function everything(inode: Inode, path = '', into = new Map<string, Inode>()): Map<string, Inode> {
  into.set(path, inode);
  for (const [name, below] of inode.entries) everything(below, path === '' ? name : `${path}/${name}`, into);
  return into;
}

export interface Difference {
  readonly path: string;
  readonly what: string;
}

/** The first difference. Of files that are `loose` neither the bytes nor the time of their change matter. */
export function difference(
  expected: View,
  found: View,
  known: ReadonlySet<number>,
  torn: Torn | undefined,
  loose: ReadonlySet<Inode> = NONE,
): Difference | undefined {
  for (const path of found.keys()) {
    if (!expected.has(path)) return { path, what: 'is there and should not be' };
  }
  const numbers = new Map<number, Inode>();
  for (const [path, { inode, state }] of expected) {
    const seen = found.get(path)?.state;
    if (seen === undefined) return { path, what: 'is missing' };
    const ino = seen.ino!;
    const other = numbers.get(ino) ?? inode;
    numbers.set(ino, inode);
    const isSame = other === inode && (state.ino === undefined ? !known.has(ino) : state.ino === ino);
    const what = isSame
      ? differenceOf(state, seen, torn?.inode === inode ? torn : undefined, loose.has(inode))
      : `is inode ${ino}`;
    if (what !== undefined) return { path, what };
  }
  const names = new Set([...expected.values()].map(({ inode }) => inode));
  if (names.size !== numbers.size) return { path: '', what: 'names of one inode are of several' };
  return undefined;
}

function differenceOf(
  expected: Readonly<Inode>,
  found: Readonly<Inode>,
  torn: Torn | undefined,
  isLoose: boolean,
): string | undefined {
  for (const key of ['kind', 'mode', 'target'] as const) {
    if (expected[key] !== found[key]) return `has ${key} ${found[key]} in place of ${expected[key]}`;
  }
  if (!isLoose && expected.mtime !== undefined && expected.mtime !== found.mtime) {
    return `has mtime ${found.mtime} in place of ${expected.mtime}`;
  }
  const isAsWritten = expected.content.equals(found.content);
  if (
    !isLoose &&
    !isAsWritten &&
    (torn === undefined || !isBetween(torn.before, expected.content, found.content))
  ) {
    return `has other bytes: ${showBytes(found.content)} in place of ${showBytes(expected.content)}`;
  }
  const names = new Set([...expected.xattrs.keys(), ...found.xattrs.keys()]);
  for (const name of names) {
    const [had, has] = [expected.xattrs.get(name), found.xattrs.get(name)];
    if (had === undefined || has === undefined || !had.equals(has)) {
      return `has ${name} ${showBytes(has)} in place of ${showBytes(had)}`;
    }
  }
  return undefined;
}

/** Whether some pages are as they were before a write and the others as after it. */
function isBetween(before: Buffer, after: Buffer, found: Buffer): boolean {
  const { length } = found;
  const isSize = length === before.length || length === after.length || length % PAGE_BYTES === 0;
  if (!isSize || length < before.length || length > after.length) return false;
  for (let from = 0; from < length; from += PAGE_BYTES) {
    const to = Math.min(from + PAGE_BYTES, length);
    const page = found.subarray(from, to);
    const old = Buffer.alloc(to - from);
    before.copy(old, 0, from, to);
    if (!page.equals(old) && !page.equals(after.subarray(from, to))) return false;
  }
  return true;
}

/** What clients share: nothing but them and what is theirs is there, and it has what each of them was told. */
function compareShared(base: Inode, histories: readonly (readonly Call[])[], found: Inode): void {
  const paths = everything(found);
  const clients = [...histories.keys()];
  for (const path of ['', 'shared', HUB, LOG]) {
    if (paths.get(path) === undefined) throw new Error(`${path} is missing`);
  }
  const claims = new Set([...everything(base).keys()].filter((path) => CLAIM.test(path)));
  const doubtful = new Set<string>();
  for (const { step, result } of histories.flat()) {
    const path = String(step[1]);
    if (step[0] !== 'claim') continue;
    if (result === 0 && claims.has(path)) throw new Error(`${path} was made twice`);
    if (result === 0) claims.add(path);
    if (result === undefined) doubtful.add(path);
  }
  for (const path of claims) if (!paths.has(path)) throw new Error(`${path} is missing`);
  for (const path of paths.keys()) {
    if (['', 'shared', HUB, LOG].includes(path) || claims.has(path) || doubtful.has(path)) continue;
    if (!clients.some((client) => isNameOf(client, path)))
      throw new Error(`${path} is there and nobody made it`);
  }
  compareHub(paths.get(HUB)!, clients);
  compareRecords(base, histories, paths.get(LOG)!.content);
}

function compareHub(hub: Inode, clients: readonly number[]): void {
  const strange = [...hub.xattrs.keys()].filter(
    (name) => !clients.some((client) => name.startsWith(`user.c${client}-`)),
  );
  if (hub.content.length > 0 || strange.length > 0) throw new Error(`${HUB} has ${strange.join()} and bytes`);
}

/** Behind the records that were there: each client's, once each and in the order in which it appended them. */
function compareRecords(base: Inode, histories: readonly (readonly Call[])[], found: Buffer): void {
  const before = everything(base).get(LOG)!.content;
  if (!found.subarray(0, before.length).equals(before)) throw new Error(`${LOG} has lost what it had`);
  const records: string[] = [];
  for (let at = before.length; at < found.length; at += RECORD_BYTES) {
    records.push(found.toString('latin1', at, at + RECORD_BYTES));
  }
  for (const [client, calls] of histories.entries()) {
    const appended = calls.filter(({ step, result }) => step[0] === 'append' && typeof result !== 'string');
    const words = appended.map(({ number }) => pattern(client, number, RECORD_BYTES).toString());
    const own = records.filter((record) => Number(record.slice(0, 2)) === client);
    const sure = appended.at(-1)?.result === undefined ? words.slice(0, -1) : words;
    if (own.join() !== words.join() && own.join() !== sure.join()) {
      throw new Error(`${LOG} has ${own.join()} of client ${client} in place of ${words.join()}`);
    }
  }
  const senders = records.filter((record) => Number(record.slice(0, 2)) < histories.length);
  if (senders.length < records.length) throw new Error(`${LOG} has records that nobody appended`);
}

/** With the calls that led to it. */
function violation(client: number, calls: readonly Call[], differences: readonly Difference[]): Error {
  const told = differences.map(({ path, what }) => `${path} ${what}`);
  const paths = differences.map(({ path }) => path);
  const about = calls.filter(({ step }) => step.some((word) => paths.includes(String(word))));
  const history = [...new Set([...about.slice(-TOLD_CALLS), ...calls.slice(-TOLD_CALLS)])].map(showCall);
  return new Error(
    `client ${client}: ${told.join('; or, with the call in flight, ')}\nafter\n${history.join('\n')}`,
  );
}

/** Runs of the words that clients write, with the offset of each. */
function showBytes(bytes: Buffer | undefined): string {
  if (bytes === undefined) return 'nothing';
  const runs: string[] = [];
  let last = '';
  for (let at = 0; at < bytes.length; at += RECORD_BYTES) {
    const word = bytes.toString('latin1', at, at + RECORD_BYTES).replaceAll('\0', '.');
    if (word !== last) runs.push(`${at}:${word}`);
    last = word;
  }
  return `${bytes.length} bytes [${runs.slice(0, 8).join(' ')}${runs.length > 8 ? ' ...' : ''}]`;
}
