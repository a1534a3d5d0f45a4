/** The record that a daemon keeps of itself, as far as it can: it decides nothing, and nobody waits for it long. */
import { dirname } from 'node:path';
import { DaemonRecord, type RunningDaemon } from '../../places/daemon-record.js';
import { settledWithin } from '../../process/deadline.js';
import type { Logger } from '../../process/log/log.js';
import { version } from '../../process/version.js';

/** Writing the record takes a moment, or the disk hangs. */
const DEADLINE_MS = 500;

interface RecordedOptions {
  store: string;
  mountpoint: string;
  control: string;
  readOnly: boolean;
}

export class OwnRecord {
  readonly #log: Logger;
  #record: DaemonRecord | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Where a read-only store has no place for a record, `umount` cannot await this daemon. */
  write(directory: string, options: RecordedOptions, more: Partial<RunningDaemon>): void {
    const { store, mountpoint, control } = options;
    const isInStore = dirname(control) === store;
    try {
      const told = { mountpoint, ...(!isInStore && { control }), version, ...more };
      this.#record = DaemonRecord.write(directory, told);
    } catch (error) {
      if (!options.readOnly) throw error;
      this.#log.warn({ err: error }, 'the store takes no record of this daemon');
    }
  }

  /** Does not wait long, nor fail: others then have to find out by themselves what this daemon does. */
  async tell(tell: (record: DaemonRecord) => Promise<void>): Promise<void> {
    if (this.#record === undefined) return;
    const told = tell(this.#record).catch((error: unknown) => {
      this.#log.warn({ err: error }, 'could not bring the record of this daemon up to date');
    });
    await settledWithin(told, DEADLINE_MS);
  }

  /** For whoever waits for the end: what is on its way to the store's remote. */
  shipping(left: RunningDaemon['shipping']): void {
    void this.tell((record) => record.shipping(left));
  }

  /** What was set while this daemon served goes on to hold, but for what the next one's command line says anew. */
  tellSettings(settings: Readonly<Record<string, string>>, changed: readonly string[]): Promise<void> {
    const kept = Object.entries(settings).filter(([name]) => !changed.includes(name));
    return this.tell((record) => record.settings(Object.fromEntries(kept)));
  }

  async remove(): Promise<void> {
    await this.#record?.remove();
  }
}
