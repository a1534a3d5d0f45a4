/** Looks at what may hang. Serves `Lookout`. */
import { parentPort } from 'node:worker_threads';
import { failureOf } from '../../process/failure.js';
import type { LookReply, LookRequest } from './lookout.js';
import { LOOKS } from './looks.js';

parentPort?.on('message', ({ look, given }: LookRequest) => {
  let reply: LookReply;
  try {
    const run = LOOKS[look] as (...given: readonly unknown[]) => unknown;
    reply = { result: run(...given) };
  } catch (error) {
    reply = { failure: failureOf(error) };
  }
  parentPort?.postMessage(reply);
});
const ready: LookReply = { result: undefined };
parentPort?.postMessage(ready);
