/**
 * How the threads of a mount, which wait in shared memory, and the one that speaks with a remote, which has an event loop, get on. What these ask
 * goes by ports. What that one answers goes to the session worker by its port, and to whoever answers syncs in two words; it wakes both.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { type ErrorCode, SpinneyError } from '../../../engine/errors.js';
import { LOST, ShippingBoard, WELCOME } from '../../../engine/shipped-contents.js';
import type { ContentFetcher } from '../../filesystem/contents/away/away.js';
import type { AwayAnswers, ContentName } from '../../filesystem/types.js';
import { SharedQueue } from '../device/shared-queue.js';
import type { Announcement, FollowedChanges } from '../session/followed-changes.js';
import type { RemoteSyncs } from './io-service.js';

export type ToRemote =
  | { kind: 'part'; ino: number; born: number; attempt: number; part: number }
  | { kind: 'whole'; ino: number; born: number; attempt: number; turn: 'demand' | 'background' }
  | { kind: 'drop'; ino: number; born: number; attempt: number }
  /** The answer to `want` where there is nothing to bring. */
  | { kind: 'unwanted'; ino: number; born: number }
  | { kind: 'used'; contents: readonly ContentName[] }
  /** The answer to `evict`. */
  | { kind: 'evicted'; ino: number; born: number; isDone: boolean }
  /** The answer to `play`: what the kernel is to forget, and what made it fail. */
  | { kind: 'played'; id: number; announcement: Announcement }
  | {
      kind: 'unplayed';
      id: number;
      /** Of what was played before. */
      announcement: Announcement;
      code: ErrorCode | undefined;
      message: string;
    }
  /** Was synced here, and nobody waits for the remote. */
  | { kind: 'synced'; ino: number; born: number }
  /** As `RemoteSyncs.ask`. */
  | { kind: 'sync'; position: number; lsn: number; ino: number; born: number };

export type FromRemote =
  | { kind: 'part'; ino: number; born: number; attempt: number; part: number; result: number }
  | { kind: 'arrived'; ino: number; born: number; attempt: number; result: number }
  | { kind: 'want' | 'evict'; ino: number; born: number }
  /** Records that another machine made, to be played at once. */
  | { kind: 'play'; id: number; bodies: readonly Uint8Array[]; isStepwise: boolean };

/** What the mount's workers get. */
export interface RemoteLink {
  port: MessagePort;
  words: SharedArrayBuffer;
  /** The mount shows what another machine writes; nothing here ships. Default: false. */
  follows?: boolean;
  /** Of whoever ships. */
  board: SharedArrayBuffer;
  /** The queue of syncs that wait for the remote; undefined: none do. */
  syncs: SharedArrayBuffer | undefined;
}

/** Answers that are kept at a time: as many as there are places in the queue of syncs. */
const ANSWERS = 4096;
const SHIPPED = 0;
const FIRST_ANSWER = 1;

/** What became of syncs, which the thread that speaks with the remote writes. */
export class SyncAnswers {
  readonly shared: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer((FIRST_ANSWER + ANSWERS) * 4)) {
    this.shared = shared;
    this.#words = new Int32Array(shared);
  }

  /** Syncs that are answered: those before this position of their queue, mod 2^32. */
  get answered(): number {
    return Atomics.load(this.#words, SHIPPED) >>> 0;
  }

  /** 0, or a negative errno. */
  resultOf(position: number): number {
    return Atomics.load(this.#words, FIRST_ANSWER + (position % ANSWERS));
  }

  /** The sync at the next position has this result: 0, or a negative errno. */
  answer(result: number): void {
    const position = this.answered;
    Atomics.store(this.#words, FIRST_ANSWER + (position % ANSWERS), result);
    Atomics.store(this.#words, SHIPPED, (position + 1) | 0);
  }
}

/** For a thread that answers syncs: whether another machine has the remote. Waits while nobody knows. */
export function takenCheck({ board }: RemoteLink): () => boolean {
  const shipping = new ShippingBoard(board);
  return () => shipping.admission() === LOST;
}

/** For a thread that answers syncs: tells of contents that were synced; undefined where syncs wait for the remote. */
export function syncedTeller({ port, syncs }: RemoteLink): ((ino: number, born: number) => void) | undefined {
  return syncs === undefined ? (ino, born) => post(port, { kind: 'synced', ino, born }) : undefined;
}

/** For a thread that answers syncs. */
export function remoteSyncs(link: RemoteLink): RemoteSyncs | undefined {
  const { port, syncs, words } = link;
  if (syncs === undefined) return undefined;
  const answers = new SyncAnswers(words);
  const isTaken = takenCheck(link);
  return {
    queue: new SharedQueue(syncs),
    ask: (position, lsn, ino, born) => post(port, { kind: 'sync', position, lsn, ino, born }),
    get answered() {
      return answers.answered;
    },
    resultOf: (position) => answers.resultOf(position),
    get isOver() {
      return isTaken();
    },
  };
}

/** For the session worker. */
export class SessionRemote implements ContentFetcher {
  readonly #port: MessagePort;
  readonly #board: ShippingBoard;

  constructor({ board, port }: RemoteLink) {
    this.#port = port;
    this.#board = new ShippingBoard(board);
  }

  /** Why changes are refused, as the board tells. Waits while nobody knows whether another machine has the remote by now. */
  get refusal(): number {
    return this.#board.admission();
  }

  fetchPart(ino: number, born: number, attempt: number, part: number): void {
    post(this.#port, { kind: 'part', ino, born, attempt, part });
  }

  fetch(ino: number, born: number, attempt: number, turn: 'demand' | 'background'): void {
    post(this.#port, { kind: 'whole', ino, born, attempt, turn });
  }

  drop(ino: number, born: number, attempt: number): void {
    post(this.#port, { kind: 'drop', ino, born, attempt });
  }

  used(contents: readonly ContentName[]): void {
    post(this.#port, { kind: 'used', contents });
  }

  /** Hands on what has come. Whether anything has. `failed` is told of what an answer could not be used for; `followed` is of a mount that follows. */
  receive(
    answers: AwayAnswers,
    failed: (error: unknown) => void,
    followed?: Pick<FollowedChanges, 'play' | 'announcement'>,
  ): boolean {
    let isAny = false;
    for (
      let got = receiveMessageOnPort(this.#port);
      got !== undefined;
      got = receiveMessageOnPort(this.#port)
    ) {
      isAny = true;
      try {
        const message = got.message as FromRemote;
        if (message.kind === 'play') this.#play(message, followed!);
        else this.#receive(message, answers);
      } catch (error) {
        failed(error);
      }
    }
    return isAny;
  }

  /** Where what leads to one moment alone was played in part, all is refused until it is played anew. */
  #play(
    { id, isStepwise, bodies }: Extract<FromRemote, { kind: 'play' }>,
    followed: Pick<FollowedChanges, 'play' | 'announcement'>,
  ): void {
    if (!isStepwise) this.#board.refusal = LOST;
    try {
      followed.play(bodies);
      if (!isStepwise) this.#board.refusal = WELCOME;
      post(this.#port, { kind: 'played', id, announcement: followed.announcement() });
    } catch (error) {
      const code = error instanceof SpinneyError ? error.code : undefined;
      const { message } = error as Error;
      post(this.#port, { kind: 'unplayed', id, announcement: followed.announcement(), code, message });
    }
  }

  #receive(message: Exclude<FromRemote, { kind: 'play' }>, answers: AwayAnswers): void {
    const { ino, born } = message;
    if (message.kind === 'part')
      answers.partArrived(ino, born, message.attempt, message.part, message.result);
    else if (message.kind === 'arrived') answers.arrived(ino, born, message.attempt, message.result);
    else if (message.kind === 'want') {
      if (!answers.want(ino, born)) post(this.#port, { kind: 'unwanted', ino, born });
    } else {
      let isDone = false;
      try {
        isDone = answers.evict(ino, born);
      } finally {
        post(this.#port, { kind: 'evicted', ino, born, isDone });
      }
    }
  }
}

function post(port: MessagePort, message: ToRemote): void {
  port.postMessage(message);
}
