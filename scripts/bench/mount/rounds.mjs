/**
 * A workload in rounds: in each every system has one turn, in an order that moves by one from round to round. Only the
 * system whose turn it is is mounted, so that nobody pays for what another does in the background. The first round is
 * warm-up. A system that fails is left out of the rest of the workload; one whose turn takes more
 * than a minute is not repeated, but for the one that all are held against.
 */
import { Client } from './client/client.mjs';
import { makePlace } from './place.mjs';
import { run } from './processes.mjs';
import { BASE } from './systems.mjs';
import { Turn } from './turn.mjs';
import { prepareWarmUp } from './warm-up.mjs';

const SLOW_MS = 60_000;
const REMOVE_MS = 3_600_000;

/** Calls `keep(figure, clients, system, round, sample)` with what was measured, and `fail(system, error)` with what was not. */
export async function runWorkload(workload, systems, { base, programs, inputs, rounds, warmUp, keep, fail }) {
  const site = { workload, inputs, programs, keep };
  const places = [];
  let those = [];
  for (const system of systems) {
    const place = makePlace(base, system, workload, inputs);
    places.push(place);
    await attempt(system, fail, async () => {
      await prepare(system, place, site);
      those.push({ system, place });
    });
  }
  const slow = new Set();
  for (let round = warmUp ? 0 : 1; round <= rounds; round++) {
    const inOrder = those.map((_, turn) => those[(turn + round) % those.length]);
    for (const one of inOrder) {
      if (slow.has(one)) continue;
      const started = performance.now();
      const done = await attempt(one.system, fail, () => takeTurn(one, round, site));
      if (!done) those = those.filter((other) => other !== one);
      else if (performance.now() - started > SLOW_MS && one.system.name !== BASE) slow.add(one);
    }
  }
  for (const { directory } of places)
    await run(['rm', '-rf', '--one-file-system', directory], { timeoutMs: REMOVE_MS });
}

async function prepare(system, place, { workload, inputs, programs }) {
  await system.make?.(place);
  if (workload.fill === undefined) return;
  await system.fill(place, async (root) => {
    const client = new Client(programs.client, root);
    await prepareWarmUp(client, place);
    await workload.fill(client, inputs);
  });
}

async function takeTurn({ system, place }, round, { workload, inputs, programs, keep }) {
  const samples = [];
  const turn = new Turn(system, place, programs, (...sample) => samples.push(sample));
  try {
    await workload.turn(turn, inputs);
  } finally {
    await turn.end();
  }
  for (const [figure, clients, sample] of samples) keep(figure, clients, system.name, round, sample);
}

/** Whether it was done. */
async function attempt(system, fail, what) {
  try {
    await what();
    return true;
  } catch (error) {
    fail(system, error);
    return false;
  }
}
