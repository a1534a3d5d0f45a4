/** What a batch comes to, once its guards have been evaluated: what the journal records and what is made. */

/** What a batch does to one key once all its operations have been played: the value it leaves, or none. */
export interface NetChange {
  key: Uint8Array;
  value: Uint8Array | undefined;
}

/** Everything below one prefix moves to another, below which there is nothing else. */
export interface Graft {
  source: Uint8Array;
  destination: Uint8Array;
}

/** What a batch comes to, in order. */
export type Change = NetChange | Graft;
