import { Part, stopwatch } from '../../../../engine/stopwatch.js';
import type { ContentDisk } from './content-disk.js';

/** Which calls ask the system, so that they may take long. The one that does not block has nobody waiting. */
const ASKS_SYSTEM: Readonly<Record<keyof ContentDisk, boolean>> = {
  bootId: false,
  lastIdentity: false,
  lastWas: false,
  lastChangeSeconds: false,
  syncFilesystemAsync: false,
  open: true,
  openDirectory: true,
  close: true,
  read: true,
  write: true,
  status: true,
  statusAt: true,
  isWrittenElsewhere: true,
  isOpenElsewhere: true,
  setModificationTime: true,
  truncate: true,
  allocate: true,
  copyRange: true,
  clone: true,
  seek: true,
  startWriteback: true,
  fsync: true,
  syncFilesystem: true,
  nodeAt: true,
  rename: true,
  link: true,
  remove: true,
  makeDirectory: true,
  removeDirectory: true,
  list: true,
  spreadSubdirectories: true,
  space: true,
};

type Call = (a?: unknown, b?: unknown, c?: unknown, d?: unknown, e?: unknown) => unknown;

/** The same disk, whose system calls have the time of the thread's stopwatch while they last. */
export function timedDisk(disk: ContentDisk): ContentDisk {
  const calls = disk as unknown as Record<string, Call>;
  const timed: Record<string, Call> = {};
  for (const [name, asksSystem] of Object.entries(ASKS_SYSTEM)) {
    const call = calls[name]!.bind(disk);
    timed[name] = asksSystem ? counted(call) : call;
  }
  return timed as unknown as ContentDisk;
}

/** No call has more arguments; passing them on one by one allocates nothing. */
function counted(call: Call): Call {
  return (a, b, c, d, e) => {
    const before = stopwatch.turn(Part.BELOW);
    try {
      return call(a, b, c, d, e);
    } finally {
      stopwatch.turn(before);
    }
  };
}
