import { join } from 'node:path';
import {
  examineDirectory,
  NodeDisk,
  readRemoteRecord,
  refuseUnfinished,
} from '../../../engine/before-open.js';
import type { Finding, VerifiedTree } from '../../../engine/index.js';
import type { CheckedNamespace } from '../../../mount/check/index.js';
import { storeOf } from '../../places/served-store.js';
import { badArgument, requiredText } from '../options/arguments.js';
import { cacheBytesOf, cacheSizeOption } from '../options/cache-size.js';
import type { Command } from '../options/command.js';
import { isRemote, refuseServerOptions, serverOptions } from '../options/remote.js';
import { Findings } from '../output/findings.js';
import { checkRemote } from './check-remote.js';

const DAMAGED = 1;
const NOT_CHECKED =
  'bytes of contents: they have no checksums, so what changed in a file of the right size is not found';

export const check: Command = {
  name: 'check',
  summary: 'Verify a store that is not mounted: exit code 0 clean, 1 damaged, 2 cannot open it',
  argument: {
    name: 'store',
    isRequired: true,
    describe: 'Directory of the store, or s3://bucket/prefix, which may be mounted anywhere',
    values: 'directory',
  },
  options: {
    'cache-size': cacheSizeOption,
    ...serverOptions,
    contents: { describe: 'Of s3://...: read all contents, and compare them with their checksums' },
    json: { describe: 'Print JSON' },
  },
  async run(raw, output) {
    const given = requiredText(raw, 'store');
    const findings = new Findings<Finding>(output, raw.json === true);
    if (isRemote(given)) {
      try {
        return end(findings, given, await checkRemote(given, raw, findings));
      } catch (error) {
        return findings.fail(error);
      }
    }
    refuseServerOptions(raw);
    if (raw.contents === true)
      throw badArgument('--contents is for s3://bucket/prefix: contents here have no checksums');
    const store = storeOf(given);
    const cacheBytes = cacheBytesOf(raw);
    const { progress, report } = findings;

    // Loaded here only, so that the other verbs start fast.
    const { verifyTree } = await import('../../../engine/index.js');
    const { checkNamespace } = await import('../../../mount/check/index.js');
    const { FILESYSTEM_MEASURE } = await import('../../../mount/sums/filesystem-measure.js');
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
          const hasRemote = readRemoteRecord(store)?.isBegun === true;
          namespace = checkNamespace(open, join(store, 'content'), report, progress, undefined, hasRemote);
        },
      });
    } catch (error) {
      return findings.fail(error);
    }
    return end(findings, store, {
      tree,
      // Not looked at where the tree is damaged.
      ...(namespace !== undefined && { namespace }),
      notChecked: NOT_CHECKED,
    });
  },
};

/** Tells the result; the exit code. */
function end(findings: Findings<Finding>, store: string, found: Readonly<Record<string, unknown>>): number {
  const damage = findings.count('damage');
  const notes = findings.count('note');
  findings.end({ status: damage === 0 ? 'clean' : 'damaged', store, damage, notes, ...found });
  return damage === 0 ? 0 : DAMAGED;
}
