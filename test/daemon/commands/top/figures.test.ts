import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bar,
  bytesText,
  countText,
  durationText,
  nearlyAllText,
  percentText,
  spanText,
  sparkline,
} from '../../../../daemon/commands/inspecting/top/screen/figures.js';

describe('figures', () => {
  it('are short, with a unit', () => {
    expect([0, 0.01, 0.44, 3, 12.6, 999, 12_345, 99_999, 123_456, 45.6e6, 7.8e9].map(countText)).toEqual([
      '0',
      '<0.1',
      '0.4',
      '3',
      '13',
      '999',
      '12,345',
      '99,999',
      '123 k',
      '45.6 M',
      '7.8 G',
    ]);
    expect([0, 512, 1023, 1024, 1536, 12.3 * 2 ** 20, 1023.9 * 2 ** 20].map(bytesText)).toEqual([
      '0 B',
      '512 B',
      '1023 B',
      '1 KiB',
      '1.5 KiB',
      '12.3 MiB',
      '1 GiB',
    ]);
    expect(
      [0, 85e-8, 12e-6, 999.7e-6, 1.234e-3, 34e-3, 0.9999, 1, 12.34, 100, 7_300].map(durationText),
    ).toEqual([
      '0',
      '850 ns',
      '12 µs',
      '1 ms',
      '1.23 ms',
      '34 ms',
      '1 s',
      '1 s',
      '12.3 s',
      '1 min',
      '2 h 1 min',
    ]);
    expect([0.5, 61, 3_600, 90_000].map(spanText)).toEqual(['0 s', '1 min', '1 h 0 min', '1 d 1 h']);
  });

  it('tell nearly all from all, and hardly any from none', () => {
    expect([0, 0.001, 0.3, 0.999, 1].map(percentText)).toEqual(['0 %', '<1 %', '30 %', '100 %', '100 %']);
    expect([0, 0.3, 0.991, 0.999_96, 0.999_999_9, 1].map(nearlyAllText)).toEqual([
      '0 %',
      '30 %',
      '99.1 %',
      '99.99 %',
      '99.99 %',
      '100 %',
    ]);
  });

  it('fit into their columns, whatever they are', () => {
    const value = fc.double({ min: 0, max: 1e15, noNaN: true });
    fc.assert(
      fc.property(value, (n) => {
        for (const text of [countText, bytesText]) expect(text(n).length).toBeLessThanOrEqual(8);
        if (n < 86_400 * 999) expect(durationText(n).length).toBeLessThanOrEqual(11);
        if (n < 99.5) expect(durationText(n).length).toBeLessThanOrEqual(7);
      }),
    );
  });
});

describe('bars', () => {
  it('show the last values, the newest on the right', () => {
    expect(sparkline([0, 1, 2, 4], 6, 4)).toBe('  ▁▃▅█');
    expect(sparkline([1, undefined, 4], 3, 4)).toBe('▃ █');
    expect(sparkline([1, 2, 3, 4], 2, 4)).toBe('▇█');
    expect(sparkline([0, 0], 2, 0)).toBe('▁▁');
    expect(sparkline([1], 0, 1)).toBe('');
  });

  it('show a share', () => {
    expect(bar(0.5, 10)).toBe('[||||    ]');
    expect(bar(7, 6)).toBe('[||||]');
    expect(bar(0, 2)).toBe('[]');
  });
});
