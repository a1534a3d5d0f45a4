/** Where what is in the state table: offsets in bytes of its rows. */
/** The request under way is noted at the beginning. */
export const REQUEST_NOTE_BYTES = 2048;
export const INIT_NOTE = 2048;
export const PAST_NOTE = 2176;
export const STATE_NOTE = 2304;
export const IDENTITY_NOTE = 2560;
export const REASON = 3072;
export const MOST_REASON_BYTES = 1024;
export const MOUNTPOINT = 4096;
export const MOST_MOUNTPOINT_BYTES = 4096;
/** Replies that were made and not sent, as far as is known. */
export const REPLIES = 8192;
export const STATE_BYTES = 16_384;
