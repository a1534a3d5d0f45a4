/**
 * Mounts of Spinney, of other FUSE filesystems, and the filesystem below all of them, with the same client, in turns.
 * systems.mjs says what is mounted, workloads.mjs what is done, rounds.mjs how the turns go, client.c does it.
 */
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { median, print, RUNS, report } from '../lib/report.mjs';
import { compile, descriptorLimit, install } from './client/programs.mjs';
import { FIGURES } from './figures/figures.mjs';
import { Samples } from './figures/samples.mjs';
import { FULL, QUICK } from './figures/sizes.mjs';
import { mountTables } from './figures/tables.mjs';
import { unmountBelow } from './mounted.mjs';
import { markAsTop } from './place.mjs';
import { killAll, say } from './processes.mjs';
import { makeArchives } from './real-files.mjs';
import { runWorkload } from './rounds.mjs';
import { BASE, SYSTEMS } from './systems.mjs';
import { WORKLOADS } from './workloads.mjs';

const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };
const EXT4 = 0xef53;
/** Descriptors that a server needs besides those for what is measured: for open files, and what warmed it up. */
const SPARE = 1_000;

/** Measures the workloads and systems of these names, printing each figure, and returns the tables. */
export async function benchMount({ quick, only, systems: names, rounds = quick ? 1 : RUNS }) {
  const { here, absent } = install(SYSTEMS.filter(({ name }) => names.includes(name)));
  for (const { system, reason } of absent) say(`${system.title} is left out: ${reason}`);
  if (process.getuid() !== 0) say('there are no cold figures: only root can have the kernel forget');
  return await withDirectory(async (base) => {
    const programs = await compile(base, here);
    const descriptors = await descriptorLimit();
    const inputs = { ...(quick ? QUICK : FULL) };
    if (only.some((name) => WORKLOADS[name].archives)) {
      const archived = Math.min(inputs.archived, descriptors - SPARE);
      Object.assign(inputs, await makeArchives(base, { ...inputs, archived }));
      inputs.archived = inputs.archive.entries;
      inputs.versioned = inputs.repository.files;
    }
    const samples = new Samples();
    for (const name of only) {
      const workload = WORKLOADS[name];
      const fail = (system, { message }) => leaveOut(system, name, message);
      const those = here.filter((system) => {
        if (workload.takesPart?.(system) === false) return false;
        const reason = obstacle(workload, system, inputs, descriptors);
        if (reason !== undefined) fail(system, new Error(reason));
        return reason === undefined;
      });
      const own = new Samples();
      const keep = (...sample) => {
        own.add(...sample);
        samples.add(...sample);
      };
      await runWorkload(workload, those, { base, programs, inputs, rounds, warmUp: !quick, keep, fail });
      printFigures(own);
    }
    return mountTables(samples, { sizes: inputs, quick });
  });
}

/** Why a system cannot take part, if it cannot. */
function obstacle({ without = {}, entries = () => 0 }, system, inputs, descriptors) {
  if (system.name in without) return without[system.name];
  if (!system.descriptors || entries(inputs) + SPARE <= descriptors) return undefined;
  return `it holds a descriptor for each entry, and the limit is ${descriptors}`;
}

function leaveOut(system, name, message) {
  print({ figure: 'mount.leftOut', system: system.name, workload: name, reason: message });
  say(`${system.title} is left out of ${name}: ${message}`);
  if (system.name.startsWith('spinney')) process.exitCode = 1;
}

function printFigures(samples) {
  for (const { figure, clients, systems } of samples.figures()) {
    for (const system of systems) {
      const those = samples.of(figure, clients, system);
      const { unit } = FIGURES[figure];
      const cpu = those.map(({ cpuUs }) => cpuUs).filter((us) => us !== undefined);
      const more = {
        ratio: samples.ratio(figure, clients, system, BASE),
        cpuUsPerOp: cpu.length > 0 ? median(cpu) : undefined,
      };
      const times = those.map(({ time }) => time);
      report(`mount.${figure}`, { system, clients }, times, unit === 'us' ? 'us/op' : unit, more);
    }
  }
}

/** Everything is in one directory, which is gone at the end however it ends, and its mounts before it. */
async function withDirectory(use) {
  const base = mkdtempSync(join(tmpdir(), 'spinney-bench-'));
  markAsTop(base);
  if (statfsSync(base).type !== EXT4) say(`what is called "below" is not ext4: ${base}`);
  const cleanUp = () => {
    killAll();
    if (unmountBelow(base)) rmSync(base, { recursive: true, force: true });
    else say(`Cannot unmount what is in ${base}`);
  };
  const handlers = Object.entries(SIGNALS).map(([signal, code]) => {
    const handler = () => process.exit(code);
    process.once(signal, handler);
    return [signal, handler];
  });
  process.once('exit', cleanUp);
  try {
    return await use(base);
  } finally {
    cleanUp();
    process.off('exit', cleanUp);
    for (const [signal, handler] of handlers) process.off(signal, handler);
  }
}
