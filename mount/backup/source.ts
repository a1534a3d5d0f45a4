/** What is backed up: a store that may be mounted, of which a snapshot is taken, or a backup that nobody changes. */
import { NodeDisk } from '../../engine/before-open.js';
import {
  type CheckpointMark,
  FileBlobStore,
  type Images,
  LivePin,
  SpinneyError,
} from '../../engine/index.js';
import type { BackupMoment, BackupRecord } from '../filesystem/records/backup-record.js';

/** Takes and deletes snapshots of the store, through the daemon that serves it or without one. */
export interface SnapshotActions {
  create(name: string): Promise<void>;
  delete(name: string): Promise<void>;
}

/** One moment of the store, to be read. */
export interface SourceMoment {
  readonly moment: BackupMoment;
  readonly images: Images;
  /** What is published with the images. */
  readonly mark: CheckpointMark;
  /** Files of the store may be changed meanwhile, or given up where a remote has them. */
  readonly isLive: boolean;
  /** The id that the newest snapshot has, or had. */
  lastSnapshot(): number;
  /** Whether all that was read was of this moment. */
  isThere(): boolean;
  close(): void;
}

export interface Source {
  readonly directory: string;
  /** In hex. */
  readonly uuid: string;
  /** Undefined where the moment is not there any more. */
  open(moment: BackupMoment): SourceMoment | undefined;
  /** The present moment. */
  take(backup: string): Promise<SourceMoment>;
  /** Forgets the moments of this backup but one. */
  forget(backup: string, but: BackupMoment): Promise<void>;
  close(): void;
}

/** How snapshots are called that a backup is made from. */
function prefixOf(backup: string): string {
  return `.backup-${backup}-`;
}

/** A store of which snapshots are taken. */
export class LiveSource implements Source {
  readonly directory: string;
  readonly uuid: string;
  readonly #disk = new NodeDisk();
  readonly #snapshots: SnapshotActions;

  /** @throws ERR_MANIFEST_CORRUPT, ERR_FORMAT_VERSION, ERR_IO */
  constructor(directory: string, snapshots: SnapshotActions) {
    this.directory = directory;
    this.#snapshots = snapshots;
    this.uuid = hex(LivePin.list(this.#disk, directory).uuid);
  }

  open(moment: BackupMoment): SourceMoment | undefined {
    const pin = this.#pins().find(({ id }) => id === moment.snapshot);
    const isIt = pin?.lsn === moment.lsn && pin.generation === moment.generation;
    return isIt ? this.#momentOf(pin.id) : undefined;
  }

  async take(backup: string): Promise<SourceMoment> {
    const name = `${prefixOf(backup)}${new Date().toISOString()}`;
    await this.#snapshots.create(name);
    const pin = this.#pins().find((other) => other.name === name);
    if (pin !== undefined) return this.#momentOf(pin.id);
    throw new SpinneyError(
      'ERR_NOT_FOUND',
      `Cannot back up ${this.directory}: the snapshot ${name} was taken, but is not in the store; is another one mounted there?`,
    );
  }

  async forget(backup: string, but: BackupMoment): Promise<void> {
    for (const { id, name } of this.#pins()) {
      if (name.startsWith(prefixOf(backup)) && id !== but.snapshot) await this.#snapshots.delete(name);
    }
  }

  close(): void {}

  #pins() {
    return LivePin.list(this.#disk, this.directory).pins;
  }

  #momentOf(id: number): SourceMoment {
    const images = new LivePin(this.#disk, this.directory, id);
    const { name, lsn, generation, createdAt } = images.pin;
    return {
      moment: { snapshot: id, name, lsn, generation, createdAt },
      images,
      mark: images.mark,
      isLive: true,
      lastSnapshot: () => LivePin.list(this.#disk, this.directory).lastPin,
      isThere: () => images.isThere(),
      close: () => images.close(),
    };
  }
}

/** A backup, which is as it is for as long as its lock is held: no snapshot is needed, and nothing in it changes. */
export class RestingSource implements Source {
  readonly directory: string;
  readonly uuid: string;
  readonly #store: FileBlobStore;
  readonly #base: BackupMoment;
  readonly #mark: CheckpointMark;

  /** @throws ERR_STORE_LOCKED, ERR_INVALID_ARGUMENT where it has been written to */
  constructor(directory: string, { base }: BackupRecord) {
    this.directory = directory;
    this.#store = FileBlobStore.open({ dir: directory, readOnly: true });
    this.uuid = hex(this.#store.uuid);
    const mark = this.#store.readMark();
    if (base !== undefined && mark?.lsn === base.lsn && mark.generation === base.generation) {
      this.#base = base;
      this.#mark = mark;
      return;
    }
    this.#store.close();
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      `Cannot back up ${directory}: it is a backup of which the last run was cut short or that was written to; run that backup again, or mount it for writing once, which makes it a store of its own`,
    );
  }

  open(moment: BackupMoment): SourceMoment | undefined {
    const { snapshot, lsn, generation } = this.#base;
    const isIt = moment.snapshot === snapshot && moment.lsn === lsn && moment.generation === generation;
    return isIt ? this.#now() : undefined;
  }

  async take(): Promise<SourceMoment> {
    return this.#now();
  }

  async forget(): Promise<void> {}

  close(): void {
    this.#store.close();
  }

  #now(): SourceMoment {
    return {
      moment: this.#base,
      images: this.#store,
      mark: this.#mark,
      isLive: false,
      lastSnapshot: () => this.#base.snapshot,
      isThere: () => true,
      close: () => {},
    };
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
