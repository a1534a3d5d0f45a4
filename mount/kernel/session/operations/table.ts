/**
 * All operations that the driver serves, by opcode. What is not here is answered ENOSYS, which the kernel
 * remembers: FLUSH is left out because nothing is buffered, and so costs no request at each close.
 */
import {
  BatchForgetIn,
  CopyFileRangeIn,
  CreateIn,
  FallocateIn,
  ForgetIn,
  FsyncIn,
  GetattrIn,
  GetxattrIn,
  InitIn,
  InterruptIn,
  LinkIn,
  LseekIn,
  MkdirIn,
  MknodIn,
  Opcode,
  OpenIn,
  ReadIn,
  ReleaseIn,
  Rename2In,
  RenameIn,
  SetattrIn,
  SetxattrIn,
  StatxIn,
  WriteIn,
} from '../../protocol/protocol.js';
import type { Session } from '../session.js';
import * as attributes from './attributes.js';
import * as directories from './directories.js';
import * as files from './files.js';
import * as names from './names.js';
import * as session from './session.js';
import * as xattrs from './xattrs.js';

export interface Operation {
  name: string;
  /** Size of the structure after the header; the request has at least this. */
  minimum: number;
  /** Whether the kernel waits for a reply. */
  replies: boolean;
  /** Whether it changes something, or makes changes durable. */
  changes: boolean;
  /** What is noted of it, so that it is done once though the daemon be killed over it. */
  noted: Noted;
  /** What `resume` will want to know of before the request, where something is noted before. */
  before?: (session: Session) => number;
  /**
   * Serves the request. Returns the length of the body that it wrote into `session.reply`, a negative errno, or
   * NO_REPLY.
   */
  run(session: Session): number;
}

/**
 * What is noted of a request.
 * - `nothing`: it changes nothing, or is served again with the same outcome: it is told by a lookup too many at most.
 * - `reply`: done twice it comes to the same, but not after others have seen it done.
 * - `all`: it could not be done twice.
 */
export type Noted = 'nothing' | 'reply' | 'all';

/** Sparse, by opcode. */
export const OPERATIONS: (Operation | undefined)[] = [];

/** They change names and attributes. */
const CHANGES_OF_NAMES = [
  'MKNOD',
  'MKDIR',
  'SYMLINK',
  'LINK',
  'UNLINK',
  'RMDIR',
  'RENAME',
  'RENAME2',
  'SETATTR',
  'SETXATTR',
  'REMOVEXATTR',
  'CREATE',
  'TMPFILE',
] as const;

const CHANGES: ReadonlySet<keyof typeof Opcode> = new Set([
  ...CHANGES_OF_NAMES,
  'WRITE',
  'FALLOCATE',
  'COPY_FILE_RANGE',
  'FSYNC',
  'FSYNCDIR',
]);

const NOTED_REPLIES: ReadonlySet<keyof typeof Opcode> = new Set([
  'LOOKUP',
  'WRITE',
  'FALLOCATE',
  'COPY_FILE_RANGE',
]);

const NOTED: ReadonlySet<keyof typeof Opcode> = new Set([
  ...CHANGES_OF_NAMES,
  'OPEN',
  'RELEASE',
  'OPENDIR',
  'RELEASEDIR',
]);

function serve(
  name: keyof typeof Opcode,
  minimum: number,
  run: (session: Session) => number,
  before?: (session: Session) => number,
): void {
  const replies = name !== 'FORGET' && name !== 'BATCH_FORGET' && name !== 'INTERRUPT';
  const noted = NOTED.has(name) ? 'all' : NOTED_REPLIES.has(name) ? 'reply' : 'nothing';
  const rest = before === undefined ? {} : { before };
  OPERATIONS[Opcode[name]] = { name, minimum, replies, changes: CHANGES.has(name), noted, run, ...rest };
}

serve('INIT', InitIn.SHORT_SIZE, session.init);
serve('DESTROY', 0, session.destroy);
serve('INTERRUPT', InterruptIn.SIZE, session.interrupt);
serve('STATFS', 0, session.statfs);

serve('LOOKUP', 0, names.lookup);
serve('FORGET', ForgetIn.SIZE, names.forget);
serve('BATCH_FORGET', BatchForgetIn.SIZE, names.batchForget);
serve('MKNOD', MknodIn.SIZE, names.mknod);
serve('MKDIR', MkdirIn.SIZE, names.mkdir);
serve('SYMLINK', 0, names.symlink);
serve('LINK', LinkIn.SIZE, names.link, names.lookupsBeforeLink);
serve('UNLINK', 0, names.unlink);
serve('RMDIR', 0, names.rmdir);
serve('RENAME', RenameIn.SIZE, names.rename);
serve('RENAME2', Rename2In.SIZE, names.rename2);

serve('GETATTR', GetattrIn.SIZE, attributes.getattr);
serve('SETATTR', SetattrIn.SIZE, attributes.setattr);
serve('STATX', StatxIn.SIZE, attributes.statx);
serve('READLINK', 0, attributes.readlink);

serve('SETXATTR', SetxattrIn.SHORT_SIZE, xattrs.setxattr, xattrs.ownAttributeBefore);
serve('GETXATTR', GetxattrIn.SIZE, xattrs.getxattr);
serve('LISTXATTR', GetxattrIn.SIZE, xattrs.listxattr);
serve('REMOVEXATTR', 0, xattrs.removexattr, xattrs.ownAttributeBefore);

serve('OPEN', OpenIn.SIZE, files.open);
serve('CREATE', CreateIn.SIZE, files.create);
serve('TMPFILE', CreateIn.SIZE, files.tmpfile);
serve('READ', ReadIn.SIZE, files.read);
serve('WRITE', WriteIn.SIZE, files.write);
serve('LSEEK', LseekIn.SIZE, files.lseek);
serve('FALLOCATE', FallocateIn.SIZE, files.fallocate);
serve('COPY_FILE_RANGE', CopyFileRangeIn.SIZE, files.copyFileRange);
serve('FSYNC', FsyncIn.SIZE, files.fsync);
serve('RELEASE', ReleaseIn.SIZE, files.release);

serve('OPENDIR', OpenIn.SIZE, directories.opendir);
serve('READDIR', ReadIn.SIZE, directories.readdir);
serve('READDIRPLUS', ReadIn.SIZE, directories.readdirplus);
serve('FSYNCDIR', FsyncIn.SIZE, directories.fsyncdir);
serve('RELEASEDIR', ReleaseIn.SIZE, directories.releasedir);
