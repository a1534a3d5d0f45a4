/** A view as of a busy mount, and a judge of columns that is not ours. */
import koffi from 'koffi';
import type { Settings } from '../../../../daemon/commands/inspecting/top/keys.js';
import type { Moment } from '../../../../daemon/commands/inspecting/top/screen/panels.js';
import type { Shown } from '../../../../daemon/commands/inspecting/top/screen/screen.js';
import { columnsOf } from '../../../../daemon/commands/inspecting/top/screen/text.js';
import type {
  OperationView,
  Parts,
  SlowView,
  View,
} from '../../../../daemon/commands/inspecting/top/view.js';

export const SETTINGS: Settings = { sort: 'rate', isPaused: false, isHelpShown: false, intervalSeconds: 2 };

const NO_TIME: Parts = { waiting: 0, tree: 0, loading: 0, journal: 0, below: 0 };

function operation(
  name: string,
  rate: number,
  [p50Seconds, p99Seconds, maxSeconds]: [number, number, number],
  parts: Partial<Parts>,
  errors: Record<string, number> = {},
): OperationView {
  const all = { ...NO_TIME, ...parts };
  const busy = Object.values(all).reduce((sum, part) => sum + part, 0);
  return { operation: name, rate, busy, p50Seconds, p99Seconds, maxSeconds, parts: all, errors };
}

export const OPERATIONS: OperationView[] = [
  operation('lookup', 12_345.6, [11e-6, 48e-6, 2.1e-3], { tree: 0.15, loading: 0.01 }, { ENOENT: 310 }),
  operation('getattr', 4_321, [4e-6, 15e-6, 90e-6], { tree: 0.02 }),
  operation('create', 812, [85e-6, 4.2e-3, 31e-3], { tree: 0.09, below: 0.06, waiting: 0.01 }),
  operation('write', 640, [40e-6, 350e-6, 1.9e-3], { below: 0.03 }, { ENOSPC: 0.5 }),
  operation('release', 610, [22e-6, 71e-6, 130e-6], { tree: 0.014 }),
  operation('fsync', 55, [1.9e-3, 12e-3, 140e-3], { journal: 0.12, below: 0.05, waiting: 0.03 }),
  operation('rename', 31, [120e-6, 900e-6, 1.1e-3], { tree: 0.004 }),
  operation('readdir', 12.5, [310e-6, 2.2e-3, 2.3e-3], { tree: 0.004 }),
  operation('unlink', 8, [95e-6, 310e-6, 310e-6], { tree: 0.001 }, { EIO: 0.5 }),
  operation('statfs', 0.5, [9e-6, 9e-6, 9e-6], { tree: 0.000_01 }),
];

function slow(
  agoSeconds: number,
  seconds: number,
  name: string,
  mostly: keyof Parts,
  path: string,
): SlowView {
  return {
    time: '2026-11-30T15:00:00.000Z',
    agoSeconds,
    operation: name,
    path,
    user: 'anna',
    program: 'postgres',
    result: 'ok',
    seconds,
    mostly,
  };
}

export function busyView(replaced: Partial<View> = {}): View {
  const client = (user: string, program: string, processes: number, rate: number, busy: number) => {
    return { uid: 1000, user, program, processes, rate, busy };
  };
  return {
    time: '2026-11-30T15:00:04.000Z',
    seconds: 2,
    mountpoint: '/mnt/photos',
    store: '/srv/photos',
    version: '0.1.0',
    driver: 'kernel',
    process: { pid: 4711, uptimeSeconds: 273_600, rssBytes: 300 * 2 ** 20, cpu: 0.6 },
    health: 'ok',
    alerts: [],
    requests: {
      rate: 18_834,
      busy: 0.573,
      p50Seconds: 10e-6,
      p99Seconds: 1.2e-3,
      maxSeconds: 0.14,
      parts: { waiting: 0.04, tree: 0.283, loading: 0.01, journal: 0.12, below: 0.14 },
      errors: { ENOENT: 310, EIO: 0.5, ENOSPC: 0.5 },
      waiting: 3,
      queued: 2,
      putAside: 0,
    },
    operations: OPERATIONS,
    contents: {
      readRate: 12.3 * 2 ** 20,
      writtenRate: 1.25 * 2 ** 20,
      isPassedThrough: true,
      openFiles: 1_234,
    },
    tree: { files: 4_812_345, directories: 31_200, bytes: 1.8e12 },
    cache: {
      bytes: 512 * 2 ** 20,
      usedBytes: 312 * 2 ** 20,
      hits: 0.999_8,
      loadRate: 2,
      load: { p50Seconds: 1e-3, p99Seconds: 3e-3, maxSeconds: 3e-3 },
    },
    journal: {
      bytesRate: 1.2 * 2 ** 20,
      recordRate: 921,
      syncRate: 55,
      sync: { p50Seconds: 1.8e-3, p99Seconds: 11e-3, maxSeconds: 0.138 },
    },
    checkpoint: { ageSeconds: 12, isRunning: true, lastSeconds: 1.21, dirtyBytes: 61 * 2 ** 20 },
    disk: { freeBytes: 120e9, totalBytes: 1e12, freeInodes: 61e6, totalInodes: 64e6 },
    clients: [
      client('anna', 'postgres', 12, 14_210, 0.31),
      client('root', 'rsync', 1, 3_911, 0.12),
      client('carla', 'git', 31, 702, 0.02),
      client('www-data', 'php-fpm8.2', 8, 11, 0.004),
      client('anna', '(ended)', 4, 2, 0.001),
    ],
    directories: [
      { path: '/pg/base/16384', rate: 13_900, busy: 0.3 },
      { path: '/backup/2026/11', rate: 3_100, busy: 0.09 },
      { path: '/home/carla/src/a-project-with-a-long-name/node_modules/.cache', rate: 640, busy: 0.02 },
      { path: '/www/sessions', rate: 11, busy: 0.004 },
    ],
    slow: [
      slow(3, 0.14, 'fsync', 'journal', '/pg/pg_wal/000000010000000000000042'),
      slow(41, 0.031, 'create', 'waiting', '/backup/2026/11/IMG_4711.jpg'),
      slow(4_000, 0.6, 'fsync', 'below', '/pg/base/16384/2619'),
    ],
    ...replaced,
  };
}

export function shown(replaced: Partial<Shown> = {}): Shown {
  const history = Array.from({ length: 200 }, (_, i): Moment | undefined => {
    if (i === 150) return undefined;
    return {
      rate: 10_000 + 9_000 * Math.sin(i / 9),
      p99Seconds: 1e-3 + 9e-4 * Math.cos(i / 5),
      bytesRate: i * 1e5,
      waiting: i % 7,
    };
  });
  return {
    view: busyView(),
    settings: SETTINGS,
    place: '/mnt/photos',
    clock: '15:00:04',
    away: undefined,
    history,
    ...replaced,
  };
}

const libc = koffi.load('libc.so.6');
const wcwidth = libc.func('int wcwidth(uint32_t)') as (codePoint: number) => number;
const setlocale = libc.func('str setlocale(int, str)') as (category: number, locale: string) => string | null;
const LC_CTYPE = 0;
if (setlocale(LC_CTYPE, 'C.UTF-8') === null) throw new Error('There is no locale C.UTF-8');

/** Columns of a character as the C library has them, which terminals go by; below 0: it is none that is shown. */
export function libcColumns(codePoint: number): number {
  return wcwidth(codePoint);
}

/** Of a line. Fails on what a terminal obeys or does not know. */
export function libcColumnsOf(text: string): number {
  let columns = 0;
  for (const character of text) {
    const taken = libcColumns(character.codePointAt(0)!);
    if (taken < 0 && /[\p{Cc}\p{Cs}]/u.test(character)) {
      throw new Error(`A line has the character ${JSON.stringify(character)}`);
    }
    // Some are newer than the C library.
    columns += taken < 0 ? columnsOf(character) : taken;
  }
  return columns;
}
