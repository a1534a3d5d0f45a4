/** What main hands its two workers, and what they post back. */
import { type MessagePort, parentPort } from 'node:worker_threads';
import type { TreeHandle } from '../../../engine/index.js';
import type { MountLog } from '../../types.js';
import type { MountStateMemory } from '../device/mount-state.js';
import type { CommandResult } from './commands.js';

export interface SessionData extends WorkerData {
  /** Where main's commands come. */
  commands: MessagePort;
}

export interface WorkerData {
  tree: TreeHandle;
  /** The FUSE descriptor. */
  fd: number;
  state: MountStateMemory;
  tasks: SharedArrayBuffer;
  results: SharedArrayBuffer;
  contentDirectory: string;
  readOnly: boolean;
  snapshotDirectory: string | undefined;
  /** Seconds. */
  entryTimeout: number;
  attributeTimeout: number;
  negativeTimeout: number;
}

export type WorkerMessage =
  | {
      type: 'log';
      level: Parameters<MountLog>[0];
      message: string;
      fields?: Record<string, unknown> | undefined;
    }
  /** As a TroubleListener is told. */
  | { type: 'trouble'; ino: number; what: string | undefined }
  /** The mount answers. */
  | { type: 'ready' }
  /** Of one of main's commands. */
  | { type: 'answer'; id: number; result: CommandResult }
  /** The session ended as it should: the mount is gone and its filesystem layer closed. */
  | { type: 'ended' };

/** A worker's log: posting needs no event loop. */
export const postLog: MountLog = (level, message, fields) => {
  const entry: WorkerMessage = { type: 'log', level, message, fields };
  parentPort?.postMessage(entry);
};
