/**
 * Whom a command has to do with that is about a store or its mount. All such commands take the same words for it: as an argument
 * `place`, or as the options here; without any the mount that they are run in is meant.
 */
import { existsSync } from 'node:fs';
import { controlSocketPath } from '../../control/socket-path.js';
import { daemonsOf } from '../../places/daemon-record.js';
import { knownMounts } from '../../places/known-mounts.js';
import { mountAround } from '../../places/place.js';
import { awaitRestart } from '../../places/restarting.js';
import { controlSocketOf, findServed, type ServedStore } from '../../places/served-store.js';
import { badArgument, type RawOptions, textOption } from './arguments.js';
import type { Command, CommandOption } from './command.js';

export const PLACE = { name: 'place', describe: 'Mountpoint, or anything in the mount, or store' } as const;

/** For a command whose first argument it is. */
export const placeArgument: Command['argument'] = { ...PLACE, isRequired: false, values: 'mount' };

export const targetOptions: Readonly<Record<string, CommandOption>> = {
  store: {
    takesValue: true,
    values: 'directory',
    describe: 'Directory of the store, in place of the argument',
  },
  control: {
    takesValue: true,
    values: 'file',
    describe: 'Path of the control socket',
    default: 'as the daemon has told in its store',
  },
};

/** A daemon that serves the store, or, where none does, the store itself. */
export type Target = { socket: string } | { store: string };

/** The control socket of the daemon that the command is for. */
export async function socketOf(options: RawOptions, given: string | undefined): Promise<string> {
  const control = textOption(options, 'control');
  const place = placeIn(options, given);
  if (control !== undefined) return controlSocketPath({ control });
  const served = await servedBy(options, place);
  await awaitRestart(served.store);
  return controlSocketOf(served);
}

/** What the command is for, mounted or not. */
export async function targetOf(options: RawOptions, given: string | undefined): Promise<Target> {
  const control = textOption(options, 'control');
  const place = placeIn(options, given);
  if (control !== undefined) return { socket: controlSocketPath({ control }) };
  return targetOfStore(await servedBy(options, place));
}

/** As it is now: whether the store is mounted may change. A daemon that is being started again is waited for. */
export async function targetOfStore(served: ServedStore): Promise<Target> {
  const { store, mount } = served;
  await awaitRestart(store);
  const isUnserved = mount === undefined && existsSync(store) && daemonsOf(store).length === 0;
  return isUnserved ? { store } : { socket: controlSocketOf(served) };
}

/** The store that the command is for. */
export async function servedIn(options: RawOptions, given: string | undefined): Promise<ServedStore> {
  return servedBy(options, placeIn(options, given));
}

/** Whether a store is told by an option, or by where the command runs. */
export function isTargetTold(options: RawOptions): boolean {
  const isGiven = options.store !== undefined || options.control !== undefined;
  return isGiven || mountAround(process.cwd()) !== undefined;
}

/** The one place that was named. */
function placeIn(options: RawOptions, given: string | undefined): string | undefined {
  const store = textOption(options, 'store');
  if (given === undefined || store === undefined) return given ?? store;
  throw badArgument(`both ${given} and --store ${store} were given; give one`);
}

async function servedBy(options: RawOptions, place: string | undefined): Promise<ServedStore> {
  if (place !== undefined) return findServed(place, { meansStore: options.store !== undefined });
  const mount = mountAround(process.cwd());
  if (mount === undefined)
    throw badArgument(`say which: give a mountpoint, a store, or --control${mounted()}`);
  return { store: mount.source, mount };
}

/** What could be meant. It is never guessed, be it only one: there may be a second one tomorrow. */
function mounted(): string {
  const mountpoints = knownMounts().flatMap(({ entry, pid }) => (pid === undefined ? entry.mountpoint : []));
  return mountpoints.length === 0
    ? ' (nothing is mounted here)'
    : ` (mounted here: ${mountpoints.join(', ')})`;
}
