import { askDaemon } from '../../control/client.js';
import type { SnapshotReport } from '../../control/reports.js';
import { formatBytes } from '../../process/text/bytes-text.js';
import { badArgument, requiredText, textOption } from '../options/arguments.js';
import type { Command } from '../options/command.js';
import { nearest } from '../options/nearest.js';
import { PLACE, type Target, targetOf, targetOptions } from '../options/target.js';
import { tellWaiting } from '../output/waiting.js';

const ACTIONS = ['create', 'list', 'delete'] as const;

export const snapshot: Command = {
  name: 'snapshot',
  summary: 'Make, list or delete snapshots: snapshot create|delete NAME, snapshot list',
  argument: { name: 'action', isRequired: true, describe: ACTIONS.join(', '), values: ACTIONS },
  more: [{ name: 'name', describe: 'Of the snapshot; left out for list' }, PLACE],
  options: { ...targetOptions, json: { describe: 'Print JSON' } },
  async run(options, output) {
    const action = requiredText(options, 'action');
    const known = ACTIONS.find((name) => name === action);
    if (known === undefined) {
      const meant = nearest(action, ACTIONS);
      const hint = meant === undefined ? `it is one of ${ACTIONS.join(', ')}` : `did you mean "${meant}"?`;
      throw badArgument(`snapshot has no action "${action}"; ${hint}`);
    }
    const first = textOption(options, 'name');
    const second = textOption(options, 'place');
    if (known === 'list') {
      if (second !== undefined)
        throw badArgument(`snapshot list takes one place, and "${second}" is one too many`);
      const snapshots = await list(await targetOf(options, first));
      output.out(options.json === true ? `${JSON.stringify({ snapshots }, null, 2)}\n` : table(snapshots));
      return 0;
    }
    if (first === undefined) throw badArgument(`snapshot ${known} needs the name of the snapshot`);
    const target = await targetOf(options, second);
    const doing = `${known === 'create' ? 'making' : 'deleting'} the snapshot ${first}`;
    const done = await tellWaiting(output, doing, change(target, known, first));
    const told = `${known === 'create' ? 'made' : 'deleted'} the snapshot ${done.name}`;
    output.out(`${options.json === true ? JSON.stringify(done, null, 2) : told}\n`);
    return 0;
  },
};

async function list(target: Target): Promise<SnapshotReport[]> {
  if ('socket' in target) {
    const { body } = await askDaemon(target.socket, 'GET', '/v1/snapshots');
    return (body as { snapshots: SnapshotReport[] }).snapshots;
  }
  const { listSnapshots } = await import('../../mounting/unmounted.js');
  return listSnapshots(target.store);
}

async function change(target: Target, action: 'create' | 'delete', name: string): Promise<SnapshotReport> {
  if ('socket' in target) {
    const named = encodeURIComponent(name);
    const { body } =
      action === 'create'
        ? await askDaemon(target.socket, 'POST', `/v1/snapshots?name=${named}`)
        : await askDaemon(target.socket, 'DELETE', `/v1/snapshots/${named}`);
    return body as SnapshotReport;
  }
  const { createSnapshot, deleteSnapshot } = await import('../../mounting/unmounted.js');
  return action === 'create' ? createSnapshot(target.store, name) : deleteSnapshot(target.store, name);
}

/** One line for each, oldest first. */
function table(snapshots: readonly SnapshotReport[]): string {
  if (snapshots.length === 0) return 'no snapshots\n';
  const rows = snapshots.map(({ name, createdAt, ownBytes }) => [
    JSON.stringify(name).slice(1, -1),
    createdAt.replace(/\.\d+Z$/, 'Z'),
    `${formatBytes(ownBytes)} of its own`,
  ]);
  const width = Math.max(...rows.map(([name]) => name!.length));
  return rows.map(([name, at, bytes]) => `${name!.padEnd(width)}  ${at}  ${bytes}\n`).join('');
}
