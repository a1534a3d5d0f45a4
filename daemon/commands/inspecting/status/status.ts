import { SpinneyError } from '../../../../engine/errors.js';
import { findServed, type ServedStore } from '../../../places/served-store.js';
import { badArgument, textOption } from '../../options/arguments.js';
import type { Command } from '../../options/command.js';
import { PLACE, placeArgument, targetOptions } from '../../options/target.js';
import type { FullStatus, Named } from './gather.js';
import { listText, oneText } from './text.js';

/** States that somebody should look at. */
const BAD: readonly string[] = ['degraded', 'hung', 'dead'];

export const status: Command = {
  name: 'status',
  summary:
    'List all mounts of this machine, or tell one in full, with who holds files there: exit code 1 where one is degraded, hung or dead',
  argument: placeArgument,
  options: { store: targetOptions.store!, json: { describe: 'Print JSON' } },
  async run(options, output) {
    const given = textOption(options, PLACE.name);
    const store = textOption(options, 'store');
    if (given !== undefined && store !== undefined)
      throw badArgument(`both ${given} and --store ${store} were given; give one`);
    const place = given ?? store;
    const served = place && (await findServed(place, { meansStore: store !== undefined }));
    // Loaded here only, so that the other verbs start fast.
    const { gatherStatus } = await import('./gather.js');
    const { mounts, notes } = await gatherStatus((mount) => !served || isMeant(mount, served));
    if (served && mounts.length === 0)
      throw new SpinneyError('ERR_MOUNT', `Cannot tell the status of ${place}: it is not mounted`);
    if (options.json === true)
      output.out(`${JSON.stringify(reportOf(mounts, notes, served !== undefined), null, 2)}\n`);
    else
      output.out(served ? mounts.map((mount) => oneText(mount, notes)).join('\n') : listText(mounts, notes));
    return mounts.some(({ state }) => BAD.includes(state)) ? 1 : 0;
  },
};

function isMeant({ mountpoint, copies, store }: Named, served: ServedStore): boolean {
  // A mountpoint of another namespace is no mount here.
  const places = mountpoint === undefined ? copies : [mountpoint, ...copies];
  if (served.mount === undefined) return [store, ...places].includes(served.store);
  return places.includes(served.mount.mountpoint);
}

/** In full with settings and clients, else with the number of these. */
function reportOf(mounts: readonly FullStatus[], notes: readonly string[], isFull: boolean): object {
  const told = mounts.map(({ device: _, clients, settings, ...mount }) =>
    isFull
      ? { ...mount, settings, clients: clients.map(({ device: _, ...client }) => client) }
      : { ...mount, clients: countOf(clients) },
  );
  return { mounts: told, notes };
}

function countOf(clients: FullStatus['clients']): number {
  return new Set(clients.map(({ pid }) => pid)).size;
}
