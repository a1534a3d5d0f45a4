/**
 * What followers need is told by pins: each keeps the objects of one manifest.
 *
 * A pin counts once it is there and HEAD still has that manifest, read after it. Whoever collects looks at the pins after HEAD
 * has another one: so he sees it. It counts for its lease, by its follower's clock; whoever collects waits longer from when he first
 * sees it, by his (see lease.ts).
 *
 * Renewing is another pin, made before the one before has run out and is deleted; its name comes next, so no listing misses both. No
 * pin is replaced: what arrives late could make an old one of it, and it would seem not to be renewed. All that a pin says is in its
 * name: to read it, it would have to be there still when the listing is.
 */
import { SpinneyError } from '../../errors.js';
import type { Clock } from '../../store/object/clock.js';
import type { ObjectStore } from '../../store/object/object-store.js';
import { waitOutMs } from './lease.js';
import { PINS, type Pin, parsePinName } from './names.js';

interface Seen {
  pin: Pin;
  /** By one's own clock: it was there at the latest then. */
  at: number;
}

/** The pins of a remote, as whoever collects comes to know them. */
export class PinWatch {
  readonly #store: ObjectStore;
  readonly #clock: Clock;
  #seen = new Map<string, Seen>();

  constructor(store: ObjectStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /**
   * The manifests that are pinned, and the names of pins that have run out.
   * @throws as `list`; ERR_REMOTE_CORRUPT where there is something else: then nobody knows what it keeps
   */
  async look(): Promise<{ manifests: Set<string>; expired: string[] }> {
    const seen = new Map<string, Seen>();
    // When the answer is here, its pins may long be renewed by others that it does not have.
    const asked = this.#clock.now();
    for (let after = ''; ; ) {
      const { objects, more } = await this.#store.list(PINS, { after });
      const at = this.#clock.now();
      for (const { key } of objects) seen.set(key, this.#seen.get(key) ?? { pin: pinOf(key), at });
      if (!more || objects.length === 0) break;
      after = objects.at(-1)!.key;
    }
    this.#seen = seen;
    const manifests = new Set<string>();
    const expired: string[] = [];
    for (const [name, { pin, at }] of seen) {
      if (asked < at + waitOutMs(pin.leaseMs)) manifests.add(pin.manifest);
      else expired.push(name);
    }
    return { manifests, expired };
  }
}

function pinOf(name: string): Pin {
  const pin = parsePinName(name);
  if (pin !== undefined) return pin;
  throw new SpinneyError('ERR_REMOTE_CORRUPT', `Cannot tell what ${name} keeps: it is no pin`);
}
