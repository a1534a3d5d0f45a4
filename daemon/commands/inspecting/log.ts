import { askDaemonForLines } from '../../control/client.js';
import type { MissReport, RequestReport } from '../../control/reports.js';
import { awaitRestart, daemonAfter } from '../../places/restarting.js';
import { controlSocketOf, daemonOf } from '../../places/served-store.js';
import { badArgument, millisecondsOption, type RawOptions, textOption } from '../options/arguments.js';
import type { Command } from '../options/command.js';
import { PLACE, placeArgument, servedIn, socketOf, targetOptions } from '../options/target.js';
import { shownPath } from '../output/shown-path.js';

const MOST_UID = 0xffff_fffe;
const GONE_ON = 'spinney: another daemon serves the mount now; what was answered meanwhile is not shown\n';

export const log: Command = {
  name: 'log',
  summary:
    'Show the last slow requests of a mount, which are always kept; with --follow, requests as they are answered',
  argument: placeArgument,
  options: {
    ...targetOptions,
    follow: {
      describe: 'Show all requests that are answered from now on, until it is interrupted or the mount ends',
    },
    slower: { takesValue: true, describe: 'Only those that take at least so long: 10ms, 1.5s, 500us' },
    op: { takesValue: true, describe: 'Only these operations, with commas between them: rename,unlink' },
    path: {
      takesValue: true,
      describe: "Only what is at this path, from the mount's root on, or below it: /photos",
    },
    uid: { takesValue: true, describe: 'Only those of the user with this number' },
    json: { describe: 'Print JSON, an object a line' },
  },
  async run(options, output) {
    const ended = new AbortController();
    const print = (line: RequestReport | MissReport): void => {
      output.out(`${options.json === true ? JSON.stringify(line) : shownLine(line)}\n`);
      if (output.hasReader?.() === false) ended.abort();
    };
    const query = queryOf(options);
    const ask = (socket: string) =>
      askDaemonForLines(socket, `/v1/log${query}`, (line) => print(line as RequestReport | MissReport), {
        signal: ended.signal,
      });
    const place = textOption(options, PLACE.name);
    if (options.follow !== true || options.control !== undefined) {
      await ask(await socketOf(options, place));
      return 0;
    }
    const served = await servedIn(options, place);
    await awaitRestart(served.store);
    for (let daemon = daemonOf(served); ; ) {
      const failure = await ask(controlSocketOf(served)).catch((error: unknown) => ({ error }));
      if (ended.signal.aborted) return 0;
      daemon &&= await daemonAfter(served.store, daemon);
      if (daemon !== undefined) output.err(GONE_ON);
      else if (failure === undefined) return 0;
      else throw failure.error;
    }
  },
};

function queryOf(options: RawOptions): string {
  const query = new URLSearchParams();
  const slower = millisecondsOption(options, 'slower');
  if (options.follow === true) query.set('follow', '1');
  if (slower !== undefined) query.set('slower', slower.toFixed(3));
  for (const [option, name] of [
    ['op', 'op'],
    ['path', 'path'],
  ] as const) {
    const text = textOption(options, option);
    if (text !== undefined) query.set(name, text);
  }
  const uid = textOption(options, 'uid');
  if (uid !== undefined) query.set('uid', uidOf(uid));
  const text = String(query);
  return text === '' ? '' : `?${text}`;
}

function uidOf(text: string): string {
  if (/^\d+$/.test(text) && Number(text) <= MOST_UID) return text;
  throw badArgument(
    `--uid is "${text}", but takes the number of a user from 0 to ${MOST_UID} (see id -u NAME)`,
  );
}

function shownLine(line: RequestReport | MissReport): string {
  if ('missed' in line) return `... ${counted(line.missed)} requests missed`;
  const { time, operation, result, microseconds, uid, pid } = line;
  const columns = [
    time,
    operation.padEnd(12),
    result.padEnd(12),
    `${counted(microseconds).padStart(10)} us`,
    `uid ${uid ?? '?'}`.padEnd(9),
    `pid ${pid ?? '?'}`.padEnd(11),
    shownPlace(line) + shownWaits(line),
  ];
  return columns.join('  ').trimEnd();
}

function shownPlace({ path, pathBytes, pathLength, to, toBytes, toLength, ino }: RequestReport): string {
  const from = path === undefined ? shownNode(ino) : shownPath(path, pathBytes) + shownCut(pathLength);
  return to === undefined ? from : `${from} -> ${shownPath(to, toBytes)}${shownCut(toLength)}`;
}

function shownNode(ino: number | undefined): string {
  return ino === undefined ? '' : `inode ${ino}`;
}

function shownCut(length: number | undefined): string {
  return length === undefined ? '' : `... (${counted(length)} bytes)`;
}

/** What its time went to, where that was not the tree alone. */
function shownWaits({ waits }: RequestReport): string {
  const parts = Object.entries(waits);
  if (parts.every(([name]) => name === 'tree')) return '';
  const told = parts.sort(([, a], [, b]) => b - a).map(([name, micros]) => `${name} ${counted(micros)}`);
  return `  (${told.join(', ')})`;
}

/** `1,234`. */
function counted(number: number): string {
  return number.toLocaleString('en-US');
}
