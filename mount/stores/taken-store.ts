/** A store that was just made of what a remote has. */
import type { TreeOperations } from '../../engine/api.js';
import { SystemDisk } from '../filesystem/contents/disk/system.js';
import { noteTaken } from '../filesystem/contents/taken-store.js';

export function noteStoreTaken(tree: Pick<TreeOperations, 'put' | 'delete' | 'lastLsn'>): void {
  noteTaken(tree, new SystemDisk().bootId(), Math.floor(Date.now() / 1000));
}
