/** What befalls the machines of a ShippingWorld, and what must be in the end. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Shipper } from '../../../engine/shipping/live/shipper.js';
import {
  type RemoteStore,
  resumeRemoteStore,
  takeOverStore,
} from '../../../engine/shipping/open-remote-store.js';
import { Tree } from '../../../engine/tree/tree.js';
import { NO_FAULTS } from '../object/faulty-object-store.js';
import { Machine } from './shipping-machine.js';
import { expectSame, LEASE_MS, type ShippingWorld } from './shipping-world.js';

/** Lets the machines live for so many steps, kills them now and then, and has the last one come to its end without faults. */
export async function runShipping(world: ShippingWorld, machines: number, steps: number): Promise<void> {
  const { simulation } = world;
  const all = Array.from({ length: machines }, () => new Machine(world));
  try {
    for (const machine of all) machine.start();
    for (const end = simulation.steps + steps; simulation.steps < end; ) {
      await simulation.run(Math.min(20 + world.pick(400), end - simulation.steps));
      const machine = all[world.pick(machines)]!;
      machine.process.isCutOff = world.chance(0.15);
      if (world.chance(0.2)) machine.process.pause(simulation.between(0, 3 * LEASE_MS));
      else if (world.chance(0.3)) machine.kill();
    }
  } finally {
    for (const machine of all) machine.end();
  }
  Object.assign(world.faults, NO_FAULTS);
  await finish(world);
}

/** Takes over once more, ships what there is, and then has nothing to ship. */
async function finish(world: ShippingWorld): Promise<void> {
  const { simulation, bucket } = world;
  const process = world.newProcess();
  const site = world.siteOf(process);
  const directory = join(world.newDirectory(), 'store');
  const options = { holder: simulation.newId(), leaseMs: LEASE_MS };
  mkdirSync(join(directory, '..'));
  let isOver = false;
  let failure: unknown;
  const work = async () => {
    const first = await takeOverStore(site, directory, options);
    const tree = Tree.open({ dir: directory, checkpoint: { enabled: false } });
    try {
      if (tree.lastLsn() < world.line.acknowledged) throw new Error('what was acknowledged is lost');
      expectSame('the last tree', tree, world.line.at(tree.lastLsn()));
      await world.contentsOf(tree);
      for (let remote: RemoteStore = first, round = 0; ; round++) {
        const shipper = new Shipper({ site, tree, directory, ...remote });
        shipper.start();
        await shipper.finish();
        if (round === 1) break;
        bucket.puts.clear();
        remote = await resumeRemoteStore(site, tree, options);
      }
      for (const kind of ['blobs', 'content'])
        if (bucket.puts.has(kind)) throw new Error(`${kind} was shipped again`);
    } finally {
      tree.close();
    }
  };
  work()
    .catch((error: unknown) => {
      failure = error;
    })
    .finally(() => {
      isOver = true;
    });
  await simulation.run(50_000, () => isOver);
  if (failure !== undefined) throw failure;
  if (!isOver) throw new Error('the last writer does not come to its end');
}
