/**
 * Compares what another machine finds in a remote with what clients were told on the one that is gone:
 *
 * - It is as all was at one moment: of each client all calls up to some call of its, and none behind it; and where it has a call, it has
 *   all that was acknowledged to anybody before that call was made.
 * - What was acknowledged by `sureUntil` is there.
 * - A file has the bytes that it had at that moment, if they were to be brought away by then: an acknowledged fsync at `remote`, or
 *   the file at rest, and nobody at it meanwhile. Of other files nobody knows the bytes; they can be read.
 */

import {
  CLAIM,
  type Difference,
  difference,
  everything,
  HUB,
  isNameOf,
  isShared,
  LOG,
  RECORD_BYTES,
  type View,
  viewOf,
} from '../../crash/comparison.js';
import { BEGIN, type Call, showCall } from '../../crash/log.js';
import { type Inode, Model, pattern } from '../../crash/model.js';

/** A file is at rest when its last user's close has come to the daemon, for which close(2) does not wait. */
const REST_SECONDS = 3;
const TOLD_CALLS = 20;
const CHANGES = new Set(['create', 'write', 'store', 'ftruncate', 'truncate', 'utime']);
const FSYNCS = new Set(['fsync', 'fsyncdir']);

export interface CutOptions {
  /** In seconds of CLOCK_MONOTONIC: what was acknowledged up to then must be there. */
  sureUntil: number;
  /** Whether an acknowledged fsync has brought the file's bytes away. */
  fsyncIsRemote: boolean;
}

export interface CutFigures {
  /** Calls that were acknowledged and are there. */
  kept: number;
  /** Calls that were acknowledged, and that the other machine does not have. */
  lost: number;
  /** Of `lost` the earliest, in seconds of CLOCK_MONOTONIC; undefined where there is none. */
  lostSince: number | undefined;
  /** Files whose bytes were compared. */
  contents: number;
}

/** What a client's names were like when so many of its calls had been made. */
interface Moment {
  readonly calls: number;
  readonly view: View;
  readonly loose: ReadonlySet<Inode>;
}

/** The least and the most calls of a client that what was found can have. */
interface Cut {
  readonly client: number;
  readonly calls: readonly Call[];
  readonly least: number;
  readonly most: number;
}

/** Throws at what must not be. `base` is what was there before the calls; it is of no use any more afterwards. `known` as with `compare`. */
export function compareCut(
  base: Inode,
  histories: readonly (readonly Call[])[],
  found: Inode,
  known: Set<number>,
  options: CutOptions,
): CutFigures {
  const before = everything(base).get(LOG)!.content;
  const claims = new Set([...everything(base).keys()].filter((path) => CLAIM.test(path)));
  const figures = { contents: 0 };
  const cuts = histories.map((calls, client) => cutOf(base, client, calls, found, known, options, figures));
  compareTogether(cuts, options);
  compareNobodys(claims, histories, found);
  compareRecords(before, histories, everything(found).get(LOG)!.content);
  for (const inode of everything(found).values()) known.add(inode.ino!);
  const lost = cuts.flatMap(({ calls, most }) => calls.slice(most).filter(isChange));
  const all = histories.flat().filter(isChange).length;
  return {
    kept: all - lost.length,
    lost: lost.length,
    lostSince: lost.length === 0 ? undefined : Math.min(...lost.map(({ ended }) => ended!)),
    contents: figures.contents,
  };
}

function isChange({ step: [name], result }: Call): boolean {
  return result === 0 && name !== BEGIN && !FSYNCS.has(name) && name !== 'append';
}

/** Since when all that was acknowledged before is in the remote, where an acknowledged fsync says so. */
export function syncedUntil(histories: readonly (readonly Call[])[]): number {
  const synced = histories.flat().filter(({ step: [name], result }) => FSYNCS.has(name) && result === 0);
  return Math.max(Number.NEGATIVE_INFINITY, ...synced.map(({ began }) => began));
}

function cutOf(
  base: Inode,
  client: number,
  calls: readonly Call[],
  found: Inode,
  known: ReadonlySet<number>,
  options: CutOptions,
  figures: { contents: number },
): Cut {
  const moments = momentsOf(base, client, calls, options.fsyncIsRemote);
  const seen = viewOf(found, client);
  const { least, most } = claimedBetween(calls, found);
  const matching = moments.filter(
    (moment) =>
      moment.calls >= least &&
      moment.calls <= most &&
      difference(moment.view, seen, known, undefined, moment.loose) === undefined,
  );
  if (matching.length === 0) throw violation(client, calls, moments, seen, known);
  const last = matching.at(-1)!;
  for (const { inode } of last.view.values()) {
    if (inode.kind === 'file' && inode.content.length > 0 && !last.loose.has(inode)) figures.contents++;
  }
  return { client, calls, least: matching[0]!.calls, most: last.calls };
}

/** What the client's names were like after each of its calls, the one in flight included. */
function momentsOf(base: Inode, client: number, calls: readonly Call[], fsyncIsRemote: boolean): Moment[] {
  const model = new Model(base, client);
  const bytes = new Bytes(fsyncIsRemote);
  const open = [new Set<Inode>() as ReadonlySet<Inode>];
  const views = [viewOf(base, client)];
  for (const [index, call] of calls.entries()) {
    const isInFlight = call.result === undefined && call === calls.at(-1);
    const file = model.fileOf(call.step);
    if (call.step[0] === BEGIN) model.begin();
    else if (!isShared(call)) {
      const works = model.apply(call.number, call.step);
      if (!isInFlight && works !== (call.result === 0)) {
        throw new Error(`client ${client} was told wrongly: ${showCall(call)}`);
      }
      if (works) bytes.note(index, call, file ?? model.fileOf(call.step));
    }
    const opened = model.opened();
    for (const inode of open.at(-1)!) if (!opened.has(inode)) bytes.closed(inode, call.ended ?? call.began);
    open.push(opened);
    views.push(viewOf(base, client));
  }
  return views.map((view, made) => {
    const at = made === 0 ? undefined : calls[made - 1]!;
    const loose = new Set<Inode>();
    for (const { inode } of view.values()) {
      if (at !== undefined && !bytes.areSure(inode, made, at.ended ?? at.began, open[made]!.has(inode)))
        loose.add(inode);
    }
    return { calls: made, view, loose };
  });
}

/** Of each file, what was done to its bytes, and when: calls are counted from 1 on. */
class Bytes {
  readonly #fsyncIsRemote: boolean;
  readonly #changes = new Map<Inode, number[]>();
  readonly #fsyncs = new Map<Inode, number[]>();
  /** Moments of changes and closes. */
  readonly #restless = new Map<Inode, number[]>();

  constructor(fsyncIsRemote: boolean) {
    this.#fsyncIsRemote = fsyncIsRemote;
  }

  note(index: number, { step, result, began, ended }: Call, file: Inode | undefined): void {
    if (file?.kind !== 'file') return;
    const [name, , , third] = step;
    if (CHANGES.has(name) || (name === 'open' && third === true)) {
      append(this.#changes, file, index + 1);
      append(this.#restless, file, ended ?? began);
    }
    if (name === 'fsync' && result === 0) append(this.#fsyncs, file, index + 1);
  }

  closed(file: Inode, at: number): void {
    append(this.#restless, file, at);
  }

  /** Whether the file's bytes at a moment, after `made` calls, at the time `at`, are what another machine must find of that moment. */
  areSure(file: Inode, made: number, at: number, isOpen: boolean): boolean {
    const changes = this.#changes.get(file) ?? [];
    const last = changes.findLast((index) => index <= made) ?? 0;
    if (this.#fsyncIsRemote) {
      const isSynced = (this.#fsyncs.get(file) ?? []).some((index) => index > last && index <= made);
      if (isSynced) return true;
    }
    // They are read when they are brought away, which may be later.
    if (changes.some((index) => index > made)) return false;
    if (last === 0) return true;
    const since = (this.#restless.get(file) ?? []).findLast((moment) => moment <= at);
    return !isOpen && since !== undefined && since + REST_SECONDS < at;
  }
}

function append<T>(lists: Map<Inode, T[]>, file: Inode, value: T): void {
  const list = lists.get(file);
  if (list === undefined) lists.set(file, [value]);
  else list.push(value);
}

/** How many calls there can have been for the names that one client alone gets of all who want them. */
function claimedBetween(calls: readonly Call[], found: Inode): { least: number; most: number } {
  const paths = everything(found);
  let least = 0;
  let most = calls.length;
  for (const [index, { step, result }] of calls.entries()) {
    const path = String(step[1]);
    if (step[0] !== 'claim' || result !== 0) continue;
    if (paths.has(path)) least = index + 1;
    else most = Math.min(most, index);
  }
  return { least, most };
}

/** All clients' cuts are of one moment, and not before `sureUntil`. */
function compareTogether(cuts: readonly Cut[], { sureUntil, fsyncIsRemote }: CutOptions): void {
  const reached = Math.max(
    ...cuts.map(({ calls, least }) => (least === 0 ? Number.NEGATIVE_INFINITY : calls[least - 1]!.began)),
  );
  for (const { client, calls, most } of cuts) {
    for (const call of calls.slice(most)) {
      const told = `client ${client}: ${showCall(call)} at ${call.ended} is lost`;
      if (fsyncIsRemote && call.result === 0 && FSYNCS.has(call.step[0])) throw new Error(told);
      if (!isChange(call)) continue;
      if (call.ended! <= sureUntil)
        throw new Error(`${told}, and was to be there, as all until ${sureUntil}`);
      if (call.ended! < reached) throw new Error(`${told}, but what was begun at ${reached} is there`);
    }
  }
}

/** What no client can have made, and what only one of them can. */
function compareNobodys(
  claims: ReadonlySet<string>,
  histories: readonly (readonly Call[])[],
  found: Inode,
): void {
  const wanted = new Set(histories.flatMap((calls) => calls.map(({ step }) => `${step[0]} ${step[1]}`)));
  const clients = [...histories.keys()];
  const made = new Set(claims);
  for (const { step, result } of histories.flat()) {
    if (step[0] !== 'claim' || result !== 0) continue;
    if (made.has(String(step[1]))) throw new Error(`${step[1]} was made twice`);
    made.add(String(step[1]));
  }
  for (const path of claims) if (!everything(found).has(path)) throw new Error(`${path} is missing`);
  for (const path of everything(found).keys()) {
    if (['', 'shared', HUB, LOG].includes(path) || claims.has(path) || wanted.has(`claim ${path}`)) continue;
    if (!clients.some((client) => isNameOf(client, path)))
      throw new Error(`${path} is there and nobody made it`);
  }
}

/** The log is never at rest: it has what it had, and of each client the first of its records, in order, as they were when it was brought away. */
function compareRecords(before: Buffer, histories: readonly (readonly Call[])[], found: Buffer): void {
  if (!found.subarray(0, before.length).equals(before)) throw new Error(`${LOG} has lost what it had`);
  const next = histories.map((calls, client) =>
    calls
      .filter(({ step, result }) => step[0] === 'append' && typeof result !== 'string')
      .map(({ number }) => pattern(client, number, RECORD_BYTES).toString()),
  );
  for (let at = before.length; at < found.length; at += RECORD_BYTES) {
    const record = found.toString('latin1', at, at + RECORD_BYTES);
    const wanted = next[Number(record.slice(0, 2))]?.shift();
    if (record !== wanted) throw new Error(`${LOG} has ${record} in place of ${wanted}`);
  }
}

/** Tells the moment that is nearest: the one after which fewest names are other than they were found. */
function violation(
  client: number,
  calls: readonly Call[],
  moments: readonly Moment[],
  seen: View,
  known: ReadonlySet<number>,
): Error {
  const told = moments.map(
    ({ calls: made, view, loose }): Difference & { made: number; differences: number } => {
      const first = difference(view, seen, known, undefined, loose) ?? {
        path: '',
        what: 'is right, but for what it claimed',
      };
      const names = new Set([...view.keys(), ...seen.keys()]);
      const differences = [...names].filter((path) => {
        const [a, b] = [view.get(path), seen.get(path)];
        return (
          a === undefined || b === undefined || (a.state.ino !== undefined && a.state.ino !== b.state.ino)
        );
      }).length;
      return { ...first, made, differences };
    },
  );
  const nearest = told.reduce((best, one) => (one.differences < best.differences ? one : best));
  const last = told.at(-1)!;
  const history = calls.slice(Math.max(0, nearest.made - TOLD_CALLS), nearest.made + 3).map(showCall);
  return new Error(
    `client ${client}: what was found is of no moment. After ${nearest.made} of ${calls.length} calls ${nearest.path} ` +
      `${nearest.what}; after all ${last.path} ${last.what}\nafter\n${history.join('\n')}`,
  );
}
