/** What a mount that follows does with records that cannot be played: a moment that is half there is shown to nobody. */
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { expect, it, onTestFinished } from 'vitest';
import { SpinneyError } from '../../../../engine/errors.js';
import { LOST, makeShippingBoard, ShippingBoard, WELCOME } from '../../../../engine/shipped-contents.js';
import type { AwayAnswers } from '../../../../mount/filesystem/types.js';
import { type FromRemote, SessionRemote, SyncAnswers } from '../../../../mount/kernel/workers/remote-link.js';

it('refuses all while one moment is half there, and nothing where each record leads to one', () => {
  const { port1, port2 } = new MessageChannel();
  onTestFinished(() => port1.close());
  const memory = makeShippingBoard();
  const board = new ShippingBoard(memory);
  const words = new SyncAnswers().shared;
  const remote = new SessionRemote({ port: port2, words, board: memory, follows: true, syncs: undefined });
  const answers = {} as AwayAnswers;
  const told: unknown[] = [];
  const play = (isStepwise: boolean, works: boolean) => {
    const message: FromRemote = { kind: 'play', id: 1, bodies: [], isStepwise };
    port1.postMessage(message);
    remote.receive(answers, () => {}, {
      play: () => {
        if (!works) throw new SpinneyError('ERR_NO_SPACE', 'the disk is full');
      },
      announcement: () => ({ entries: [], inodes: [works ? 1 : 2] }),
    });
    told.push(receiveMessageOnPort(port1)?.message);
    return board.refusal;
  };
  expect(play(true, true)).toBe(WELCOME);
  expect(play(true, false)).toBe(WELCOME);
  expect(play(false, false)).toBe(LOST);
  expect(play(false, true)).toBe(WELCOME);
  // What was played before a failure is announced like all else.
  expect(
    told.map((message) => (message as { announcement: { inodes: number[] } }).announcement.inodes),
  ).toEqual([[1], [2], [2], [1]]);
});
