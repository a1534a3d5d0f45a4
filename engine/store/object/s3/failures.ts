/**
 * What an SDK's error means. Messages are made of the status and of the server's code alone: an error of the SDK has the request
 * with it, and that the credentials' traces; so none is kept as a cause either.
 */
import { type ErrorCode, SpinneyError } from '../../../errors.js';
import { conditionFailed, notFound } from '../errors.js';

/** Codes of answers below 500 that pass by themselves. */
const PASSING = new Set([
  'RequestTimeout',
  'SlowDown',
  'TemporaryRedirect',
  'Throttling',
  'ThrottlingException',
  'RequestThrottled',
]);
/** Of a 404: S3's words for an object or an upload that is not there. Whatever is between may say 404 for reasons of its own. */
const MISSING = new Set(['NoSuchKey', 'NoSuchUpload', 'NoSuchVersion']);
const WRONG_PARTS = new Set(['InvalidPart', 'InvalidPartOrder', 'EntityTooSmall']);
const ELSEWHERE = new Set([
  'PermanentRedirect',
  'AuthorizationHeaderMalformed',
  'IllegalLocationConstraintException',
]);
/** Credentials that another look may find replaced. */
const STALE = new Set([
  'ExpiredToken',
  'ExpiredTokenException',
  'InvalidAccessKeyId',
  'InvalidToken',
  'SignatureDoesNotMatch',
  'TokenRefreshRequired',
]);
const OUT_OF_DATE = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']);
/** Beginnings of the codes of OpenSSL and Node for certificates that are not trusted. */
const CERTIFICATE = /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|INVALID_CA|ERR_TLS_CERT_)/;
const NO_TLS = /^(EPROTO$|ERR_SSL_)/;
const LATE = new Set(['AbortError', 'TimeoutError', 'ETIMEDOUT']);

const ADVICE: Readonly<Record<string, string>> = {
  NoSuchBucket: 'there is no such bucket; make it, or look at its name and the endpoint',
  AccessDenied:
    'these credentials may not do it; they need s3:GetObject, PutObject, DeleteObject and AbortMultipartUpload on its ' +
    'objects, and s3:ListBucket and ListBucketMultipartUploads on it',
  InvalidAccessKeyId: 'the access key is not known there',
  SignatureDoesNotMatch: "the secret key is not the access key's",
  ExpiredToken: 'the session token has expired',
  RequestTimeTooSkewed: "this machine's clock differs too much from the server's",
};

interface Facts {
  name: string;
  status: number | undefined;
}

/** The error to throw where `what` ("put s3://...") failed at the server `where`, a URL. */
export function failureOf(error: unknown, what: string, where: string): SpinneyError {
  if (error instanceof SpinneyError) return error;
  const { name, status } = factsOf(error);
  const because = reasonOf(error, name, status);
  const failure = (code: ErrorCode) => new SpinneyError(code, `Cannot ${what}: ${because}`);
  if (status === undefined) return withoutAnswer(name, what, where);
  // What came was no answer of S3.
  if (PASSING.has(name) || status < 300 || status === 408 || status === 409 || status === 429) {
    return failure('ERR_REMOTE_UNAVAILABLE');
  }
  if (name === 'NoSuchBucket') return failure('ERR_REMOTE_REFUSED');
  if (status === 404) return MISSING.has(name) ? notFound(what) : failure('ERR_REMOTE_UNAVAILABLE');
  if (status === 412) return conditionFailed(what);
  if (status === 416 || WRONG_PARTS.has(name)) return failure('ERR_INVALID_ARGUMENT');
  return failure(status >= 500 && status !== 501 ? 'ERR_REMOTE_UNAVAILABLE' : 'ERR_REMOTE_REFUSED');
}

/** The error to throw where `what` failed because nobody told who one is. `hadThem`: somebody had, before. */
export function credentialFailureOf(error: unknown, what: string, hadThem: boolean): SpinneyError {
  const { name } = factsOf(error);
  const { AWS_PROFILE: profile } = process.env;
  const told = (code: ErrorCode, why: string) => new SpinneyError(code, `Cannot ${what}: ${why}`);
  // Whoever renews them is away for a while.
  if (hadThem) return told('ERR_REMOTE_UNAVAILABLE', `the credentials cannot be renewed (${name})`);
  if (LATE.has(name)) return told('ERR_REMOTE_UNAVAILABLE', 'nobody told the credentials in time');
  if (name !== 'CredentialsProviderError' && name !== 'TokenProviderError') {
    return told('ERR_REMOTE_REFUSED', `the credentials are refused to us (${name})`);
  }
  return told(
    'ERR_REMOTE_REFUSED',
    profile === undefined
      ? 'no credentials are found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role'
      : `no credentials are found by the profile '${profile}'; look at it, or log in`,
  );
}

/** Whether the answer was 304: it still is the version that was told. */
export function isNotModified(error: unknown): boolean {
  return factsOf(error).status === 304;
}

/** Whether the request was refused, and so not done, because of credentials that may have been replaced since they were found. */
export function isOfStaleCredentials(error: unknown): boolean {
  const { name, status } = factsOf(error);
  return status !== undefined && STALE.has(name);
}

function reasonOf(error: unknown, name: string, status: number | undefined): string {
  if (ELSEWHERE.has(name)) {
    const region = regionIn(error);
    return region === undefined
      ? 'the bucket is in another region; set AWS_REGION'
      : `the bucket is in the region ${region}; set AWS_REGION=${region}`;
  }
  if (status === 401 || status === 403) return ADVICE[name] ?? `${ADVICE.AccessDenied} (${name})`;
  return ADVICE[name] ?? `the server answered ${status} (${name})`;
}

function withoutAnswer(name: string, what: string, where: string): SpinneyError {
  const refused = (why: string) => new SpinneyError('ERR_REMOTE_REFUSED', `Cannot ${what}: ${why}`);
  const unavailable = (why: string) =>
    new SpinneyError(
      'ERR_REMOTE_UNAVAILABLE',
      `Cannot ${what}: ${why}; look at the endpoint and the network`,
    );
  if (OUT_OF_DATE.has(name)) {
    return refused(
      `the certificate of ${where} is not valid today (${name}); look at it and at this machine's clock`,
    );
  }
  if (name === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return refused(`the certificate of ${where} is for another name (${name}); look at the endpoint`);
  }
  if (CERTIFICATE.test(name)) {
    return refused(
      `the certificate of ${where} is not trusted (${name}); name the file of its CA in AWS_CA_BUNDLE`,
    );
  }
  if (NO_TLS.test(name)) return refused(`${where} does not speak TLS (${name}); look at the endpoint`);
  if (LATE.has(name)) return unavailable(`no answer from ${where} in time`);
  return unavailable(`no answer from ${where} (${name})`);
}

/** It comes from the other side: no more than a word of it goes into messages. */
function word(text: unknown): string | undefined {
  return /^[\w-]{1,64}/.exec(String(text ?? ''))?.[0];
}

function regionIn(error: unknown): string | undefined {
  const { Region: inBody, $response: answer } = error as {
    Region?: unknown;
    $response?: { headers?: Record<string, string> };
  };
  return word(inBody ?? answer?.headers?.['x-amz-bucket-region']);
}

function factsOf(error: unknown): Facts {
  const { name, code, $metadata } = (error ?? {}) as {
    name?: unknown;
    code?: unknown;
    $metadata?: { httpStatusCode?: number };
  };
  const status = $metadata?.httpStatusCode;
  // Of a failed connection the code says more than the name, which is "Error"; of an answer the name is the server's code.
  const told = status === undefined && typeof code === 'string' ? code : name;
  return { name: word(told) ?? 'unknown', status };
}
