import { expect, test } from 'vitest';
import { PARTS, Part } from '../../engine/stopwatch.js';
import { joined, RequestTimes } from '../../mount/requests/request-times.js';

function times(parts: Partial<Record<Part, number>>): Float64Array {
  const all = new Float64Array(PARTS);
  for (const [part, ms] of Object.entries(parts)) all[Number(part)] = ms;
  return all;
}

test('operations are kept apart, and the parts of each come to its sum', () => {
  const requests = new RequestTimes(new Float64Array(RequestTimes.size(3)));
  requests.record(2, times({ [Part.TREE]: 1, [Part.JOURNAL]: 3 }));
  requests.record(2, times({ [Part.TREE]: 2 }));
  requests.record(0, times({ [Part.BELOW]: 5 }));
  expect(requests.of(2)).toEqual({
    count: 2,
    sumMicros: 6000,
    maxMicros: 4000,
    buckets: [
      [2048, 1],
      [4096, 1],
    ],
    micros: { tree: 3000, waiting: 0, loading: 0, journal: 3000, below: 0 },
  });
  expect(requests.of(1)).toMatchObject({ count: 0, sumMicros: 0, buckets: [] });
  expect(requests.of(0).micros).toEqual({ tree: 0, waiting: 0, loading: 0, journal: 0, below: 5000 });
});

test('what two threads recorded of an operation is told as one', () => {
  const areas = [0, 1].map(() => new RequestTimes(new Float64Array(RequestTimes.size(1))));
  const both = new RequestTimes(new Float64Array(RequestTimes.size(1)));
  for (const [at, ms] of [0.25, 4, 0.25, 9, 1000].entries()) {
    const recorded = times({ [Part.WAITING]: ms });
    areas[at % 2]!.record(0, recorded);
    both.record(0, recorded);
  }
  expect(joined(areas[0]!.of(0), areas[1]!.of(0))).toEqual(both.of(0));
});
