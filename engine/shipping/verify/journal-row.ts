/**
 * The journal of a remote, checked: from HEAD's place on a row without a gap, up to the fence of each epoch before HEAD's. What it has
 * is kept, as its objects may be deleted meanwhile.
 */

import { FETCHES_AT_ONCE } from '../../limits.js';
import type { Head } from '../../remote/objects/head.js';
import { HEADER_BYTES, readJournal } from '../../remote/objects/journal-object.js';
import { comparePositions, journalName, type Position } from '../../remote/objects/names.js';
import { hasCode } from '../../store/object/errors.js';
import type { ObjectStore } from '../../store/object/object-store.js';
import { eachAtOnce } from '../each-at-once.js';
import type { JournalEntry } from './inventory.js';
import type { ScratchFile } from './scratch-file.js';

export interface JournalRow {
  /** What its objects have, in order: where in the file, and which object. */
  bodies: readonly { name: string; position: number; bytes: number }[];
  bytes: number;
  /** Behind the last of them. */
  end: Position;
  /** An object is damaged, of a version that is not known, or lies elsewhere: what comes after it was not read. */
  damage: string | undefined;
}

/** Reads what is there from `from` on, up to HEAD's epoch. @throws as `get`; ERR_FORMAT_VERSION; ERR_NO_SPACE, ERR_IO */
export async function readRow(
  store: ObjectStore,
  from: Position,
  epoch: number,
  file: ScratchFile,
  read: () => void,
): Promise<JournalRow> {
  const bodies: JournalRow['bodies'][number][] = [];
  let bytes = 0;
  let place = from;
  let damage: string | undefined;
  while (place.epoch <= epoch) {
    try {
      const there = await readJournal(store, place);
      if (there === undefined) break;
      read();
      if (there.isFence) {
        place = { epoch: place.epoch + 1, sequence: 1 };
        continue;
      }
      file.write(there.body, bytes);
      bodies.push({ name: journalName(place), position: bytes, bytes: there.body.length });
      bytes += there.body.length;
      place = { epoch: place.epoch, sequence: place.sequence + 1 };
    } catch (error) {
      if (!hasCode(error, 'ERR_REMOTE_CORRUPT')) throw error;
      damage = (error as Error).message;
      break;
    }
  }
  return { bodies, bytes, end: place, damage };
}

interface Told {
  damage(message: string): void;
  note(message: string): void;
}

/** What is listed beside what was read. Of a row that ends in damage nothing is said of what comes behind. */
export async function checkRow(
  store: ObjectStore,
  head: Head,
  row: JournalRow,
  listed: readonly JournalEntry[],
  { damage, note }: Told,
): Promise<void> {
  const { end } = row;
  if (row.damage !== undefined) {
    damage(`${row.damage}; what was acknowledged after it is lost`);
    return;
  }
  const behind = listed.filter(({ place }) => comparePositions(place, end) > 0);
  const [next] = behind;
  // The writer may have gone on meanwhile.
  const isThere = async () => (await readJournal(store, end)) !== undefined;
  if (next !== undefined && next.place.epoch === end.epoch && !(await isThere())) {
    damage(`${journalName(end)} is missing, and ${behind.length} objects of the journal come after it`);
  } else if (end.epoch < head.epoch) {
    if (next !== undefined) {
      damage(
        `${journalName(end)}, the fence of epoch ${end.epoch}, is missing, and ${behind.length} objects of the journal come after it`,
      );
    } else {
      note(
        `epoch ${end.epoch} has no fence: its next writer has not come so far; the one after that puts it`,
      );
    }
  }
  const ahead = listed.find(({ place }) => place.epoch > head.epoch);
  if (ahead !== undefined) {
    damage(`${journalName(ahead.place)} is of an epoch after HEAD's, ${head.epoch}: HEAD is an older one`);
  }
}

/**
 * Fences of the epochs before the row's first: without one a writer that wakes up would be believed. Returns how many fences there are,
 * and what of the journal is before the row and no fence.
 */
export async function checkFences(
  store: ObjectStore,
  head: Head,
  listed: readonly JournalEntry[],
  { damage }: Told,
): Promise<{ fences: number; covered: JournalEntry[] }> {
  const fences = listed.filter(({ bytes }) => bytes === HEADER_BYTES);
  const fenced = new Set(fences.map(({ place }) => place.epoch));
  for (let epoch = 1; epoch < head.journal.epoch; epoch++) {
    if (!fenced.has(epoch)) damage(`the fence of epoch ${epoch} is missing: its writer could go on`);
  }
  await eachAtOnce(fences, FETCHES_AT_ONCE, async ({ place }) => {
    try {
      const there = await readJournal(store, place);
      if (there === undefined) damage(`${journalName(place)} is gone; fences are never deleted`);
    } catch (error) {
      // Those of the row were read with it.
      if (!hasCode(error, 'ERR_REMOTE_CORRUPT')) throw error;
      if (comparePositions(place, head.journal) < 0) damage((error as Error).message);
    }
  });
  const covered = listed.filter(
    ({ place, bytes }) => bytes !== HEADER_BYTES && comparePositions(place, head.journal) < 0,
  );
  return { fences: fences.length, covered };
}
