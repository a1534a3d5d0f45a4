/** In which order images that a store lacks are fetched: those that are side by side in a pack by one request, and what readers expect to need first. */
import type { AskedImage } from '../../store/absent-images.js';
import type { ShippedImage } from '../checkpoints/catalog.js';

/** Images that come by one request; half a pack. */
export const RUN_IMAGES = 8;

/** Images that are side by side in one pack, in that order. */
export type Run = readonly ShippedImage[];

export class ImageRuns {
  readonly #waiting: Set<Run>;
  /** By what is in them. */
  readonly #runs: ReadonlyMap<string, Run>;
  #expected: Run[] = [];

  constructor(images: readonly ShippedImage[]) {
    const runs = runsOf(images);
    this.#waiting = new Set(runs);
    this.#runs = new Map(runs.flatMap((run) => run.map((image) => [keyOf(image), run])));
  }

  /** Somebody will want it soon. */
  expect(image: AskedImage): void {
    const run = this.#runs.get(keyOf(image));
    if (run !== undefined && this.#waiting.has(run)) this.#expected.push(run);
  }

  /** The next one, each once; undefined: that was all. */
  next(): Run | undefined {
    for (let run = this.#expected.shift(); run !== undefined; run = this.#expected.shift())
      if (this.#waiting.delete(run)) return run;
    const [run] = this.#waiting;
    if (run !== undefined) this.#waiting.delete(run);
    return run;
  }
}

export function keyOf({ id, generation }: AskedImage): string {
  return `${id}.${generation}`;
}

function runsOf(images: readonly ShippedImage[]): Run[] {
  const runs: ShippedImage[][] = [];
  const sorted = images.toSorted((a, b) => (a.pack === b.pack ? a.slot - b.slot : a.pack < b.pack ? -1 : 1));
  for (const image of sorted) {
    const run = runs.at(-1);
    const last = run?.at(-1);
    const isNext = last?.pack === image.pack && last.slot + 1 === image.slot;
    if (run !== undefined && isNext && run.length < RUN_IMAGES) run.push(image);
    else runs.push([image]);
  }
  return runs;
}
