/**
 * A session with its tree, its contents and its tables on one disk in memory, that can be killed at any moment of a request, and be
 * followed by another that goes on with what is on the disk. Beside it stands the kernel: it holds nodes, handles and backing
 * files, which stay.
 */
import type { Tree } from '../../../engine/index.js';
import { FileSystem } from '../../../mount/filesystem/file-system.js';
import type { BackingFiles } from '../../../mount/kernel/device/device-calls.js';
import { MountState } from '../../../mount/kernel/device/mount-state.js';
import { SessionFiles } from '../../../mount/kernel/kept/session-files.js';
import { InHeader, RESENT } from '../../../mount/kernel/protocol/protocol.js';
import { handle } from '../../../mount/kernel/session/dispatch.js';
import { Resumption } from '../../../mount/kernel/session/resume.js';
import { Session } from '../../../mount/kernel/session/session.js';
import { FaultContents } from '../../support/disk/fault-contents.js';
import { FaultDisk } from '../../support/disk/fault-disk.js';
import type { MemoryDisk } from '../../support/disk/memory-disk.js';
import { CONTENT } from '../../support/files/seeded-files.js';
import { abandon, isLook, openOn, STORE } from '../../support/seeded-tree.js';

/** Goes on with each reading; a process that follows reads on from there. */
export class Time {
  seconds = 1_700_000_000;
  nanos = 0;

  read(): void {
    this.seconds++;
  }
}

/** What the kernel has of backing files: numbers, and the file that each is. */
export class Backings {
  /** By number: the file's name among the contents, as it was when it was registered. */
  paths = new Map<number, string>();
  #next = 1;

  /** Gives no number that the other has given. */
  after(other: Backings): void {
    this.#next = other.#next;
  }

  files(world: () => World): BackingFiles {
    return {
      register: (fd) => {
        this.paths.set(this.#next, world().disk.pathOf(fd));
        return this.#next++;
      },
      end: (backing) => {
        if (!this.paths.delete(backing)) throw new Error(`backing file ${backing} is not registered`);
      },
    };
  }
}

export class World {
  readonly disk: FaultDisk;
  readonly tree: Tree;
  readonly fs: FileSystem;
  readonly files: SessionFiles;
  readonly session: Session;
  readonly backings: Backings;
  readonly contents: FaultContents;
  readonly errors: string[] = [];
  readonly #time: Time;
  #moment: (() => void) | undefined;

  /** `resumes`: goes on with what is on the disk. `moment`: called whenever the process could be killed. */
  constructor(
    disk: MemoryDisk,
    options: {
      resumes: boolean;
      time: Time;
      backings: Backings;
      moment?: () => void;
      /** What clients have open throughout. */
      before?: (contents: FaultContents) => void;
    },
  ) {
    const { resumes, time, backings } = options;
    this.#time = time;
    this.backings = backings;
    this.disk = new FaultDisk(disk);
    this.#moment = options.moment;
    this.disk.onCall = ({ name }) => {
      if (!isLook(name)) this.#moment?.();
      return undefined;
    };
    const contents = new FaultContents(this.disk);
    this.contents = contents;
    options.before?.(contents);
    this.tree = openOn(this.disk, { durability: 'written' });
    this.files = resumes
      ? SessionFiles.takeUp(this.disk, STORE)
      : SessionFiles.make(this.disk, STORE, { connection: 7, mountpoint: '/mnt' });
    const { tables } = this.files;
    this.fs = new FileSystem(this.tree, {
      contentDirectory: CONTENT,
      readOnly: false,
      keepsNodes: true,
      rests: true,
      // What is to be removed stays: nothing looks at it.
      reclaimer: { schedule: () => {} },
      clock: time,
      disk: contents,
      mostContents: () => 3,
      keepers: tables,
    });
    this.session = new Session(
      this.fs,
      MountState.forNobody(),
      {
        log: (level, message, fields) => {
          if (level === 'error') this.errors.push(`${message} ${JSON.stringify(fields)} ${fields?.err}`);
        },
        ready: () => {},
        sync: () => false,
        makeRoom: () => false,
        interrupted: () => {},
        backingFiles: backings.files(() => this),
        invalidateAttributes: () => {},
      },
      { entryTimeout: 60, attributeTimeout: 60, negativeTimeout: 5 },
      tables,
    );
    const { request, files, directories, orphans, init, left } = tables;
    for (const part of [this.tree, this.session.nodes, request, files, directories, orphans, init, left]) {
      atEachCall(part, () => this.#moment?.());
    }
    if (resumes) {
      const resumption = new Resumption(this.session);
      this.fs.start((ino) => resumption.isHeld(ino));
      resumption.finish();
    } else {
      this.fs.start();
      this.files.open();
    }
  }

  /** The disk as a process finds it that comes after this one, killed now. */
  image(): MemoryDisk {
    return this.disk.inner.afterKill();
  }

  set moment(moment: (() => void) | undefined) {
    this.#moment = moment;
  }

  /** Serves the request; returns its reply, or undefined where there is none. */
  serve(bytes: Buffer): Buffer | undefined {
    this.session.request.bytes.set(bytes);
    const length = handle(this.session, bytes.length);
    if (this.errors.length > 0) throw new Error(this.errors.join('; '));
    return length === 0 ? undefined : Buffer.from(this.session.reply.bytes.slice(0, length));
  }

  /** As `serve`, of a request that another process did not answer. */
  serveAgain(bytes: Buffer): Buffer | undefined {
    const marked = Buffer.from(bytes);
    const high = InHeader.UNIQUE + 4;
    marked.writeUInt32LE((marked.readUInt32LE(high) | RESENT) >>> 0, high);
    const reply = this.serve(marked);
    if (reply !== undefined && !reply.subarray(8, 16).equals(marked.subarray(8, 16)))
      throw new Error('the reply has not the mark of a request that was sent again');
    return reply;
  }

  get time(): Time {
    return this.#time;
  }

  end(): void {
    this.#moment = undefined;
    this.disk.heal();
    this.files.leave();
    abandon(this.tree);
  }
}

/** Has `before` called before and after each call of a method of the object. */
function atEachCall(target: object, before: () => void): void {
  const prototype = Object.getPrototypeOf(target) as object;
  for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    const method = property.value as unknown;
    if (name === 'constructor' || typeof method !== 'function') continue;
    Object.defineProperty(target, name, {
      value: (...given: unknown[]): unknown => {
        before();
        const result = (method as (...all: unknown[]) => unknown).apply(target, given);
        before();
        return result;
      },
    });
  }
}
