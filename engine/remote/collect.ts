/**
 * Deletes what nothing needs any more. Whoever holds HEAD does it, after a checkpoint of his own.
 *
 * What is kept:
 * - what HEAD's manifest refers to, snapshots included, and what the manifests of pins do;
 * - of the journal what HEAD's range has, and every fence; while somebody follows, what the range of the checkpoint before had, too: who is a
 *   moment behind need not fetch a whole checkpoint;
 * - what was named since the last checkpoint was captured, and whatever a later epoch made.
 *
 * So it does no harm late, when another has HEAD already: his HEAD came from one that this writer published, or from a later one, and
 * no name is ever made again. What was of no use then, is of none to him.
 */
import { hasCode } from '../store/object/errors.js';
import type { ObjectInfo, ObjectStore } from '../store/object/object-store.js';
import { HEADER_BYTES } from './objects/journal-object.js';
import { readManifest } from './objects/manifest.js';
import {
  comparePositions,
  JOURNAL,
  KINDS,
  type Position,
  parseJournalName,
  parseObjectName,
} from './objects/names.js';
import { PinWatch } from './objects/pins.js';
import type { RemoteWriter } from './remote-writer.js';
import type { Site } from './site.js';

export class Collector {
  readonly #store: ObjectStore;
  readonly #writer: RemoteWriter;
  readonly #pins: PinWatch;
  /** HEAD's place in the journal, now and before that. */
  #journal: Position;
  #journalBefore: Position;

  constructor(site: Site, writer: RemoteWriter) {
    this.#store = site.store;
    this.#writer = writer;
    this.#pins = new PinWatch(site.store, site.clock);
    this.#journal = writer.held.head.journal;
    this.#journalBefore = this.#journal;
  }

  /** Deletes what can be; how many objects. Nothing before the writer's first checkpoint. @throws as the store; then the next run goes on */
  async collect(): Promise<number> {
    const { held, epoch } = this.#writer;
    // What HEAD has is known only while none is under way. Checkpoints that come later need less still.
    const known = await held.inTurn(async () => ({
      manifest: held.head.manifest,
      journal: held.head.journal,
      mark: this.#writer.checkpointed,
    }));
    if (known.mark === 0 || known.manifest === undefined || held.end !== undefined) return 0;
    if (comparePositions(this.#journal, known.journal) < 0) {
      this.#journalBefore = this.#journal;
      this.#journal = known.journal;
    }
    const { manifests, expired } = await this.#pins.look();
    const range = manifests.size > 0 ? this.#journalBefore : known.journal;
    const needed = new Set<string>();
    await this.#addNeeds(known.manifest, needed);
    for (const name of manifests) {
      try {
        await this.#addNeeds(name, needed);
      } catch (error) {
        // A pin that came too late, and so never counted.
        if (!hasCode(error, 'ERR_NOT_FOUND')) throw error;
      }
    }
    const isGarbage = ({ key }: ObjectInfo): boolean => {
      const parts = parseObjectName(key);
      if (parts === undefined || needed.has(key)) return false;
      return parts.epoch < epoch || (parts.epoch === epoch && parts.number < known.mark);
    };
    let deleted = 0;
    for (const kind of KINDS) deleted += await this.#deleteWhere(`${kind}/`, isGarbage);
    deleted += await this.#deleteWhere(JOURNAL, (object) => isBehind(object, range));
    for (const name of expired) await this.#store.delete(name);
    return deleted + expired.length;
  }

  async #addNeeds(manifest: string, needed: Set<string>): Promise<void> {
    const { references } = await readManifest(this.#store, manifest);
    needed.add(manifest);
    for (const name of references) needed.add(name);
  }

  async #deleteWhere(prefix: string, isGarbage: (object: ObjectInfo) => boolean): Promise<number> {
    let deleted = 0;
    for (let after = ''; ; ) {
      const { objects, more } = await this.#store.list(prefix, { after });
      for (const object of objects) {
        if (!isGarbage(object)) continue;
        await this.#store.delete(object.key);
        deleted++;
      }
      if (!more || objects.length === 0) return deleted;
      after = objects.at(-1)!.key;
    }
  }
}

/** Whether it is of the journal, before the range, and no fence. */
function isBehind({ key, bytes }: ObjectInfo, range: Position): boolean {
  const place = parseJournalName(key);
  return place !== undefined && bytes !== HEADER_BYTES && comparePositions(place, range) < 0;
}
