/** Brings contents of a mount here that only the store's remote has. */

import { realpathSync } from 'node:fs';
import { reasonOf, SpinneyError } from '../../../engine/errors.js';
import { askDaemonForLines } from '../../control/client.js';
import type { WarmReport } from '../../control/reports.js';
import { mountAround } from '../../places/place.js';
import { controlSocketOf } from '../../places/served-store.js';
import { formatBytes } from '../../process/text/bytes-text.js';
import { requiredText } from '../options/arguments.js';
import type { Command } from '../options/command.js';
import { Progress } from '../output/progress.js';

export const warm: Command = {
  name: 'warm',
  summary: 'Fetch the contents of a file or a tree from the remote, before they are wanted',
  argument: { name: 'path', isRequired: true, describe: 'File or directory in a mount', values: 'mount' },
  options: { json: { describe: 'Print JSON' } },
  async run(raw, output) {
    const given = requiredText(raw, 'path');
    const path = resolved(given);
    const mount = mountAround(path);
    if (mount === undefined)
      throw new SpinneyError('ERR_MOUNT', `Cannot fetch ${given}: it is not in a Spinney mount`);
    const inside = path.slice(mount.mountpoint.length) || '/';
    const socket = controlSocketOf({ store: mount.source, mount });
    const progress = new Progress(output);
    let last: WarmReport | undefined;
    try {
      await askDaemonForLines(socket, `/v1/warm?path=${encodeURIComponent(inside)}`, (line) => {
        const told = line as WarmReport;
        if (last === undefined) progress.beginBytes('fetching', told.bytes, told.files);
        progress.bytes(told.bytesDone - (last?.bytesDone ?? 0));
        for (let file = last?.filesDone ?? 0; file < told.filesDone; file++) progress.file();
        last = told;
      });
    } finally {
      progress.clear();
    }
    if (last === undefined)
      throw new SpinneyError('ERR_IO', `Cannot fetch ${given}: the daemon told nothing`);
    const { bytes, files, filesDone, failures } = last;
    if (raw.json === true) output.out(`${JSON.stringify(last, null, 2)}\n`);
    else output.out(`${filesDone} of ${files} files are here, of ${formatBytes(bytes)}\n`);
    if (failures > 0) output.err(`${failures} files could not be fetched; the log of the daemon tells why\n`);
    return failures > 0 ? 1 : 0;
  },
};

function resolved(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    throw new SpinneyError('ERR_NOT_FOUND', `Cannot fetch ${path}: ${reasonOf(error)}`);
  }
}
