/** What main hands its two workers, and what they post back. */
import { type MessagePort, parentPort } from 'node:worker_threads';
import type { TreeHandle } from '../../../engine/index.js';
import type { MountLog, ResumedSession, Timeouts } from '../../types.js';
import type { MountStateMemory } from '../device/mount-state.js';
import type { CommandResult } from './commands.js';
import type { RemoteLink } from './remote-link.js';

export interface SessionData extends WorkerData {
  /** Where main's commands come. */
  commands: MessagePort;
}

export interface SessionPlace {
  directory: string;
  connection: number;
  mountpoint: string;
  /** Another daemon's is gone on with. */
  resumes: boolean;
}

export interface WorkerData extends Timeouts {
  tree: TreeHandle;
  /** The FUSE descriptor. */
  fd: number;
  state: MountStateMemory;
  tasks: SharedArrayBuffer;
  results: SharedArrayBuffer;
  /** Of the requests in the queue of tasks. */
  pending: SharedArrayBuffer;
  /** Undefined: the store has no remote. */
  remote: RemoteLink | undefined;
  contentDirectory: string;
  readOnly: boolean;
  snapshotDirectory: string | undefined;
  /** Where the session is kept; undefined: nowhere. */
  session: SessionPlace | undefined;
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
  /** The mount answers. `isKept`: another daemon could go on with it; `resumed`: as this one did. */
  | { type: 'ready'; isKept: boolean; resumed?: ResumedSession | undefined }
  /** No other daemon could go on with it any more. */
  | { type: 'unkept'; reason: string }
  /** Nothing was changed: another daemon's session cannot be gone on with. */
  | { type: 'refused'; reason: string }
  /** Of one of main's commands. */
  | { type: 'answer'; id: number; result: CommandResult }
  /** The session ended as it should: the mount is gone and its filesystem layer closed. */
  | { type: 'ended' };

/** A worker's log: posting needs no event loop. */
export const postLog: MountLog = (level, message, fields) => {
  const entry: WorkerMessage = { type: 'log', level, message, fields };
  parentPort?.postMessage(entry);
};
