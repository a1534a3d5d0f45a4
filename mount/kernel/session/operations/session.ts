/** INIT, and the operations that concern the mount as a whole. */
import { constants } from 'node:os';
import {
  InitFlag,
  InitFlag2,
  InitIn,
  InitOut,
  InterruptIn,
  MAX_TRANSFER,
  MAX_TRANSFER_PAGES,
  OLDEST_MINOR,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
  StatfsOut,
} from '../../protocol/protocol.js';
import { NO_REPLY } from '../../protocol/reply.js';
import type { Session } from '../session.js';

const { EPROTO } = constants.errno;
const ROOT = new Uint8Array(0);

/** Without these the driver would not work as it promises; every kernel from OLDEST_MINOR on has them. */
const NEEDED = InitFlag.BIG_WRITES | InitFlag.MAX_PAGES | InitFlag.ATOMIC_O_TRUNC;
const WANTED =
  NEEDED |
  InitFlag.ASYNC_READ |
  InitFlag.ASYNC_DIO |
  InitFlag.DO_READDIRPLUS |
  InitFlag.READDIRPLUS_AUTO |
  InitFlag.PARALLEL_DIROPS |
  InitFlag.CACHE_SYMLINKS |
  InitFlag.HANDLE_KILLPRIV_V2 |
  InitFlag.DONT_MASK |
  InitFlag.POSIX_ACL |
  InitFlag.SETXATTR_EXT |
  InitFlag.INIT_EXT;
const WANTED2 = InitFlag2.NO_EXPORT_SUPPORT;
/** Filesystems that backing files may be stacked on, ours included: none, which leaves room to stack one on ours. */
const STACK_DEPTH = 1;

/** Requests that the kernel may send without anyone waiting (read-ahead), and from where on it holds back. */
const MAX_BACKGROUND = 64;
const CONGESTION_THRESHOLD = 48;

export function init(session: Session): number {
  const { request, reply, services } = session;
  const major = request.u32(InitIn.MAJOR);
  const minor = request.u32(InitIn.MINOR);
  reply.clear(InitOut.SIZE);
  reply.u32(InitOut.MAJOR, PROTOCOL_MAJOR);
  reply.u32(InitOut.MINOR, PROTOCOL_MINOR);
  // A newer kernel asks again in our protocol.
  if (major > PROTOCOL_MAJOR) return InitOut.SIZE;
  const flags = request.u32(InitIn.FLAGS);
  if (major < PROTOCOL_MAJOR || minor < OLDEST_MINOR || (flags & NEEDED) !== NEEDED) {
    services.log(
      'error',
      `Cannot serve the kernel's FUSE protocol ${major}.${minor}: 7.${OLDEST_MINOR} is needed`,
    );
    session.state.stopSession();
    return -EPROTO;
  }
  const extended = (flags & InitFlag.INIT_EXT) !== 0 && request.argumentLength >= InitIn.SIZE;
  const accepted = flags & (extended ? WANTED : WANTED & ~InitFlag.INIT_EXT);
  const wanted2 = session.passthrough.isWanted ? WANTED2 | InitFlag2.PASSTHROUGH : WANTED2;
  const accepted2 = extended ? request.u32(InitIn.FLAGS2) & wanted2 : 0;
  const agreement = { minor, flags: accepted, flags2: accepted2 };
  session.agree(agreement);
  session.tables.init.agreed(agreement);
  reply.u32(InitOut.MAX_READAHEAD, request.u32(InitIn.MAX_READAHEAD));
  reply.u32(InitOut.FLAGS, accepted);
  reply.u32(InitOut.MAX_BACKGROUND, MAX_BACKGROUND | (CONGESTION_THRESHOLD << 16));
  reply.u32(InitOut.MAX_WRITE, MAX_TRANSFER);
  reply.u32(InitOut.TIME_GRANULARITY, 1);
  reply.u32(InitOut.MAX_PAGES, MAX_TRANSFER_PAGES);
  reply.u32(InitOut.FLAGS2, accepted2);
  if (session.passthrough.isEnabled) reply.u32(InitOut.MAX_STACK_DEPTH, STACK_DEPTH);
  services.log('debug', `The kernel speaks FUSE ${major}.${minor}`, { flags: accepted, flags2: accepted2 });
  services.ready(extended && (request.u32(InitIn.FLAGS2) & InitFlag2.HAS_RESEND) !== 0);
  return InitOut.SIZE;
}

/** Sent by some kernels before the end; what is to be done then is done when the loop ends. */
export function destroy(): number {
  return 0;
}

export function interrupt({ request, services }: Session): number {
  services.interrupted(request.u32(InterruptIn.UNIQUE), request.u32(InterruptIn.UNIQUE + 4));
  return NO_REPLY;
}

export function statfs(session: Session): number {
  const { reply, statfs: result } = session;
  const error = session.fileSystem.statfs(session.place() ?? ROOT, result);
  if (error < 0) return error;
  reply.clear(StatfsOut.SIZE);
  reply.u64(StatfsOut.BLOCKS, result.blocks);
  reply.u64(StatfsOut.BLOCKS_FREE, result.blocksFree);
  reply.u64(StatfsOut.BLOCKS_AVAILABLE, result.blocksAvailable);
  reply.u64(StatfsOut.FILES, result.files);
  reply.u64(StatfsOut.FILES_FREE, result.filesFree);
  reply.u32(StatfsOut.BLOCK_SIZE, result.blockSize);
  reply.u32(StatfsOut.NAME_MAX, result.nameMax);
  reply.u32(StatfsOut.FRAGMENT_SIZE, result.blockSize);
  return StatfsOut.SIZE;
}
