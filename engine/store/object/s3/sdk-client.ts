/**
 * The SDK's client: who one is, where requests go, and whom they trust.
 *
 * - Credentials are found by the SDK as AWS's users know it: environment, profiles, web identity, container, instance. Nothing here
 *   takes, keeps or tells them. Where they are refused another look is taken: a session's token may have been replaced in its file.
 * - The endpoint is the option's, or else what the environment or the profile says, or else AWS. It is looked at, whoever told it.
 * - Of an own endpoint the certificate is to be signed by a CA that Node.js trusts, or, where AWS_CA_BUNDLE names a file, by one in it.
 */
import { X509Certificate } from 'node:crypto';
import { lookup } from 'node:dns';
import { readFileSync } from 'node:fs';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { LookupFunction } from 'node:net';
import type { S3Client } from '@aws-sdk/client-s3';
import { reasonOf, SpinneyError } from '../../../errors.js';
import { credentialFailureOf, failureOf, isOfStaleCredentials } from './failures.js';
import { checkEndpoint, type S3Options } from './options.js';

export type Sdk = typeof import('@aws-sdk/client-s3');
export type Request<T> = (client: S3Client, signal: AbortSignal) => Promise<T>;

const CONNECT_MS = 5_000;
const TIMEOUT_MS = 30_000;
const MAX_SOCKETS = 16;
/** As the AWS command line has it for S3; servers of one's own want it. */
const DEFAULT_REGION = 'us-east-1';

/** The SDK would tell the standard error what it thinks of its use. */
const SILENT = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };
/** Of the default provider of credentials, which does not tell of it in the client's type: files are read anew each time they are needed. */
const READ_FILES_ANEW: object = { ignoreCache: true };

interface Place {
  /** Undefined: AWS's own. */
  endpoint: string | undefined;
  region: string;
}

export class SdkClient {
  readonly #sdk: Sdk;
  readonly #options: S3Options;
  readonly #place: Place;
  readonly #httpAgent: HttpAgent;
  readonly #httpsAgent: HttpsAgent;
  #client: S3Client;
  #hadCredentials = false;

  /** @throws ERR_INVALID_ARGUMENT for an endpoint that must not be used, and for certificates that cannot be read */
  static async open(sdk: Sdk, options: S3Options): Promise<SdkClient> {
    const place = await placeOf(sdk, options);
    if (place.endpoint !== undefined) checkEndpoint(place.endpoint, options.allowPlainHttp ?? false);
    return new SdkClient(sdk, options, place);
  }

  private constructor(sdk: Sdk, options: S3Options, place: Place) {
    this.#sdk = sdk;
    this.#options = options;
    this.#place = place;
    const agentOptions = { keepAlive: true, maxSockets: MAX_SOCKETS, lookup: lookUp };
    this.#httpAgent = new HttpAgent(agentOptions);
    const ca = ownCertificates();
    // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
    const trust = { rejectUnauthorized: true, ...(ca !== undefined && { ca }) };
    this.#httpsAgent = new HttpsAgent({ ...agentOptions, ...trust });
    this.#client = this.#connect();
  }

  /** Asks, within the time that a request may take, its answer's body included. `what` is for the error's message. */
  async ask<T>(what: string, request: Request<T>): Promise<T> {
    const signal = AbortSignal.timeout(this.#options.timeoutMs ?? TIMEOUT_MS);
    const client = this.#client;
    const attempt = async (by: S3Client) => {
      // By itself, so that what a provider of credentials answers is not taken for an answer of the bucket.
      const identity = await this.#identityOf(by, what, signal);
      try {
        return { value: await within(signal, request(by, signal)) };
      } catch (error) {
        return { error, identity };
      }
    };
    let outcome = await attempt(client);
    if ('error' in outcome && isOfStaleCredentials(outcome.error)) {
      const fresh = this.#client === client ? this.#connect() : this.#client;
      if ((await this.#identityOf(fresh, what, signal)) !== outcome.identity) {
        this.#client = fresh;
        outcome = await attempt(fresh);
      }
    }
    if ('error' in outcome) throw failureOf(outcome.error, what, this.#where());
    return outcome.value;
  }

  close(): void {
    this.#httpAgent.destroy();
    this.#httpsAgent.destroy();
  }

  #connect(): S3Client {
    const { endpoint, region } = this.#place;
    const { addressing } = this.#options;
    return new this.#sdk.S3Client({
      ...READ_FILES_ANEW,
      ...(endpoint !== undefined && { endpoint }),
      region,
      forcePathStyle: addressing === undefined ? endpoint !== undefined : addressing === 'path',
      maxAttempts: 1,
      logger: SILENT,
      // What is stored has checksums of its own, and not all servers know the SDK's.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      // With it, each large body would go over a connection of its own, made without the agents.
      expectContinueHeader: false,
      requestHandler: {
        connectionTimeout: CONNECT_MS,
        httpAgent: this.#httpAgent,
        httpsAgent: this.#httpsAgent,
        logger: SILENT,
      },
    });
  }

  /** Equal where the credentials are. */
  async #identityOf(client: S3Client, what: string, signal: AbortSignal): Promise<string> {
    try {
      const { accessKeyId, secretAccessKey, sessionToken } = await within(
        signal,
        client.config.credentials(),
      );
      this.#hadCredentials = true;
      return JSON.stringify([accessKeyId, secretAccessKey, sessionToken]);
    } catch (error) {
      throw credentialFailureOf(error, what, this.#hadCredentials);
    }
  }

  #where(): string {
    const { endpoint, region } = this.#place;
    return endpoint ?? `AWS in ${region}`;
  }
}

async function placeOf(sdk: Sdk, { endpoint }: S3Options): Promise<Place> {
  const { AWS_REGION, AWS_DEFAULT_REGION } = process.env;
  const { config } = new sdk.S3Client({ logger: SILENT });
  const regionOfProfile = () => config.region().catch(() => DEFAULT_REGION);
  return {
    endpoint: endpoint ?? (await config.serviceConfiguredEndpoint?.()),
    region: AWS_REGION || AWS_DEFAULT_REGION || (await regionOfProfile()),
  };
}

/** What AWS_CA_BUNDLE names, which takes the place of what Node.js trusts. */
function ownCertificates(): string | undefined {
  const { AWS_CA_BUNDLE: path } = process.env;
  if (path === undefined || path === '') return undefined;
  try {
    const bundle = readFileSync(path, 'utf8');
    // Those behind the first are Node's to read; a file that has none would leave nobody who is trusted.
    new X509Certificate(bundle);
    return bundle;
  } catch (error) {
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      `Cannot use the certificates in ${path}, which AWS_CA_BUNDLE names: ${reasonOf(error)}`,
    );
  }
}

/**
 * Names below `localhost` are this machine's, as RFC 6761 says. Not every resolver knows, and none is asked: plain HTTP may go there.
 */
const lookUp: LookupFunction = (hostname, options, callback) => {
  if (!hostname.endsWith('.localhost')) return lookup(hostname, options, callback);
  if (options.all === true) return callback(null, [{ address: '127.0.0.1', family: 4 }]);
  return callback(null, '127.0.0.1', 4);
};

/** A program that tells credentials may hang, and knows of no signal. */
function within<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const late = new Promise<never>((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  return Promise.race([work, late]);
}
