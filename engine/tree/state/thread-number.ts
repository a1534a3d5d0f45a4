import { threadId } from 'node:worker_threads';

/** This thread's number as the owner of locks: from 1, unique in the process. */
export const threadNumber = threadId + 1;
