/**
 * The FUSE wire format (protocol 7.45, the kernel's oldest accepted being 7.31): one table of constants, shared
 * by the reader and the writer. Structures are in the host's byte order; offsets are in bytes from the
 * structure's start. A request is the in header, the operation's structure, then names or data; a reply is the
 * out header and the operation's structure.
 */

export const PROTOCOL_MAJOR = 7;
export const PROTOCOL_MINOR = 45;
/** Older kernels lack what this driver takes for granted (MAX_PAGES, CACHE_SYMLINKS, CACHE_DIR, killpriv). */
export const OLDEST_MINOR = 31;
export const ROOT_NODE = 1;

export const PAGE_SIZE = 4096;
/** Most bytes in one READ or WRITE, and the pages that hold them (the kernel's own default limit). */
export const MAX_TRANSFER_PAGES = 256;
export const MAX_TRANSFER = MAX_TRANSFER_PAGES * PAGE_SIZE;
/** Room for any request, and for any reply: a full transfer, headers, and what the kernel adds as reserve. */
export const BUFFER_SIZE = MAX_TRANSFER + 2 * PAGE_SIZE;

export const Opcode = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  CREATE: 35,
  INTERRUPT: 36,
  DESTROY: 38,
  IOCTL: 39,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  TMPFILE: 51,
  STATX: 52,
} as const;
/** Opcodes are below this; counters and the table of operations have one place for each. */
export const OPCODE_LIMIT = 64;

/** fuse_in_header. */
export const InHeader = {
  LENGTH: 0,
  OPCODE: 4,
  UNIQUE: 8,
  NODEID: 16,
  UID: 24,
  GID: 28,
  PID: 32,
  SIZE: 40,
} as const;

/** In the high word of InHeader.UNIQUE of a request that is sent again; its reply has it, too. */
export const RESENT = 0x8000_0000;

/** fuse_out_header. */
export const OutHeader = { LENGTH: 0, ERROR: 4, UNIQUE: 8, SIZE: 16 } as const;

/** fuse_init_in; kernels before 7.36 send the first 16 bytes only. */
export const InitIn = {
  MAJOR: 0,
  MINOR: 4,
  MAX_READAHEAD: 8,
  FLAGS: 12,
  FLAGS2: 16,
  SHORT_SIZE: 16,
  SIZE: 64,
} as const;

/** fuse_init_out. MAX_BACKGROUND and CONGESTION_THRESHOLD, MAX_PAGES and MAP_ALIGNMENT share a word each. */
export const InitOut = {
  MAJOR: 0,
  MINOR: 4,
  MAX_READAHEAD: 8,
  FLAGS: 12,
  MAX_BACKGROUND: 16,
  MAX_WRITE: 20,
  TIME_GRANULARITY: 24,
  MAX_PAGES: 28,
  FLAGS2: 32,
  MAX_STACK_DEPTH: 36,
  SIZE: 64,
} as const;

/** Feature flags of INIT: bits 0..31 go in `flags`. */
export const InitFlag = {
  ASYNC_READ: 1 << 0,
  ATOMIC_O_TRUNC: 1 << 3,
  BIG_WRITES: 1 << 5,
  DONT_MASK: 1 << 6,
  DO_READDIRPLUS: 1 << 13,
  READDIRPLUS_AUTO: 1 << 14,
  ASYNC_DIO: 1 << 15,
  PARALLEL_DIROPS: 1 << 18,
  POSIX_ACL: 1 << 20,
  MAX_PAGES: 1 << 22,
  CACHE_SYMLINKS: 1 << 23,
  HANDLE_KILLPRIV_V2: 1 << 28,
  SETXATTR_EXT: 1 << 29,
  INIT_EXT: 1 << 30,
} as const;

/** Feature flags of INIT: bits 32..63 go, shifted down by 32, in `flags2`, which needs INIT_EXT. */
export const InitFlag2 = {
  PASSTHROUGH: 1 << 5,
  NO_EXPORT_SUPPORT: 1 << 6,
  /** The kernel knows NOTIFY_RESEND. */
  HAS_RESEND: 1 << 7,
} as const;

/** fuse_attr. */
export const Attr = {
  INO: 0,
  SIZE_OF_FILE: 8,
  BLOCKS: 16,
  ATIME: 24,
  MTIME: 32,
  CTIME: 40,
  ATIME_NANOS: 48,
  MTIME_NANOS: 52,
  CTIME_NANOS: 56,
  MODE: 60,
  NLINK: 64,
  UID: 68,
  GID: 72,
  RDEV: 76,
  BLOCK_SIZE: 80,
  FLAGS: 84,
  SIZE: 88,
} as const;

/** fuse_entry_out. */
export const EntryOut = {
  NODEID: 0,
  GENERATION: 8,
  ENTRY_VALID: 16,
  ATTR_VALID: 24,
  ENTRY_VALID_NANOS: 32,
  ATTR_VALID_NANOS: 36,
  ATTR: 40,
  SIZE: 128,
} as const;

/** fuse_attr_out. */
export const AttrOut = { ATTR_VALID: 0, ATTR_VALID_NANOS: 8, ATTR: 16, SIZE: 104 } as const;

/** fuse_forget_in, fuse_batch_forget_in and its rows, fuse_forget_one. */
export const ForgetIn = { LOOKUPS: 0, SIZE: 8 } as const;
export const BatchForgetIn = { COUNT: 0, SIZE: 8 } as const;
export const ForgetOne = { NODEID: 0, LOOKUPS: 8, SIZE: 16 } as const;

/** fuse_getattr_in. */
export const GetattrIn = { FLAGS: 0, HANDLE: 8, SIZE: 16 } as const;

/** fuse_setattr_in. */
export const SetattrIn = {
  VALID: 0,
  HANDLE: 8,
  SIZE_OF_FILE: 16,
  ATIME: 32,
  MTIME: 40,
  CTIME: 48,
  ATIME_NANOS: 56,
  MTIME_NANOS: 60,
  CTIME_NANOS: 64,
  MODE: 68,
  UID: 76,
  GID: 80,
  SIZE: 88,
} as const;

/** Bits of fuse_setattr_in.valid. */
export const SetattrValid = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  HANDLE: 1 << 6,
  ATIME_NOW: 1 << 7,
  MTIME_NOW: 1 << 8,
  CTIME: 1 << 10,
  KILL_SUIDGID: 1 << 11,
} as const;

/** fuse_mknod_in, fuse_mkdir_in, fuse_create_in, fuse_open_in: a name follows the first three. */
export const MknodIn = { MODE: 0, RDEV: 4, UMASK: 8, SIZE: 16 } as const;
export const MkdirIn = { MODE: 0, UMASK: 4, SIZE: 8 } as const;
export const CreateIn = { FLAGS: 0, MODE: 4, UMASK: 8, SIZE: 16 } as const;
export const OpenIn = { FLAGS: 0, OPEN_FLAGS: 4, SIZE: 8 } as const;
/** fuse_open_in.open_flags: a truncating open takes suid and sgid away. */
export const OPEN_KILL_SUIDGID = 1;

/** fuse_open_out. */
export const OpenOut = { HANDLE: 0, OPEN_FLAGS: 8, BACKING_ID: 12, SIZE: 16 } as const;
/** Bits of fuse_open_out.open_flags. CACHE_DIR has no effect without KEEP_CACHE; PASSTHROUGH goes with neither. */
export const OpenFlag = { KEEP_CACHE: 1 << 1, CACHE_DIR: 1 << 3, PASSTHROUGH: 1 << 7 } as const;

/** ioctl requests of /dev/fuse: the argument is a fuse_backing_map, and the number that the first one returned. */
export const FUSE_DEV_IOC_BACKING_OPEN = 0x4010_e501;
export const FUSE_DEV_IOC_BACKING_CLOSE = 0x4004_e502;
export const BackingMap = { FD: 0, FLAGS: 4, SIZE: 16 } as const;

/** A message without a request has unique 0 and its code where a reply has the error. */
export const NOTIFY_INVAL_INODE = 2;
export const NOTIFY_INVAL_ENTRY = 3;
/** Requests that were read and not answered are to be sent again, marked by RESENT. Has no body. */
export const NOTIFY_RESEND = 7;
/** fuse_notify_inval_inode_out. A negative OFFSET: the attributes only. */
export const InvalInode = { NODEID: 0, OFFSET: 8, LENGTH: 16, SIZE: 24 } as const;

/** fuse_notify_inval_entry_out; the name and a zero follow. */
export const InvalEntry = { PARENT: 0, NAME_LENGTH: 8, FLAGS: 12, SIZE: 16 } as const;

/** fuse_rename_in, fuse_rename2_in: two names follow. fuse_link_in: one. */
export const RenameIn = { NEW_PARENT: 0, SIZE: 8 } as const;
export const Rename2In = { NEW_PARENT: 0, FLAGS: 8, SIZE: 16 } as const;
export const LinkIn = { NODEID: 0, SIZE: 8 } as const;

/** fuse_read_in (READ, READDIR, READDIRPLUS) and fuse_write_in, which its data follow. */
export const ReadIn = { HANDLE: 0, POSITION: 8, LENGTH: 16, SIZE: 40 } as const;
export const WriteIn = { HANDLE: 0, POSITION: 8, LENGTH: 16, WRITE_FLAGS: 20, SIZE: 40 } as const;
export const WRITE_KILL_SUIDGID = 1 << 2;
export const WriteOut = { LENGTH: 0, SIZE: 8 } as const;

/** fuse_release_in, fuse_fsync_in (with their directory forms). */
export const ReleaseIn = { HANDLE: 0, SIZE: 24 } as const;
export const FsyncIn = { HANDLE: 0, FLAGS: 8, SIZE: 16 } as const;

/** fuse_setxattr_in: name, then value follow. Without SETXATTR_EXT it has its first 8 bytes only. */
export const SetxattrIn = { LENGTH: 0, FLAGS: 4, SETXATTR_FLAGS: 8, SHORT_SIZE: 8, SIZE: 16 } as const;
/** fuse_setxattr_in.setxattr_flags: the new access control list takes sgid away. */
export const SETXATTR_ACL_KILL_SGID = 1;
/** fuse_getxattr_in serves LISTXATTR too. */
export const GetxattrIn = { LENGTH: 0, SIZE: 8 } as const;
export const GetxattrOut = { LENGTH: 0, SIZE: 8 } as const;

/** fuse_lseek_in, fuse_lseek_out. */
export const LseekIn = { HANDLE: 0, POSITION: 8, WHENCE: 16, SIZE: 24 } as const;
export const LseekOut = { POSITION: 0, SIZE: 8 } as const;

/** fuse_fallocate_in. */
export const FallocateIn = { HANDLE: 0, POSITION: 8, LENGTH: 16, MODE: 24, SIZE: 32 } as const;

/** fuse_copy_file_range_in; answered by a fuse_write_out. */
export const CopyFileRangeIn = {
  FROM_HANDLE: 0,
  FROM_POSITION: 8,
  TO_NODEID: 16,
  TO_HANDLE: 24,
  TO_POSITION: 32,
  LENGTH: 40,
  SIZE: 56,
} as const;

/** fuse_kstatfs. */
export const StatfsOut = {
  BLOCKS: 0,
  BLOCKS_FREE: 8,
  BLOCKS_AVAILABLE: 16,
  FILES: 24,
  FILES_FREE: 32,
  BLOCK_SIZE: 40,
  NAME_MAX: 44,
  FRAGMENT_SIZE: 48,
  SIZE: 80,
} as const;

/** fuse_dirent: the name follows; each record is padded to 8 bytes. READDIRPLUS puts a fuse_entry_out before it. */
export const Dirent = { INO: 0, OFFSET: 8, NAME_LENGTH: 16, TYPE: 20, SIZE: 24 } as const;

/** fuse_interrupt_in: the unique of the request that is interrupted. */
export const InterruptIn = { UNIQUE: 0, SIZE: 8 } as const;
/** fuse_statx_in. */
export const StatxIn = { FLAGS: 0, HANDLE: 8, SX_FLAGS: 16, SX_MASK: 20, SIZE: 24 } as const;
/** fuse_statx_out: validity, then the statx from STAT on; its fields are given from the reply's start. */
export const StatxOut = {
  ATTR_VALID: 0,
  ATTR_VALID_NANOS: 8,
  MASK: 32,
  BLOCK_SIZE: 36,
  NLINK: 48,
  UID: 52,
  GID: 56,
  MODE: 60,
  INO: 64,
  SIZE_OF_FILE: 72,
  BLOCKS: 80,
  /** Four times of { s64 seconds, u32 nanoseconds, s32 reserved }. */
  ATIME: 96,
  BTIME: 112,
  CTIME: 128,
  MTIME: 144,
  RDEV_MAJOR: 160,
  RDEV_MINOR: 164,
  SIZE: 288,
} as const;
/** STATX_BASIC_STATS | STATX_BTIME. */
export const STATX_MASK = 0xfff;
