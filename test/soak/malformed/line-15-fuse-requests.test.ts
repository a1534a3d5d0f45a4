/**
 * Requests that no kernel sends, given to a session over the real filesystem layer and tree. Each is a sound request, of
 * nodes and handles that are there, with nothing, one or several things changed in it. No handler throws, each reply is
 * one that the kernel takes, and in the end both sides agree on nodes and handles, and the names are sound.
 */
import { constants } from 'node:os';
import { Tree } from '../../../engine/index.js';
import { checkNamespace } from '../../../mount/check/namespace.js';
import { MountState } from '../../../mount/kernel/device/mount-state.js';
import { Opcode } from '../../../mount/kernel/protocol/protocol.js';
import { handle } from '../../../mount/kernel/session/dispatch.js';
import { Session } from '../../../mount/kernel/session/session.js';
import { Fixture } from '../../filesystem/fixture.js';
import { seededRandom } from '../../support/disk/random.js';
import { soak } from '../soak.js';
import { KernelSide } from './kernel-side.js';
import { Registrations } from './registrations.js';
import { RequestMaker } from './request-maker.js';

const REQUESTS = 3000;

soak({ line: 15, title: 'mutated FUSE requests', seeds: 6 }, (seed) => {
  const random = seededRandom(seed);
  const fixture = new Fixture(Tree.open({ memory: true }), { rests: random() < 0.5 });
  const failures: string[] = [];
  const registrations = new Registrations();
  const session = new Session(
    fixture.fs,
    MountState.forNobody(),
    {
      log: (level, message, fields) => {
        if (level === 'error' && !message.includes('FUSE protocol'))
          failures.push(
            `${message} ${fields?.err instanceof Error ? fields.err.stack : JSON.stringify(fields)}`,
          );
      },
      ready: () => {},
      sync: () => false,
      makeRoom: () => {
        throw Object.assign(new Error('the disk is full'), { errno: -constants.errno.ENOSPC });
      },
      interrupted: () => {},
      backingFiles: random() < 0.5 ? undefined : registrations.files,
      invalidateAttributes: () => {},
    },
    { entryTimeout: 60, attributeTimeout: 60, negativeTimeout: 5 },
  );
  session.passthrough.enable(session.passthrough.isWanted);
  const kernel = new KernelSide();
  const maker = new RequestMaker(random, kernel);
  const serve = (bytes: Buffer): void => {
    session.request.bytes.set(bytes);
    const length = handle(session, bytes.length);
    const reply = Buffer.from(session.reply.bytes.buffer, 0, length);
    if (failures.length > 0) throw new Error(failures.join('; '));
    if (bytes.length < 40) {
      if (length > 0) throw new Error('what is no request got a reply');
    } else kernel.take(bytes, reply);
  };
  try {
    for (let i = 0; i < REQUESTS; i++) {
      const bytes = maker.next();
      try {
        serve(bytes);
      } catch (error) {
        const opcode = bytes.length >= 8 ? bytes.readUInt32LE(4) : 'none';
        throw new Error(
          `request ${i}, opcode ${opcode}, ${bytes.length} bytes: ${(error as Error).message}`,
          {
            cause: error,
          },
        );
      }
      if (i % 64 === 0) while (session.work());
    }
    agree();
    for (const file of [...kernel.files]) serve(maker.build(Opcode.RELEASE, 1, [file, 0, 0, 0, 0, 0]));
    for (const directory of [...kernel.directories]) {
      serve(maker.build(Opcode.RELEASEDIR, 1, [directory, 0, 0, 0, 0, 0]));
    }
    for (const [node, count] of [...kernel.lookups]) serve(maker.build(Opcode.FORGET, node, [count, 0]));
    agree();
    if (session.nodes.size !== 1) throw new Error(`${session.nodes.size} nodes are left`);
    if (registrations.count > 0) throw new Error(`${registrations.count} backing files are left registered`);
    const damage: string[] = [];
    fixture.reclaimed(fixture.scheduled);
    checkNamespace(fixture.tree, fixture.contentDirectory, ({ kind, message }) => {
      if (kind === 'damage') damage.push(message);
    });
    if (damage.length > 0) throw new Error(`the names are damaged: ${damage.join('; ')}`);
  } finally {
    fixture.cleanUp();
  }
  return { requests: REQUESTS, mutated: maker.mutated };

  /** The session knows the nodes and handles that the kernel does. */
  function agree(): void {
    while (session.work());
    for (const [node, count] of kernel.lookups) {
      const known = session.nodes.lookups(node);
      if (known !== count) throw new Error(`node ${node} has ${known} lookups, the kernel has ${count}`);
    }
    const { openFiles, openDirectories } = fixture.fs.stats();
    const counted = session.state.stats().openFiles;
    const found = [openFiles, counted, openDirectories].join();
    const expected = [kernel.files.size, kernel.files.size, kernel.directories.size].join();
    if (found !== expected) throw new Error(`handles are ${found}, the kernel has ${expected}`);
  }
});
