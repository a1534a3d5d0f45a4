/** What a bundle is about: a mount, its store and its daemon, as far as they are there. Never touches the mount. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseMountinfo } from '../../../../mount/mountpoints/mountinfo.js';
import { listenerOf } from '../../../control/peer.js';
import { controlSocketPath } from '../../../control/socket-path.js';
import { daemonsOf, isOf } from '../../../places/daemon-record.js';
import { controlSocketOf } from '../../../places/served-store.js';
import { type RawOptions, textOption } from '../../options/arguments.js';
import { servedIn } from '../../options/target.js';

export interface Subject {
  mountpoint: string | undefined;
  store: string | undefined;
  socket: string;
  /** Of the daemon, where one is running. */
  pid: number | undefined;
  /** The mount in the kernel's table of mounts. */
  mountLine: string | undefined;
}

export async function subjectOf(options: RawOptions): Promise<Subject> {
  const control = textOption(options, 'control');
  if (control !== undefined) {
    const socket = controlSocketPath({ control });
    const pid = existsSync(socket) ? await listenerOf(socket) : undefined;
    return { mountpoint: undefined, store: undefined, socket, pid, mountLine: undefined };
  }
  const served = await servedIn(options, textOption(options, 'place'));
  const { store, mount } = served;
  const daemon = daemonsOf(store).find((one) => mount === undefined || isOf(one, mount));
  const mountpoint = mount?.mountpoint ?? daemon?.mountpoint;
  return {
    mountpoint,
    store,
    socket: daemon === undefined ? join(store, 'control.sock') : controlSocketOf(served),
    pid: daemon?.pid,
    mountLine: mountpoint === undefined ? undefined : mountLineOf(mountpoint),
  };
}

function mountLineOf(mountpoint: string): string | undefined {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return lines.findLast((line) => parseMountinfo(line)[0]?.mountpoint === mountpoint);
}
