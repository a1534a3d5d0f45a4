/** The side of an upgrade that makes room: tells whether it can, and does. */
import { lstatSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { SpinneyError } from '../../../engine/errors.js';
import type { UpgradeReport, UpgradeTarget } from '../../control/reports.js';
import { version } from '../../process/version.js';
import type { Continuity, ContinuityOptions } from './continuity.js';

/** Bits that let others than the owner write. */
const OTHERS_WRITE = 0o022;

export class Upgrade implements UpgradeTarget {
  readonly #options: ContinuityOptions;
  readonly #continuity: Pick<Continuity, 'refusal' | 'isManaged' | 'sessionDirectory'>;
  readonly #handOver: UpgradeTarget['handOver'];
  #isUnderWay = false;

  constructor(
    options: ContinuityOptions,
    continuity: Pick<Continuity, 'refusal' | 'isManaged' | 'sessionDirectory'>,
    handOver: UpgradeTarget['handOver'],
  ) {
    this.#options = options;
    this.#continuity = continuity;
    this.#handOver = handOver;
  }

  examine(): UpgradeReport {
    const { refusal, isManaged, sessionDirectory } = this.#continuity;
    return {
      version,
      pid: process.pid,
      ...(refusal !== undefined && { refusal }),
      isManaged,
      options: this.#options.successor?.spelled ?? {},
      ...(sessionDirectory !== undefined && { sessionDirectory }),
    };
  }

  async handOver(command: readonly string[], changed: readonly string[]): Promise<void> {
    const { refusal } = this.#continuity;
    if (refusal !== undefined) throw cannotUpgrade(refusal);
    if (this.#isUnderWay) throw cannotUpgrade('another upgrade is under way');
    refuseUnsafe(command[0]!);
    this.#isUnderWay = true;
    try {
      await this.#handOver(command, changed);
    } finally {
      this.#isUnderWay = false;
    }
  }
}

/** What this daemon may do, the next one may: nobody else is to choose its program. */
function refuseUnsafe(program: string): void {
  const status = isAbsolute(program) ? lstatSync(program, { throwIfNoEntry: false }) : undefined;
  if (status?.isFile() !== true) throw cannotUpgrade(`there is no program ${program}`);
  const isOwn = status.uid === 0 || status.uid === process.geteuid?.();
  if (isOwn && (status.mode & OTHERS_WRITE) === 0) return;
  throw cannotUpgrade(`others than root and the daemon's user can change ${program}`);
}

function cannotUpgrade(reason: string): SpinneyError {
  return new SpinneyError('ERR_MOUNT', `Cannot upgrade: ${reason}`);
}

/** Why a mount is served on. */
export function cannotHandOver(reason: string): SpinneyError {
  return new SpinneyError('ERR_MOUNT', `Cannot hand the mount over: ${reason}`);
}
