/** The files of a store. */
export const DATA_FILE = 'blobs.dat';
/** Checksums of the data file's pages: nothing depends on it, and it may be deleted. */
export const PAGES_FILE = 'blobs.pages';
export const MANIFEST_FILE = 'manifest';
export const LOG_FILE = 'manifest.log';
/** The next snapshot is written here, in space reserved beforehand, and renamed over the manifest. */
export const SPARE_FILE = 'manifest.spare';
/** The name that the manifest before has for a moment, on its way to become the spare. */
export const RETIRED_FILE = 'manifest.old';
/** Process id of the writer, as text; the lock itself is a flock on the data file. */
export const LOCK_FILE = 'lock';
/** What a daemon may begin before there is a store: its log, with older parts of it, and the word which remote the store has. */
const EARLY = /^(spinney\.log(\.\d)?|remote\.json(\.new)?)$/;

export function isEarly(name: string): boolean {
  return EARLY.test(name);
}

/** Marks a store that a repair or a first backup is making, and has not finished: nobody uses it. */
export const UNFINISHED_FILE = 'repair.unfinished';

/** Tells of which store this one is the backup; gone once it has been mounted for writing. */
export const BACKUP_FILE = 'backup.json';

/** All that Spinney ever puts into a store's directory: the engine's files, then what mount and daemon have there. */
const OWN_NAME =
  /^(blobs\.(dat|pages)|manifest(\.log|\.spare|\.old)?|lock|journal[.-][0-9a-z.]+|content|session\.[a-z]+|repair\.unfinished|backup\.json(\.new)?|remote\.json(\.new)?|remote-images|shipped-packs|spinney\.log(\.\d)?|control\.sock|daemon-\d+\.json(\.new)?)$/;
/** What mkfs puts into every new filesystem; nobody's. */
const NOBODYS_NAME = 'lost+found';

/** Whether an entry of this name in a store's directory belongs to the store, or to nobody. */
export function isOwnName(name: string): boolean {
  return name === NOBODYS_NAME || OWN_NAME.test(name);
}

/** The entries that count when one asks whether a directory is empty. */
export function countedNames(names: readonly string[]): string[] {
  return names.filter((name) => name !== NOBODYS_NAME);
}
