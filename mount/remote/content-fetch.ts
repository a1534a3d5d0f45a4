/**
 * Fetches contents from a remote into their files in `away`, part by part, each part once however many ask for it. What somebody waits for comes before what
 * is only wanted some time. While the object store does not answer it goes on trying: whoever waits, waits.
 */
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContentPart, ShippedContent } from '../../engine/shipped-contents.js';
import { awayDirectory, awayPath } from '../filesystem/contents/away/away.js';
import { EIO, ENOENT } from '../filesystem/errno.js';

/** Parts that are fetched at a time: what they take of memory. */
const PARTS_AT_ONCE = 8;
/** Between two attempts of what does not answer. */
const AGAIN_MS = 1_000;

export interface FetchServices {
  /** What the remote has. */
  find(ino: number, born: number): ShippedContent | undefined;
  /** @throws what the object store says */
  fetch(part: ContentPart): Promise<Uint8Array>;
  /** Whether asking again may help. */
  isPassing(error: unknown): boolean;
  /** Sets a file's mtime. */
  setTime(fd: number, seconds: number, nanos: number): void;
  log(message: string): void;
}

interface Coming {
  readonly ino: number;
  readonly born: number;
  readonly attempt: number;
  readonly content: ShippedContent;
  file: Promise<FileHandle>;
  readonly parts: Map<number, Promise<void>>;
  /** All of it is on its way, or has come. */
  whole: Promise<void> | undefined;
  isDropped: boolean;
}

export class ContentFetch {
  readonly #directory: string;
  readonly #services: FetchServices;
  readonly #coming = new Map<string, Coming>();
  readonly #turns = { demand: [] as (() => void)[], background: [] as (() => void)[] };
  #underWay = 0;
  #isClosed = false;
  fetchedBytes = 0;
  fetchedParts = 0;

  /** `directory`: of the contents. */
  constructor(directory: string, services: FetchServices) {
    this.#directory = directory;
    this.#services = services;
  }

  /** Resolves to 0 when the part is in the file, or to a negative errno. */
  async part(ino: number, born: number, attempt: number, index: number): Promise<number> {
    return this.#attempt(ino, born, attempt, (coming) => this.#part(coming, index, 'demand'));
  }

  /** Resolves to 0 when the file is whole and durable, or to a negative errno. `turn`: whether somebody waits for it. */
  async whole(ino: number, born: number, attempt: number, turn: 'demand' | 'background'): Promise<number> {
    return this.#attempt(ino, born, attempt, (coming) => {
      coming.whole ??= this.#finish(coming, turn).catch((error: unknown) => {
        coming.whole = undefined;
        throw error;
      });
      return coming.whole;
    });
  }

  async #finish(coming: Coming, turn: 'demand' | 'background'): Promise<void> {
    const { content } = coming;
    await Promise.all(content.parts.map((_, index) => this.#part(coming, index, turn)));
    const file = await coming.file;
    if (coming.isDropped) throw missing();
    this.#services.setTime(file.fd, content.mtime.seconds, content.mtime.nanos);
    await file.sync();
    if (coming.isDropped) throw missing();
    this.#forget(coming);
    await file.close();
  }

  /** What this attempt has brought is not wanted any more. */
  async drop(ino: number, born: number, attempt: number): Promise<void> {
    const coming = this.#coming.get(keyOf(ino, born, attempt));
    if (coming !== undefined) await this.#end(coming);
    await rm(awayPath(this.#directory, ino, born, attempt), { force: true });
  }

  /** Where what comes of a content is, by each attempt. */
  *pathsOf(ino: number, born: number): Generator<string> {
    for (const coming of this.#coming.values()) {
      if (coming.ino === ino && coming.born === born)
        yield awayPath(this.#directory, ino, born, coming.attempt);
    }
  }

  /** Ends all that is under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#coming.values()].map((coming) => this.#end(coming)));
  }

  async #end(coming: Coming): Promise<void> {
    coming.isDropped = true;
    this.#forget(coming);
    await coming.file.then(
      (file) => file.close(),
      // It was never made.
      () => {},
    );
  }

  #forget(coming: Coming): void {
    const key = keyOf(coming.ino, coming.born, coming.attempt);
    if (this.#coming.get(key) === coming) this.#coming.delete(key);
  }

  async #attempt(
    ino: number,
    born: number,
    attempt: number,
    work: (coming: Coming) => Promise<void>,
  ): Promise<number> {
    try {
      const coming = this.#begin(ino, born, attempt);
      if (coming === undefined) return -ENOENT;
      await work(coming);
      return 0;
    } catch (error) {
      const { errno } = error as NodeJS.ErrnoException;
      if (errno === undefined)
        this.#services.log(`Cannot bring the content of inode ${ino}: ${(error as Error).message}`);
      return errno !== undefined && errno < 0 ? errno : -EIO;
    }
  }

  #begin(ino: number, born: number, attempt: number): Coming | undefined {
    const key = keyOf(ino, born, attempt);
    const known = this.#coming.get(key);
    if (known !== undefined) return known;
    const content = this.#services.find(ino, born);
    if (content === undefined) return undefined;
    const file = this.#make(awayPath(this.#directory, ino, born, attempt), content.size);
    const coming: Coming = {
      ino,
      born,
      attempt,
      content,
      file,
      parts: new Map(),
      whole: undefined,
      isDropped: false,
    };
    this.#coming.set(key, coming);
    // Whoever waits for it is told.
    file.catch(() => this.#forget(coming));
    return coming;
  }

  async #make(path: string, size: number): Promise<FileHandle> {
    await mkdir(awayDirectory(this.#directory), { recursive: true, mode: 0o700 });
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
    const file = await open(path, flags, 0o600);
    await file.truncate(size);
    return file;
  }

  #part(coming: Coming, index: number, turn: 'demand' | 'background'): Promise<void> {
    const known = coming.parts.get(index);
    if (known !== undefined) return known;
    const arrival = this.#bring(coming, index, turn);
    coming.parts.set(index, arrival);
    // The next one who asks has it tried again.
    arrival.catch(() => coming.parts.delete(index));
    return arrival;
  }

  async #bring(coming: Coming, index: number, turn: 'demand' | 'background'): Promise<void> {
    const part = coming.content.parts[index];
    if (part === undefined) throw new Error(`it has no part ${index}`);
    const file = await coming.file;
    // All zeros: the file has a hole there.
    if (part.name === undefined) return;
    await this.#turn(turn);
    try {
      const bytes = await this.#fetch(coming, part);
      if (coming.isDropped) throw missing();
      // All but the last are of one size.
      const start = index * coming.content.parts[0]!.bytes;
      await write(file, bytes, start);
      this.fetchedBytes += bytes.length;
      this.fetchedParts++;
    } finally {
      this.#done();
    }
  }

  async #fetch(coming: Coming, part: ContentPart): Promise<Uint8Array> {
    for (;;) {
      if (coming.isDropped || this.#isClosed) throw missing();
      try {
        return await this.#services.fetch(part);
      } catch (error) {
        if (!this.#services.isPassing(error)) throw error;
      }
      await sleep(AGAIN_MS, undefined, { ref: false });
    }
  }

  async #turn(turn: 'demand' | 'background'): Promise<void> {
    if (this.#underWay < PARTS_AT_ONCE) {
      this.#underWay++;
      return;
    }
    // Whoever is done hands its place on.
    await new Promise<void>((resolve) => this.#turns[turn].push(resolve));
  }

  #done(): void {
    const next = this.#turns.demand.shift() ?? this.#turns.background.shift();
    if (next === undefined) this.#underWay--;
    else next();
  }
}

async function write(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/** Nobody wants it any more. */
function missing(): Error {
  return Object.assign(new Error('it is not wanted any more'), { errno: -ENOENT });
}

function keyOf(ino: number, born: number, attempt: number): string {
  return `${ino}.${born}.${attempt}`;
}
