/** Diffs that the admin worker is at, a part at a time. */
import type { Tree } from '../../../engine/index.js';
import { type NamespaceChange, namespaceChanges } from '../../../mount/diff/index.js';
import type { ChangeReport } from '../../control/reports.js';

const PART_MS = 50;
const MOST_IN_PART = 2_000;

const diffs = new Map<number, Generator<NamespaceChange | undefined>>();
let lastId = 0;

/** Returns a number to go on with. `endDiff` is to be called with it, also after an error. */
export function beginDiff(tree: Tree, before: string, after: string | undefined): number {
  diffs.set(++lastId, namespaceChanges(tree, before, after));
  return lastId;
}

export function goOnWithDiff(_tree: Tree, id: number): { changes: ChangeReport[]; isDone: boolean } {
  const diff = diffs.get(id);
  const changes: ChangeReport[] = [];
  const until = performance.now() + PART_MS;
  while (diff !== undefined && changes.length < MOST_IN_PART && performance.now() < until) {
    const { value, done } = diff.next();
    if (done === true) return { changes, isDone: true };
    if (value !== undefined) changes.push(changeReport(value));
  }
  return { changes, isDone: diff === undefined };
}

export function endDiff(_tree: Tree, id: number): void {
  diffs.get(id)?.return(undefined);
  diffs.delete(id);
}

/** As people and programs are told it: names that are not UTF-8 are given in bytes, too. */
export function changeReport({ change, path, from, isChanged, type, ino }: NamespaceChange): ChangeReport {
  return {
    change,
    ...told('path', 'pathBytes', path),
    ...(from !== undefined && told('from', 'fromBytes', from)),
    ...(isChanged === true && { isChanged }),
    type,
    ino,
  } as ChangeReport;
}

function told(name: string, inBytes: string, path: Uint8Array): Record<string, string> {
  const bytes = Buffer.from(path);
  const text = path.length === 0 ? '/' : bytes.toString();
  return Buffer.from(text).equals(bytes) || path.length === 0
    ? { [name]: text }
    : { [name]: text, [inBytes]: bytes.toString('base64') };
}
