import { onOneLine } from './output.js';

/**
 * A path on one line, whatever its names are: control characters as escapes, and, where `base64` has the bytes of one that is not UTF-8,
 * those that are no characters as \xNN.
 */
export function shownPath(path: string, base64?: string): string {
  if (base64 === undefined) return onOneLine(path);
  const bytes = Buffer.from(base64, 'base64');
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let shown = '';
  for (let at = 0; at < bytes.length; ) {
    const length = lengthOfCharacter(bytes[at]!);
    try {
      shown += onOneLine(decoder.decode(bytes.subarray(at, at + length)));
      at += length;
    } catch {
      shown += `\\x${bytes[at]!.toString(16).padStart(2, '0')}`;
      at++;
    }
  }
  return shown;
}

/** By its first byte. */
function lengthOfCharacter(byte: number): number {
  if (byte >= 0xf0) return 4;
  if (byte >= 0xe0) return 3;
  return byte >= 0xc0 ? 2 : 1;
}
