/** The looks of `spinney top`: drawn on a terminal that can show a screen, else printed one after another. */
import { setTimeout as sleep } from 'node:timers/promises';
import { failureOf } from '../../../process/failure.js';
import type { Output } from '../../output/output.js';
import { runLive } from './live.js';
import { Programs, userNames } from './look/names.js';
import { isSameDaemon, type Look, type Names, viewOf } from './look/rates.js';
import { Watch } from './look/watch.js';
import { plainLines } from './screen/screen.js';
import { canDraw, Terminal } from './screen/terminal.js';
import { painted } from './screen/text.js';
import type { View } from './view.js';

/** Of lines that no terminal bounds. */
const PLAIN_COLUMNS = 132;

export interface TopOptions {
  /** Path of the control socket. */
  socket: string;
  intervalSeconds: number;
  isOnce: boolean;
  isJson: boolean;
}

/** Returns the exit code. Throws ERR_IO where no daemon answers at the beginning; later it is waited for. */
export async function runTop(options: TopOptions, output: Output): Promise<number> {
  const programs = new Programs();
  const users = userNames();
  const names = { user: (uid: number) => users.get(uid) ?? String(uid), program: programs.of };
  const watch = new Watch(options.socket, programs);
  try {
    const first = await watch.look();
    const isLive = !options.isOnce && !options.isJson && canDraw(process.stdout, process.env);
    if (!isLive) return await printLooks(options, { watch, names, first }, output);
    const keys = process.stdin.isTTY ? process.stdin : undefined;
    const terminal = new Terminal(process.stdout, keys, output.out, process.env);
    const place = first.stats.mount.mountpoint;
    return await runLive({
      watch,
      first,
      terminal,
      keys,
      names,
      place,
      intervalSeconds: options.intervalSeconds,
    });
  } finally {
    watch.close();
  }
}

interface Looking {
  watch: Watch;
  names: Names;
  first: Look;
}

/** A page, or an object, for each look, until nobody reads them any more. */
async function printLooks(
  options: TopOptions,
  { watch, names, first }: Looking,
  output: Output,
): Promise<number> {
  const { intervalSeconds, isOnce, isJson } = options;
  let last = first;
  let isAway = false;
  for (let told = 0; output.hasReader?.() !== false && !(isOnce && told > 0); ) {
    await sleep(intervalSeconds * 1e3);
    let look: Look;
    try {
      look = await watch.look();
    } catch (error) {
      if (isOnce) throw error;
      if (!isAway) output.err(`spinney: ${failureOf(error).message}; trying again and again\n`);
      isAway = true;
      continue;
    }
    if (isAway) output.err('spinney: The daemon is back\n');
    isAway = false;
    if (isSameDaemon(last, look)) {
      const view = viewOf(last, look, names);
      output.out(isJson ? `${JSON.stringify(view)}\n` : page(view, intervalSeconds, told > 0));
      told++;
    }
    last = look;
  }
  return 0;
}

function page(view: View, intervalSeconds: number, isFollowing: boolean): string {
  const settings = { sort: 'rate', isPaused: false, isHelpShown: false, intervalSeconds } as const;
  const lines = plainLines(view, settings, process.stdout.columns || PLAIN_COLUMNS);
  const text = lines.map((line) => painted(line, 'none').trimEnd()).join('\n');
  return `${isFollowing ? '\n' : ''}${text}\n`;
}
