/**
 * Becoming the writer of a remote. In this order:
 *
 * 1. HEAD with the next epoch, in place of the one that was read. Of several who try, one succeeds. Another's lease is waited out first.
 * 2. A fence at the end of each epoch's journal that the manifest does not have: nothing comes in there any more.
 * 3. The journal before the fences is replayed, on top of the manifest. It is all that was ever acknowledged.
 *
 * A taker that dies in between leaves an epoch without a fence, which the next one puts, too. Fences are never deleted: a writer
 * that wakes up after any time would find its place free.
 */
import { SpinneyError } from '../errors.js';
import { JOURNAL_FETCHES_AT_ONCE } from '../limits.js';
import type { Clock } from '../store/object/clock.js';
import { hasCode } from '../store/object/errors.js';
import type { ETag } from '../store/object/object-store.js';
import { HeldHead } from './held-head.js';
import { encodeHead, type Head } from './objects/head.js';
import { encodeFence, type JournalObject, readJournal } from './objects/journal-object.js';
import { MIN_LEASE_MS, waitOutMs } from './objects/lease.js';
import { HEAD, journalName, type Position } from './objects/names.js';
import { RemoteWriter } from './remote-writer.js';
import { readHead, type Site, taken } from './site.js';

export interface TakeOverOptions {
  /**
   * The store that will hold HEAD, 32 hex digits. Where it has HEAD already, nothing is waited for: whoever calls has the store locked,
   * so its last writer is dead.
   */
  holder: string;
  leaseMs: number;
  /** Only where this store has HEAD already, or there is none: what it has is the remote's state then. Default: false. */
  isOwnOnly?: boolean;
  /** Ends it: what throws then is its reason. */
  signal?: AbortSignal;
  /** Is given the manifest that replay begins with, if there is one, before `replay` is called. */
  restore: (manifest: string | undefined) => Promise<void>;
  /** Is given all that the journal has besides, in order. */
  replay: (body: Uint8Array, place: Position) => Promise<void>;
}

/**
 * @throws ERR_REMOTE_TAKEN where another takes over meanwhile, or has it and `isOwnOnly`; the signal's reason, and what the store or the callbacks throw. Then it may hold HEAD all the same;
 * trying again is right.
 */
export async function takeOver(site: Site, options: TakeOverOptions): Promise<RemoteWriter> {
  if (!(options.leaseMs >= MIN_LEASE_MS)) {
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      `Cannot take over the remote: the lease must be at least ${MIN_LEASE_MS} ms`,
    );
  }
  const held = await takeHead(site, options);
  try {
    const { manifest, journal, epoch } = held.head;
    await options.restore(manifest);
    let place = journal;
    while (place.epoch < epoch) place = await endEpoch(site, held, place, options);
    return new RemoteWriter(site, held);
  } catch (error) {
    held.endWith(new SpinneyError('ERR_CLOSED', 'Cannot write to the remote: taking it over failed'));
    throw error;
  }
}

async function takeHead(site: Site, options: TakeOverOptions): Promise<HeldHead> {
  const { clock, newId } = site;
  const { holder, leaseMs, isOwnOnly = false, signal } = options;
  /** The HEAD whose lease was waited out, by its tag. */
  let waitedFor: ETag | undefined;
  for (;;) {
    signal?.throwIfAborted();
    const found = await readHead(site);
    if (isOwnOnly && found !== undefined && found.head.holder !== holder)
      throw taken(`store ${found.head.holder} has it, in epoch ${found.head.epoch}`);
    const wait = found === undefined || found.head.holder === holder ? 0 : waitOutMs(found.head.leaseMs);
    if (wait > 0 && found!.etag !== waitedFor) {
      waitedFor = found!.etag;
      await sleepUnlessAborted(clock, wait, signal);
      continue;
    }
    const head: Head = {
      epoch: (found?.head.epoch ?? 0) + 1,
      nonce: newId(),
      holder,
      leaseMs,
      manifest: found?.head.manifest,
      journal: found?.head.journal ?? { epoch: 1, sequence: 1 },
    };
    const sentAt = clock.now();
    const etag = await tryPut(site, head, found?.etag);
    if (etag !== undefined) return new HeldHead(site, head, etag, sentAt);
  }
}

/** Undefined where HEAD was no more what it was. */
async function tryPut(
  { store, ...site }: Site,
  head: Head,
  over: ETag | undefined,
): Promise<ETag | undefined> {
  try {
    return await store.put(
      HEAD,
      encodeHead(head),
      over === undefined ? { ifNoneMatch: '*' } : { ifMatch: over },
    );
  } catch (error) {
    if (!hasCode(error, 'ERR_CONDITION_FAILED') && !hasCode(error, 'ERR_NOT_FOUND')) throw error;
  }
  const found = await readHead({ store, ...site });
  return found?.head.nonce === head.nonce ? found.etag : undefined;
}

/** Replays an epoch's journal from `place` on and makes sure of its fence. Where the next epoch begins. */
async function endEpoch(
  site: Site,
  held: HeldHead,
  from: Position,
  { replay, signal }: TakeOverOptions,
): Promise<Position> {
  const { epoch } = from;
  // What is there never changes, so it may be asked for ahead. What is not there is looked for again in its turn.
  const ahead: Promise<JournalObject | undefined>[] = [];
  for (let { sequence } = from; ; sequence++) {
    while (ahead.length < JOURNAL_FETCHES_AT_ONCE) {
      const next = readJournal(site.store, { epoch, sequence: sequence + ahead.length });
      next.catch(() => {});
      ahead.push(next);
    }
    const place = { epoch, sequence };
    const there =
      (await ahead.shift()) ?? (await readJournal(site.store, place)) ?? (await fence(site, place));
    if (held.end !== undefined) throw held.end;
    signal?.throwIfAborted();
    if (there.isFence) return { epoch: epoch + 1, sequence: 1 };
    await replay(there.body, place);
  }
}

async function sleepUnlessAborted(clock: Clock, ms: number, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return clock.sleep(ms);
  await new Promise<void>((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    clock.sleep(ms).then(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    }, reject);
  });
}

/** What is at the place now: the fence, or what came before it. */
async function fence(site: Site, place: Position): Promise<JournalObject> {
  const writer = site.newId();
  try {
    await site.store.put(journalName(place), encodeFence(place, writer), { ifNoneMatch: '*' });
    return { isFence: true, writer, body: new Uint8Array() };
  } catch (error) {
    if (!hasCode(error, 'ERR_CONDITION_FAILED')) throw error;
  }
  const there = await readJournal(site.store, place);
  if (there !== undefined) return there;
  throw new SpinneyError(
    'ERR_REMOTE_TAKEN',
    `Cannot take over the remote: ${journalName(place)} is gone, so another writer has taken over`,
  );
}
