/**
 * `npm run bench [-- --quick] [-- engine|mount ...]`: prints one JSON line for each figure. Run it on a machine that
 * does nothing else: there are two threads at work, the client's and the daemon's.
 */
import { benchEngine } from './engine.mjs';
import { reportMachine } from './measure.mjs';
import { benchMount } from './mount.mjs';

const args = process.argv.slice(2);
const quick = args.includes('--quick');
const parts = args.filter((arg) => !arg.startsWith('--'));
const unknown = parts.filter((part) => part !== 'engine' && part !== 'mount');
if (unknown.length > 0) {
  console.error(`bench: Cannot run ${unknown.join(', ')}: the parts are engine and mount`);
  process.exit(2);
}
const wants = (part) => parts.length === 0 || parts.includes(part);

reportMachine();
if (wants('engine')) benchEngine(quick ? [2_000] : [20_000, 500_000]);
if (wants('mount')) benchMount(quick ? 500 : 10_000);
