import { join } from 'node:path';
import { examineDirectory, NodeDisk, refuseUnfinished } from '../../engine/before-open.js';
import type { Finding, VerifiedTree } from '../../engine/index.js';
import type { CheckedNamespace } from '../../mount/check/index.js';
import { storeOf } from '../places/served-store.js';
import { failureOf } from '../process/failure.js';
import { requiredText } from './arguments.js';
import { cacheBytesOf, cacheSizeOption } from './cache-size.js';
import type { Command } from './command.js';
import { formatTable } from './output.js';
import { Progress } from './progress.js';

const DAMAGED = 1;
const CANNOT_OPEN = 2;
/** A wrecked store may give a finding for each of its files; nobody reads more than this. */
const MOST_FINDINGS = 10_000;
const NOT_CHECKED =
  'bytes of contents: they have no checksums, so what changed in a file of the right size is not found';

export const check: Command = {
  name: 'check',
  summary: 'Verify a store that is not mounted: exit code 0 clean, 1 damaged, 2 cannot open it',
  argument: { name: 'store', isRequired: true, describe: 'Directory of the store', values: 'directory' },
  options: { 'cache-size': cacheSizeOption, json: { describe: 'Print JSON' } },
  async run(raw, output) {
    const store = storeOf(requiredText(raw, 'store'));
    const cacheBytes = cacheBytesOf(raw);
    const findings: Finding[] = [];
    const progress = new Progress(output);
    const count = { damage: 0, note: 0 };
    const report = (finding: Finding): void => {
      count[finding.kind]++;
      if (count.damage + count.note > MOST_FINDINGS) return;
      if (raw.json === true) findings.push(finding);
      else {
        progress.clear();
        output.out(`${finding.kind}: ${finding.message}\n`);
      }
    };

    // Loaded here only, so that the other verbs start fast.
    const { verifyTree } = await import('../../engine/index.js');
    const { checkNamespace } = await import('../../mount/check/index.js');
    let namespace: CheckedNamespace | undefined;
    let tree: VerifiedTree;
    try {
      refuseUnfinished(store, examineDirectory(new NodeDisk(), store));
      tree = verifyTree({
        dir: store,
        cacheBytes,
        report,
        progress,
        inspect: (open) => {
          progress.begin('checking names and contents', open.stats().keyCount);
          namespace = checkNamespace(open, join(store, 'content'), report, progress);
        },
      });
    } catch (error) {
      const { code, message } = failureOf(error);
      progress.clear();
      output.err(`spinney: ${message}\n`);
      if (raw.json === true)
        output.out(`${JSON.stringify({ status: 'unknown', error: { code, message } })}\n`);
      return CANNOT_OPEN;
    }
    progress.clear();
    const result = {
      status: count.damage === 0 ? 'clean' : 'damaged',
      store,
      damage: count.damage,
      notes: count.note,
      tree,
      // Not looked at where the tree is damaged.
      ...(namespace !== undefined && { namespace }),
      notChecked: NOT_CHECKED,
    };
    const told = raw.json === true ? JSON.stringify({ ...result, findings }, null, 2) : formatTable(result);
    output.out(`${told}\n`);
    return count.damage === 0 ? 0 : DAMAGED;
  },
};
