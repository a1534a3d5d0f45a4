/** The exclusions themselves, on two sides that answer what they are told. */
import { describe, expect, it } from 'vitest';
import { type Exclusion, Exclusions } from './exclusions.js';
import type { Answer, Call, Json } from './sides.js';

/** A file with a number: `set` sets it, `get` gives it. A side may answer some calls in a way of its own. */
function answer(calls: readonly Call[], own: (call: Call) => Json | undefined = () => undefined): Answer {
  let number = 0;
  const results = calls.map((call) => {
    const special = own(call);
    if (special === undefined && call[0] === 'set') number = Number(call[1]);
    return { value: special ?? (call[0] === 'get' ? number : null), changed: {} };
  });
  return { results, tree: { f: { number } }, inodes: {} };
}

function sides(own: (call: Call) => Json | undefined) {
  return {
    nextName: () => 'd',
    run: async (calls: readonly Call[]): Promise<[Answer, Answer]> => [answer(calls, own), answer(calls)],
    runLocal: async (calls: readonly Call[]) => answer(calls),
  };
}

const isSet = ([name]: Call) => name === 'set';
const refusesToSet = sides((call) => (isSet(call) ? { error: 'EPERM' } : undefined));
const REFUSED: Exclusion = {
  limit: 'x',
  covers: 'setting',
  cases: 1,
  effect: { kind: 'refused', of: isSet, error: 'EPERM' },
};

describe('exclusions', () => {
  it('let nothing differ that they do not cover', async () => {
    const found = await new Exclusions([]).run(refusesToSet, 'case', [['set', 5], ['get']]);
    expect(found.map((line) => line.split(':')[0])).toEqual(['0 ["set",5]', '1 ["get"]', 'left "f"']);
  });

  it('leave a refused call out on ext4, and compare the rest', async () => {
    const exclusions = new Exclusions([REFUSED]);
    expect(await exclusions.run(refusesToSet, 'case', [['set', 5], ['get']])).toEqual([]);
    expect(exclusions.untrue()).toEqual({});
  });

  it('still find what differs after a refused call', async () => {
    const two = sides((call) => (isSet(call) ? { error: 'EPERM' } : call[0] === 'get' ? 1 : undefined));
    const found = await new Exclusions([REFUSED]).run(two, 'case', [['set', 5], ['get']]);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain('1 ["get"]');
  });

  it('do not cover another error', async () => {
    const found = await new Exclusions([REFUSED]).run(
      sides((call) => (isSet(call) ? { error: 'EIO' } : undefined)),
      'case',
      [['set', 5]],
    );
    expect(found).toHaveLength(2);
  });

  it('replace a call that shows only in what comes after', async () => {
    const halves: Exclusion = {
      limit: 'x',
      covers: 'odd numbers',
      cases: 1,
      effect: {
        kind: 'instead',
        of: (call) => isSet(call) && Number(call[1]) % 2 === 1,
        call: ([, number]) => ['set', Number(number) - 1],
      },
    };
    const even: [Answer, Answer] = [answer([['set', 4], ['get']]), answer([['set', 5], ['get']])];
    const two = { ...refusesToSet, run: async () => even };
    const exclusions = new Exclusions([halves, { ...REFUSED, cases: 0 }]);
    expect(await exclusions.run(two, 'case', [['set', 5], ['get']])).toEqual([]);
    expect(exclusions.untrue()).toEqual({});
  });

  it('are untrue where another number of cases needs them', async () => {
    const exclusions = new Exclusions([REFUSED]);
    await exclusions.run(refusesToSet, 'without', [['get']]);
    expect(exclusions.untrue()).toEqual({ setting: [] });
    await exclusions.run(refusesToSet, 'one', [['set', 5]]);
    expect(exclusions.untrue()).toEqual({});
    await exclusions.run(refusesToSet, 'two', [['set', 5]]);
    expect(exclusions.untrue()).toEqual({ setting: ['one', 'two'] });
  });
});
