/** In which order images come. */
import { expect, it } from 'vitest';
import type { ShippedImage } from '../../../engine/shipping/checkpoints/catalog.js';
import { ImageRuns, RUN_IMAGES } from '../../../engine/shipping/images/image-runs.js';

const PACKED = 16;

/** Images 0 to count - 1, in packs, but for those that are not needed any more. */
function imagesOf(count: number, isNeeded: (id: number) => boolean = () => true): ShippedImage[] {
  const images = Array.from({ length: count }, (_, id) => {
    const pack = `blobs/${String(Math.floor(id / PACKED)).padStart(4, '0')}`;
    return { id, generation: 1, pack, slot: id % PACKED, packed: PACKED } as ShippedImage;
  });
  return images.filter(({ id }) => isNeeded(id));
}

function idsOf(runs: ImageRuns): number[][] {
  const ids: number[][] = [];
  for (let run = runs.next(); run !== undefined; run = runs.next()) ids.push(run.map(({ id }) => id));
  return ids;
}

it('those that are side by side come together, and all come once', () => {
  const isNeeded = (id: number) => id !== 3 && id !== 40;
  const ids = idsOf(new ImageRuns(imagesOf(48, isNeeded).toReversed()));
  expect(ids.flat()).toEqual(imagesOf(48, isNeeded).map(({ id }) => id));
  for (const run of ids) {
    expect(run.length).toBeLessThanOrEqual(RUN_IMAGES);
    expect(run.at(-1)! - run[0]!).toBe(run.length - 1);
    expect(Math.floor(run.at(-1)! / PACKED)).toBe(Math.floor(run[0]! / PACKED));
  }
  expect(ids.length).toBeLessThan(12);
});

it('what is expected to be needed comes first, once, with what is beside it', () => {
  const runs = new ImageRuns(imagesOf(64));
  runs.expect({ id: 50, generation: 1 });
  runs.expect({ id: 20, generation: 1 });
  runs.expect({ id: 51, generation: 1 });
  // Of another checkpoint.
  runs.expect({ id: 60, generation: 2 });
  const ids = idsOf(runs);
  expect(ids[0]).toContain(50);
  expect(ids[1]).toContain(20);
  expect(ids[2]).toContain(0);
  expect(ids.flat().toSorted((a, b) => a - b)).toEqual(imagesOf(64).map(({ id }) => id));
});
