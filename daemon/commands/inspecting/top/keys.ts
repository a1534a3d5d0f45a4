/** What the keys of `spinney top` do, as steps from one state to the next. */

export type SortKey = 'rate' | 'time' | 'p99';

export interface Settings {
  sort: SortKey;
  isPaused: boolean;
  isHelpShown: boolean;
  /** Between two looks. */
  intervalSeconds: number;
}

/** What a key asks for: other settings, the end, to be put aside as ^Z does, or the whole screen anew. */
export type Step = Settings | 'quit' | 'suspend' | 'redraw';

/** What + and - step through. */
const INTERVALS = [0.2, 0.5, 1, 2, 5, 10, 30, 60];

/** As help shows them. */
export const KEYS: readonly (readonly [key: string, does: string])[] = [
  ['r', 'sort by rate, the busiest first'],
  ['t', 'sort by time: what takes most of it first'],
  ['p', 'sort by p99: the slowest first'],
  ['space', 'pause, and go on'],
  ['+ -', 'look less often, more often'],
  ['? h', 'this help; any key ends it'],
  ['^L', 'draw the screen anew'],
  ['^Z', 'put it aside; "fg" brings it back'],
  ['q ^C', 'quit'],
];

const SORTS: Readonly<Record<string, SortKey>> = { r: 'rate', t: 'time', p: 'p99' };

/** One key, as the terminal sends it; undefined: it means nothing. */
export function stepOf(key: string, settings: Settings): Step | undefined {
  if (key === 'q' || key === '\x03') return 'quit';
  if (key === '\x1a') return 'suspend';
  if (key === '\x0c') return 'redraw';
  if (settings.isHelpShown) return { ...settings, isHelpShown: false };
  const sort = SORTS[key.toLowerCase()];
  if (sort !== undefined) return { ...settings, sort };
  if (key === ' ') return { ...settings, isPaused: !settings.isPaused };
  if (key === '?' || key === 'h') return { ...settings, isHelpShown: true };
  if (key === '+' || key === '=') return { ...settings, intervalSeconds: nextInterval(settings, 1) };
  if (key === '-') return { ...settings, intervalSeconds: nextInterval(settings, -1) };
  return undefined;
}

function nextInterval({ intervalSeconds: now }: Settings, direction: 1 | -1): number {
  const beyond =
    direction === 1 ? INTERVALS.find((step) => step > now) : INTERVALS.findLast((step) => step < now);
  return beyond ?? now;
}

/** Keys of what came from the terminal at once. Sequences of special keys (arrows, F1) are left out as a whole. */
export function keysOf(input: string): string[] {
  return Array.from(input.replace(/\x1b(?:\[[0-9;<=>?]*[ -/]*[@-~]|O.|.)?/gs, ''));
}
