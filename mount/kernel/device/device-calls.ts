/** What the session asks of the kernel outside of replies: backing files, and forgetting attributes. */
import * as libc from '../../libc/libc.js';
import {
  BackingMap,
  FUSE_DEV_IOC_BACKING_CLOSE,
  FUSE_DEV_IOC_BACKING_OPEN,
  InvalInode,
  NOTIFY_INVAL_INODE,
  NOTIFY_RESEND,
  OutHeader,
} from '../protocol/protocol.js';
import { Reply } from '../protocol/reply.js';
import { sendReply } from './connection.js';

/** What the kernel is asked to do with backing files. */
export interface BackingFiles {
  /** Registers a descriptor: its number with the kernel, above 0, or a negative errno. */
  register(fd: number): number;
  /** Ends a registration. */
  end(backing: number): void;
}

/** Registration of backing files with the kernel, which needs CAP_SYS_ADMIN. */
export function backingFiles(device: number): BackingFiles {
  const map = new Int32Array(BackingMap.SIZE / 4);
  const number = new Int32Array(1);
  return {
    register: (fd) => {
      map[BackingMap.FD >> 2] = fd;
      const backing = libc.ioctl(device, FUSE_DEV_IOC_BACKING_OPEN, map);
      return backing > 0 ? backing : -libc.errno();
    },
    end: (backing) => {
      number[0] = backing;
      libc.ioctl(device, FUSE_DEV_IOC_BACKING_CLOSE, number);
    },
  };
}

/**
 * Makes the kernel forget an inode's attributes. Safe inside a request that concerns the inode: without a range of
 * contents the kernel takes no lock for it that a request holds.
 */
export function attributeInvalidation(device: number): (node: number) => void {
  const message = new Reply(InvalInode.SIZE);
  return (node) => {
    message.u64(InvalInode.NODEID, node);
    message.u64(InvalInode.OFFSET, -1);
    message.u64(InvalInode.LENGTH, 0);
    sendReply(device, message.bytes, message.finish(0, 0, NOTIFY_INVAL_INODE, InvalInode.SIZE));
  };
}

/** Has the kernel send again all requests that were read from the descriptor and not answered. Throws where it cannot. */
export function requestResending(device: number): void {
  const message = new Reply(OutHeader.SIZE);
  const refused = sendReply(device, message.bytes, message.finish(0, 0, NOTIFY_RESEND, 0));
  if (refused !== 0) throw new Error(`the kernel cannot send requests again: ${libc.errnoName(refused)}`);
}
