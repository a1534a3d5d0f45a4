/** A store in an object store, as commands are told of it: `s3://bucket/prefix`, and how that is reached. */
import type { S3Options } from '../../../engine/index.js';
import { REMOTE_ADDRESSINGS } from '../../mounting/settings/values.js';
import { badArgument, choiceOption, type RawOptions, textOption } from './arguments.js';
import type { CommandOption } from './command.js';

export const serverOptions: Readonly<Record<string, CommandOption>> = {
  'remote-endpoint': {
    takesValue: true,
    describe: 'URL of the server that has the bucket',
    default: "as AWS_ENDPOINT_URL_S3 or the profile say, else AWS's own",
  },
  'remote-addressing': {
    takesValue: true,
    values: REMOTE_ADDRESSINGS,
    describe: "Whether the bucket is in the URL's path or in the host's name: path, virtual",
    default: 'path where an endpoint is told',
  },
  'remote-plain-http': {
    describe: 'Let plain HTTP go to other machines, where it can be read and changed on the way',
  },
};

/** Whether the text means an object store, and no directory. */
export function isRemote(text: string): boolean {
  return /^s3:/i.test(text);
}

/** How the server is reached. */
export function serverOf(raw: RawOptions): {
  endpoint: string | undefined;
  addressing: 'path' | 'virtual' | undefined;
  allowPlainHttp: boolean;
} {
  return {
    endpoint: textOption(raw, 'remote-endpoint'),
    addressing:
      raw['remote-addressing'] === undefined
        ? undefined
        : choiceOption(raw, 'remote-addressing', REMOTE_ADDRESSINGS, 'path'),
    allowPlainHttp: raw['remote-plain-http'] === true,
  };
}

/** `text` is `s3://bucket/prefix`. @throws ERR_INVALID_ARGUMENT, in words that do not repeat what may be secret */
export async function remoteOf(text: string, raw: RawOptions): Promise<S3Options> {
  const { addressing, allowPlainHttp, endpoint } = serverOf(raw);
  // Loaded here only, so that the other verbs start fast.
  const { parseRemote } = await import('../../../engine/index.js');
  return {
    ...parseRemote(text),
    ...(endpoint !== undefined && { endpoint }),
    ...(addressing !== undefined && { addressing }),
    allowPlainHttp,
  };
}

/** The place is a directory, so nothing may be told of a server. */
export function refuseServerOptions(raw: RawOptions): void {
  const [name] = Object.keys(serverOptions).filter((option) => raw[option] !== undefined);
  if (name !== undefined) throw badArgument(`--${name} is for s3://bucket/prefix, and a directory was given`);
}
