/**
 * Follows a remote that another writes: whole checkpoints, and the journal's objects after them, in order. What it sees was the
 * state of all that was acknowledged, or is about to be, at one moment.
 *
 * Objects never change and no name is made again, so what is there is right. What is not there any more tells that it is behind.
 */
import { SpinneyError } from '../errors.js';
import { hasCode } from '../store/object/errors.js';
import type { Head } from './objects/head.js';
import { readJournal } from './objects/journal-object.js';
import { RENEWALS } from './objects/lease.js';
import { comparePositions, type Pin, type Position, pinName } from './objects/names.js';
import { readHead, type Site } from './site.js';

/** 'end': nothing more at the moment; 'behind': the journal's next part is gone, a later checkpoint has it. */
export type Followed = { body: Uint8Array; place: Position } | 'end' | 'behind';

/** HEAD, and by the site's clock when it was first read so, and last. */
export interface SeenHead {
  head: Head;
  since: number;
  at: number;
}

/** A pin, which renewals replace by the next. */
interface HeldPin extends Pin {
  /** It counts until then, by the site's clock. */
  until: number;
  /** It is to be renewed from then on. */
  renewAt: number;
}

export class RemoteFollower {
  readonly #site: Site;
  readonly #leaseMs: number;
  #place: Position = { epoch: 1, sequence: 1 };
  #pin: HeldPin | undefined;
  #seen: SeenHead | undefined;

  constructor(site: Site, leaseMs: number) {
    this.#site = site;
    this.#leaseMs = leaseMs;
  }

  /** One with pins of its own, that is where this one is in the journal and knows of HEAD what it has seen. */
  another(): RemoteFollower {
    const other = new RemoteFollower(this.#site, this.#leaseMs);
    other.#place = this.#place;
    other.#seen = this.#seen;
    return other;
  }

  /** Whether all objects of the manifest that was adopted last are there for certain. */
  isPinned(): boolean {
    return this.#pin !== undefined && this.#site.clock.now() < this.#pin.until;
  }

  /** Where the next object of the journal is looked for. */
  get place(): Position {
    return this.#place;
  }

  /** The manifest that is pinned; undefined where there is none. */
  get pinned(): string | undefined {
    return this.#pin?.manifest;
  }

  /** HEAD as it was read last; undefined before that. */
  get seen(): SeenHead | undefined {
    return this.#seen;
  }

  /**
   * Pins HEAD's manifest, and goes on from there. The name of the manifest; undefined where there is no checkpoint yet: then the
   * journal has everything. The pin of the last adoption is kept until `unpin`.
   * @throws ERR_NOT_FOUND where there is no HEAD yet, and as the store
   */
  async adopt(): Promise<{ manifest: string | undefined; unpin: () => Promise<void> }> {
    for (let head = await this.#head(); ; head = this.#seen!.head) {
      const { manifest, journal } = head;
      if (manifest === undefined) this.#pin = undefined;
      const unpin = manifest === undefined ? async () => {} : await this.pinAnew(manifest);
      if (unpin === undefined) continue;
      this.#place = journal;
      return { manifest, unpin };
    }
  }

  /**
   * Pins a manifest that HEAD had, and goes on in the journal where it is: for whoever has all that the manifest has. The pin before is kept until its
   * `unpin`. Returns that of the new one; undefined where HEAD has another by now: then all is as it was. @throws as `adopt`
   */
  async pinAnew(manifest: string): Promise<(() => Promise<void>) | undefined> {
    const { clock, store, newId } = this.#site;
    const pin: HeldPin = {
      adoption: newId(),
      number: 1,
      manifest,
      leaseMs: this.#leaseMs,
      ...this.#times(clock.now()),
    };
    const unpin = () => {
      if (this.#pin === pin) this.#pin = undefined;
      return store.delete(pinName(pin));
    };
    await store.put(pinName(pin), new Uint8Array());
    if ((await this.#head()).manifest !== manifest) {
      await unpin();
      return undefined;
    }
    this.#pin = pin;
    return unpin;
  }

  /** Renews where it is time to. False: it was too late, as with `renew`. To be called more often than `renewalMs` tells. */
  async keep(): Promise<boolean> {
    const pin = this.#pin;
    if (pin === undefined || this.#site.clock.now() < pin.renewAt) return true;
    return this.renew();
  }

  #times(now: number): Pick<HeldPin, 'until' | 'renewAt'> {
    return { until: now + this.#leaseMs, renewAt: now + this.renewalMs };
  }

  /** To be called RENEWALS times within the lease. False where it was too late: then it has to adopt again. @throws as `put` and `delete` */
  async renew(): Promise<boolean> {
    const pin = this.#pin;
    if (pin === undefined || !this.isPinned()) return false;
    const { clock, store } = this.#site;
    const next = { ...pin, number: pin.number + 1, ...this.#times(clock.now()) };
    await store.put(pinName(next), new Uint8Array());
    // Had it run out meanwhile, whoever collects might have looked in between.
    if (this.#pin !== pin || !this.isPinned()) return false;
    const before = pinName(pin);
    Object.assign(pin, next);
    await store.delete(before);
    return true;
  }

  /** Milliseconds between two renewals. */
  get renewalMs(): number {
    return this.#leaseMs / RENEWALS;
  }

  /** What comes next in the journal; the same again until it was passed. @throws as the store, ERR_REMOTE_CORRUPT where it is damaged */
  async next(): Promise<Followed> {
    for (;;) {
      const place = this.#place;
      const { store } = this.#site;
      let damage: unknown;
      const there = await readJournal(store, place).catch((error: unknown) => {
        if (!hasCode(error, 'ERR_REMOTE_CORRUPT')) throw error;
        damage = error;
        return undefined;
      });
      if (there?.isFence === false) return { body: there.body, place };
      // Records may have been here, and be deleted; and a fence that was on its way for long may have come to their place. They are deleted
      // only once HEAD's range begins behind them: a HEAD that is read now says so.
      if (await this.isBehind()) return 'behind';
      if (damage !== undefined) throw damage;
      if (there === undefined) return 'end';
      this.#place = { epoch: place.epoch + 1, sequence: 1 };
    }
  }

  /** What was at this place in the journal is done with. */
  pass({ epoch, sequence }: Position): void {
    this.#place = { epoch, sequence: sequence + 1 };
  }

  /** Whether HEAD's manifest has what comes next in the journal. @throws as the store */
  async isBehind(): Promise<boolean> {
    const { journal } = await this.#head();
    return comparePositions(this.#place, journal) < 0;
  }

  async #head(): Promise<Head> {
    const found = await readHead(this.#site);
    if (found === undefined)
      throw new SpinneyError('ERR_NOT_FOUND', 'Cannot follow the remote: there is no store');
    const { head } = found;
    const at = this.#site.clock.now();
    const since = this.#seen?.head.nonce === head.nonce ? this.#seen.since : at;
    this.#seen = { head, since, at };
    return head;
  }
}
