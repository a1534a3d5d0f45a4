/** Whom a command about a store's snapshots has to do with: the daemon that serves it, or, where none does, the store itself. */
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { findMount } from '../../mount/mountinfo.js';
import { controlSocketPath } from '../control/socket-path.js';
import { daemonsOf } from '../places/daemon-record.js';
import { isSpinney, resolveMountpoint } from '../places/mountpoint.js';
import { controlSocketOf } from '../places/served-store.js';
import { badArgument, type RawOptions, textOption } from './arguments.js';
import type { CommandOption } from './command.js';

export const targetOptions: Readonly<Record<string, CommandOption>> = {
  store: { takesValue: true, describe: 'Directory of the store, in place of the argument' },
  control: {
    takesValue: true,
    describe: 'Path of the control socket',
    default: 'as the daemon has told in its store',
  },
};

export type Target = { socket: string } | { store: string };

/** `place`: the mountpoint or store that was given; default: the mount that the working directory is in. */
export function targetOf(options: RawOptions, given: string | undefined): Target {
  const control = textOption(options, 'control');
  const store = textOption(options, 'store');
  if (given !== undefined && store !== undefined)
    throw badArgument(`both ${given} and --store ${store} were given; give one`);
  if (control !== undefined) return { socket: controlSocketPath({ control }) };
  const place = given ?? store ?? mountAround(process.cwd());
  if (place === undefined) throw badArgument('say which store: give a mountpoint, a store, or --control');
  const path = resolveMountpoint(place);
  const mount = findMount(path);
  const isMount = mount !== undefined && isSpinney(mount);
  if (!isMount && existsSync(path) && daemonsOf(path).length === 0) return { store: path };
  return { socket: controlSocketOf(place) };
}

/** Whether a store is told by an option, or by where the command runs. */
export function isTargetTold(options: RawOptions): boolean {
  const isGiven = options.store !== undefined || options.control !== undefined;
  return isGiven || mountAround(process.cwd()) !== undefined;
}

/** The mountpoint of ours that the path is in. Touches no mount. */
function mountAround(path: string): string | undefined {
  for (let at = path; ; at = dirname(at)) {
    const mount = findMount(at);
    if (mount !== undefined) return isSpinney(mount) ? at : undefined;
    if (at === dirname(at)) return undefined;
  }
}
