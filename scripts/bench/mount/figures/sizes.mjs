/** How large the workloads are, and what servers do before: that is more where they are compiled while they run. */
export const FULL = {
  cold: true,
  readers: [1, 4],
  files: 10_000,
  few: 1_000,
  listed: 10_000,
  listedLarge: 100_000,
  tree: 200_000,
  archived: 20_000,
  versioned: 5_000,
  streamMiB: 1024,
  warmUpLong: { passes: 5, files: 1_000 },
  warmUpShort: { passes: 1, files: 100 },
  settleMs: 2_000,
  calmMs: 15_000,
  idleMs: 5_000,
};

/** That it works, not how fast. */
export const QUICK = {
  cold: false,
  readers: [1],
  files: 200,
  few: 100,
  listed: 200,
  listedLarge: 1_000,
  tree: 1_000,
  archived: 300,
  versioned: 100,
  streamMiB: 16,
  warmUpLong: { passes: 1, files: 20 },
  warmUpShort: { passes: 1, files: 20 },
  settleMs: 100,
  calmMs: 100,
  idleMs: 500,
};
