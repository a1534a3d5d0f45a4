/** Figures as a glance takes them in: three digits, a unit, never more than eight columns. */

/** `0`, `0.4`, `12.3`, `1,234`, `123 k`, `12.3 M`. */
export function countText(count: number): string {
  if (count === 0) return '0';
  if (count < 0.05) return '<0.1';
  if (count < 9.95) return count.toFixed(1).replace(/\.0$/, '');
  if (count < 99_999.5) return Math.round(count).toLocaleString('en-US');
  return scaled(count, 1_000, ['', ' k', ' M', ' G', ' T', ' P']);
}

/** `512 B`, `1.5 KiB`, `123 MiB`. */
export function bytesText(bytes: number): string {
  return scaled(bytes, 1_024, [' B', ' KiB', ' MiB', ' GiB', ' TiB', ' PiB', ' EiB']);
}

/** Of seconds: `850 ns`, `12 µs`, `1.2 ms`, `34 s`. */
export function durationText(seconds: number): string {
  if (seconds === 0) return '0';
  if (seconds < 0.999_5) return scaled(seconds * 1e9, 1_000, [' ns', ' µs', ' ms']);
  if (seconds < 99.5) return `${threeDigits(seconds)} s`;
  return spanText(seconds);
}

/** Of a longer while: `12 s`, `3 min`, `4 h 12 min`, `3 d 4 h`. */
export function spanText(seconds: number): string {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Of a part from 0 to 1; hardly any is not told as none. */
export function percentText(part: number): string {
  return part > 0 && part < 0.005 ? '<1 %' : `${Math.round(part * 100)} %`;
}

/** As `percentText`, where it matters how much is missing: nearly all is not told as all. */
export function nearlyAllText(part: number): string {
  return part > 0.99 && part < 1 ? `${Math.floor(part * 1e4) / 100} %` : percentText(part);
}

function scaled(value: number, step: number, units: readonly string[]): string {
  let unit = 0;
  let scaled = value;
  // Also where rounding to three digits would make a thousand of it.
  for (; scaled >= (unit === 0 ? step - 0.5 : 999.5) && unit < units.length - 1; unit++) scaled /= step;
  return `${unit === 0 ? Math.round(scaled) : threeDigits(scaled)}${units[unit]}`;
}

function threeDigits(value: number): string {
  if (value < 9.995) return value.toFixed(2).replace(/\.?0+$/, '');
  if (value < 99.95) return value.toFixed(1).replace(/\.0$/, '');
  return String(Math.round(value));
}

const LEVELS = '▁▂▃▄▅▆▇█';

/** The last values as a row of bars, one column each, the newest on the right; the highest is `most`. Undefined: not known. */
export function sparkline(values: readonly (number | undefined)[], columns: number, most: number): string {
  const shown = columns <= 0 ? [] : values.slice(-columns);
  const bars = shown.map((value) => {
    if (value === undefined) return ' ';
    if (most <= 0 || value <= 0) return LEVELS[0];
    return LEVELS[Math.min(LEVELS.length - 1, Math.floor((value / most) * LEVELS.length))];
  });
  return bars.join('').padStart(Math.max(0, columns));
}

/** `[||||    ]` of so many columns. */
export function bar(part: number, columns: number): string {
  const inside = Math.max(0, columns - 2);
  const filled = Math.round(Math.min(1, Math.max(0, part)) * inside);
  return `[${'|'.repeat(filled)}${' '.repeat(inside - filled)}]`;
}
