import { join } from 'node:path';
import type { Finding, VerifiedTree } from '../../engine/index.js';
import type { CheckedNamespace } from '../../mount/check/index.js';
import { storeOf } from '../mounting/served-store.js';
import { failureOf } from '../process/failure.js';
import { requiredText } from './arguments.js';
import { cacheBytesOf, cacheSizeOption } from './cache-size.js';
import type { Command } from './command.js';
import { formatTable } from './output.js';

const DAMAGED = 1;
const CANNOT_OPEN = 2;
/** A wrecked store may give a finding for each of its files; nobody reads more than this. */
const MOST_FINDINGS = 10_000;

export const check: Command = {
  name: 'check',
  summary: 'Verify a store that is not mounted: exit code 0 clean, 1 damaged, 2 cannot open it',
  argument: { name: 'store', isRequired: true, describe: 'Directory of the store' },
  options: { 'cache-size': cacheSizeOption, json: { describe: 'Print JSON' } },
  async run(raw, output) {
    const store = storeOf(requiredText(raw, 'store'));
    const cacheBytes = cacheBytesOf(raw);
    const findings: Finding[] = [];
    const count = { damage: 0, note: 0 };
    const report = (finding: Finding): void => {
      count[finding.kind]++;
      if (count.damage + count.note > MOST_FINDINGS) return;
      if (raw.json === true) findings.push(finding);
      else output.out(`${finding.kind}: ${finding.message}\n`);
    };

    // Loaded here only, so that the other verbs start fast.
    const { verifyTree } = await import('../../engine/index.js');
    const { checkNamespace } = await import('../../mount/check/index.js');
    let namespace: CheckedNamespace | undefined;
    let tree: VerifiedTree;
    try {
      tree = verifyTree({
        dir: store,
        cacheBytes,
        report,
        inspect: (open) => {
          namespace = checkNamespace(open, join(store, 'content'), report);
        },
      });
    } catch (error) {
      const { code, message } = failureOf(error);
      output.err(`spinney: ${message}\n`);
      if (raw.json === true)
        output.out(`${JSON.stringify({ status: 'unknown', error: { code, message } })}\n`);
      return CANNOT_OPEN;
    }
    const result = {
      status: count.damage === 0 ? 'clean' : 'damaged',
      store,
      damage: count.damage,
      notes: count.note,
      tree,
      // Not looked at where the tree is damaged.
      ...(namespace !== undefined && { namespace }),
    };
    const told = raw.json === true ? JSON.stringify({ ...result, findings }, null, 2) : formatTable(result);
    output.out(`${told}\n`);
    return count.damage === 0 ? 0 : DAMAGED;
  },
};
