/** HEAD, with all that its manifest needs kept for as long as it is looked at; and where nothing can be pinned, without. */
import { SpinneyError } from '../../errors.js';
import { RemoteFollower } from '../../remote/follower.js';
import type { Head } from '../../remote/objects/head.js';
import { RENEWALS } from '../../remote/objects/lease.js';
import { readHead, type Site } from '../../remote/site.js';
import { hasCode } from '../../store/object/errors.js';

/** Whoever has not renewed for so long does not look any more: what it kept may go. */
const LEASE_MS = 60_000;
/** HEAD is replaced at each checkpoint, hardly so often in a row between two looks. */
const MOST_TRIES = 20;

export class PinnedHead {
  readonly head: Head;
  readonly #site: Site;
  readonly #unpin: () => Promise<void>;
  readonly #follower: RemoteFollower | undefined;
  #renewAt: number;
  #renewing: Promise<void> | undefined;

  /** `refused` is told why nothing can be pinned. @throws ERR_NOT_FOUND without a HEAD, ERR_REMOTE_CORRUPT, and as the store */
  static async find(site: Site, refused: (why: string) => void): Promise<PinnedHead> {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const follower = new RemoteFollower(site, LEASE_MS);
      const adopted = await follower.adopt().catch((error: unknown) => {
        if (!hasCode(error, 'ERR_REMOTE_REFUSED')) throw error;
        return error as SpinneyError;
      });
      const { head } = (await readHead(site))!;
      if (adopted instanceof SpinneyError) {
        refused(adopted.message);
        return new PinnedHead(site, head, undefined, async () => {});
      }
      if (head.manifest === adopted.manifest) return new PinnedHead(site, head, follower, adopted.unpin);
      await adopted.unpin();
    }
    throw changed();
  }

  private constructor(
    site: Site,
    head: Head,
    follower: RemoteFollower | undefined,
    unpin: () => Promise<void>,
  ) {
    this.#site = site;
    this.head = head;
    this.#follower = follower;
    this.#unpin = unpin;
    this.#renewAt = site.clock.now() + LEASE_MS / RENEWALS;
  }

  /** To be called between any two requests that need what is pinned. @throws ERR_REMOTE_UNAVAILABLE where it was too late */
  async keep(): Promise<void> {
    const { clock } = this.#site;
    if (this.#follower === undefined || this.head.manifest === undefined || clock.now() < this.#renewAt)
      return;
    this.#renewing ??= this.#renew(this.#follower).finally(() => {
      this.#renewing = undefined;
    });
    await this.#renewing;
  }

  /** What seems to be missing may have been deleted since HEAD was read. @throws ERR_REMOTE_UNAVAILABLE */
  async assertSame(): Promise<void> {
    if (this.#follower !== undefined) return;
    const found = await readHead(this.#site);
    if (found?.head.manifest !== this.head.manifest) throw changed();
  }

  async release(): Promise<void> {
    await this.#unpin();
  }

  async #renew(follower: RemoteFollower): Promise<void> {
    const { clock } = this.#site;
    if (!(await follower.renew())) throw changed();
    this.#renewAt = clock.now() + LEASE_MS / RENEWALS;
  }
}

export function changed(): SpinneyError {
  return new SpinneyError(
    'ERR_REMOTE_UNAVAILABLE',
    'Cannot check the remote: it changed faster than it could be read; try again',
  );
}
