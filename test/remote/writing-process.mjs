/**
 * A writer of a remote in a process of its own, to be killed: takes over, prints what it found, and appends for ever. Each line of its
 * output is an object of JSON: {"found": [...]}, {"acknowledged": n}, or {"ended": code} at last.
 *
 * node writing-process.mjs <bucket> <prefix> <holder> <number of its first item>
 */
import { openRemote } from '../../dist/engine/remote/open-remote.js';
import { newId } from '../../dist/engine/remote/site.js';
import { takeOver } from '../../dist/engine/remote/take-over.js';
import { BOOT_CLOCK } from '../../dist/engine/store/object/clock.js';
import { RetryingObjectStore } from '../../dist/engine/store/object/retrying-object-store.js';

const [bucket, prefix, holder, first] = process.argv.slice(2);
const AT_A_TIME = 4;

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const remote = await openRemote({ bucket, prefix });
const store = new RetryingObjectStore(remote, { clock: BOOT_CLOCK, random: Math.random, patienceMs: 10_000 });
const found = [];
const writer = await takeOver(
  { store, clock: BOOT_CLOCK, newId },
  {
    holder,
    leaseMs: 2_000,
    restore: async () => {},
    replay: async (body) => {
      for (let at = 0; at < body.length; at += 4) found.push(Buffer.from(body).readUInt32LE(at));
    },
  },
);
say({ found });

let next = Number(first);
async function appendForever() {
  for (;;) {
    const item = next++;
    const body = Buffer.alloc(4);
    body.writeUInt32LE(item);
    await writer.append(body);
    say({ acknowledged: item });
  }
}
try {
  await Promise.all(Array.from({ length: AT_A_TIME }, appendForever));
} catch (error) {
  say({ ended: error.code });
}
process.exit();
