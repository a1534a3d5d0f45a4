/**
 * The contents of a mount that are here, of those that its remote has: brings what is wanted, and has given up what was not used for longest. The session asks, and is
 * told what has come.
 */
import { existsSync, lstatSync, statfsSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import type { TreeReads } from '../../engine/api.js';
import { fetchPart, hasCode, type Site } from '../../engine/remote-store.js';
import { shippedContent, shippedState } from '../../engine/shipped-contents.js';
import { evictedPath } from '../filesystem/contents/away/away.js';
import { contentPath, parseContentName } from '../filesystem/contents/content.js';
import { SystemDisk } from '../filesystem/contents/disk/system.js';
import type { ContentName } from '../filesystem/types.js';
import type { FromRemote, ToRemote } from '../kernel/remote-end.js';
import type { MountLog, RemoteStats, WarmProgress } from '../types.js';
import { ContentCache } from './content-cache.js';
import { ContentFetch } from './content-fetch.js';
import { warm } from './warm.js';

/** What stat counts in. */
const BLOCK_BYTES = 512;
/** What a cache leaves to others of its disk: this share of it, and no more than so many bytes. */
const SPARED_SHARE = 0.05;
const MOST_SPARED_BYTES = 1024 ** 3;
/** How often what could not be given up is looked at again. */
const RETRY_MS = 2_000;

export interface ContentStockOptions {
  site: Site;
  tree: TreeReads;
  contentDirectory: string;
  /** Bytes of contents that there should be here at most. */
  bound: number;
  /** Whether the remote has exactly what this file is. */
  isShipped(ino: number, born: number, path: string): boolean;
  tellSession(message: FromRemote): void;
  log: MountLog;
}

export class ContentStock {
  readonly #options: ContentStockOptions;
  readonly #fetch: ContentFetch;
  readonly #cache: ContentCache;
  readonly #retrying: NodeJS.Timeout;
  /** Who waits for a content that nobody has open. */
  readonly #wanted = new Map<string, ((result: number) => void)[]>();
  #isEnding = false;

  constructor(options: ContentStockOptions) {
    const { bound, contentDirectory, isShipped, log, site, tellSession, tree } = options;
    this.#options = options;
    const disk = new SystemDisk();
    this.#fetch = new ContentFetch(contentDirectory, {
      find: (ino, born) => shippedContent(tree, ino, born),
      fetch: (part) => fetchPart(site.store, part),
      // Keys are renewed, and rights given back: whoever waits need not know.
      isPassing: (error) => hasCode(error, 'ERR_REMOTE_UNAVAILABLE') || hasCode(error, 'ERR_REMOTE_REFUSED'),
      setTime: (fd, seconds, nanos) => disk.setModificationTime(fd, seconds, nanos),
      log: (message) => log('error', message),
    });
    this.#cache = new ContentCache(bound, {
      bytesOf: (ino, born) => this.#bytesOf(ino, born),
      mayGo: (ino, born) => {
        const path = contentPath(contentDirectory, ino, born);
        try {
          return existsSync(path) ? isShipped(ino, born, path) : shippedState(tree, ino, born) !== undefined;
        } catch {
          // Its row is in a damaged blob, which the tree tells of: it stays, and is asked for again later.
          return false;
        }
      },
      room: () => this.#room(),
      evict: (ino, born) => tellSession({ kind: 'evict', ino, born }),
    });
    this.#retrying = setInterval(() => this.#cache.retry(), RETRY_MS).unref();
    void this.#findContents();
  }

  get figures(): RemoteStats['cache'] {
    const { bound, ...cache } = this.#cache.figures();
    const { fetchedBytes, fetchedParts } = this.#fetch;
    return { ...cache, limitBytes: bound, fetchedBytes, fetchedParts };
  }

  /** What a thread of the mount says of contents; false: it is of something else. */
  hear(message: ToRemote): boolean {
    switch (message.kind) {
      case 'used':
        for (const content of message.contents) this.#cache.used(content);
        return true;
      case 'part':
        void this.#fetchPart(message);
        return true;
      case 'whole':
        void this.#bring(message);
        return true;
      case 'drop':
        this.#unheeded(this.#drop(message));
        return true;
      case 'unwanted':
        this.#brought(message, 0);
        return true;
      case 'evicted':
        this.#unheeded(this.#evicted(message, message.isDone));
        return true;
      default:
        return false;
    }
  }

  /** Brings all contents at or below a path here. @throws ERR_NOT_FOUND, the signal's reason */
  warm(
    path: Uint8Array,
    onProgress: (progress: WarmProgress) => void,
    signal: AbortSignal,
  ): Promise<WarmProgress> {
    const { contentDirectory, tree } = this.#options;
    const isHere = (ino: number, born: number) =>
      existsSync(contentPath(contentDirectory, ino, born)) || shippedState(tree, ino, born) === undefined;
    return warm({ tree, isHere, bring: (content) => this.#want(content) }, path, onProgress, signal);
  }

  end(): void {
    this.#isEnding = true;
    clearInterval(this.#retrying);
    this.#unheeded(this.#fetch.close());
  }

  async #fetchPart({ ino, born, attempt, part }: Extract<ToRemote, { kind: 'part' }>): Promise<void> {
    const result = await this.#fetch.part(ino, born, attempt, part);
    this.#options.tellSession({ kind: 'part', ino, born, attempt, part, result });
    this.#cache.used({ ino, born });
  }

  async #bring({ ino, born, attempt, turn }: Extract<ToRemote, { kind: 'whole' }>): Promise<void> {
    const result = await this.#fetch.whole(ino, born, attempt, turn);
    this.#options.tellSession({ kind: 'arrived', ino, born, attempt, result });
    this.#brought({ ino, born }, result);
  }

  /** The session decides which contents are brought: it alone knows when one becomes another. Resolves to 0 or to a negative errno. */
  #want({ ino, born }: ContentName): Promise<number> {
    return new Promise((resolve) => {
      const key = `${ino}.${born}`;
      const others = this.#wanted.get(key);
      if (others !== undefined) others.push(resolve);
      else this.#wanted.set(key, [resolve]);
      this.#options.tellSession({ kind: 'want', ino, born });
    });
  }

  #brought({ ino, born }: ContentName, result: number): void {
    const key = `${ino}.${born}`;
    const wanted = this.#wanted.get(key);
    this.#wanted.delete(key);
    for (const resolve of wanted ?? []) resolve(result);
  }

  async #drop({ ino, born, attempt }: Extract<ToRemote, { kind: 'drop' }>): Promise<void> {
    await this.#fetch.drop(ino, born, attempt);
    this.#cache.used({ ino, born });
  }

  async #evicted({ ino, born }: ContentName, isDone: boolean): Promise<void> {
    const { contentDirectory } = this.#options;
    try {
      if (isDone) await rm(evictedPath(contentDirectory, ino, born), { force: true });
    } finally {
      this.#cache.evicted({ ino, born }, isDone);
    }
  }

  /** Nobody waits for it, and no failure of a disk is a reason to end the thread. */
  #unheeded(work: Promise<void>): void {
    work.catch((error: unknown) =>
      this.#options.log('error', `Cannot remove a content that was given up: ${error}`),
    );
  }

  /** Bytes of the disk that the content has, in whole or in part. */
  #bytesOf(ino: number, born: number): number {
    const { contentDirectory } = this.#options;
    let bytes = 0;
    for (const path of [contentPath(contentDirectory, ino, born), ...this.#fetch.pathsOf(ino, born)]) {
      try {
        bytes += (lstatSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * BLOCK_BYTES;
      } catch {
        // Of what cannot be looked at nothing can be given up.
      }
    }
    return bytes;
  }

  /** However much it is allowed, it fills no disk: others, and the journal, need it more. */
  #room(): number {
    try {
      const { bavail, blocks, bsize } = statfsSync(this.#options.contentDirectory);
      return bavail * bsize - Math.min(blocks * bsize * SPARED_SHARE, MOST_SPARED_BYTES);
    } catch {
      // There are no contents yet, or nobody can tell.
      return Number.POSITIVE_INFINITY;
    }
  }

  /** What is here from before, by its last use. */
  async #findContents(): Promise<void> {
    const { contentDirectory, log } = this.#options;
    const found: (ContentName & { usedAt: number })[] = [];
    try {
      for (const entry of await readdir(contentDirectory, { withFileTypes: true })) {
        if (!entry.isDirectory() || !/^[0-9a-f]+$/.test(entry.name)) continue;
        for (const name of await readdir(`${contentDirectory}/${entry.name}`)) {
          const content = parseContentName(name);
          if (content === undefined) continue;
          const status = await stat(`${contentDirectory}/${entry.name}/${name}`).catch(() => undefined);
          if (status !== undefined)
            found.push({ ...content, usedAt: Math.max(status.atimeMs, status.mtimeMs) });
        }
        if (this.#isEnding) return;
      }
    } catch (error) {
      // A new store has no contents yet.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        log('warn', `Cannot look how much the contents take here: ${error}`);
    }
    found.sort((a, b) => a.usedAt - b.usedAt);
    if (!this.#isEnding) this.#cache.found(found);
  }
}
