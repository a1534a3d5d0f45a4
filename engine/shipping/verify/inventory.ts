/** What is in a remote, by listing: names and sizes. */
import {
  HEAD,
  JOURNAL,
  PINS,
  type Position,
  parseJournalName,
  parseObjectName,
  parsePinName,
} from '../../remote/objects/names.js';
import type { ObjectInfo, ObjectStore } from '../../store/object/object-store.js';

const PROBE = 'probe/';

/** An object of the journal. */
export interface JournalEntry {
  place: Position;
  bytes: number;
}

export class Inventory {
  /** In their order. */
  readonly journal: JournalEntry[] = [];
  /** Manifests, packs and contents: bytes by name. */
  readonly objects = new Map<string, number>();
  /** Names of the manifests that followers keep. */
  readonly pinned = new Set<string>();
  readonly probes: ObjectInfo[] = [];
  /** What no release of ours makes. */
  readonly foreign: ObjectInfo[] = [];
  hasHead = false;

  /** @throws as `list` */
  static async take(store: ObjectStore, listed: (count: number) => void): Promise<Inventory> {
    const inventory = new Inventory();
    for (let after = ''; ; ) {
      const { objects, more } = await store.list('', { after });
      for (const object of objects) inventory.#add(object);
      listed(objects.length);
      if (!more || objects.length === 0) return inventory;
      after = objects.at(-1)!.key;
    }
  }

  get isEmpty(): boolean {
    const { hasHead, journal, objects, pinned, probes, foreign } = this;
    return !hasHead && journal.length + objects.size + pinned.size + probes.length + foreign.length === 0;
  }

  #add(object: ObjectInfo): void {
    const { key, bytes } = object;
    const place = key.startsWith(JOURNAL) ? parseJournalName(key) : undefined;
    const pin = key.startsWith(PINS) ? parsePinName(key) : undefined;
    if (key === HEAD) this.hasHead = true;
    else if (place !== undefined) this.journal.push({ place, bytes });
    else if (pin !== undefined) this.pinned.add(pin.manifest);
    else if (parseObjectName(key) !== undefined) this.objects.set(key, bytes);
    else if (key.startsWith(PROBE)) this.probes.push(object);
    else this.foreign.push(object);
  }
}
