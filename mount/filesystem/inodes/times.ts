/** What a write to a backing file does to the times that its inode's record tells. */
import type { FileStatus } from '../contents/disk/content-disk.js';
import type { Attributes } from '../types.js';

/** A backing file's clock may be this far behind ours: one tick of a kernel's coarse clock. A write then counts as just after. */
const TICK_NANOS = 10_000_000;

/**
 * The record's mtime is what the backing file's was set to when it became live. Another one means that it was
 * written since, which changed ctime as well.
 */
export function applyTimes(out: Attributes, status: FileStatus): void {
  const ahead =
    (status.mtimeSeconds - out.mtimeSeconds) * 1_000_000_000 + (status.mtimeNanos - out.mtimeNanos);
  if (ahead === 0) return;
  if (ahead > 0 || ahead < -TICK_NANOS) {
    out.mtimeSeconds = status.mtimeSeconds;
    out.mtimeNanos = status.mtimeNanos;
  } else if (++out.mtimeNanos === 1_000_000_000) {
    out.mtimeSeconds++;
    out.mtimeNanos = 0;
  }
  raiseChangeTime(out, out.mtimeSeconds, out.mtimeNanos);
}

/** The file was written at this time. */
export function raiseTimes(out: Attributes, seconds: number, nanos: number): void {
  if (seconds > out.mtimeSeconds || (seconds === out.mtimeSeconds && nanos > out.mtimeNanos)) {
    out.mtimeSeconds = seconds;
    out.mtimeNanos = nanos;
  }
  raiseChangeTime(out, seconds, nanos);
}

/** `nanos` may be a whole second. */
export function raiseChangeTime(out: Attributes, seconds: number, nanos: number): void {
  if (seconds < out.ctimeSeconds || (seconds === out.ctimeSeconds && nanos <= out.ctimeNanos)) return;
  const carry = nanos === 1_000_000_000 ? 1 : 0;
  out.ctimeSeconds = seconds + carry;
  out.ctimeNanos = carry === 1 ? 0 : nanos;
}
