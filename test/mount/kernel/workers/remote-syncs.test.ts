/** Syncs that are answered once a remote has what they are for. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { expect, it, onTestFinished } from 'vitest';
import { LOST, makeShippingBoard, ShippingBoard } from '../../../../engine/shipped-contents.js';
import { NO_SPARE } from '../../../../mount/filesystem/contents/spares/spare-files.js';
import type { AwayAnswers } from '../../../../mount/filesystem/types.js';
import { SharedQueue } from '../../../../mount/kernel/device/shared-queue.js';
import { Interrupts } from '../../../../mount/kernel/workers/interrupts.js';
import { IoService } from '../../../../mount/kernel/workers/io-service.js';
import { IoTask, putSync } from '../../../../mount/kernel/workers/io-tasks.js';
import {
  type FromRemote,
  remoteSyncs,
  SessionRemote,
  SyncAnswers,
  syncedTeller,
  takenCheck,
} from '../../../../mount/kernel/workers/remote-link.js';
import { monotonic } from '../../../../mount/requests/request-failures.js';

const { EIO, EINTR } = constants.errno;

class World {
  readonly directory = mkdtempSync(join(tmpdir(), 'spinney-syncs-'));
  readonly fd = openSync(join(this.directory, 'replies'), 'w');
  readonly tasks = new SharedQueue(8);
  readonly syncs: SharedQueue;
  readonly answers = new SyncAnswers();
  readonly board: ShippingBoard;
  readonly channel = new MessageChannel();
  readonly removed: number[] = [];
  readonly service: IoService;
  #durable = 0;
  failing = false;
  contentFailing = false;
  nameFailing = false;
  syncing: () => void = () => {};

  constructor(
    capacity = 8,
    readonly boardMemory = makeShippingBoard(),
    isAwaited = true,
  ) {
    this.board = new ShippingBoard(boardMemory);
    this.syncs = new SharedQueue(capacity);
    onTestFinished(() => {
      this.channel.port1.close();
      closeSync(this.fd);
      rmSync(this.directory, { recursive: true });
    });
    const link = {
      port: this.channel.port2,
      words: this.answers.shared,
      board: boardMemory,
      syncs: isAwaited ? this.syncs.memory : undefined,
    };
    this.service = new IoService({
      fd: this.fd,
      tasks: this.tasks,
      results: new SharedQueue(8),
      tree: {
        sync: () => {
          this.syncing();
          if (this.failing) throw new Error('the journal failed');
          this.#durable += 10;
        },
        durableLsn: () => this.#durable,
        lastLsn: () => this.#durable + 10,
      },
      content: {
        remove: (ino) => this.removed.push(ino),
        syncAll: () => {},
        copy: () => ({ step: () => true, end: () => {} }),
        place: () => {},
        usedBytes: () => 0,
        space: () => ({ free: 1e9, all: 1e9 }),
        sync: (_ino, _born, _spare, _identity, _names, ready) => {
          if (this.contentFailing) throw new Error('the disk failed');
          ready?.();
          if (this.nameFailing) throw new Error('the directory failed');
          return true;
        },
      },
      answered: () => {},
      isTaken: takenCheck(link),
      synced: syncedTeller(link),
      remote: remoteSyncs(link),
      wakeSession: () => {},
      log: () => {},
    });
  }

  sync(unique: number, ino = 0): boolean {
    const request = { uniqueLow: unique, uniqueHigh: 0, pid: 60 + unique, opcode: 20 };
    const identity = ino === 0 ? undefined : { file: 1, birth: 2 };
    const plan = { ino, born: 3, identity, spare: NO_SPARE, names: false };
    return putSync(this.tasks, request, monotonic(), plan);
  }

  /** Uniques and errors of the replies so far. */
  get replies(): [unique: number, error: number][] {
    const bytes = readFileSync(join(this.directory, 'replies'));
    return Array.from({ length: bytes.length / 16 }, (_, i) => [
      bytes.readUInt32LE(i * 16 + 8),
      bytes.readInt32LE(i * 16 + 4),
    ]);
  }

  /** What the remote was asked for. */
  get asked(): unknown[] {
    const asked: unknown[] = [];
    for (let got = receiveMessageOnPort(this.channel.port1); got !== undefined; ) {
      asked.push(got.message);
      got = receiveMessageOnPort(this.channel.port1);
    }
    return asked;
  }
}

it('asks for all records that there are, with the content, and answers when the remote has it, in order', () => {
  const world = new World();
  world.sync(1, 7);
  world.sync(2);
  world.service.round(false);
  expect(world.replies).toEqual([]);
  expect(world.asked).toEqual([
    { kind: 'sync', position: 0, lsn: 10, ino: 7, born: 3 },
    { kind: 'sync', position: 1, lsn: 10, ino: 0, born: 0 },
  ]);
  // Others go on meanwhile.
  world.tasks.put(IoTask.REMOVE, 5, 1);
  world.tasks.put(IoTask.HURRY);
  world.service.round(false);
  expect(world.removed).toEqual([5]);
  expect(world.tasks.length).toBe(0);
  world.answers.answer(0);
  world.service.round(false);
  expect(world.replies).toEqual([[1, 0]]);
  world.answers.answer(-EIO);
  world.service.round(false);
  expect(world.replies).toEqual([
    [1, 0],
    [2, -EIO],
  ]);
  expect(world.syncs.length).toBe(0);
});

it('answers at once where nobody waits for the remote, which is to have the content all the same', () => {
  const world = new World(8, makeShippingBoard(), false);
  world.sync(1, 7);
  world.sync(2);
  world.service.round(false);
  expect(world.replies).toEqual([
    [1, 0],
    [2, 0],
  ]);
  expect(world.asked).toEqual([{ kind: 'synced', ino: 7, born: 3 }]);
  world.failing = true;
  world.sync(3, 7);
  world.service.round(false);
  expect(world.asked).toEqual([]);
});

it('answers nothing of what was done here once another machine has it', () => {
  const world = new World(8, makeShippingBoard(), false);
  world.board.refusal = LOST;
  world.sync(1, 7);
  world.service.round(false);
  expect(world.replies).toEqual([[1, -EIO]]);
});

it('answers at once what failed here, and once', () => {
  const world = new World();
  world.failing = true;
  world.sync(1, 7);
  world.service.round(false);
  expect(world.replies).toEqual([[1, -EIO]]);
  // It was asked for before that was known.
  world.failing = false;
  world.sync(2, 7);
  world.service.round(false);
  expect(world.asked).toMatchObject([{ position: 0 }, { position: 1 }]);
  world.answers.answer(0);
  world.answers.answer(0);
  world.service.round(false);
  expect(world.replies).toEqual([
    [1, -EIO],
    [2, 0],
  ]);
});

it('asks the remote for nothing whose content failed here', () => {
  const world = new World();
  world.contentFailing = true;
  world.sync(1, 7);
  world.service.round(false);
  expect(world.replies).toEqual([[1, -EIO]]);
  expect(world.asked).toEqual([]);
  expect(world.syncs.length).toBe(0);
});

it('answers at once where the content is durable and its name is not', () => {
  const world = new World();
  world.nameFailing = true;
  world.sync(1, 7);
  world.service.round(false);
  expect(world.replies).toEqual([[1, -EIO]]);
  world.answers.answer(0);
  world.service.round(false);
  expect(world.replies).toEqual([[1, -EIO]]);
  expect(world.syncs.length).toBe(0);
});

it('asks the remote before the tree is synced here', () => {
  const world = new World();
  let asked: unknown[] = [];
  world.syncing = () => {
    asked = world.asked;
  };
  world.sync(1, 7);
  world.service.round(false);
  expect(asked).toMatchObject([{ position: 0 }]);
});

it('fails all that wait once another machine has the remote', () => {
  const world = new World();
  world.sync(1);
  world.sync(2);
  world.service.round(false);
  world.board.refusal = LOST;
  world.service.round(false);
  expect(world.replies).toEqual([
    [1, -EIO],
    [2, -EIO],
  ]);
});

it('leaves those for which there is no room where they are, and takes them up when there is', () => {
  const world = new World(2);
  for (let unique = 1; unique <= 3; unique++) world.sync(unique);
  world.tasks.put(IoTask.REMOVE, 5, 1);
  world.service.round(false);
  world.service.round(false);
  expect(world.asked).toHaveLength(2);
  expect(world.tasks.length).toBe(2);
  world.answers.answer(0);
  world.service.round(false);
  expect(world.asked).toMatchObject([{ position: 2 }]);
  expect(world.replies).toEqual([[1, 0]]);
  world.answers.answer(0);
  world.answers.answer(0);
  world.service.round(false);
  expect(world.replies).toEqual([
    [1, 0],
    [2, 0],
    [3, 0],
  ]);
});

it('lets a dying caller go, who waits for the remote', () => {
  const world = new World();
  const interrupts = new Interrupts(world.fd, [world.tasks, world.syncs], undefined, (pid) => pid === 62);
  world.sync(1);
  world.sync(2);
  world.service.round(false);
  interrupts.interrupt(1, 0);
  expect(world.replies).toEqual([]);
  interrupts.interrupt(2, 0);
  expect(world.replies).toEqual([[2, -EINTR]]);
  interrupts.sweep();
  expect(world.replies).toHaveLength(2);
});

it('hands on what has come to the session, and answers whether a content could be given up', () => {
  const { port1, port2 } = new MessageChannel();
  onTestFinished(() => port1.close());
  const remote = new SessionRemote({
    port: port2,
    words: new SyncAnswers().shared,
    board: makeShippingBoard(),
    syncs: undefined,
  });
  const told: unknown[] = [];
  const answers: AwayAnswers = {
    partArrived: (...part) => told.push(part),
    arrived: (...content) => {
      told.push(content);
      throw new Error('no room');
    },
    want: (ino) => ino === 5,
    evict: (ino) => ino === 3,
  };
  const send = (message: FromRemote) => port1.postMessage(message);
  send({ kind: 'part', ino: 1, born: 0, attempt: 7, part: 2, result: 0 });
  send({ kind: 'arrived', ino: 1, born: 0, attempt: 8, result: -EIO });
  send({ kind: 'evict', ino: 3, born: 0 });
  send({ kind: 'evict', ino: 4, born: 1 });
  send({ kind: 'want', ino: 5, born: 0 });
  send({ kind: 'want', ino: 6, born: 0 });
  const failures: unknown[] = [];
  expect(remote.receive(answers, (error) => failures.push(error))).toBe(true);
  expect(remote.receive(answers, () => {})).toBe(false);
  expect(told).toEqual([
    [1, 0, 7, 2, 0],
    [1, 0, 8, -EIO],
  ]);
  expect(failures).toHaveLength(1);
  expect(receiveMessageOnPort(port1)?.message).toEqual({ kind: 'evicted', ino: 3, born: 0, isDone: true });
  expect(receiveMessageOnPort(port1)?.message).toEqual({ kind: 'evicted', ino: 4, born: 1, isDone: false });
  expect(receiveMessageOnPort(port1)?.message).toEqual({ kind: 'unwanted', ino: 6, born: 0 });
});
