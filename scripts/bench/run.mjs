/**
 * `npm run bench [-- engine|mount ...] [flags]`: prints one JSON line for each figure, and after the engine's part
 * tables in Markdown. Run it on a machine that does nothing else: there are two threads at work, the client's and the
 * daemon's, or those that read side by side.
 */
import { parseArgs } from 'node:util';
import { SHAPES } from './keys.mjs';
import { benchMount } from './mount.mjs';
import { installPeers } from './peers.mjs';
import { machine, print } from './report.mjs';
import { PARTS } from './workloads.mjs';

const USAGE = `npm run bench [-- engine|mount ...] [flags]
  --quick            2,000 keys, one short round: that it works, not how fast
  --keys N           keys in the store; may be repeated (20000, 500000 and 2000000)
  --shape NAME       ${Object.keys(SHAPES).join(', ')}; may be repeated (all)
  --only NAME        ${PARTS.join(', ')}; may be repeated (all)
  --markdown FILE    write the engine's tables there too`;

const list = { type: 'string', multiple: true, default: [] };

function fail(message) {
  console.error(`bench: ${message}\n${USAGE}`);
  process.exit(2);
}

function parsed() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        quick: { type: 'boolean', default: false },
        keys: list,
        shape: list,
        only: list,
        markdown: { type: 'string' },
      },
    });
  } catch (error) {
    return fail(error.message);
  }
}

/** The names given, all of which must be known; all that are known if none is given. */
function chosen(what, names, known) {
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) fail(`Cannot run the ${what} ${unknown.join(', ')}: there is ${known.join(', ')}`);
  return names.length > 0 ? names : known;
}

const { values: flags, positionals } = parsed();
const parts = chosen('part', positionals, ['engine', 'mount']);
const sizes =
  flags.keys.length > 0 ? flags.keys.map(Number) : flags.quick ? [2_000] : [20_000, 500_000, 2_000_000];
if (!sizes.every((size) => Number.isInteger(size) && size >= 1_000))
  fail('Cannot use --keys: give a number from 1000');

print(machine());
if (parts.includes('engine')) {
  installPeers();
  // Only now, since it imports what has just been installed.
  const { benchEngine } = await import('./engine.mjs');
  await benchEngine({
    quick: flags.quick,
    sizes,
    shapes: chosen('shape', flags.shape, Object.keys(SHAPES)),
    only: chosen('workload', flags.only, PARTS),
    markdown: flags.markdown,
  });
}
if (parts.includes('mount')) benchMount(flags.quick ? 500 : 10_000);
