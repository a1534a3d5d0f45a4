import { describe, expect, it } from 'vitest';
import { checkEndpoint, mayCarry, parseRemote } from '../../../../engine/store/object/s3/options.js';

describe('parseRemote', () => {
  it.each([
    ['s3://photos', 'photos', ''],
    ['s3://photos/', 'photos', ''],
    ['s3://my.photos-2/laptop/home', 'my.photos-2', 'laptop/home/'],
    ['s3://photos//laptop//', 'photos', 'laptop/'],
  ])('%s', (text, bucket, prefix) => {
    expect(parseRemote(text)).toEqual({ bucket, prefix });
  });

  it.each([
    ['photos', 'form'],
    ['https://photos', 'form'],
    ['s3://', 'no name of a bucket'],
    ['s3://Photos', 'no name of a bucket'],
    ['s3://ab', 'no name of a bucket'],
    ['s3://photos/a b', 'characters'],
    ['s3://photos/../b', 'characters'],
    [`s3://photos/${'a'.repeat(800)}`, '768'],
  ])('refuses %s', (text, reason) => {
    expect(() => parseRemote(text)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT', message: expect.stringContaining(reason) }),
    );
  });

  it('does not repeat what may be secret', () => {
    expect(() => parseRemote('s3://key:secret@photos/a')).toThrow(
      'Cannot use the remote: credentials come from the environment, a profile or the instance, never from the remote',
    );
  });
});

describe('checkEndpoint', () => {
  it.each([
    'https://s3.example.org',
    'http://127.0.0.1:9000',
    'http://127.8.9.10',
    'http://[::1]:9000',
    'http://localhost',
    'http://s3.localhost:80',
  ])('takes %s', (endpoint) => {
    expect(() => checkEndpoint(endpoint, false)).not.toThrow();
  });

  it.each([
    'http://s3.example.org',
    'http://10.0.0.1:9000',
    'http://128.0.0.1',
    'http://127.0.0.1.example.org',
    'http://localhost.example.org',
    'http://notlocalhost',
    'http://[::2]',
  ])('refuses %s, unless plain HTTP is allowed', (endpoint) => {
    expect(() => checkEndpoint(endpoint, false)).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_ARGUMENT',
        message: expect.stringContaining('use https://'),
      }),
    );
    expect(() => checkEndpoint(endpoint, true)).not.toThrow();
  });

  it.each(['', 's3.example.org', 'ftp://s3.example.org'])('refuses %o', (endpoint) => {
    expect(() => checkEndpoint(endpoint, true)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
    );
  });

  it('does not repeat credentials', () => {
    expect(() => checkEndpoint('https://key:secret@s3.example.org', true)).toThrow(
      "Cannot use the remote's endpoint: credentials come from the environment, a profile or the instance, never from a URL",
    );
  });

  it('lets nothing but TLS and the loopback carry requests', () => {
    expect(mayCarry('https:', 'example.org', false)).toBe(true);
    expect(mayCarry('http:', 'example.org', false)).toBe(false);
    expect(mayCarry('http:', 'example.org', true)).toBe(true);
    expect(mayCarry('http:', 'bucket.s3.localhost', false)).toBe(true);
  });
});
