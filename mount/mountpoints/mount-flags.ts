/** The words of `-o` that are flags of mount(2). */
import * as libc from '../libc/libc.js';

interface MountFlag {
  bit: number;
  /** What the word does to the bit. */
  set: boolean;
}

const MOUNT_FLAGS: Readonly<Record<string, MountFlag>> = {
  ro: { bit: libc.MS_RDONLY, set: true },
  rw: { bit: libc.MS_RDONLY, set: false },
  suid: { bit: libc.MS_NOSUID, set: false },
  nosuid: { bit: libc.MS_NOSUID, set: true },
  dev: { bit: libc.MS_NODEV, set: false },
  nodev: { bit: libc.MS_NODEV, set: true },
  exec: { bit: libc.MS_NOEXEC, set: false },
  noexec: { bit: libc.MS_NOEXEC, set: true },
};

export function isMountFlag(word: string): boolean {
  return Object.hasOwn(MOUNT_FLAGS, word);
}

/** `flags` as the words change them; of words that contradict each other the later one wins. REQUIRES isMountFlag of each. */
export function changedFlags(flags: number, words: readonly string[]): number {
  return words.reduce((bits, word) => {
    const flag = MOUNT_FLAGS[word]!;
    return flag.set ? bits | flag.bit : bits & ~flag.bit;
  }, flags);
}
