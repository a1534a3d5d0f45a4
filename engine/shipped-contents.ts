/** What of files' contents a remote has, as rows of the tree tell: for whoever serves a store with a remote. */
export { isSame, stateOf } from './shipping/contents/content-file.js';
export {
  type ContentPart,
  contentOfRow,
  type FileState,
  putShippedContent,
  removeShippedContent,
  SHIPPED_CONTENT,
  SHIPPED_CONTENTS_PREFIX,
  type ShippedContent,
  shippedContent,
  shippedState,
} from './shipping/contents/rows.js';
export { FULL, LOST, makeShippingBoard, ShippingBoard, WELCOME } from './shipping/live/shipping-board.js';
export { recordsOf } from './shipping/records.js';
