import { resolve } from 'node:path';
import { SpinneyError } from '../../../engine/errors.js';
import type { RepairFinding } from '../../../engine/index.js';
import type { Repaired } from '../../../mount/repair/index.js';
import { refuseRemote } from '../../places/remote-place.js';
import { storeOf } from '../../places/served-store.js';
import { badArgument, requiredText, textOption } from '../options/arguments.js';
import type { Command } from '../options/command.js';
import { Findings } from '../output/findings.js';

const INCOMPLETE = 1;

export const repair: Command = {
  name: 'repair',
  summary:
    'Salvage a damaged store into a new one: exit code 0 repaired or sound, 1 something is lost, 2 cannot open it',
  argument: { name: 'store', isRequired: true, describe: 'Directory of the store', values: 'directory' },
  options: {
    to: {
      takesValue: true,
      values: 'directory',
      describe: 'Directory of the new store',
      default: '<store>.repaired',
    },
    yes: { describe: 'Do it' },
    'dry-run': { describe: 'Only say what would be done, as without --yes' },
    unproven: { describe: 'Keep records in damaged blobs that look whole, under lost+found' },
    json: { describe: 'Print JSON' },
  },
  async run(raw, output) {
    const store = storeOf(requiredText(raw, 'store'));
    const target = resolve(textOption(raw, 'to') ?? `${store}.repaired`);
    if (raw.yes === true && raw['dry-run'] === true) throw badArgument('both --yes and --dry-run were given');
    refuseRemote(
      `repair ${store}`,
      store,
      'mount the remote with an empty directory instead: it has the store as it was shipped (spinney check s3://... tells how that is)',
    );
    const isDry = raw.yes !== true;
    const findings = new Findings<RepairFinding>(output, raw.json === true);
    const { progress, report } = findings;
    let repaired: Repaired;
    try {
      // Loaded here only, so that the other verbs start fast.
      const { repairStore } = await import('../../../mount/repair/index.js');
      repaired = repairStore({ store, target, isDry, unproven: raw.unproven === true, progress, report });
    } catch (error) {
      if (error instanceof SpinneyError && error.code === 'ERR_INVALID_ARGUMENT') throw error;
      return findings.fail(error);
    }
    const { isMade, salvaged, namespace, contents } = repaired;
    const count = {
      lost: findings.count('lost'),
      older: findings.count('older'),
      mended: findings.count('mended'),
      note: findings.count('note'),
    };
    const isWhole = count.lost + count.older === 0;
    const isSound = isWhole && count.mended + count.note === 0;
    findings.end({
      status: isSound ? 'sound' : isWhole ? 'mended' : 'incomplete',
      store,
      ...(isMade && { repaired: target }),
      ...count,
      blobs: salvaged.blobs,
      damagedBlobs: salvaged.damagedBlobs,
      journalRecords: salvaged.journalRecords,
      namespace,
      contents,
    });
    if (raw.json !== true) output.err(advice(isSound, isMade, contents.linked > 0, store, target));
    return isWhole ? 0 : INCOMPLETE;
  },
};

function advice(isSound: boolean, isMade: boolean, isShared: boolean, store: string, target: string): string {
  if (isSound) return 'Nothing to repair.\n';
  if (!isMade) return `Nothing was changed. With --yes this is made at ${target}.\n`;
  const shared = isShared
    ? ` Contents are shared with ${store} (hard links): what is written to a file at one is changed at both.`
    : '';
  return `Look at ${target} (spinney mount --read-only) before you remove ${store}.${shared}\n`;
}
