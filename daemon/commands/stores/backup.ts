import { resolve } from 'node:path';
import type { SnapshotActions } from '../../../mount/backup/index.js';
import { askDaemon } from '../../control/client.js';
import { controlSocketPath } from '../../control/socket-path.js';
import { formatBytes } from '../../process/text/bytes-text.js';
import { requiredText, textOption } from '../options/arguments.js';
import type { Command } from '../options/command.js';
import { PLACE, servedIn, type Target, targetOfStore, targetOptions } from '../options/target.js';
import { formatTable } from '../output/output.js';
import { Progress } from '../output/progress.js';

export const backup: Command = {
  name: 'backup',
  summary: 'Make a directory the backup of a store that may be mounted, or bring it up to date',
  argument: {
    name: 'directory',
    isRequired: true,
    describe: 'Of the backup, which is a store',
    values: 'directory',
  },
  more: [{ ...PLACE, describe: `${PLACE.describe}, that is backed up` }],
  options: { ...targetOptions, json: { describe: 'Print JSON' } },
  async run(raw, output) {
    const target = resolve(requiredText(raw, 'directory'));
    const { store } = await servedIn(raw, textOption(raw, PLACE.name));
    const control = textOption(raw, 'control');
    const progress = new Progress(output);
    // Loaded here only, so that the other verbs start fast.
    const { backUp } = await import('../../../mount/backup/index.js');
    const snapshots = actionsOn(async () =>
      control === undefined ? await targetOfStore({ store }) : { socket: controlSocketPath({ control }) },
    );
    try {
      const done = await backUp({ store, target, snapshots, progress });
      progress.clear();
      const result = { store, backup: target, ...done };
      if (raw.json === true) {
        output.out(`${JSON.stringify(result, null, 2)}\n`);
        return 0;
      }
      const { blobs, contents } = result;
      output.out(
        `${formatTable({
          ...result,
          blobs: { ...blobs, bytes: formatBytes(blobs.bytes) },
          contents: { ...contents, bytes: formatBytes(contents.bytes) },
        })}\n`,
      );
      return 0;
    } finally {
      progress.clear();
    }
  },
};

/** Whether the store is mounted may change during a run: each time it is looked at anew. */
function actionsOn(target: () => Promise<Target>): SnapshotActions {
  const ask = async (
    method: 'POST' | 'DELETE',
    path: string,
    otherwise: (store: string) => Promise<unknown>,
  ) => {
    const found = await target();
    if ('socket' in found) await askDaemon(found.socket, method, path);
    else await otherwise(found.store);
  };
  return {
    create: (name) =>
      ask('POST', `/v1/snapshots?name=${encodeURIComponent(name)}`, async (store) => {
        const { createSnapshot } = await import('../../mounting/unmounted.js');
        return createSnapshot(store, name);
      }),
    delete: (name) =>
      ask('DELETE', `/v1/snapshots/${encodeURIComponent(name)}`, async (store) => {
        const { deleteSnapshot } = await import('../../mounting/unmounted.js');
        return deleteSnapshot(store, name);
      }),
  };
}
