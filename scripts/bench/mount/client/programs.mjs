/** The programs that are measured and that measure: Debian's packages are installed, two programs are compiled here. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run, say } from '../processes.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const EXAMPLES = '/usr/share/doc/libfuse3-dev/examples';
const APT_MS = 600_000;
const MOST_DESCRIPTORS = 1_048_576;
/** Raises the limit as far as this user may. */
const RAISE = `ulimit -n ${MOST_DESCRIPTORS} 2>/dev/null || ulimit -n "$(ulimit -H -n)"`;

/** Each thing that is used: the file that shows that it is there, by its name in the PATH or whole; its packages. */
const THINGS = {
  gcc: { file: 'gcc', packages: ['gcc', 'libc6-dev'] },
  'pkg-config': { file: 'pkg-config', packages: ['pkg-config'] },
  passthrough_ll: { file: join(EXAMPLES, 'passthrough_ll.c'), packages: ['libfuse3-dev'] },
  bindfs: { file: 'bindfs', packages: ['bindfs'] },
  fuse2fs: { file: 'fuse2fs', packages: ['fuse2fs'] },
  mke2fs: { file: 'mke2fs', packages: ['e2fsprogs'] },
  chattr: { file: 'chattr', packages: ['e2fsprogs'] },
  fusermount3: { file: 'fusermount3', packages: ['fuse3'] },
  mount: { file: 'mount', packages: ['mount'] },
  setpriv: { file: 'setpriv', packages: ['util-linux'] },
  find: { file: 'find', packages: ['findutils'] },
  tar: { file: 'tar', packages: ['tar'] },
  git: { file: 'git', packages: ['git'] },
};
const ALWAYS = ['gcc', 'fusermount3', 'mount', 'setpriv', 'chattr', 'find', 'tar', 'git'];

/**
 * Installs what is missing for those systems, if this user may, and says which systems there are: { here, absent },
 * `absent` with a reason for each.
 */
export function install(systems) {
  const needed = [...new Set([...ALWAYS, ...systems.flatMap(({ needs }) => needs)])];
  const missing = needed.filter((name) => !isHere(name));
  if (missing.length > 0) installPackages(missing.flatMap((name) => THINGS[name].packages));
  const still = ALWAYS.filter((name) => !isHere(name));
  if (still.length > 0) throw new Error(`Cannot measure mounts: ${still.join(', ')} is missing`);
  const lacks = ({ needs }) => needs.filter((name) => !isHere(name));
  return {
    here: systems.filter((system) => lacks(system).length === 0),
    absent: systems
      .filter((system) => lacks(system).length > 0)
      .map((system) => ({ system, reason: `${lacks(system).join(', ')} is not installed` })),
  };
}

function installPackages(packages) {
  const asRoot = process.getuid() === 0 ? [] : ['sudo', '-n'];
  const apt = (...args) => {
    const [program, ...rest] = [...asRoot, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', ...args];
    return spawnSync(program, rest, { timeout: APT_MS, stdio: 'ignore' }).status === 0;
  };
  const get = () =>
    apt('-o', 'DPkg::Lock::Timeout=300', 'install', '-y', '--no-install-recommends', ...packages);
  say(`installing ${packages.join(', ')}`);
  if (!get() && !(apt('update') && get())) say(`Cannot install ${packages.join(', ')}`);
}

function isHere(name) {
  const { file } = THINGS[name];
  if (file.startsWith('/')) return existsSync(file);
  return (process.env.PATH ?? '').split(':').some((directory) => isExecutable(join(directory, file)));
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Compiles the client, and passthrough_ll if a system needs it, into a directory. Returns their paths. */
export async function compile(directory, systems) {
  const client = join(directory, 'client');
  await run(['gcc', '-O2', '-o', client, join(HERE, 'client.c'), join(HERE, 'operations.c')]);
  if (!systems.some(({ needs }) => needs.includes('passthrough_ll'))) return { client };
  const passthrough = join(directory, 'passthrough_ll');
  const flags = (await run(['pkg-config', 'fuse3', '--cflags', '--libs'])).trim().split(/\s+/);
  const source = join(EXAMPLES, 'passthrough_ll.c');
  await run(['gcc', '-O2', '-o', passthrough, `-I${EXAMPLES}`, source, ...flags]);
  return { client, passthrough };
}

/** The command, with as many file descriptors as this user may have. */
export function withDescriptors(argv) {
  return ['sh', '-c', `${RAISE}; exec "$@"`, 'sh', ...argv];
}

/** How many these are. */
export async function descriptorLimit() {
  return Number(await run(['sh', '-c', `${RAISE}; ulimit -n`]));
}
