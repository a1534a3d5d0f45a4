/** `spinney check s3://...`: a store in an object store, which may be mounted anywhere. */
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Finding } from '../../../engine/index.js';
import type { CheckedNamespace } from '../../../mount/check/index.js';
import type { RawOptions } from '../options/arguments.js';
import { cacheBytesOf } from '../options/cache-size.js';
import { remoteOf } from '../options/remote.js';
import type { Findings } from '../output/findings.js';
import { onOneLine } from '../output/output.js';

const NOT_CHECKED =
  'bytes of contents: they are there, in their sizes; with --contents they are read, and compared with their checksums';
/** How long a server is asked again that does not answer. */
const PATIENCE_MS = 20_000;

/** Reports what it finds; what is to be told at the end. @throws where it cannot be verified */
export async function checkRemote(
  remote: string,
  raw: RawOptions,
  { progress, report: tell }: Findings<Finding>,
): Promise<Readonly<Record<string, unknown>>> {
  const options = await remoteOf(remote, raw);
  const cacheBytes = cacheBytesOf(raw);
  const readsContents = raw.contents === true;
  // Names of objects come from the other side.
  const report = ({ kind, message }: Finding) => tell({ kind, message: onOneLine(message) });
  // Loaded here only, so that the other verbs start fast.
  const { NodeDisk, openRemoteToRead, verifyRemote } = await import('../../../engine/index.js');
  const { checkShippedNamespace } = await import('../../../mount/check/index.js');
  const { FILESYSTEM_MEASURE } = await import('../../../mount/sums/filesystem-measure.js');
  const site = await openRemoteToRead(options, PATIENCE_MS);
  const scratch = mkdtempSync(join(tmpdir(), 'spinney-check-'));
  let namespace: CheckedNamespace | undefined;
  try {
    const found = await verifyRemote({
      place: remote,
      site,
      disk: new NodeDisk(),
      scratch,
      cacheBytes,
      measure: FILESYSTEM_MEASURE,
      report,
      progress,
      readsContents,
      inspect: (tree, contents) => {
        namespace = checkShippedNamespace(tree, contents, report, progress);
      },
    });
    return {
      ...found,
      // Not looked at where the tree is damaged.
      ...(namespace !== undefined && { namespace }),
      ...(!readsContents && { notChecked: NOT_CHECKED }),
    };
  } finally {
    rmdirSync(scratch);
    await site.store.close();
  }
}
