// Two threads write to one tree while a third lists it. Run with: node threads.mjs [directory]
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { Tree } from 'spinney/engine';

if (isMainThread) await main();
else write(workerData);

async function main() {
  const dir = process.argv[2] ?? mkdtempSync(join(tmpdir(), 'spinney-example-'));
  const tree = Tree.open({ dir });

  // A handle can be sent to any worker, which opens the same tree by it.
  const workers = ['ada', 'grace'].map(
    (user) => new Worker(new URL(import.meta.url), { workerData: { handle: tree.share(), user } }),
  );
  await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve))));

  // The delimiter rolls up all that is under one user, without visiting the keys.
  for (const entry of tree.range({ prefix: 'users/', delimiter: '/' })) {
    const prefix = Buffer.from(entry.prefix);
    console.log(`${prefix}: ${tree.countPrefix(prefix, 10_000)} notes`);
  }

  // All or nothing: both counters are there afterwards, or neither.
  tree.atomic((batch) => {
    batch.putIfAbsent('counters/notes', Buffer.from('2000'));
    batch.putIfAbsent('counters/users', Buffer.from('2'));
  });
  console.log(`users: ${Buffer.from(tree.get('counters/users'))}`);

  // Moves a thousand keys without visiting them.
  tree.renamePrefix('users/ada/', 'archive/ada/');
  console.log(`archived: ${tree.countPrefix('archive/', 10_000)} notes`);

  tree.sync();
  tree.close();
}

function write({ handle, user }) {
  const tree = Tree.attach(handle);
  for (let i = 0; i < 1000; i++) tree.put(`users/${user}/note-${i}`, Buffer.from(`note ${i}`));
  tree.close();
}
