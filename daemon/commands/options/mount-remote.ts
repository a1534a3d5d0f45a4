/** What `spinney mount` is told of a store's remote. */
import { checkEndpoint, parseRemote } from '../../../engine/before-open.js';
import type { RemoteOptions } from '../../mounting/daemon-options.js';
import { REMOTE_DURABILITIES } from '../../mounting/settings/values.js';
import { badArgument, choiceOption, type RawOptions, textOption } from './arguments.js';
import type { CommandOption } from './command.js';
import { serverOf, serverOptions } from './remote.js';

const KIB = 1024;
const UNITS = ['', 'K', 'M', 'G', 'T'];
const DEFAULT_CACHE = '10G';
/** Less is one part of a content or two. */
const LEAST_CACHE = '64M';

export const mountRemoteOptions: Readonly<Record<string, CommandOption>> = {
  remote: {
    takesValue: true,
    describe:
      'Object store that the store is kept in, as s3://bucket/prefix; what is here is its cache and journal',
  },
  ...serverOptions,
  follow: {
    describe: 'Show what another machine writes to the remote, a second or two behind, and change nothing',
  },
  'remote-durability': {
    takesValue: true,
    values: REMOTE_DURABILITIES,
    describe:
      'What fsync waits for: local (this disk; the remote has it seconds later), remote (the object store)',
    default: 'local',
  },
  'content-cache': {
    takesValue: true,
    describe: `Most bytes of contents that are kept here once the remote has them: 500M, 10G; at least ${LEAST_CACHE}`,
    default: DEFAULT_CACHE,
  },
};

/** Undefined: the store is to have none. */
export function mountRemoteOf(raw: RawOptions): RemoteOptions | undefined {
  const url = textOption(raw, 'remote');
  if (url === undefined) {
    const [other] = Object.keys(mountRemoteOptions).filter((name) => raw[name] !== undefined);
    if (other !== undefined) throw badArgument(`--${other} goes with --remote s3://bucket/prefix`);
    return undefined;
  }
  const { bucket, prefix } = parseRemote(url);
  const server = serverOf(raw);
  if (server.endpoint !== undefined) checkEndpoint(server.endpoint, server.allowPlainHttp);
  const follows = raw.follow === true;
  if (raw['read-only'] === true && !follows)
    throw badArgument(
      '--remote is for a mount that writes, not --read-only; to only read what another machine writes is --follow',
    );
  if (follows && raw['remote-durability'] !== undefined)
    throw badArgument('--remote-durability is for a mount that writes, not --follow');
  if (follows && raw.snapshots !== undefined)
    throw badArgument('--snapshots is for a mount that writes, not --follow');
  if (raw.driver === 'fuse-native') throw badArgument('--remote needs the driver kernel, not fuse-native');
  return {
    url: `s3://${bucket}/${prefix}`.replace(/\/$/, ''),
    ...server,
    follows,
    durability: choiceOption(raw, 'remote-durability', REMOTE_DURABILITIES, 'local'),
    contentCacheBytes: bytesOf(textOption(raw, 'content-cache') ?? DEFAULT_CACHE),
  };
}

function bytesOf(text: string): number {
  const bytes = sizeOf(text);
  if (bytes !== undefined && bytes >= sizeOf(LEAST_CACHE)! && Number.isSafeInteger(bytes)) return bytes;
  throw badArgument(
    `--content-cache is "${text}", but takes a number of bytes, K, M, G or T, from ${LEAST_CACHE} on`,
  );
}

function sizeOf(text: string): number | undefined {
  const [, number, unit] = /^(\d+)([KMGT]?)$/i.exec(text) ?? [];
  return number === undefined ? undefined : Number(number) * KIB ** UNITS.indexOf(unit!.toUpperCase());
}
