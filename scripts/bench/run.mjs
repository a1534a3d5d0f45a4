/**
 * `npm run bench [-- engine|mount ...] [flags]`: prints one JSON line for each figure, and at the end tables in
 * Markdown. Run it on a machine that does nothing else: there are two threads at work, the client's and the daemon's, or
 * those that read side by side.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ENGINES } from './engine/stores.mjs';
import { PARTS } from './engine/workloads.mjs';
import { SHAPES } from './lib/keys.mjs';
import { machine, print } from './lib/report.mjs';
import { benchMount } from './mount/index.mjs';
import { SYSTEMS } from './mount/systems.mjs';
import { WORKLOADS } from './mount/workloads.mjs';
import { installPeers } from './peers.mjs';

const KNOWN = { engine: PARTS, mount: Object.keys(WORKLOADS) };
const SYSTEMS_OF = { engine: ENGINES, mount: SYSTEMS.map(({ name }) => name) };

const USAGE = `npm run bench [-- engine|mount ...] [flags]
  --quick            little of everything, one short round: that it works, not how fast
  --rounds N         rounds that count (5)
  --only NAME        of the engine: ${KNOWN.engine.join(', ')};
                     of the mount: ${KNOWN.mount.join(', ')}; may be repeated (all)
  --keys N           of the engine: keys in the store; may be repeated (20000, 500000 and 2000000)
  --shape NAME       of the engine: ${Object.keys(SHAPES).join(', ')}; may be repeated (all)
  --system NAME      of the engine: ${ENGINES.join(', ')};
                     of the mount: ${SYSTEMS_OF.mount.join(', ')};
                     may be repeated (all)
  --markdown FILE    write the tables there too`;

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
        rounds: { type: 'string' },
        keys: list,
        shape: list,
        only: list,
        system: list,
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

/** The number given, or what there is without. */
function wholeNumber(flag, text, least) {
  const number = Number(text);
  if (!Number.isInteger(number) || number < least)
    fail(`Cannot use ${flag} ${text}: give a number from ${least}`);
  return number;
}

const { values: flags, positionals } = parsed();
const parts = chosen('part', positionals, Object.keys(KNOWN));
const only = chosen('workload', flags.only, [...new Set(parts.flatMap((part) => KNOWN[part]))]);
const shapes = chosen('shape', flags.shape, Object.keys(SHAPES));
const systems = chosen('system', flags.system, [...new Set(parts.flatMap((part) => SYSTEMS_OF[part]))]);
const rounds = flags.rounds === undefined ? undefined : wholeNumber('--rounds', flags.rounds, 1);
const usualSizes = flags.quick ? [2_000] : [20_000, 500_000, 2_000_000];
const sizes =
  flags.keys.length > 0 ? flags.keys.map((text) => wholeNumber('--keys', text, 1_000)) : usualSizes;

const BENCHES = {
  engine: async (common) => {
    if (common.systems.some((name) => name !== 'spinney')) installPeers();
    // Only now, since it imports what has just been installed.
    const { benchEngine } = await import('./engine/engine.mjs');
    return benchEngine({ ...common, sizes, shapes });
  },
  mount: benchMount,
};

print(machine());
const tables = [];
for (const part of parts) {
  // In their own order, in which what disturbs others comes last.
  const own = KNOWN[part].filter((name) => only.includes(name));
  const those = SYSTEMS_OF[part].filter((name) => systems.includes(name));
  if (own.length === 0 || those.length === 0) continue;
  tables.push(await BENCHES[part]({ quick: flags.quick, rounds, only: own, systems: those }));
}
const markdown = tables.filter((text) => text !== '').join('\n');
console.log(markdown);
if (flags.markdown !== undefined) writeFileSync(flags.markdown, markdown);
