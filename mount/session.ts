/** What another daemon would go on with. */
import { NodeDisk } from '../engine/before-open.js';
import type { SessionFacts } from './kernel/kept/notes/state-note.js';
import { examineSession as examine } from './kernel/kept/session-files.js';

export type { SessionFacts } from './kernel/kept/notes/state-note.js';

/**
 * Looks at the session whose files are in a directory; the tables are looked at by who goes on with it.
 * @throws ERR_MOUNT with the reason where this version cannot go on with it
 */
export function examineSession(directory: string): SessionFacts {
  return examine(new NodeDisk(), directory);
}
