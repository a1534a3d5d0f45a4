/** Where the daemon is asked: its control socket, and metrics over TCP where they are wanted. */
import type { MetricsServer } from '../control/metrics/metrics-server.js';
import type { ControlTarget } from '../control/reports.js';
import type { ControlServer } from '../control/server.js';
import type { TcpAddress } from '../control/tcp-address.js';
import { failureOf } from '../process/failure.js';
import type { Logger } from '../process/log/log.js';

export class ControlSockets {
  readonly #log: Logger;
  readonly #target: ControlTarget;
  #control: ControlServer | undefined;
  #metrics: MetricsServer | undefined;

  constructor(target: ControlTarget, log: Logger) {
    this.#target = target;
    this.#log = log;
  }

  /** Throws as `startControl` and `startMetricsServer` do. What serves sockets takes longer to load than all that serves a mount. */
  async start(path: string, metrics: TcpAddress | undefined): Promise<void> {
    const { startControl } = await import('../control/server.js');
    this.#control = await startControl({ path, target: this.#target, log: this.#log });
    if (metrics === undefined) return;
    const { startMetricsServer } = await import('../control/metrics/metrics-server.js');
    this.#metrics = await startMetricsServer(metrics, this.#target, this.#log);
  }

  /** Where metrics are told over TCP, with the port that it got. */
  get metricsAddress(): string | undefined {
    return this.#metrics?.address;
  }

  async close(): Promise<void> {
    try {
      await Promise.all([this.#control?.close(), this.#metrics?.close()]);
    } catch (error) {
      this.#log.warn({ err: error, reason: failureOf(error).message }, 'could not close the control socket');
    }
  }
}
