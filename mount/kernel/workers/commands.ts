/**
 * What main asks the session worker for, since that alone changes names: a message in a port, which the worker looks into
 * when it is woken, for it has no event loop. The answer is posted as its other messages are.
 */
import type { SnapshotInfo } from '../../../engine/api.js';
import { type ErrorCode, SpinneyError } from '../../../engine/errors.js';
import type { SnapshotOperations } from '../../filesystem/types.js';
import type { MountedSnapshots, PurgeProgress, Timeouts } from '../../types.js';

type Order =
  | { kind: 'take-snapshot' | 'delete-snapshot'; name: string }
  | { kind: 'purge-progress' }
  | { kind: 'hand-over' }
  | { kind: 'set-timeouts'; timeouts: Timeouts };

export type SessionCommand = { id: number } & Order;

/** What the session worker carries commands out on. */
export interface Commanded {
  snapshots: SnapshotOperations;
  setTimeouts(timeouts: Timeouts): void;
  handOver(): boolean;
}

export type CommandResult =
  | { snapshot?: SnapshotInfo; progress?: PurgeProgress; isHandedOver?: boolean }
  | { code: ErrorCode | undefined; message: string };

/** Never throws: what fails is the answer. */
export function carryOut(
  { handOver, setTimeouts, snapshots }: Commanded,
  command: SessionCommand,
): CommandResult {
  try {
    switch (command.kind) {
      case 'take-snapshot':
        return { snapshot: snapshots.take(command.name) };
      case 'delete-snapshot':
        snapshots.delete(command.name);
        return {};
      case 'hand-over':
        return { isHandedOver: handOver() };
      case 'purge-progress':
        return snapshots.progress === undefined ? {} : { progress: { ...snapshots.progress } };
      case 'set-timeouts':
        setTimeouts(command.timeouts);
        return {};
    }
  } catch (error) {
    const code = error instanceof SpinneyError ? error.code : undefined;
    return { code, message: error instanceof Error ? error.message : String(error) };
  }
}

/** Main's side: commands that wait for their answers. */
export class Commands implements MountedSnapshots {
  readonly #send: (command: SessionCommand) => void;
  readonly #waiting = new Map<number, (result: CommandResult) => void>();
  #next = 1;

  /** `send` also wakes the session worker. */
  constructor(send: (command: SessionCommand) => void) {
    this.#send = send;
  }

  async takeSnapshot(name: string): Promise<SnapshotInfo> {
    const { snapshot } = await this.#ask({ kind: 'take-snapshot', name });
    return snapshot!;
  }

  async deleteSnapshot(name: string): Promise<void> {
    await this.#ask({ kind: 'delete-snapshot', name });
  }

  async purgeProgress(): Promise<PurgeProgress | undefined> {
    return (await this.#ask({ kind: 'purge-progress' })).progress;
  }

  async setTimeouts(timeouts: Timeouts): Promise<void> {
    await this.#ask({ kind: 'set-timeouts', timeouts });
  }

  /** Whether the mount is left to another daemon. */
  async handOver(): Promise<boolean> {
    return (await this.#ask({ kind: 'hand-over' })).isHandedOver === true;
  }

  answered(id: number, result: CommandResult): void {
    this.#waiting.get(id)?.(result);
    this.#waiting.delete(id);
  }

  /** The session is over: nobody answers any more. */
  end(): void {
    for (const id of [...this.#waiting.keys()]) {
      this.answered(id, { code: 'ERR_MOUNT', message: 'Cannot do that: the mount came to its end' });
    }
  }

  async #ask(command: Order): Promise<Exclude<CommandResult, { message: string }>> {
    const id = this.#next++;
    const result = await new Promise<CommandResult>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#send({ ...command, id });
    });
    if ('message' in result) throw failureOf(result.code, result.message);
    return result;
  }
}

function failureOf(code: ErrorCode | undefined, message: string): Error {
  return code === undefined ? new Error(message) : new SpinneyError(code, message);
}
