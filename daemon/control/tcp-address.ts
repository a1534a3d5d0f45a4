/** An address to listen on, as HOST:PORT. */
import { isIPv6 } from 'node:net';
import { SpinneyError } from '../../engine/errors.js';

export interface TcpAddress {
  /** An IPv4 or IPv6 address, or a name. */
  host: string;
  /** 0: any that is free. */
  port: number;
}

const MOST_PORT = 65_535;

/** Reads `127.0.0.1:9464`, `[::1]:9464` or `name:9464`. Throws ERR_INVALID_ARGUMENT. */
export function parseTcpAddress(text: string): TcpAddress {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]*)\]|([^[\]]*)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  const refuse = (why: string): SpinneyError =>
    new SpinneyError('ERR_INVALID_ARGUMENT', `Cannot listen at "${text}": ${why}`);
  if (host === undefined)
    throw refuse('an address is HOST:PORT, for example 127.0.0.1:9464, [::1]:9464 or localhost:9464');
  if (host === '')
    throw refuse('the host is missing; 127.0.0.1 is this machine alone, 0.0.0.0 or [::] all its addresses');
  if (bracketed !== undefined ? !isIPv6(bracketed) : host.includes(':'))
    throw refuse('an IPv6 address has brackets, and only that: [::1]:9464');
  if (/[\s/@?#]/.test(host)) throw refuse(`"${host}" is no name of a host`);
  if (port > MOST_PORT) throw refuse(`a port is a number up to ${MOST_PORT}`);
  return { host, port };
}

/** As it is given. */
export function formatTcpAddress({ host, port }: TcpAddress): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}
