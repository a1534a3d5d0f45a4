/**
 * What a mount has been told to be, and what of that is changed while it is mounted.
 *
 * A change of several is all or nothing: all are read and checked before the first is applied, and should one fail to be applied,
 * those before it are taken back. One change at a time.
 */
import { SpinneyError } from '../../../engine/errors.js';
import type { SettingsChange, SettingsReport, SettingsTarget } from '../../control/reports.js';
import { failureOf } from '../../process/failure.js';
import type { Logger } from '../../process/log/log.js';
import type { LogLevel } from '../../process/log/log-levels.js';
import type { DaemonOptions } from '../daemon-options.js';
import { FIXED } from './fixed.js';
import { type Adjustable, type Force, SETTINGS, type Setting } from './table.js';

const NAMES = SETTINGS.map(({ name }) => name);

export class Settings implements SettingsTarget {
  readonly #log: Logger;
  #force: Force;
  /** Texts of those that are not as the mount was asked for. */
  #changed: Record<string, string> = {};
  #parts: Adjustable | undefined;
  #keep: (changed: Readonly<Record<string, string>>) => Promise<void> = async () => {};
  #changing: Promise<unknown> = Promise.resolve();

  /** What `options.settings` has from before is in force from the beginning. */
  constructor(options: DaemonOptions, log: Logger) {
    this.#log = log;
    const { settings = {}, ...asked } = options;
    this.#force = { ...asked, logLevel: log.level as LogLevel };
    for (const [name, text] of Object.entries(settings)) this.#restore(name, text);
    log.level = this.#force.logLevel;
  }

  /** One that this version does not take is left as the mount was asked for. */
  #restore(name: string, text: string): void {
    const setting = SETTINGS.find((known) => known.name === name);
    try {
      if (setting === undefined) throw unknown(name);
      this.#force = setting.read(text, cannotSet).with(this.#force);
      this.#changed[name] = text;
    } catch (error) {
      this.#log.warn({ name, text, reason: failureOf(error).message }, 'could not keep a setting');
    }
  }

  /** What is in force now. */
  get options(): DaemonOptions {
    return this.#force;
  }

  get changed(): Readonly<Record<string, string>> {
    return this.#changed;
  }

  /** The mount is up. `keep` has those that were changed recorded, and does not reject. */
  setParts(parts: Adjustable, keep: (changed: Readonly<Record<string, string>>) => Promise<void>): void {
    this.#parts = parts;
    this.#keep = keep;
  }

  /** The driver that `auto` took. */
  setDriver(driver: DaemonOptions['driver']): void {
    this.#force = { ...this.#force, driver };
  }

  report(): SettingsReport {
    const force = this.#force;
    const texts = [...SETTINGS, ...FIXED].map(({ name, text }) => [name, text(force)] as const);
    return { settings: Object.fromEntries(texts), changeable: NAMES };
  }

  /** Throws ERR_INVALID_ARGUMENT, and what kept a change from being made; then all is as it was. */
  change(wanted: Readonly<Record<string, string>>): Promise<SettingsChange> {
    const change = () => this.#change(wanted);
    const changed = this.#changing.then(change, change);
    this.#changing = changed;
    return changed;
  }

  async #change(wanted: Readonly<Record<string, string>>): Promise<SettingsChange> {
    const parts = this.#parts;
    if (parts === undefined)
      throw new SpinneyError('ERR_MOUNT', 'Cannot set anything: the mount is not up yet');
    const before = this.#force;
    let after = before;
    const names = Object.keys(wanted);
    if (names.length === 0) throw cannotSet('no setting is named');
    for (const name of names) after = read(name, wanted[name]!, after);
    const different = SETTINGS.filter(({ text }) => text(before) !== text(after));
    for (const setting of different) refuseFixed(setting, before, parts);
    const wasHeard = this.#log.isLevelEnabled('info');
    await this.#applyAll(different, before, after, parts);
    this.#force = after;
    for (const { name, text } of different) this.#changed[name] = text(after);
    const changed = describe(different, before, after);
    if (different.length > 0) {
      this.#tell(changed, wasHeard);
      await this.#keep(this.#changed);
    }
    return {
      settings: this.report().settings,
      changed,
      notes: different.flatMap(({ note }) => note?.(before, after) ?? []),
    };
  }

  async #applyAll(
    settings: readonly Setting[],
    before: Force,
    after: Force,
    parts: Adjustable,
  ): Promise<void> {
    const applied: Setting[] = [];
    try {
      for (const setting of settings) {
        await setting.apply(after, parts);
        applied.push(setting);
      }
    } catch (error) {
      for (const setting of applied.reverse()) await this.#takeBack(setting, before, parts);
      throw error;
    }
  }

  /** What failed is told to whoever asked; of this nobody else would know. */
  async #takeBack(setting: Setting, before: Force, parts: Adjustable): Promise<void> {
    try {
      await setting.apply(before, parts);
    } catch (error) {
      this.#log.error({ err: error, setting: setting.name }, 'could not take a setting back');
    }
  }

  /** Also where the new level would not let it through. */
  #tell(changed: SettingsChange['changed'], wasHeard: boolean): void {
    const { level } = this.#log;
    if (wasHeard && !this.#log.isLevelEnabled('info')) this.#log.level = 'info';
    this.#log.info({ changed }, 'settings changed');
    this.#log.level = level;
  }
}

/** What is in force with this text. A fixed setting may be "changed" to what it is. */
function read(name: string, text: string, force: Force): Force {
  const setting = SETTINGS.find((known) => known.name === name);
  if (setting !== undefined) return setting.read(text, cannotSet).with(force);
  const fixed = FIXED.find((known) => known.name === name);
  if (fixed === undefined) throw unknown(name);
  if (fixed.text(force) === text) return force;
  throw cannotSet(`${name} is ${fixed.text(force)}, and cannot change while mounted: ${fixed.why}`);
}

function refuseFixed({ name, refusal }: Setting, force: Force, parts: Adjustable): void {
  const why = refusal?.(force, parts);
  if (why !== undefined) throw cannotSet(`${name} cannot change in this mount: ${why}`);
}

function describe(settings: readonly Setting[], before: Force, after: Force): SettingsChange['changed'] {
  const changes = settings.map(({ name, text }) => [name, { from: text(before), to: text(after) }] as const);
  return Object.fromEntries(changes);
}

function unknown(name: string): SpinneyError {
  return cannotSet(`there is no setting "${name}"; what can change while mounted is ${NAMES.join(', ')}`);
}

function cannotSet(reason: string): SpinneyError {
  return new SpinneyError('ERR_INVALID_ARGUMENT', `Cannot change the settings: ${reason}`);
}
