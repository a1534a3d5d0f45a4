/**
 * Mounts that are compared in turns: the caches of processors and the clock of a machine move all the time, so only turns beside
 * each other tell anything, and they change places.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { median } from '../lib/report.mjs';
import { Client } from './client/client.mjs';
import { Mount } from './mounted.mjs';

export const CLI = fileURLToPath(new URL('../../../dist/daemon/cli.js', import.meta.url));
/** Each look is a request for the name and one for the attributes. */
export const UNCACHED = ['--entry-timeout', '0', '--attr-timeout', '0', '--negative-timeout', '0'];
/** Turns that are not counted. */
export const WARM_UP_TURNS = 6;

/**
 * A mount in `place` with a directory "files" of `files` empty files, and a client of it: { name, mount, client }. `environment` is
 * for its daemon alone.
 */
export async function startSide(program, place, { name, files, flags = [], environment = {} }) {
  const mountpoint = join(place, 'mnt');
  mkdirSync(mountpoint, { recursive: true });
  const argv = [process.execPath, CLI, 'mount', mountpoint, '--store', join(place, 'store'), '--foreground'];
  const mount = await Mount.start(
    [...argv, '--log-level', 'warn', '--driver', 'kernel', ...UNCACHED, ...flags],
    mountpoint,
    environment,
  );
  const client = new Client(program, mountpoint, mount);
  await client.make('files');
  await client.do('create', 'files', { count: files });
  return { name, mountpoint, mount, client };
}

/** The sides, another one first at each turn. */
export function orderOf(sides, turn) {
  const first = (turn + WARM_UP_TURNS) % sides.length;
  return [...sides.slice(first), ...sides.slice(0, first)];
}

/** Microseconds of one of `count` operations, and of the daemon's processor time: { micros, cpuMicros }. */
export function each({ ns, cpuNs }, count) {
  return { micros: ns / 1000 / count, cpuMicros: cpuNs / 1000 / count };
}

/** One of `repeats` looks at each of a side's files. */
export async function look({ client }, files, repeats) {
  return each(await client.do('stat', 'files', { count: files, repeats }), files * repeats);
}

/** One of `files` files that are made in a new directory, which is removed again. */
export async function create({ client }, files, turn) {
  const made = `made${turn}`;
  await client.make(made);
  const taken = await client.do('create', made, { count: files });
  await client.remove(made);
  return each(taken, files);
}

/** { ratio, quartiles } of ratios. */
export function summary(ratios) {
  const sorted = ratios.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.floor(share * (sorted.length - 1))];
  return { ratio: median(ratios), quartiles: [at(0.25), at(0.75)] };
}
