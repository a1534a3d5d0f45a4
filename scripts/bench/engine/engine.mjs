/**
 * The engine against the databases that one would take instead: all in one process, with the same keys, in turns.
 * stores.mjs makes the stores, workloads.mjs says what is done, rounds.mjs how the turns go, threads.mjs measures
 * several threads, systems/ has one adapter for each system.
 */
import { SHAPES, unsharedKeyBytes, VALUE_BYTES } from '../lib/keys.mjs';
import { median, print, RUNS, report } from '../lib/report.mjs';
import { markdownTables } from './markdown.mjs';
import { runRounds } from './rounds.mjs';
import { withStores } from './stores.mjs';
import { benchThreads } from './threads.mjs';
import { PARTS, WORKLOADS } from './workloads.mjs';

/** How long a turn and an interval of the threads are to last, in milliseconds; and how many rounds there are. */
const FULL = { turnMs: 50, mostOperations: Number.POSITIVE_INFINITY, intervalMs: 250, rounds: RUNS };
const QUICK = { turnMs: 0, mostOperations: 1000, intervalMs: 20, rounds: 1 };

/** Measures what the options ask for, printing each figure, and returns the tables. */
export async function benchEngine({ quick, sizes, shapes, systems, only, rounds }) {
  const timing = { ...(quick ? QUICK : FULL), ...(rounds !== undefined && { rounds }) };
  const figures = [];
  // Writes that survive a power cut take as long as the disk does, whatever the keys: once is enough.
  let durable = true;
  for (const count of sizes) {
    for (const name of shapes) {
      const parts = partsOf(SHAPES[name], only, durable);
      if (parts.length === 0) continue;
      figures.push(...(await benchShape(name, count, parts, systems, timing)));
      durable &&= !parts.includes('putDurable');
    }
  }
  return markdownTables(figures);
}

/** Those of the parts asked for that are measured with the shape, in the order in which they are told. */
function partsOf(shape, only, durable) {
  return PARTS.filter(
    (part) => only.includes(part) && shape.parts.includes(part) && (durable || part !== 'putDurable'),
  );
}

async function benchShape(shapeName, count, parts, systems, timing) {
  const shape = SHAPES[shapeName];
  const labels = { shape: shapeName, keys: count };
  const figures = [];
  const durable = parts.includes('putDurable');
  await withStores({ systems, durable, shape, count }, async (stores, spaces) => {
    for (const part of parts) {
      if (part === 'space') figures.push(...spaceFigures(spaces, shape, labels));
      else if (part === 'threads') figures.push(...(await benchThreads(stores, labels, timing)));
      else figures.push(...(await workloadFigures(part, stores, shape, labels, timing)));
    }
  });
  return figures;
}

/** Reads are the same at every durability level, so one is enough. */
function takesPart({ system, first, durable }, workload) {
  if (workload.systems?.includes(system) === false) return false;
  return workload.durable ? durable : !durable && (first || workload.writes === true);
}

async function workloadFigures(name, stores, shape, labels, timing) {
  const workload = WORKLOADS[name];
  const those = stores.filter((store) => takesPart(store, workload));
  const results = await runRounds(workload, those, { shape, count: labels.keys, ...timing });
  return those.map(({ system, level }, i) => {
    const { perOperation, ratios, settleMs, p50, p99 } = results[i];
    const more = { ratio: median(ratios), settleMs, p50, p99 };
    return report(name, { system, durability: level, ...labels, threads: 1 }, perOperation, 'us/op', more);
  });
}

function spaceFigures(spaces, shape, labels) {
  const least = labels.keys * VALUE_BYTES + unsharedKeyBytes(shape, labels.keys);
  return spaces.map((space) => print(spaceFigure(space, labels, least)));
}

/** `least`: bytes of all values and of the parts of keys that a key does not share with the one before it. */
function spaceFigure({ system, loadMs, diskBytes, liveBytes, averageFill, maxBlobDepth }, labels, least) {
  const { keys } = labels;
  const perKey = (bytes) => bytes / keys;
  const figure = {
    figure: 'space',
    system,
    ...labels,
    loadUsPerKey: (loadMs * 1000) / keys,
    leastBytesPerKey: perKey(least),
    diskBytesPerKey: perKey(diskBytes),
    diskRatio: diskBytes / least,
  };
  if (liveBytes === undefined) return figure;
  return {
    ...figure,
    liveBytesPerKey: perKey(liveBytes),
    liveRatio: liveBytes / least,
    averageFill,
    maxBlobDepth,
  };
}
