import { join } from 'node:path';
import { examineDirectory, NodeDisk, refuseUnfinished } from '../../engine/before-open.js';
import type { Finding, VerifiedTree } from '../../engine/index.js';
import type { CheckedNamespace } from '../../mount/check/index.js';
import { storeOf } from '../places/served-store.js';
import { requiredText } from './arguments.js';
import { cacheBytesOf, cacheSizeOption } from './cache-size.js';
import type { Command } from './command.js';
import { Findings } from './findings.js';

const DAMAGED = 1;
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
    const findings = new Findings<Finding>(output, raw.json === true);
    const { progress, report } = findings;

    // Loaded here only, so that the other verbs start fast.
    const { verifyTree } = await import('../../engine/index.js');
    const { checkNamespace } = await import('../../mount/check/index.js');
    const { FILESYSTEM_MEASURE } = await import('../../mount/filesystem-measure.js');
    let namespace: CheckedNamespace | undefined;
    let tree: VerifiedTree;
    try {
      refuseUnfinished(store, examineDirectory(new NodeDisk(), store));
      tree = verifyTree({
        dir: store,
        cacheBytes,
        measure: FILESYSTEM_MEASURE,
        report,
        progress,
        inspect: (open) => {
          progress.begin('checking names and contents', open.stats().keyCount);
          namespace = checkNamespace(open, join(store, 'content'), report, progress);
        },
      });
    } catch (error) {
      return findings.fail(error);
    }
    const damage = findings.count('damage');
    findings.end({
      status: damage === 0 ? 'clean' : 'damaged',
      store,
      damage,
      notes: findings.count('note'),
      tree,
      // Not looked at where the tree is damaged.
      ...(namespace !== undefined && { namespace }),
      notChecked: NOT_CHECKED,
    });
    return damage === 0 ? 0 : DAMAGED;
  },
};
