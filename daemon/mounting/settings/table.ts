/**
 * The settings that can change while a store is mounted, one entry for each. Names and texts are those of the options of
 * `spinney mount`, so the texts of a mount make the same mount again.
 */
import type { Durability } from '../../../engine/api.js';
import type { Mounted, Timeouts } from '../../../mount/types.js';
import { LOG_LEVELS, type LogLevel } from '../../process/log/log-levels.js';
import { type Refuse, readChoice, readMilliseconds, readNumber } from '../../process/text/option-text.js';
import type { DaemonOptions } from '../daemon-options.js';
import { readRules, rulesText } from '../snapshots/snapshot-rules.js';
import type { Rule } from '../snapshots/snapshot-schedule.js';
import { DURABILITIES, SCRUB_BOUNDS, TIMEOUT_BOUNDS } from './values.js';

/** What is in force. */
export interface Force extends DaemonOptions {
  logLevel: LogLevel;
}

/** What settings are applied to. */
export interface Adjustable {
  log: { level: string };
  setDurability(level: Durability): Promise<void>;
  schedule: { setRules(rules: readonly Rule[]): void };
  scrubber: { schedule(days: number): void };
  mount: Pick<Mounted, 'setTimeouts'>;
  requestLog: Pick<Mounted['requestLog'], 'slowMs'>;
}

/** A text that was read: what is in force with it. */
export interface Reading {
  with(force: Force): Force;
}

export interface Setting {
  readonly name: string;
  text(force: Force): string;
  /** Throws what `refuse` makes of what is wrong with the text. */
  read(text: string, refuse: Refuse): Reading;
  /** Why it cannot change in this mount, and what to do. */
  refusal?(force: Force, parts: Adjustable): string | undefined;
  /** Has what is in force. One that rejects has changed nothing. */
  apply(force: Force, parts: Adjustable): Promise<void> | void;
  /** What whoever changes it should know. */
  note?(before: Force, after: Force): string | undefined;
}

/** Of what is one of the values in force, under `key`. */
function setting<K extends keyof Force>(
  key: K,
  own: Omit<Setting, 'text' | 'read'> & {
    parse(text: string, name: string, refuse: Refuse): Force[K];
    print?(value: Force[K]): string;
  },
): Setting {
  const { parse, print = String, ...rest } = own;
  return {
    ...rest,
    text: (force) => print(force[key]),
    read(text, refuse) {
      const value = parse(text, own.name, refuse);
      return { with: (force) => ({ ...force, [key]: value }) };
    },
  };
}

function timeout(key: keyof Timeouts, name: string, what: string): Setting {
  return setting(key, {
    name,
    parse: (text, called, refuse) => readNumber(text, called, TIMEOUT_BOUNDS, refuse),
    refusal: (_force, { mount }) =>
      mount.setTimeouts === undefined
        ? `the driver of this mount tells libfuse once, when it mounts; unmount, and mount with --${name}`
        : undefined,
    apply: (force, { mount }) => mount.setTimeouts?.(force),
    note: (before, after) =>
      after[key] < before[key]
        ? `${what} that the kernel has already it keeps for up to ${before[key]} s; ` +
          'echo 2 > /proc/sys/vm/drop_caches has it forget those that nobody uses'
        : undefined,
  });
}

/** In the order in which they are applied: what may fail comes first. */
export const SETTINGS: readonly Setting[] = [
  setting('durability', {
    name: 'durability',
    parse: (text, name, refuse) => readChoice(text, name, DURABILITIES, refuse),
    refusal: ({ readOnly }) =>
      readOnly ? 'nothing is written through a mount that is read-only' : undefined,
    apply: ({ durability }, parts) => parts.setDurability(durability),
  }),
  timeout('entryTimeout', 'entry-timeout', 'names'),
  timeout('attributeTimeout', 'attr-timeout', 'attributes'),
  timeout('negativeTimeout', 'negative-timeout', 'absent names'),
  setting('snapshots', {
    name: 'snapshots',
    parse: readRules,
    print: rulesText,
    refusal: ({ readOnly }) => (readOnly ? 'a mount that is read-only makes no snapshots' : undefined),
    apply: ({ snapshots }, { schedule }) => schedule.setRules(snapshots),
  }),
  setting('scrubDays', {
    name: 'scrub',
    parse: (text, name, refuse) => readNumber(text, name, SCRUB_BOUNDS, refuse),
    apply: ({ scrubDays }, { scrubber }) => scrubber.schedule(scrubDays),
  }),
  setting('slowRequestMs', {
    name: 'slow-requests',
    parse: readMilliseconds,
    print: (milliseconds) => `${milliseconds}ms`,
    apply({ slowRequestMs }, { requestLog }) {
      requestLog.slowMs = slowRequestMs;
    },
  }),
  setting('logLevel', {
    name: 'log-level',
    parse: (text, name, refuse) => readChoice(text, name, LOG_LEVELS, refuse),
    apply({ logLevel }, { log }) {
      log.level = logLevel;
    },
  }),
];
