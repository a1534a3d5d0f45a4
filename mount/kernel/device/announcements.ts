/**
 * What the kernel is to forget. An announcement waits for requests that are under way in the same directory or file, so only a thread that answers none may
 * make it.
 */
import { InvalEntry, InvalInode, NOTIFY_INVAL_ENTRY, NOTIFY_INVAL_INODE } from '../protocol/protocol.js';
import { Reply } from '../protocol/reply.js';
import { sendReply } from './connection.js';

const LONGEST_NAME = 255;

export class Announcements {
  readonly #device: number;
  readonly #message = new Reply(InvalEntry.SIZE + LONGEST_NAME + 1);

  constructor(device: number) {
    this.#device = device;
  }

  /** The name in the directory, by its node, is another, or gone. */
  entry(parent: number, name: Uint8Array): void {
    const message = this.#message;
    message.u64(InvalEntry.PARENT, parent);
    message.u32(InvalEntry.NAME_LENGTH, name.length);
    message.u32(InvalEntry.FLAGS, 0);
    message.bytes.set(name, Reply.BODY + InvalEntry.SIZE);
    message.bytes[Reply.BODY + InvalEntry.SIZE + name.length] = 0;
    const length = InvalEntry.SIZE + name.length + 1;
    sendReply(this.#device, message.bytes, message.finish(0, 0, NOTIFY_INVAL_ENTRY, length));
  }

  /** Attributes, and contents or a listing, are others. */
  inode(node: number): void {
    const message = this.#message;
    message.u64(InvalInode.NODEID, node);
    message.u64(InvalInode.OFFSET, 0);
    message.u64(InvalInode.LENGTH, 0);
    sendReply(this.#device, message.bytes, message.finish(0, 0, NOTIFY_INVAL_INODE, InvalInode.SIZE));
  }
}
