/**
 * What goes on when a daemon ends and its mount does not: who starts the next one, what that one has from this one, and what is told of
 * it.
 *
 * Two can start the next one: the guard (guard/mount-guard.ts), or a service manager that keeps descriptors, which has limits and
 * a log of its own for that. Then the guard only takes the mount away, once the manager has let go of it: its pipe is
 * kept there beside the connection.
 */
import type { MountEntry } from '../../../mount/mountpoints/mountinfo.js';
import type { Mounted } from '../../../mount/types.js';
import type { RestartsReport } from '../../control/reports.js';
import { leftRecord, type RunningDaemon } from '../../places/daemon-record.js';
import { type Inheritance, STORED_CONNECTION, STORED_GUARD } from '../../process/inheritance.js';
import type { Logger } from '../../process/log/log.js';
import { isRunning } from '../../process/process-identity.js';
import { programLine } from '../../process/program.js';
import type { ServiceManager } from '../../process/service-manager.js';
import { uptimeSeconds } from '../../process/uptime.js';
import { MountGuard } from '../guard/mount-guard.js';
import type { OwnRecord } from './own-record.js';

/** What a daemon knows of how it is run. */
export interface ContinuityOptions {
  mountpoint: string;
  store: string;
  readOnly: boolean;
  /** The daemon that goes on with the mount when this one dies; undefined: none is to. */
  successor?: Successor | undefined;
}

export interface Successor {
  /** Options that make the same mount from any directory, by name, as they are spelled; of those that take no value `true`. */
  spelled: Readonly<Record<string, string | true>>;
  /** The command line that says so. */
  commandLine: readonly string[];
}

export interface ContinuitySurroundings {
  /** From the daemon before this one. */
  inheritance?: Inheritance;
  service?: ServiceManager;
  /** The service manager has started this very process, and sees its end. */
  isSupervised?: boolean;
}

/** Of the daemon that ends to make room for another: whoever restarts it takes it for a failure. */
export const HANDED_OVER_EXIT_CODE = 75;

export class Continuity {
  readonly #options: ContinuityOptions;
  readonly #log: Logger;
  readonly #inheritance: Inheritance | undefined;
  readonly #service: ServiceManager | undefined;
  readonly #isSupervised: boolean;
  /** Of the daemon before this one, where it could not remove it. */
  readonly #left: RunningDaemon | undefined;
  #guard: MountGuard | undefined;
  #mounted: Mounted | undefined;
  #restart: RestartsReport['last'];
  #isManaged = false;
  readonly sessionDirectory: string | undefined;

  /** `directory`: where daemons of this store have their records. */
  constructor(
    options: ContinuityOptions,
    directory: string,
    log: Logger,
    { inheritance, service, isSupervised = false }: ContinuitySurroundings,
  ) {
    this.#isSupervised = isSupervised;
    this.#options = options;
    this.#log = log;
    this.#inheritance = inheritance;
    this.#service = service;
    // Several may read a store at the same time.
    this.sessionDirectory = this.#isWanted && !options.readOnly ? options.store : undefined;
    this.#left = inheritance === undefined ? undefined : leftRecord(directory, options.mountpoint);
  }

  /** A service manager that keeps no descriptors would start a daemon of its own beside the guard's. */
  get #isWanted(): boolean {
    const isManagers = this.#isSupervised && this.#service?.keepsDescriptors !== true;
    return this.#options.successor !== undefined && !isManagers;
  }

  /** The next daemon speaks to the service manager, as this one does; nobody else does. */
  #withService(command: readonly string[]): readonly string[] {
    const variables = Object.entries(this.#service?.heirsEnvironment ?? {});
    if (variables.length === 0) return command;
    return ['env', ...variables.map(([name, value]) => `${name}=${value}`), ...command];
  }

  /** What the mount layer has to know; `at` tells where a path in the store is. */
  mountOptions(at: (path: string) => string): { sessionDirectory: string | undefined; attach?: number } {
    return {
      sessionDirectory: this.sessionDirectory && at(this.sessionDirectory),
      ...(this.#inheritance !== undefined && { attach: this.#inheritance.connection }),
    };
  }

  /** Whether the mount is there already. */
  get goesOn(): boolean {
    return this.#inheritance !== undefined;
  }

  /** For the record that this daemon writes of itself. */
  get recorded(): Pick<RunningDaemon, 'guard' | 'restarts'> {
    if (this.#inheritance === undefined) return {};
    const guard = this.#left?.guard;
    const restarts = (this.#left?.restarts ?? 0) + 1;
    return { restarts, ...(guard !== undefined && isRunning(guard) && { guard }) };
  }

  /** The mount answers; `entry` is it in the table of mounts. */
  begin(mounted: Mounted, entry: MountEntry | undefined, record: OwnRecord): void {
    this.#mounted = mounted;
    const connection = mounted.descriptor;
    this.#isManaged = connection !== undefined && this.#isKeptByManager(connection);
    const isManaged = this.#isManaged;
    this.#guard = new MountGuard(
      {
        entry,
        connection: isManaged ? undefined : connection,
        command: this.#withService(programLine(this.#options.successor?.commandLine ?? [])),
      },
      this.#log,
      (guard, pipe) => {
        if (isManaged) this.#keepInManager(STORED_GUARD, pipe);
        void record.tell((own) => own.guardedBy(guard));
      },
      this.#inheritance?.guard,
    );
    this.#tellRestart();
  }

  #isKeptByManager(connection: number): boolean {
    if (!this.#isSupervised || this.#service?.keepsDescriptors !== true) return false;
    // What it gave it still has.
    return this.#inheritance !== undefined || this.#keepInManager(STORED_CONNECTION, connection);
  }

  #keepInManager(name: string, fd: number): boolean {
    const problem = this.#service?.keep(name, fd);
    if (problem === undefined) return true;
    this.#log.warn({ problem }, 'the service manager did not take a descriptor of the mount');
    return false;
  }

  #tellRestart(): void {
    if (this.#inheritance === undefined) return;
    const { cause, since } = this.#inheritance;
    const pauseSeconds = Math.max(0, Math.round((uptimeSeconds() - since) * 1000) / 1000);
    this.#restart = { at: new Date().toISOString(), cause, pauseSeconds };
    this.#log.info(
      { cause, pauseSeconds, restarts: this.restarts.count, ...this.#mounted?.resumed },
      'went on with the mount of the daemon before',
    );
  }

  /** Whether somebody goes on with the mount at the end of this process. */
  get isContinued(): boolean {
    return this.refusal === undefined;
  }

  /** Why no other program can go on; undefined: one can. */
  get refusal(): string | undefined {
    if (this.#mounted === undefined) return 'the mount is not up yet';
    if (this.#options.successor === undefined) return 'the mount was made with --no-restart';
    if (!this.#isWanted)
      return 'the service manager keeps no descriptors (FileDescriptorStoreMax= in the unit)';
    if (this.#options.readOnly)
      return 'a mount that is only read is made anew: unmount it, and mount it again';
    if (this.#mounted.driver !== 'kernel')
      return `the driver ${this.#mounted.driver} cannot give a mount away`;
    if (this.#mounted.descriptor === undefined)
      return 'the kernel does not send requests again (Linux 6.9 does), or the files of the session could not be kept: see the log';
    return this.#guard === undefined ? 'nobody guards the mount' : undefined;
  }

  /** Whether the service manager starts the next daemon. */
  get isManaged(): boolean {
    return this.#isManaged;
  }

  get restarts(): RestartsReport {
    const count = this.recorded.restarts ?? 0;
    return { count, ...(this.#restart !== undefined && { last: this.#restart }) };
  }

  /** The mount ends on purpose. */
  endComes(): void {
    this.#guard?.endComes();
  }

  /** The mount is gone. */
  ended(): void {
    this.#guard?.standDown();
  }

  /** This process ends, and another goes on. */
  endsBecause(cause: string): void {
    this.#guard?.endsBecause(cause);
  }

  handOverTo(command: readonly string[], since: number): void {
    this.#guard?.handOverTo(this.#withService(command), since);
  }
}
