/** The lines on top of the screen: one for each thing that can hurt, the most telling figures first. */
import { onOneLine } from '../../../output/output.js';
import { shownPath } from '../../../output/shown-path.js';
import { PARTS, type View } from '../view.js';
import { bar, bytesText, countText, durationText, nearlyAllText, percentText, spanText } from './figures.js';
import { errorStyle, errorsText, timeStyle } from './panels.js';
import { inOneLine } from './table.js';
import { cutStart, type Line, lineColumns, padded, type Span, type Style, span } from './text.js';

const LABEL = 11;
const GAP = 2;
const BAR = 20;
/** Slow requests of so long ago are told on top. */
const RECENT_SECONDS = 60;
/** Of its path so much is shown at least. */
const LEAST_PATH = 12;
const FEW_HITS = 0.9;
const NEARLY_FULL = 0.9;
/** A round comes at least every few seconds while something is dirty; minutes are told as something odd. */
const LONG_AGO_SECONDS = 300;
/** So many wait for one another where each thread serves one at a time. */
const MANY_WAITING = 16;

/** Most telling first: who has room for fewer lines takes the first ones. */
export function summaryLines(view: View, columns: number): Line[] {
  const lines: [label: string, ...parts: Line[]][] = [
    ['Requests', ...requests(view)],
    ['Time', ...time(view)],
    ...slowest(view, columns - LABEL),
    ['Contents', ...contents(view)],
    ['Cache', ...cache(view)],
    ['Journal', ...journal(view)],
    ['Checkpoint', ...checkpoint(view)],
    ...disk(view),
  ];
  return lines.map(([label, ...parts]) => [
    span(padded(label, LABEL), 'dim'),
    ...inOneLine(parts, columns - LABEL, GAP),
  ]);
}

function requests({ requests: all }: View): Line[] {
  const { waiting, queued, putAside } = all;
  const errors = errorsText(all.errors);
  return [
    figure(`${countText(all.rate)}/s`, '', 'strong'),
    timed('p50', all.p50Seconds),
    timed('p99', all.p99Seconds),
    timed('max', all.maxSeconds),
    ...(waiting === undefined
      ? []
      : [figure(countText(waiting), 'waiting', waiting >= MANY_WAITING ? 'warn' : 'plain')]),
    ...(queued === 0 ? [] : [figure(countText(queued), 'queued')]),
    ...(putAside === 0 ? [] : [figure(countText(putAside), 'put aside', 'warn')]),
    ...(errors === '' ? [] : [[span('errors/s ', 'dim'), span(errors, errorStyle(all.errors))]]),
  ];
}

/** Where the time goes that requests take, the most first. */
function time({ requests: { busy, parts }, process: { cpu } }: View): Line[] {
  const ofDaemon = [span('cpu ', 'dim'), span(percentText(cpu))];
  if (busy <= 0) return [figure('none', ''), ofDaemon];
  const shares = PARTS.map((name) => ({ name, share: parts[name] / busy }))
    .filter(({ share }) => share >= 0.005)
    .sort((a, b) => b.share - a.share);
  return [
    ...shares.map(({ name, share }, index) =>
      figure(percentText(share), name, index === 0 ? 'strong' : 'plain'),
    ),
    [span(`of ${durationText(busy)} in each second`, 'dim')],
    ofDaemon,
  ];
}

function slowest({ slow }: View, columns: number): [string, ...Line[]][] {
  const recent = slow.filter(({ agoSeconds }) => agoSeconds <= RECENT_SECONDS);
  if (recent.length === 0) return [];
  const { operation, seconds, mostly, user, program, path, pathBytes } = recent.reduce((worst, one) =>
    one.seconds > worst.seconds ? one : worst,
  );
  const what = [
    span(durationText(seconds), timeStyle(seconds)),
    span(` ${operation}`, 'strong'),
    span(` in ${mostly}`),
  ];
  const who = [span(`${onOneLine(user)} ${onOneLine(program)}`)];
  const room = Math.max(LEAST_PATH, columns - lineColumns(what) - lineColumns(who) - 2 * GAP);
  const where = [span(cutStart(shownPath(path, pathBytes), room))];
  return [['Slowest', what, where, who, [span(`of ${recent.length} slow in the last minute`, 'dim')]]];
}

function contents({ contents: { readRate, writtenRate, isPassedThrough, openFiles }, tree }: View): Line[] {
  return [
    figure(`${bytesText(readRate)}/s`, 'read'),
    figure(`${bytesText(writtenRate)}/s`, 'written'),
    figure(countText(openFiles), 'open'),
    ...(isPassedThrough ? [[span('(the kernel passes the rest through)', 'dim')]] : []),
    ...(tree.files === undefined ? [] : [figure(countText(tree.files), tree.files === 1 ? 'file' : 'files')]),
    ...(tree.directories === undefined
      ? []
      : [figure(countText(tree.directories), tree.directories === 1 ? 'directory' : 'directories')]),
    ...(tree.bytes === undefined ? [] : [figure(bytesText(tree.bytes), 'in all')]),
  ];
}

function cache({ cache: { bytes, usedBytes, hits, loadRate, load }, process: { rssBytes } }: View): Line[] {
  const full = bytes === 0 ? 0 : usedBytes / bytes;
  return [
    [span(bar(full, BAR), 'good')],
    figure(`${percentText(full)} of ${bytesText(bytes)}`, ''),
    ...(hits === undefined ? [] : [figure(nearlyAllText(hits), 'hits', hits < FEW_HITS ? 'warn' : 'plain')]),
    figure(`${countText(loadRate)}/s`, 'loads'),
    ...(load.p99Seconds === undefined ? [] : [timed('p99', load.p99Seconds)]),
    figure(bytesText(rssBytes), 'in memory'),
  ];
}

function journal({ journal: { bytesRate, recordRate, syncRate, sync } }: View): Line[] {
  return [
    figure(`${bytesText(bytesRate)}/s`, ''),
    figure(`${countText(recordRate)}/s`, 'records'),
    figure(`${countText(syncRate)}/s`, 'syncs'),
    ...(sync.p99Seconds === undefined ? [] : [timed('p99', sync.p99Seconds), timed('max', sync.maxSeconds)]),
  ];
}

function checkpoint({ checkpoint: { ageSeconds, isRunning, lastSeconds, dirtyBytes } }: View): Line[] {
  const isOld = ageSeconds !== undefined && ageSeconds >= LONG_AGO_SECONDS && dirtyBytes > 0;
  return [
    ...(isRunning ? [[span('under way', 'strong')]] : []),
    ageSeconds === undefined
      ? figure('none since the start', '')
      : figure(`${spanText(ageSeconds)} ago`, '', isOld ? 'warn' : 'plain'),
    ...(ageSeconds === undefined ? [] : [[span('took ', 'dim'), span(durationText(lastSeconds))]]),
    figure(bytesText(dirtyBytes), 'dirty'),
  ];
}

function disk({ disk: found, store }: View): [string, ...Line[]][] {
  if (found === undefined) return [];
  const { freeBytes, totalBytes, freeInodes, totalInodes } = found;
  const used = share(totalBytes - freeBytes, totalBytes);
  const usedInodes = share(totalInodes - freeInodes, totalInodes);
  return [
    [
      'Disk',
      [span(bar(used, BAR), used > NEARLY_FULL ? 'bad' : 'good')],
      figure(
        `${bytesText(freeBytes)} free of ${bytesText(totalBytes)}`,
        '',
        used > NEARLY_FULL ? 'bad' : 'plain',
      ),
      ...(totalInodes === 0
        ? []
        : [figure(countText(freeInodes), 'inodes free', usedInodes > NEARLY_FULL ? 'bad' : 'plain')]),
      [span(onOneLine(store), 'dim')],
    ],
  ];
}

function share(part: number, whole: number): number {
  return whole <= 0 ? 0 : part / whole;
}

function figure(value: string, name: string, style: Style = 'plain'): Line {
  const told: Span[] = [span(value, style)];
  return name === '' ? told : [...told, span(` ${name}`, 'dim')];
}

function timed(name: string, seconds: number | undefined): Line {
  return [
    span(`${name} `, 'dim'),
    span(seconds === undefined ? '-' : durationText(seconds), timeStyle(seconds)),
  ];
}
