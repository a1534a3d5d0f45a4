/**
 * One mount and the process that serves it. This process never touches what is mounted: it looks at the table of mounts,
 * and leaves all else to children.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { run, start } from './processes.mjs';

const LOOK_AGAIN_MS = 2;
const START_MS = 60_000;
/** Writes to the store what has only been in memory. */
const STOP_MS = 120_000;
const UMOUNT_MS = 10_000;

export class Mount {
  #server;
  #mountpoint;

  /** Starts a server that stays in the foreground, with what is added to its environment, and waits for its mount. */
  static async start(argv, mountpoint, env = {}) {
    const mount = new Mount();
    mount.#server = start(argv, { env });
    mount.#mountpoint = mountpoint;
    try {
      await mount.#appear();
    } catch (error) {
      await mount.stop();
      throw error;
    }
    return mount;
  }

  get pid() {
    return this.#server.child.pid;
  }

  async #appear() {
    const { ended, said } = this.#server;
    let over = false;
    const end = () => {
      over = true;
    };
    ended.then(end, end);
    const deadline = performance.now() + START_MS;
    while (!isMounted(this.#mountpoint)) {
      if (over) throw new Error(`Cannot mount: ${said() || `the server ended with ${await ended}`}`);
      if (performance.now() > deadline) throw new Error('Cannot mount: the server does not get ready');
      await pause(LOOK_AGAIN_MS);
    }
  }

  /** Asks the server to unmount and end; returns when it has. */
  async stop() {
    const { child, ended } = this.#server;
    child.kill('SIGTERM');
    const timer = setTimeout(() => this.abort(), STOP_MS);
    try {
      await ended;
    } finally {
      clearTimeout(timer);
      if (isMounted(this.#mountpoint)) detach(this.#mountpoint);
    }
  }

  /** Ends the server at once, so that nobody waits for it any longer. */
  abort() {
    this.#server.child.kill('SIGKILL');
  }
}

/** A mount that the kernel serves itself. */
export async function withImage(image, mountpoint, use) {
  await run(['mount', '-o', 'loop', image, mountpoint]);
  try {
    return await use(mountpoint);
  } finally {
    await run(['umount', mountpoint]);
  }
}

/** Takes away all mounts below a directory; says whether none is left. */
export function unmountBelow(directory) {
  for (const mountpoint of mountpoints().reverse()) {
    if (mountpoint.startsWith(`${directory}/`)) detach(mountpoint);
  }
  return !mountpoints().some((mountpoint) => mountpoint.startsWith(`${directory}/`));
}

function detach(mountpoint) {
  spawnSync('umount', ['-l', mountpoint], { timeout: UMOUNT_MS });
}

function isMounted(mountpoint) {
  return mountpoints().includes(mountpoint);
}

function mountpoints() {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return lines.map((line) => line.split(' ')[4] ?? '');
}
