/**
 * Histories of three threads on one tree, while a fourth splits and merges blobs around their keys and checkpoints never
 * rest: all of it must be what one thread could have done, batches and moves of prefixes as one.
 */
import path from 'node:path';
import { expect, test } from 'vitest';
import { Crew } from '../../engine/tree/threads/crew.js';
import { soak } from '../soak.js';
import { type Contents, linearize, type Operation, textOf } from './linearizable.js';

const MEMBERS = 3;
const ROUNDS = 60;
const OPERATIONS = 8;
const WORKER = path.join(import.meta.dirname, 'history-worker.mjs');

type Rounds = { before?: [string, number][]; history: Operation[] }[];

soak({ line: 11, title: 'histories of several threads', seeds: 3 }, async (seed) => {
  const crew = await Crew.open();
  try {
    const data = { members: MEMBERS, rounds: ROUNDS, operations: OPERATIONS, seed };
    const churn = crew.start('', { ...data, me: -1 }, WORKER);
    const members = Array.from(
      { length: MEMBERS },
      (_, me) => crew.start<Rounds>('', { ...data, me }, WORKER).result,
    );
    const results = (await Promise.all(members)) as Rounds[];
    crew.stop();
    await churn.result;
    let operations = 0;
    let concurrent = 0;
    let ends: Map<string, Contents> | undefined;
    for (let round = 0; round < ROUNDS; round++) {
      const before: Contents = new Map(results[0]![round]!.before);
      if (ends !== undefined && !ends.has(textOf(before))) {
        throw new Error(
          `round ${round - 1} ended with ${textOf(before)}, not with ${[...ends.keys()].join(' or ')}`,
        );
      }
      const histories = results.map((rounds) => rounds[round]!.history);
      operations += histories.flat().length;
      concurrent += histories.flatMap((history, i) =>
        history.filter((one) =>
          histories.some((other, j) => j !== i && other.some((two) => overlap(one, two))),
        ),
      ).length;
      ends = linearize(before, histories);
      if (ends.size === 0)
        throw new Error(
          `no order explains round ${round}: ${JSON.stringify({ before: [...before], histories })}`,
        );
    }
    crew.check();
    return { rounds: ROUNDS, operations, concurrent };
  } finally {
    await crew.end();
  }
});

const overlap = (one: Operation, two: Operation): boolean => one.from < two.to && two.from < one.to;

test('the check knows what no order explains', () => {
  const step = (op: string, more: object) => ({ op, ...more }) as Operation['step'];
  const put: Operation = { from: 0, to: 3, step: step('put', { key: 'a', number: 8 }), result: true };
  const get = (from: number, to: number, result: number): Operation => ({
    from,
    to,
    step: step('get', { key: 'a' }),
    result,
  });
  expect([...linearize(new Map(), [[put], [get(1, 2, 8)]]).keys()]).toEqual(['a=8']);
  expect(linearize(new Map(), [[put], [get(1, 2, 0)]]).size).toBe(1);
  expect(linearize(new Map(), [[put], [get(4, 5, 0)]]).size).toBe(0);
  expect(linearize(new Map(), [[put], [get(1, 2, 8), get(4, 5, 0)]]).size).toBe(0);
});
