/** Tells while a daemon that ends ships what its store's remote lacks. */

import type { RunningDaemon } from '../../places/daemon-record.js';
import { formatBytes } from '../../process/text/bytes-text.js';
import type { Output } from './output.js';
import { Progress } from './progress.js';

export function shippingProgress(output: Pick<Output, 'err'>): {
  tell: (left: NonNullable<RunningDaemon['shipping']>) => void;
  end: () => void;
} {
  const progress = new Progress(output);
  return {
    tell({ records, contents, bytes }) {
      progress.begin(`shipping the rest: ${records} changes, ${contents} contents, ${formatBytes(bytes)}`, 0);
    },
    end: () => progress.clear(),
  };
}
