/** Which bucket, where, and how it is reached. Who one is, is never told here: see s3-sdk.ts. */
import { isIP } from 'node:net';
import { SpinneyError } from '../../../errors.js';
import { MAX_OBJECT_KEY_BYTES } from '../../../limits.js';

export interface S3Options {
  bucket: string;
  /** Keys begin with it; empty, or ends with a slash. */
  prefix: string;
  /** The server's URL. Undefined: as AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or the profile say, or else AWS itself. */
  endpoint?: string;
  /**
   * Whether the bucket is told in the path or in the host's name. Undefined: in the path where an endpoint is told, here or in the
   * environment, as servers of one's own want it; in the host's name at AWS.
   */
  addressing?: 'path' | 'virtual';
  /** Lets plain HTTP go to other machines: what is stored can then be read and changed by whoever is on the way. */
  allowPlainHttp?: boolean;
  /**
   * If-Match names versions without quotation marks. Ceph's radosgw before its version 18 refuses them with. Never to be guessed:
   * a server may overlook a condition that it does not understand, so whoever sets it probes the bucket.
   */
  bareTags?: boolean;
  /** Longest time for one request, in milliseconds. */
  timeoutMs?: number;
}

/** Room that is left in keys behind the prefix. */
const LONGEST_NAME_BYTES = 256;

/** What `s3://bucket/prefix` says. @throws ERR_INVALID_ARGUMENT, in words that do not repeat what may be secret */
export function parseRemote(text: string): { bucket: string; prefix: string } {
  const cannot = (why: string) => new SpinneyError('ERR_INVALID_ARGUMENT', `Cannot use the remote: ${why}`);
  if (!/^s3:\/\//.test(text)) throw cannot('it must have the form s3://bucket/prefix');
  const [bucket = '', ...rest] = text.slice('s3://'.length).split('/');
  if (bucket.includes('@')) {
    throw cannot('credentials come from the environment, a profile or the instance, never from the remote');
  }
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket)) {
    throw cannot(
      `'${bucket}' is no name of a bucket: 3 to 63 of a-z, 0-9, '.' and '-', with no '.' or '-' at its ends`,
    );
  }
  const parts = rest.filter((part) => part !== '');
  if (parts.some((part) => !/^[A-Za-z0-9!_.*'()-]+$/.test(part) || part === '.' || part === '..')) {
    throw cannot("a part of its prefix has characters other than A-Z, a-z, 0-9 and ! _ . * ' ( ) -");
  }
  const prefix = parts.map((part) => `${part}/`).join('');
  if (prefix.length > MAX_OBJECT_KEY_BYTES - LONGEST_NAME_BYTES) {
    throw cannot(`its prefix is longer than ${MAX_OBJECT_KEY_BYTES - LONGEST_NAME_BYTES} bytes`);
  }
  return { bucket, prefix };
}

/** @throws ERR_INVALID_ARGUMENT where it is no URL of a server, or speaks plain HTTP to another machine */
export function checkEndpoint(endpoint: string, allowPlainHttp: boolean): void {
  const cannot = (why: string) =>
    new SpinneyError('ERR_INVALID_ARGUMENT', `Cannot use the remote's endpoint: ${why}`);
  if (!URL.canParse(endpoint)) throw cannot('it must be a URL such as https://s3.example.org');
  const { protocol, hostname, username, password } = new URL(endpoint);
  if (protocol !== 'http:' && protocol !== 'https:') throw cannot('it must begin with https://');
  if (username !== '' || password !== '') {
    throw cannot('credentials come from the environment, a profile or the instance, never from a URL');
  }
  if (!mayCarry(protocol, hostname, allowPlainHttp)) throw cannot(plainHttpTo(hostname));
}

/** Whether requests may go there. `protocol` as a URL has it. */
export function mayCarry(protocol: string, hostname: string, allowPlainHttp: boolean): boolean {
  return protocol === 'https:' || allowPlainHttp || isLoopback(hostname);
}

export function plainHttpTo(hostname: string): string {
  return `http:// to ${hostname} can be read and changed on the way; use https://, or allow it by --remote-plain-http if the network is yours`;
}

function isLoopback(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) === 4) return host.startsWith('127.');
  return host === '::1' || host === 'localhost' || host.endsWith('.localhost');
}
