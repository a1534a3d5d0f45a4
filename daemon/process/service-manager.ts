/**
 * The service manager that started this process (systemd, or whoever else sets NOTIFY_SOCKET), as sd_notify(3) tells it. What
 * it does not hear decides nothing here.
 */
import { DatagramSender } from '../../mount/process-calls.js';

const RETRY_MS = 100;
const MICROSECONDS_IN_MS = 1_000;

/** What the variables are that it speaks by; what this process starts shall not speak for it. */
const VARIABLES = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID', 'FDSTORE'] as const;

export class ServiceManager {
  readonly #sender: DatagramSender;
  /** A ping must come at least so often; undefined: none is awaited. */
  readonly watchdogMs: number | undefined;
  /** Whether it keeps descriptors for the process that it starts after this one. Told by systemd itself since version 254, before that by the unit. */
  readonly keepsDescriptors: boolean;
  /** For a process that speaks in this one's place. */
  readonly #environment: Readonly<Record<string, string>>;
  /** What it had no room for, in order. */
  readonly #unsent: string[] = [];
  #status = '';

  /** Undefined where nobody awaits a word. Takes the variables out of the environment. Throws ERR_INVALID_ARGUMENT, ERR_IO. */
  static fromEnvironment(environment: NodeJS.ProcessEnv = process.env): ServiceManager | undefined {
    const [path, microseconds, pid, kept] = VARIABLES.map((name) => environment[name]);
    for (const name of VARIABLES) delete environment[name];
    if (path === undefined || path === '') return undefined;
    const isForUs = pid === undefined || pid === String(process.pid);
    return new ServiceManager(path, isForUs ? microseconds : undefined, Number(kept) > 0);
  }

  private constructor(path: string, watchdogMicroseconds: string | undefined, keepsDescriptors: boolean) {
    this.keepsDescriptors = keepsDescriptors;
    this.#sender = new DatagramSender(path);
    const microseconds = Number(watchdogMicroseconds);
    this.watchdogMs = microseconds > 0 ? microseconds / MICROSECONDS_IN_MS : undefined;
    this.#environment = {
      NOTIFY_SOCKET: path,
      ...(microseconds > 0 && { WATCHDOG_USEC: String(microseconds) }),
    };
  }

  /** The environment of a process that will be the service's main one in place of this. */
  get heirsEnvironment(): Readonly<Record<string, string>> {
    return this.#environment;
  }

  /** The mount answers, and the process with this pid serves it. */
  ready(status: string, mainPid = process.pid): void {
    this.#status = oneLine(status);
    this.#tell(`MAINPID=${mainPid}\nREADY=1\nSTATUS=${this.#status}`);
  }

  /** A line for people, as `systemctl status` shows it. */
  status(text: string): void {
    const status = oneLine(text);
    if (status === this.#status) return;
    this.#status = status;
    this.#tell(`STATUS=${status}`);
  }

  stopping(status: string): void {
    this.#status = oneLine(status);
    this.#tell(`STOPPING=1\nSTATUS=${this.#status}`);
  }

  /**
   * Has it keep a copy of the descriptor, in place of what it kept by that name, until the service has ended for good. Returns undefined, or the
   * name of the error.
   */
  keep(name: string, fd: number): string | undefined {
    this.#sender.send(Buffer.from(`FDSTOREREMOVE=1\nFDNAME=${name}`));
    return this.#sender.send(Buffer.from(`FDSTORE=1\nFDNAME=${name}`), fd);
  }

  /** All is well, says who has made sure of it. */
  ping(): void {
    // Behind what it has not taken yet it would say nothing; the next one follows soon.
    if (this.#unsent.length === 0) this.#sender.send(Buffer.from('WATCHDOG=1'));
  }

  #tell(message: string): void {
    this.#unsent.push(message);
    if (this.#unsent.length === 1) this.#flush();
  }

  #flush(): void {
    for (let message = this.#unsent[0]; message !== undefined; message = this.#unsent[0]) {
      if (this.#sender.send(Buffer.from(message)) === 'EAGAIN') {
        setTimeout(() => this.#flush(), RETRY_MS).unref();
        return;
      }
      // Any other error means that nobody listens.
      this.#unsent.shift();
    }
  }
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ');
}
