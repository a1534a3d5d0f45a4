/** What a check of names asks of the contents, which are files beside the store or objects of a remote. */
export interface CheckedContents {
  /** The inode, which `where` names, has the content that its record tells. */
  check(where: string, inode: Uint8Array, version: number): void;
  /** There may be a content of the inode. */
  expect(inode: Uint8Array): void;
  /** A content is kept for snapshots. All records of files that are there have been seen. */
  keep(ino: number, born: number, died: number): void;
  /** A snapshot has the record. */
  checkKept(where: string, inode: Uint8Array, version: number): void;
  /** What is left when all records were seen; returns how many contents there are. */
  finish(): number;
  /** Contents that were found in a remote alone, which is no fault; undefined: that is not told. */
  readonly away?: number;
}

export interface ContentFindings {
  damage(message: string): void;
  note(message: string): void;
}
