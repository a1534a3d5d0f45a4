/** Whether, and where, another daemon may go on with a session. Offsets are told in engine/FORMAT.md. */
import type { DirectoryIdentity } from '../../../../engine/before-open.js';
import type { GrowingMemory } from '../growing-memory.js';
import {
  IDENTITY_NOTE,
  MOST_MOUNTPOINT_BYTES,
  MOST_REASON_BYTES,
  MOUNTPOINT,
  REASON,
  STATE_BYTES,
  STATE_NOTE,
} from './state-layout.js';

const NEW = 0;
const OPEN = 1;
const VOID = 2;

const CONNECTION = IDENTITY_NOTE + 40; // u32
const PID = IDENTITY_NOTE + 44; // u32

/** What a session tells of its mount. */
export interface SessionFacts {
  /** Minor number of the mount's device, and number of its connection. */
  connection: number;
  mountpoint: string;
  /** Of the daemon that mounted it. */
  pid: number;
}

export class StateNote {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;

  constructor({ buffer, start }: Pick<GrowingMemory, 'buffer' | 'start'>) {
    this.#view = new DataView(buffer, start, STATE_BYTES);
    this.#bytes = new Uint8Array(buffer, start, STATE_BYTES);
  }

  /** `identity`: of the directory that the session's files are in. */
  begin({ connection, mountpoint }: Omit<SessionFacts, 'pid'>, identity: DirectoryIdentity): void {
    this.#bytes.set(identity.boot, IDENTITY_NOTE);
    this.#view.setBigUint64(IDENTITY_NOTE + 16, identity.device, true);
    this.#view.setBigUint64(IDENTITY_NOTE + 24, identity.inode, true);
    this.#view.setBigUint64(IDENTITY_NOTE + 32, identity.mount, true);
    this.#view.setUint32(CONNECTION, connection, true);
    this.#view.setUint32(PID, process.pid, true);
    this.#setText(MOUNTPOINT, MOST_MOUNTPOINT_BYTES, mountpoint);
  }

  get identity(): DirectoryIdentity {
    return {
      boot: this.#bytes.slice(IDENTITY_NOTE, IDENTITY_NOTE + 16),
      device: this.#view.getBigUint64(IDENTITY_NOTE + 16, true),
      inode: this.#view.getBigUint64(IDENTITY_NOTE + 24, true),
      mount: this.#view.getBigUint64(IDENTITY_NOTE + 32, true),
    };
  }

  get facts(): SessionFacts {
    return {
      connection: this.#view.getUint32(CONNECTION, true),
      mountpoint: this.#text(MOUNTPOINT, MOST_MOUNTPOINT_BYTES),
      pid: this.#view.getUint32(PID, true),
    };
  }

  open(): void {
    if (this.#state === NEW) this.#view.setUint32(STATE_NOTE, OPEN, true);
  }

  /** False: it was void already. */
  void(reason: string): boolean {
    if (this.#state === VOID) return false;
    this.#setText(REASON, MOST_REASON_BYTES, reason);
    this.#view.setUint32(STATE_NOTE, VOID, true);
    return true;
  }

  /** Why nobody may go on with the session; undefined: somebody may. */
  get problem(): string | undefined {
    if (this.#state === OPEN) return undefined;
    if (this.#state === NEW) return 'it never answered';
    if (this.#state === VOID) return this.#text(REASON, MOST_REASON_BYTES);
    return 'the state of the session is damaged';
  }

  get #state(): number {
    return this.#view.getUint32(STATE_NOTE, true);
  }

  /** Its length, then its bytes. */
  #setText(at: number, most: number, text: string): void {
    const bytes = Buffer.from(text).subarray(0, most - 4);
    this.#bytes.set(bytes, at + 4);
    this.#view.setUint32(at, bytes.length, true);
  }

  #text(at: number, most: number): string {
    const length = Math.min(this.#view.getUint32(at, true), most - 4);
    return Buffer.from(this.#bytes.subarray(at + 4, at + 4 + length)).toString();
  }
}
