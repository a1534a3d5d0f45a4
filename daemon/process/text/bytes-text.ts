/** Sizes as people read them. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `1536` is 1.5 KiB. */
export function formatBytes(bytes: number): string {
  let unit = 0;
  let count = bytes;
  for (; count >= 1024 && unit < UNITS.length - 1; unit++) count /= 1024;
  return `${Number.isInteger(count) ? count : count.toFixed(1)} ${UNITS[unit]}`;
}
