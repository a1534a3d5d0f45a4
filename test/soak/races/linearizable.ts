/**
 * Whether histories of several threads are those of one thing that does one operation at a time: there is an order of all
 * operations, in which each thread's are in its own, none comes before one that had ended when it began, and each gives
 * what it gave. The search goes over the threads' places and the contents there, which are few.
 */

export type Step = {
  op: string;
  key: string;
  to: string;
  force: boolean;
  number: number;
  expected: number;
  steps: Step[];
};

export interface Operation {
  /** Tickets of its beginning and its end. */
  from: number;
  to: number;
  step: Step;
  /** What it gave. */
  result: unknown;
}

/** Numbers by key. */
export type Contents = ReadonlyMap<string, number>;

/** Contents that the histories may have led to, by their text; none: no order explains them. */
export function linearize(
  start: Contents,
  histories: readonly (readonly Operation[])[],
): Map<string, Contents> {
  const ends = new Map<string, Contents>();
  const seen = new Set<string>();
  const search = (places: readonly number[], contents: Contents): void => {
    const mark = `${places.join()} ${textOf(contents)}`;
    if (seen.has(mark)) return;
    seen.add(mark);
    const next = histories.map((history, thread) => history[places[thread]!]);
    if (next.every((operation) => operation === undefined)) ends.set(textOf(contents), contents);
    for (const [thread, operation] of next.entries()) {
      if (operation === undefined) continue;
      if (next.some((other) => other !== undefined && other.to < operation.from)) continue;
      const after = play(contents, operation);
      if (after === undefined) continue;
      search(
        places.map((place, i) => (i === thread ? place + 1 : place)),
        after,
      );
    }
  };
  search(
    histories.map(() => 0),
    start,
  );
  return ends;
}

export function textOf(contents: Contents): string {
  return [...contents]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, number]) => `${key}=${number}`)
    .join(' ');
}

/** What the operation makes of the contents; undefined where it would not give what it gave. */
function play(before: Contents, { step, result }: Operation): Contents | undefined {
  const { op, key } = step;
  const found = before.get(key) ?? 0;
  const isEmpty = (prefix: string): boolean => ![...before.keys()].some((name) => name.startsWith(prefix));
  switch (op) {
    case 'get':
      return found === result ? before : undefined;
    case 'isPrefixEmpty':
      return isEmpty(key) === result ? before : undefined;
    case 'all':
      return result === undefined || textOf(before) === textOf(new Map(result as [string, number][]))
        ? before
        : undefined;
    case 'put':
      return new Map(before).set(key, step.number);
    case 'putIfAbsent':
      return changed(found === 0, result, before, (after) => after.set(key, step.number));
    case 'compareAndPut':
      return changed(found === step.expected, result, before, (after) => after.set(key, step.number));
    case 'delete':
      return changed(found !== 0, result, before, (after) => after.delete(key));
    case 'deleteIfVersion':
      return changed(found === step.expected, result, before, (after) => after.delete(key));
    case 'deletePrefix':
      return new Map([...before].filter(([name]) => !name.startsWith(key)));
    case 'rename': {
      const isThere = before.has(step.to);
      const code = found === 0 ? 'ERR_NOT_FOUND' : isThere && !step.force ? 'ERR_EXISTS' : 'done';
      if (code !== result) return undefined;
      return changed(code === 'done', code === 'done', before, (after) => {
        after.delete(key);
        after.set(step.to, found);
      });
    }
    case 'renamePrefix': {
      const code = isEmpty(key) || isEmpty(step.to) ? 'done' : 'ERR_PREFIX_NOT_EMPTY';
      if (code !== result) return undefined;
      if (code !== 'done') return before;
      return new Map(
        [...before].map(([name, number]) => [
          name.startsWith(key) ? step.to + name.slice(key.length) : name,
          number,
        ]),
      );
    }
    case 'atomic':
      return playBatch(before, step.steps, result as boolean);
    default:
      throw new Error(`there is no operation ${op}`);
  }
}

function changed(
  isDone: boolean,
  told: unknown,
  before: Contents,
  change: (after: Map<string, number>) => void,
): Contents | undefined {
  if (isDone !== told) return undefined;
  if (!isDone) return before;
  const after = new Map(before);
  change(after);
  return after;
}

function playBatch(before: Contents, steps: readonly Step[], told: boolean): Contents | undefined {
  const after = new Map(before);
  for (const { op, key, number } of steps) {
    if (op === 'assertAbsent' && after.has(key)) return told ? undefined : before;
    if (op === 'put') after.set(key, number);
    if (op === 'delete') after.delete(key);
  }
  return told ? after : undefined;
}
