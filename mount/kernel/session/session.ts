/**
 * One mount's session, without a kernel in sight: the request buffer and the reply buffer, and all that the operations
 * share. Which operation serves a request is told in dispatch.ts.
 */
import { constants } from 'node:os';
import { stopwatch } from '../../../engine/stopwatch.js';
import { newAttributes, newChange } from '../../filesystem/arguments.js';
import type { Attributes, Caller, FsyncPlan, Place, RemovalResult, StatFs } from '../../filesystem/types.js';
import { FailureLog } from '../../requests/failure-log.js';
import type { MountLog, Timeouts } from '../../types.js';
import type { BackingFiles } from '../device/device-calls.js';
import type { MountState } from '../device/mount-state.js';
import type { Agreement } from '../kept/notes/init-note.js';
import { SessionTables } from '../kept/session-tables.js';
import { BUFFER_SIZE, InHeader, InitFlag, InitFlag2, Opcode } from '../protocol/protocol.js';
import { Reply, Timeout } from '../protocol/reply.js';
import { Request } from '../protocol/request.js';
import { ReusableBytes } from '../protocol/reusable-bytes.js';
import { Listing } from './listing.js';
import { NodeTable } from './node-table.js';
import { Passthrough } from './passthrough.js';
import type { ServedFileSystem } from './served-filesystem.js';
import { SessionLog } from './session-log.js';
import { SnapshotNodes } from './snapshot-nodes.js';
import { PastListing } from './snapshot-replies.js';

const { EIO } = constants.errno;

/** A request that waits for a content. */
export interface Parked {
  bytes: Uint8Array;
  /** When it came, as the stopwatch tells it. */
  arrived: number;
}

/** Releases that may be put off at a time. */
const MOST_RELEASES = 16;
/** The filesystem layer gets time at least once in so many requests. */
const REQUESTS_WITHOUT_REST = 256;

/** Why a kernel that knows passthrough may not do it here. */
const REFUSALS: Readonly<Record<number, string>> = {
  [constants.errno.EPERM]: 'it needs CAP_SYS_ADMIN',
  [constants.errno.ELOOP]: 'the store is on a filesystem that is stacked on another',
};

/** What a session needs of the threads around it. */
export interface SessionServices {
  log: MountLog;
  /**
   * The kernel and the session agree on the protocol: the mount answers from now on. `resends`: the kernel would send requests
   * again to another daemon.
   */
  ready(resends: boolean): void;
  /**
   * Does what the plan says (undefined: no content is concerned), makes the tree durable, and replies to the present request.
   * False: nobody does that, the session must.
   */
  sync(plan: FsyncPlan | undefined): boolean;
  /** The disk is full: removes at once what is to be removed anyway. False: there was nothing. */
  makeRoom(): boolean;
  /** Whoever waits for the request with this unique got a signal. */
  interrupted(uniqueLow: number, uniqueHigh: number): void;
  /** Tells whether the store's remote has requests refused; missing: there is none. */
  readonly remote?: { readonly refusal: number } | undefined;
  /** Backing files that the kernel may read and write by itself; undefined: it is not to. */
  readonly backingFiles: BackingFiles | undefined;
  /** The kernel is to ask for the node's attributes when they are next wanted. */
  invalidateAttributes(node: number): void;
}

export class Session {
  readonly request = new Request(BUFFER_SIZE);
  readonly reply = new Reply(BUFFER_SIZE);
  readonly nodes: NodeTable;
  readonly snapshotNodes: SnapshotNodes;
  readonly passthrough: Passthrough;
  /** Of files in snapshots, by node. */
  readonly pastPassthrough: Passthrough;
  readonly failures: FailureLog;
  readonly requestLog: SessionLog;

  #entryTimeout = Timeout.NONE;
  #negativeTimeout = Timeout.NONE;
  #attributeTimeout = Timeout.NONE;

  // Arguments and results, used by every request again.
  readonly firstPath = new ReusableBytes(4096);
  readonly secondPath = new ReusableBytes(4096);
  readonly firstName = new ReusableBytes(256);
  readonly secondName = new ReusableBytes(256);
  readonly attributes = newAttributes();
  readonly change = newChange();
  readonly listing = new Listing(this);
  readonly pastListing = new PastListing(this);
  readonly removal: RemovalResult = { removedIno: 0, removedLinks: 0, movedIno: 0 };
  readonly statfs: StatFs = {
    blockSize: 0,
    blocks: 0,
    blocksFree: 0,
    blocksAvailable: 0,
    files: 0,
    filesFree: 0,
    nameMax: 0,
  };
  /** Whether SETXATTR's structure is the longer one. */
  extendsSetxattr = false;
  /** What `otherPlace` told last of the present request. */
  other: Place | undefined;
  /** The kernel is sending again what was not answered. */
  isResending = false;
  #cannotRest = false;
  #requests = 0;
  /** Handles. */
  readonly #releases: number[] = [];
  #parked: Parked[] = [];
  readonly #caller: Caller = { uid: 0, gid: 0, pid: 0, umask: 0 };

  constructor(
    readonly fileSystem: ServedFileSystem,
    readonly state: MountState,
    readonly services: SessionServices,
    timeouts: Timeouts,
    readonly tables = new SessionTables(),
  ) {
    this.nodes = new NodeTable(tables.nodes);
    this.snapshotNodes = new SnapshotNodes(tables.past);
    this.failures = new FailureLog(services.log);
    this.requestLog = new SessionLog(this, state.requestLog);
    this.setTimeouts(timeouts);
    const refused = (errno: number): void => {
      const reason = REFUSALS[errno] ?? `errno ${errno}`;
      services.log('info', `Contents pass through the daemon, not straight to their files: ${reason}`);
      state.setPassthrough(false);
    };
    this.passthrough = new Passthrough(fileSystem, services.backingFiles, refused);
    const past = {
      pass: () => 0,
      backing: (handle: number) => fileSystem.past?.backing(handle) ?? -EIO,
      fsync: () => 0,
    };
    this.pastPassthrough = new Passthrough(past, services.backingFiles, refused);
  }

  /** What INIT agreed on holds from here on. */
  agree({ flags, flags2 }: Agreement): void {
    this.extendsSetxattr = (flags & InitFlag.SETXATTR_EXT) !== 0;
    const passesThrough = (flags2 & InitFlag2.PASSTHROUGH) !== 0 && this.passthrough.isWanted;
    this.passthrough.enable(passesThrough);
    this.pastPassthrough.enable(passesThrough);
    this.state.setPassthrough(passesThrough);
  }

  /** Takes up the request of `length` bytes in `request`; false: it is none. `isAgain`: it was put aside. */
  begin(length: number, isAgain: boolean): boolean {
    if (!this.request.begin(length)) return false;
    this.other = undefined;
    if (++this.#requests % REQUESTS_WITHOUT_REST === 0) this.rest();
    if (!isAgain) this.state.countRequest(this.request.opcode);
    return true;
  }

  /** Where the request's node is; undefined when the kernel names one that it does not hold. */
  place(): Place | undefined {
    return this.nodes.place(this.request.node, this.firstPath);
  }

  /** Where another node of the request is; valid together with `place`. */
  otherPlace(node: number): Place | undefined {
    this.other = this.nodes.place(node, this.secondPath);
    return this.other;
  }

  /** Who sent the request. */
  caller(umask = 0): Caller {
    const caller = this.#caller;
    caller.uid = this.request.uid;
    caller.gid = this.request.gid;
    caller.pid = this.request.pid;
    caller.umask = umask;
    return caller;
  }

  /** For every reply from now on. */
  setTimeouts({ entryTimeout, attributeTimeout, negativeTimeout }: Timeouts): void {
    this.#entryTimeout = new Timeout(entryTimeout);
    this.#negativeTimeout = new Timeout(negativeTimeout);
    this.#attributeTimeout = new Timeout(attributeTimeout);
  }

  /** How long the kernel may keep names. */
  get entryTimeout(): Timeout {
    return this.#entryTimeout;
  }

  /** How long the kernel may keep that a name is absent. */
  get negativeTimeout(): Timeout {
    return this.#negativeTimeout;
  }

  /** Whether the kernel may keep contents over closing and opening: as long as it may keep attributes. */
  get keepsContents(): boolean {
    return !this.#attributeTimeout.isNone;
  }

  /** How long the kernel may keep `attributes`. */
  attributeTimeout(attributes: Attributes): Timeout {
    return attributes.changesUnseen ? Timeout.NONE : this.#attributeTimeout;
  }

  /** The request under way has opened a file: notes the handle for another daemon. */
  keepFile(handle: number, ino: number, flags: number): void {
    this.tables.request.opened(handle);
    this.tables.files.add(handle, ino, flags);
  }

  /** The request under way fails after all: ends the handle that it got. */
  dropFile(handle: number): void {
    this.fileSystem.release(handle);
    this.tables.files.remove(handle);
  }

  /**
   * A handle of a file is not used any more. Nobody waits for its end, and that of a file that was written takes as long
   * as other requests do, so it is put off until nobody waits for anything.
   * False: there is no such handle, or its end is put off already; by the time of another the number may be another file's.
   */
  putOffRelease(handle: number): boolean {
    if (this.fileSystem.fileOf(handle) === 0 || this.#releases.includes(handle)) return false;
    this.tables.files.setReleased(handle);
    this.#releases.push(handle);
    if (this.#releases.length > MOST_RELEASES) this.work();
    return true;
  }

  /** Puts the request aside, which has changed nothing yet: it is served again when a content is there. */
  park(length: number): void {
    this.#parked.push({ bytes: this.request.bytes.slice(0, length), arrived: stopwatch.arrived });
    this.state.setPutAside(this.#parked.length);
  }

  /**
   * Takes back what was put aside for callers that `isDying` tells of, and hands each to `letGo`: with this unique, or any (undefined). A content may
   * come from far away.
   */
  dropParked(
    unique: { low: number; high: number } | undefined,
    isDying: (pid: number) => boolean,
    letGo: (low: number, high: number) => void,
  ): void {
    this.#parked = this.#parked.filter(({ bytes }) => {
      const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const low = header.getUint32(InHeader.UNIQUE, true);
      const high = header.getUint32(InHeader.UNIQUE + 4, true);
      if (unique !== undefined && (unique.low !== low || unique.high !== high)) return true;
      if (!isDying(header.getUint32(InHeader.PID, true))) return true;
      letGo(low, high);
      return false;
    });
    this.state.setPutAside(this.#parked.length);
  }

  get hasParked(): boolean {
    return this.#parked.length > 0;
  }

  /** The requests that were put aside, which are so no more. */
  takeParked(): Parked[] {
    const parked = this.#parked;
    this.#parked = [];
    this.state.setPutAside(0);
    return parked;
  }

  /**
   * The filesystem layer gets time for what it put off. Returns whether it wants more in a moment. What it cannot do it
   * tries again each time, and that is told once.
   */
  rest(): boolean {
    try {
      const waits = this.fileSystem.rest();
      this.#cannotRest = false;
      return waits;
    } catch (error) {
      if (!this.#cannotRest) this.services.log('error', `Cannot do what was put off: ${error}`);
      this.#cannotRest = true;
      return true;
    }
  }

  /**
   * The reply that was just made is held back: what is noted of it is kept until `heldSent`. False: it is to be sent before
   * anything else is served.
   */
  holdReply(): boolean {
    return !this.isResending && this.tables.request.setAside();
  }

  /** The kernel has all replies that were held back. */
  heldSent(): void {
    this.tables.request.dropAside();
  }

  /** Does one thing that was put off; false: there is nothing. */
  work(): boolean {
    const handle = this.#releases.shift();
    if (handle === undefined) return false;
    const { files } = this.tables;
    files.clearWay(handle);
    this.passthrough.released(this.fileSystem.fileOf(handle));
    const error = this.fileSystem.release(handle);
    files.remove(handle);
    // With an error the handle is gone too.
    this.state.countOpenFile(-1);
    if (error === -EIO) this.state.failures.failed(Opcode.RELEASE, EIO, false);
    return true;
  }

  /** The kernel has no more to send again. */
  resent(): void {
    this.isResending = false;
    this.tables.request.dropAside();
  }

  /** Tells main how much the kernel holds. */
  publishNodes(): void {
    const { nodes, snapshotNodes } = this;
    this.state.setNodes(nodes.size + snapshotNodes.size, nodes.byteLength + snapshotNodes.byteLength);
  }
}
