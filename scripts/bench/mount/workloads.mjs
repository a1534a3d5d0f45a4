/**
 * What is measured. `fill(client, inputs)` makes files for a system, once; `turn(turn, inputs)` is done in each round.
 *
 * - `takesPart(system)`: which systems do, if not all. `without`: those that cannot, by name, with the reason.
 * - `attributes`: whether extended ones are used; `contents`: whether files are not empty.
 * - `entries(inputs)`: how many the kernel gets to know in one mount, where these are more than a few thousand.
 * - `archives`: whether real files are needed (real-files.mjs).
 */
import { FILE_BYTES, spread } from './place.mjs';
import { UNCACHED } from './systems.mjs';

const WRITERS = [1, 4];
const GIT = ['git', '-c', 'safe.directory=*', 'status', '--porcelain'];

const isCached = ({ name }) => !UNCACHED.includes(name);
const isServed = ({ argv }) => argv !== undefined;

/** Where `clients` clients have their files. */
const directoryFor = (clients) => `of-${clients}`;

async function fillFiles(client, inputs, size) {
  for (const clients of inputs.readers) {
    const directory = directoryFor(clients);
    await client.make(directory);
    await client.do('create', directory, { clients, count: inputs.files, size });
  }
}

/** Its three times, of what can be looked at several times. */
async function thrice(turn, { cold }, figure, operation, directory, options) {
  const time = (when) => turn.time(when && `${figure}.${when}`, operation, directory, options);
  if (cold) await time((await turn.mountCold()) ? 'cold' : undefined);
  await turn.mount();
  // Where nothing is mounted the kernel knows from the first time on.
  await time(turn.isMounted ? 'first' : undefined);
  await turn.timeMany(`${figure}.again`, operation, directory, options);
}

/** A directory of empty files, as many as `countOf` finds in the inputs. */
function listing(suffix, countOf) {
  return {
    entries: countOf,
    fill: async (client, inputs) => {
      await client.make('listed');
      await client.do('create', 'listed', { count: countOf(inputs) });
    },
    turn: async (turn, inputs) => {
      const count = countOf(inputs);
      await thrice(turn, inputs, `readdir${suffix}`, 'list', 'listed/0', { count });
      await thrice(turn, inputs, `ls${suffix}`, 'exec', 'listed/0', {
        program: ['ls', '-l'],
        operations: count,
      });
    },
  };
}

export const WORKLOADS = {
  files: {
    attributes: true,
    turn: async (turn, { files }) => {
      await turn.mount();
      for (const clients of WRITERS) {
        const directory = spread(directoryFor(clients));
        const options = { clients, count: files };
        await turn.client.make(directory);
        await turn.time('create', 'create', directory, options);
        await turn.time('setxattr', 'setxattr', directory, options);
        await turn.time('getxattr', 'getxattr', directory, options);
        await turn.time('rename', 'rename', directory, { ...options, repeats: 2 });
        await turn.time('unlink', 'unlink', directory, options);
        await turn.client.remove(directory);
      }
    },
  },
  stat: {
    fill: (client, inputs) => fillFiles(client, inputs, 0),
    turn: async (turn, inputs) => {
      for (const clients of inputs.readers) {
        const directory = directoryFor(clients);
        const options = { clients, count: inputs.files };
        await thrice(turn, inputs, 'stat', 'stat', directory, options);
        await turn.time('absent.first', 'absent', directory, options);
        await turn.timeMany('absent.again', 'absent', directory, options);
      }
    },
  },
  // passthrough_ll looks through a list of all that the kernel knows, so fewer files say more about requests alone.
  statFew: {
    takesPart: (system) => !isCached(system),
    fill: async (client, { few }) => {
      await client.make('few');
      await client.do('create', 'few', { count: few });
    },
    turn: async (turn, { few }) => {
      await turn.mount();
      await turn.client.do('stat', 'few', { count: few });
      await turn.timeMany('stat.few', 'stat', 'few', { count: few });
    },
  },
  read: {
    contents: true,
    fill: (client, inputs) => fillFiles(client, inputs, FILE_BYTES),
    turn: async (turn, inputs) => {
      for (const clients of inputs.readers) {
        const options = { clients, count: inputs.files, size: FILE_BYTES };
        await thrice(turn, inputs, 'read', 'read', directoryFor(clients), options);
      }
    },
  },
  ls: listing('', ({ listed }) => listed),
  ls100k: {
    ...listing('100k', ({ listedLarge }) => listedLarge),
    takesPart: isCached,
    without: { fuse2fs: 'a listing takes hours, since it looks each name up by reading the directory' },
  },
  find: {
    takesPart: isCached,
    entries: ({ tree }) => tree,
    fill: async (client, { tree }) => {
      await client.make('tree');
      await client.do('tree', 'tree', { count: tree });
    },
    turn: (turn, inputs) => {
      const options = { program: ['find'], operations: inputs.tree };
      return thrice(turn, inputs, 'find', 'exec', 'tree', options);
    },
  },
  untar: {
    archives: true,
    contents: true,
    takesPart: isCached,
    entries: ({ archive }) => archive.entries,
    turn: async (turn, { archive }) => {
      const operations = archive.entries;
      const directory = spread('untarred');
      await turn.mount();
      await turn.client.make(directory);
      await turn.time('untar', 'exec', directory, { program: ['tar', '-xf', archive.file], operations });
      await turn.time('rm', 'exec', '.', { program: ['rm', '-rf', directory], operations });
    },
  },
  git: {
    archives: true,
    contents: true,
    takesPart: isCached,
    fill: async (client, { repository }) => {
      await client.exec('.', 'tar', '-xf', repository.file);
      await client.exec(repository.name, ...GIT);
    },
    turn: (turn, inputs) => {
      const { name, files } = inputs.repository;
      return thrice(turn, inputs, 'status', 'exec', name, { program: GIT, operations: files });
    },
  },
  stream: {
    contents: true,
    takesPart: isCached,
    turn: async (turn, { streamMiB, settleMs }) => {
      const options = { count: streamMiB };
      await turn.mount();
      // Not counted: a virtual machine may have to be given its memory before it can be written. What is removed from
      // Spinney is gone a second later.
      await turn.time(undefined, 'write-stream', '.', options);
      await turn.client.remove('stream');
      await turn.client.do('idle', '.', { count: settleMs });
      await turn.time('write', 'write-stream', '.', options);
      const isCold = await turn.dropCaches();
      await turn.time(isCold ? 'streamRead.cold' : undefined, 'read-stream', '.', options);
      await turn.time('streamRead.again', 'read-stream', '.', options);
      await turn.client.remove('stream');
    },
  },
  idle: {
    takesPart: isServed,
    turn: async (turn, { calmMs, idleMs }) => {
      await turn.mount();
      // V8 collects garbage once more some seconds after the last work.
      await turn.client.do('idle', '.', { count: calmMs });
      const { cpuNs } = await turn.client.do('idle', '.', { count: idleMs });
      turn.keep('idle', { time: cpuNs / 1e6 });
    },
  },
};
