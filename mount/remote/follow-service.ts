/**
 * A mount that shows what another machine writes, in the thread that speaks with the remote: reads what is new, has the session play it, and tells the kernel what to
 * forget; and brings contents that are wanted.
 */
import { SpinneyError } from '../../engine/errors.js';
import type { Tree } from '../../engine/index.js';
import type { FollowedTree, Following, Site } from '../../engine/remote-store.js';
import { followedRows } from '../filesystem/contents/away/followed-rows.js';
import { Announcements, type FromRemote, MountState, type ToRemote } from '../kernel/remote-end.js';
import type { MountLog, RemoteEnd, RemoteStats, WarmProgress } from '../types.js';
import { ContentStock } from './content-stock.js';

/** From how long on a follower counts as behind. */
const BEHIND_MS = 10_000;

export interface FollowServiceOptions {
  site: Site;
  following: Following;
  /** From now on what is followed is played by this. */
  playBy(play: FollowedTree['play']): void;
  tree: Tree;
  contentDirectory: string;
  contentCacheBytes: number;
  end: RemoteEnd;
  log: MountLog;
}

type Played = Extract<ToRemote, { kind: 'played' | 'unplayed' }>;

export class FollowService {
  readonly #options: FollowServiceOptions;
  readonly #following: Following;
  readonly #stock: ContentStock;
  readonly #state: MountState;
  readonly #announcements: Announcements;
  readonly #waiting = new Map<number, (answer: Played) => void>();
  readonly #running: Promise<void>;
  #lastId = 0;
  #isEnding = false;

  constructor(options: FollowServiceOptions) {
    const { contentCacheBytes, contentDirectory, end, following, log, site, tree } = options;
    this.#options = options;
    this.#state = new MountState({ ...end.state, isTiming: false, requestLog: undefined });
    this.#announcements = new Announcements(end.device);
    this.#stock = new ContentStock({
      site,
      tree,
      contentDirectory,
      bound: contentCacheBytes,
      isShipped: followedRows(tree).isShipped,
      tellSession: (message) => this.#tellSession(message),
      log,
    });
    this.#following = following;
    options.playBy((bodies, isStepwise) => this.#play(bodies, isStepwise));
    for (const port of [end.session, end.io]) port.on('message', (message: ToRemote) => this.#hear(message));
    this.#running = this.#following.run();
  }

  stats(): RemoteStats {
    const { epoch, failure, lagMs, lsn, sequence, writer, writerSeenMs, adoptions } = this.#following.state;
    return {
      epoch,
      state: failure !== undefined ? 'away' : lagMs > BEHIND_MS ? 'behind' : 'ok',
      lagSeconds: lagMs / 1000,
      lagRecords: 0,
      lagBytes: 0,
      contentsWaiting: 0,
      contentBytesWaiting: 0,
      shippedRecordBytes: 0,
      shippedContentBytes: 0,
      shippedImages: 0,
      journalObjects: 0,
      ...(failure !== undefined && { failure }),
      isFull: false,
      following: { lsn, sequence, writer, writerSeenSeconds: writerSeenMs / 1000, adoptions },
      cache: this.#stock.figures,
    };
  }

  /** Brings all contents at or below a path here. @throws ERR_NOT_FOUND, the signal's reason */
  warm(
    path: Uint8Array,
    onProgress: (progress: WarmProgress) => void,
    signal: AbortSignal,
  ): Promise<WarmProgress> {
    return this.#stock.warm(path, onProgress, signal);
  }

  /** Gives the remote's objects up that are kept for it. Resolves when nothing uses the tree any more. Never throws. */
  async stop(): Promise<void> {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#stock.end();
    this.#options.end.session.close();
    this.#options.end.io.close();
    for (const answer of this.#waiting.values()) {
      answer({
        kind: 'unplayed',
        id: 0,
        announcement: { entries: [], inodes: [] },
        code: 'ERR_CLOSED',
        message: 'Cannot follow: the mount is ending',
      });
    }
    this.#waiting.clear();
    // Else it runs out by itself.
    await this.#following.end().catch(() => {});
    await this.#running;
  }

  #hear(message: ToRemote): void {
    if (message.kind === 'played' || message.kind === 'unplayed') {
      this.#waiting.get(message.id)?.(message);
      this.#waiting.delete(message.id);
    } else this.#stock.hear(message);
  }

  /** Has the session play the records, and the kernel forget what it believes otherwise. */
  async #play(bodies: readonly Uint8Array[], isStepwise: boolean): Promise<void> {
    if (this.#isEnding) throw new SpinneyError('ERR_CLOSED', 'Cannot follow: the mount is ending');
    const id = ++this.#lastId;
    const answer = await new Promise<Played>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#tellSession({ kind: 'play', id, bodies, isStepwise });
    });
    // Who asks from here on is told what is so now. Also where not all was played: what was is never played again.
    for (const { parent, name } of answer.announcement.entries) this.#announcements.entry(parent, name);
    for (const node of answer.announcement.inodes) this.#announcements.inode(node);
    if (answer.kind === 'played') return;
    const { code, message } = answer;
    throw code === undefined ? new Error(message) : new SpinneyError(code, message);
  }

  #tellSession(message: FromRemote): void {
    if (this.#isEnding) return;
    this.#options.end.session.postMessage(message);
    this.#state.wakeSession();
  }
}
