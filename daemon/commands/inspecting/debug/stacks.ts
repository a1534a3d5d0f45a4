/** The stacks of a thread, from a short profile of it: where it was found how often. */
import type { CpuProfile } from '../../../control/reports.js';

const MOST_STACKS = 8;

type ProfileNode = CpuProfile['nodes'][number];

/** The innermost call first, as Node prints a stack. */
export function stacksText({ nodes, samples = [] }: CpuProfile): string {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(
    nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node] as const)),
  );
  const counts = new Map<number, number>();
  for (const id of samples) counts.set(id, (counts.get(id) ?? 0) + 1);
  const found = [...counts].sort(([, a], [, b]) => b - a).slice(0, MOST_STACKS);
  return found
    .map(([id, count]) => {
      const share = Math.round((count / samples.length) * 100);
      const frames: string[] = [];
      for (let node = byId.get(id); node !== undefined; node = parents.get(node.id))
        frames.push(frameText(node));
      // The last is no call: it stands for all of them.
      return [`${share} % of ${samples.length} looks`, ...frames.slice(0, -1)].join('\n');
    })
    .join('\n\n');
}

function frameText({ callFrame: { functionName, url, lineNumber, columnNumber } }: ProfileNode): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  return url === '' ? `    at ${name}` : `    at ${name} (${url}:${lineNumber + 1}:${columnNumber + 1})`;
}
