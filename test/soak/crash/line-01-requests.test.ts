/** A session that is killed at every moment of a request: whoever follows answers it as if it was done once. */
import { KilledRequests } from '../../mount/resume/killed-requests.js';
import { isLong, soak } from '../soak.js';

const REQUESTS = isLong ? 100 : 6;
const MOMENTS = isLong ? Number.POSITIVE_INFINITY : 4;

soak({ line: 1, title: 'a session killed at any moment of a request', seeds: 1 }, (seed) => {
  const run = new KilledRequests(seed, MOMENTS);
  try {
    for (let i = 0; i < REQUESTS; i++) run.step();
  } finally {
    run.end();
  }
  return { requests: run.requests, kills: run.kills };
});
