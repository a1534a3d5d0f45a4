import { resolve } from 'node:path';
import type { RepairFinding } from '../../engine/index.js';
import type { Repaired } from '../../mount/repair/index.js';
import { storeOf } from '../places/served-store.js';
import { failureOf } from '../process/failure.js';
import { badArgument, requiredText, textOption } from './arguments.js';
import type { Command } from './command.js';
import { formatTable } from './output.js';
import { Progress } from './progress.js';

const INCOMPLETE = 1;
const CANNOT_OPEN = 2;
/** Nobody reads more. */
const MOST_FINDINGS = 10_000;

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
    const store = resolve(storeOf(requiredText(raw, 'store')));
    const target = resolve(textOption(raw, 'to') ?? `${store}.repaired`);
    if (raw.yes === true && raw['dry-run'] === true) throw badArgument('both --yes and --dry-run were given');
    const isDry = raw.yes !== true;
    const findings: RepairFinding[] = [];
    const count = { lost: 0, older: 0, mended: 0, note: 0 };
    const progress = new Progress(output);
    const report = (finding: RepairFinding): void => {
      count[finding.kind]++;
      if (count.lost + count.older + count.mended + count.note > MOST_FINDINGS) return;
      if (raw.json === true) {
        findings.push(finding);
        return;
      }
      progress.clear();
      output.out(`${finding.kind}: ${finding.message}\n`);
    };
    let repaired: Repaired;
    try {
      // Loaded here only, so that the other verbs start fast.
      const { repairStore } = await import('../../mount/repair/index.js');
      repaired = repairStore({ store, target, isDry, unproven: raw.unproven === true, progress, report });
    } catch (error) {
      const { code, message } = failureOf(error);
      if (code === 'ERR_INVALID_ARGUMENT') throw error;
      progress.clear();
      output.err(`spinney: ${message}\n`);
      if (raw.json === true)
        output.out(`${JSON.stringify({ status: 'unknown', error: { code, message } })}\n`);
      return CANNOT_OPEN;
    }
    progress.clear();
    const { isMade, salvaged, namespace, contents } = repaired;
    const isSound = Object.values(count).every((number) => number === 0);
    const isWhole = count.lost + count.older === 0;
    const result = {
      status: isSound ? 'sound' : isWhole ? 'mended' : 'incomplete',
      store,
      ...(isMade && { repaired: target }),
      ...count,
      blobs: salvaged.blobs,
      damagedBlobs: salvaged.damagedBlobs,
      journalRecords: salvaged.journalRecords,
      namespace,
      contents,
    };
    output.out(
      `${raw.json === true ? JSON.stringify({ ...result, findings }, null, 2) : formatTable(result)}\n`,
    );
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
