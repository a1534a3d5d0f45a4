/**
 * What of the contents is on this disk, in the order of its last use, and how much: so that what was not used for longest goes when there is more than
 * is allowed. Who has a content open, and whether the remote has it, others know: they are asked, one content after another.
 *
 * What must hold: the sum is that of what the disk said of each content when it was last used, came or went.
 */
import type { ContentName } from '../filesystem/types.js';

/** Evictions that wait for an answer. */
const MOST_ASKED = 32;

export interface CacheFigures {
  /** Bytes of the disk, and the most that there should be. */
  bytes: number;
  bound: number;
  /** Contents that are here, in whole or in part. */
  contents: number;
  evictions: number;
  /** It is over its bound, and nothing can go: what is here is in use, or not in the remote yet. */
  isStuck: boolean;
}

export interface CacheServices {
  /** Bytes that the content has of the disk; 0: it is not here. */
  bytesOf(ino: number, born: number): number;
  /** Bytes that the disk has to spare; negative: so many are missing. What the cache has given up counts as soon as `evicted` tells of it. */
  room(): number;
  /** Whether the remote has what is here, as far as can be told without asking who has it open. */
  mayGo(ino: number, born: number): boolean;
  /** Asks for an eviction; then `evicted`. */
  evict(ino: number, born: number): void;
}

type Key = number | string;

export class ContentCache {
  readonly #services: CacheServices;
  readonly #bound: number;
  /** Bytes of each, the last used at the end. */
  readonly #sizes = new Map<Key, number>();
  readonly #asked = new Set<Key>();
  /** Those that could not go, until it is worth asking again. */
  readonly #refused = new Set<Key>();
  #bytes = 0;
  #evictions = 0;

  /** `bound`: bytes. */
  constructor(bound: number, services: CacheServices) {
    this.#bound = bound;
    this.#services = services;
  }

  figures(): CacheFigures {
    const isOver = this.#bytes > this.#bound;
    const isStuck = isOver && this.#asked.size === 0 && this.#refused.size >= this.#sizes.size;
    const { size: contents } = this.#sizes;
    return { bytes: this.#bytes, bound: this.#bound, contents, evictions: this.#evictions, isStuck };
  }

  /** What is here from before, the last used at the end. It is older than all that was used since. */
  found(contents: Iterable<ContentName>): void {
    const later = [...this.#sizes];
    for (const [key] of later) this.#sizes.delete(key);
    for (const { ino, born } of contents) {
      const key = keyOf(ino, born);
      const bytes = this.#services.bytesOf(ino, born);
      if (bytes === 0 || this.#sizes.has(key)) continue;
      this.#sizes.set(key, bytes);
      this.#bytes += bytes;
    }
    for (const [key, bytes] of later) {
      this.#bytes -= this.#sizes.get(key) ?? 0;
      this.#sizes.delete(key);
      this.#sizes.set(key, bytes);
    }
    this.trim();
  }

  /** It was used, has come, or has become another one, or is gone. */
  used({ ino, born }: ContentName): void {
    const key = keyOf(ino, born);
    const bytes = this.#services.bytesOf(ino, born);
    this.#bytes += bytes - (this.#sizes.get(key) ?? 0);
    this.#sizes.delete(key);
    if (bytes > 0) this.#sizes.set(key, bytes);
    this.#refused.delete(key);
    this.trim();
  }

  /** The answer to an eviction: it is gone, or stays. */
  evicted({ ino, born }: ContentName, isDone: boolean): void {
    const key = keyOf(ino, born);
    this.#asked.delete(key);
    if (isDone) {
      this.#evictions++;
      const bytes = this.#services.bytesOf(ino, born);
      this.#bytes += bytes - (this.#sizes.get(key) ?? 0);
      if (bytes > 0) this.#sizes.set(key, bytes);
      else this.#sizes.delete(key);
    } else this.#refused.add(key);
    this.trim();
  }

  /** More is in the remote than before, or open no more: what could not go may. */
  retry(): void {
    this.#refused.clear();
    this.trim();
  }

  /** Asks for evictions, of as much as there is too much, or as the disk needs. */
  trim(): void {
    let over = Math.max(this.#bytes - this.#bound, -this.#services.room());
    for (const key of this.#asked) over -= this.#sizes.get(key) ?? 0;
    if (over <= 0) return;
    for (const [key, bytes] of this.#sizes) {
      if (over <= 0 || this.#asked.size >= MOST_ASKED) return;
      if (this.#asked.has(key) || this.#refused.has(key)) continue;
      const { ino, born } = nameOf(key);
      if (!this.#services.mayGo(ino, born)) {
        this.#refused.add(key);
        continue;
      }
      over -= bytes;
      this.#asked.add(key);
      this.#services.evict(ino, born);
    }
  }
}

/** Nearly all have a born of 0; numbers take less memory. */
function keyOf(ino: number, born: number): Key {
  return born === 0 ? ino : `${ino}.${born}`;
}

function nameOf(key: Key): ContentName {
  if (typeof key === 'number') return { ino: key, born: 0 };
  const [ino, born] = key.split('.').map(Number) as [number, number];
  return { ino, born };
}
