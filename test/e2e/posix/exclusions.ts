/**
 * What a mount may do otherwise than ext4, because of a limit that it has: and how the rest of a case is compared all
 * the same. Where the mount refuses a call, or does what another call would do, ext4 is made to leave that call out or
 * to make the other one, and the case is compared anew; so an exclusion covers the results that it names and nothing
 * that comes after them. An exclusion counts in a case that differs without it.
 */
import { type Difference, differences, isSame } from './differences.js';
import type { Answer, Call, Json, Result, Sides } from './sides.js';

/** Where a call is made. */
export interface Context {
  /** Subject and name of the case. */
  where: string;
  /** Who makes it. */
  user: number;
}

export interface Exclusion {
  /** The id of the limit that is the reason. */
  limit: string;
  /** What is covered, to read. */
  covers: string;
  /** How many cases need it. */
  cases: number;
  effect: Effect;
}

type Covers = (call: Call, context: Context) => boolean;

type Effect =
  /** The call fails on the mount with this error and changes nothing. ext4 leaves it out. */
  | { kind: 'refused'; of: Covers; error: string }
  /** The mount does what this other call does on ext4. */
  | { kind: 'instead'; of: Covers; call(call: Call): Call }
  /** The two results may differ so, and nothing follows from it. */
  | { kind: 'differs'; of: Covers; so(mount: Result, ext4: Result): boolean }
  /** The mount has these paths besides. `of`: calls that may remove one, which changes its directory. */
  | { kind: 'besides'; of: Covers; path: RegExp };

const NOTHING: Call = ['nothing'];

/** Counts in how many cases each exclusion was needed. */
export class Exclusions {
  readonly #list: readonly Exclusion[];
  readonly #needed = new Map<Exclusion, Set<string>>();

  constructor(list: readonly Exclusion[]) {
    this.#list = list;
  }

  /** Runs a case on both sides; a line for each difference that no exclusion covers. */
  async run(
    sides: Pick<Sides, 'run' | 'runLocal' | 'nextName'>,
    where: string,
    calls: readonly Call[],
    directory = sides.nextName(),
  ): Promise<string[]> {
    const [mounted, local] = await sides.run(calls, directory);
    const attempt = new Attempt(this.#list, where, calls, mounted, local);
    while (attempt.found.length > 0 && attempt.changeCalls()) {
      attempt.compare(await sides.runLocal(attempt.localCalls, directory));
    }
    for (const exclusion of attempt.needed) {
      const cases = this.#needed.get(exclusion) ?? new Set();
      this.#needed.set(exclusion, cases.add(where));
    }
    return attempt.found.map(({ line }) => line);
  }

  /** Exclusions that were not needed by as many cases as they say: what they cover, and which did. */
  untrue(): Record<string, string[]> {
    const wrong = this.#list.filter((each) => (this.#needed.get(each)?.size ?? 0) !== each.cases);
    return Object.fromEntries(wrong.map((each) => [each.covers, [...(this.#needed.get(each) ?? [])]]));
  }
}

/** One case: what is called on ext4, and what differs then. */
class Attempt {
  localCalls: Call[];
  found: Difference[] = [];
  readonly #list: readonly Exclusion[];
  readonly #calls: readonly Call[];
  readonly #contexts: Context[];
  readonly #mounted: Answer;
  readonly #needed = new Set<Exclusion>();
  /** Needed for results as they are now. */
  readonly #excusing = new Set<Exclusion>();
  /** By the index of a call, the exclusions that were applied to it. */
  readonly #applied = new Map<number, Set<Exclusion>>();
  /** Exclusions whose calls are to be looked for among all calls, since they show in what comes after. */
  readonly #untried: Exclusion[];
  /** What to go back to where the exclusion that was tried last changes nothing of what differs. */
  #tried: { exclusion: Exclusion; calls: Call[]; lines: string } | undefined;

  constructor(
    list: readonly Exclusion[],
    where: string,
    calls: readonly Call[],
    mounted: Answer,
    local: Answer,
  ) {
    this.#list = list;
    this.#calls = calls;
    this.localCalls = [...calls];
    this.#untried = list.filter(({ effect }) => effect.kind === 'instead');
    let user = 0;
    this.#contexts = calls.map((call) => {
      if (call[0] === 'as') user = Number(call[1]);
      return { where, user };
    });
    this.#mounted = this.#without(mounted);
    this.compare(local);
  }

  get needed(): Set<Exclusion> {
    return new Set([...this.#needed, ...this.#excusing]);
  }

  /** Takes an answer of ext4 to `localCalls`. */
  compare(local: Answer): void {
    this.#excusing.clear();
    const results = local.results.map((theirs, index) =>
      this.#isLeftOut(index) ? this.#mounted.results[index]! : theirs,
    );
    this.found = differences(this.#calls, this.#mounted, { ...local, results }).filter(
      ({ index }) =>
        index === undefined || !this.#excuses(index, this.#mounted.results[index]!, results[index]!),
    );
    if (this.#tried === undefined) return;
    if (lines(this.found) === this.#tried.lines) this.localCalls = this.#tried.calls;
    else this.#needed.add(this.#tried.exclusion);
    this.#tried = undefined;
  }

  /** Changes what ext4 is to call; false where nothing more can be done. */
  changeCalls(): boolean {
    return this.#changeThoseThatDiffer() || this.#tryOneMore();
  }

  /** Up to the first call that differs all was the same; others may differ in consequence only. */
  #changeThoseThatDiffer(): boolean {
    const indices = this.found.flatMap(({ index }) => index ?? []);
    for (const first of indices) {
      const exclusion = this.#list.find((each) => this.#applies(each, first));
      if (exclusion === undefined) continue;
      for (const index of indices) if (this.#applies(exclusion, index)) this.#apply(exclusion, index);
      this.#needed.add(exclusion);
      return true;
    }
    return false;
  }

  #tryOneMore(): boolean {
    for (;;) {
      const exclusion = this.#untried.shift();
      if (exclusion === undefined) return false;
      const calls = [...this.localCalls];
      for (const index of calls.keys()) if (this.#applies(exclusion, index)) this.#apply(exclusion, index);
      if (isSame(calls, this.localCalls)) continue;
      this.#tried = { exclusion, calls, lines: lines(this.found) };
      return true;
    }
  }

  #applies(exclusion: Exclusion, index: number): boolean {
    const { effect } = exclusion;
    if (
      this.#applied.get(index)?.has(exclusion) ||
      !effect.of(this.localCalls[index]!, this.#contexts[index]!)
    ) {
      return false;
    }
    if (effect.kind === 'refused') return isRefusal(this.#mounted.results[index]!, effect.error);
    return effect.kind === 'instead';
  }

  #apply(exclusion: Exclusion, index: number): void {
    this.#applied.set(index, (this.#applied.get(index) ?? new Set()).add(exclusion));
    const { effect } = exclusion;
    const call = this.localCalls[index]!;
    this.localCalls[index] = effect.kind === 'instead' ? effect.call(call) : NOTHING;
  }

  #isLeftOut(index: number): boolean {
    return [...(this.#applied.get(index) ?? [])].some(({ effect }) => effect.kind === 'refused');
  }

  #excuses(index: number, ours: Result, theirs: Result): boolean {
    const exclusion = this.#list.find(
      ({ effect }) =>
        effect.of(this.#calls[index]!, this.#contexts[index]!) &&
        ((effect.kind === 'differs' && effect.so(ours, theirs)) ||
          (effect.kind === 'besides' && this.#changesDirectoriesToo(ours, theirs))),
    );
    if (exclusion !== undefined) this.#excusing.add(exclusion);
    return exclusion !== undefined;
  }

  /** Whether one result is as the other, but for directories that changed too. */
  #changesDirectoriesToo(ours: Result, theirs: Result): boolean {
    const more = { ...ours.changed };
    for (const [path, times] of Object.entries(theirs.changed)) {
      if (more[path] !== times) return false;
      delete more[path];
    }
    const isDirectory = (path: string) => String(this.#mounted.tree[path]?.mode).startsWith('0o40');
    return (
      isSame(ours.value, theirs.value) &&
      Object.entries(more).every(([path, times]) => times === 'mc' && isDirectory(path))
    );
  }

  /** The mount's answer without the paths that it has besides. */
  #without(answer: Answer): Answer {
    for (const exclusion of this.#list) {
      const { effect } = exclusion;
      if (effect.kind !== 'besides') continue;
      const isBesides = (path: Json) => typeof path === 'string' && effect.path.test(path);
      for (const result of answer.results) {
        const paths = Object.keys(result.changed).filter(isBesides);
        for (const path of paths) delete result.changed[path];
        const listed = Array.isArray(result.value) && result.value.some(isBesides);
        if (listed) result.value = (result.value as readonly Json[]).filter((path) => !isBesides(path));
        if (listed || paths.length > 0) this.#needed.add(exclusion);
      }
    }
    return answer;
  }
}

function isRefusal(result: Result, error: string): boolean {
  return isSame(result, { value: { error }, changed: {} });
}

function lines(found: readonly Difference[]): string {
  return found.map(({ line }) => line).join('\n');
}
