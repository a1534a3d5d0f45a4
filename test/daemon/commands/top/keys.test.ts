import { describe, expect, it } from 'vitest';
import { KEYS, keysOf, type Settings, stepOf } from '../../../../daemon/commands/inspecting/top/keys.js';
import { SETTINGS } from './support.js';

function pressed(keys: string, settings: Settings = SETTINGS): Settings {
  return keysOf(keys).reduce((now, key) => {
    const step = stepOf(key, now);
    if (step === undefined) return now;
    if (typeof step === 'string') throw new Error(`${key} is ${step}`);
    return step;
  }, settings);
}

describe('keys', () => {
  it('sort', () => {
    expect(pressed('t').sort).toBe('time');
    expect(pressed('tp').sort).toBe('p99');
    expect(pressed('pR').sort).toBe('rate');
  });

  it('pause, and go on', () => {
    expect(pressed(' ').isPaused).toBe(true);
    expect(pressed('  ').isPaused).toBe(false);
  });

  it('choose the interval, within bounds, also from one that was given', () => {
    expect(pressed('+').intervalSeconds).toBe(5);
    expect(pressed('-').intervalSeconds).toBe(1);
    expect(pressed('+'.repeat(20)).intervalSeconds).toBe(60);
    expect(pressed('-'.repeat(20)).intervalSeconds).toBe(0.2);
    expect(pressed('+', { ...SETTINGS, intervalSeconds: 3 }).intervalSeconds).toBe(5);
    expect(pressed('-', { ...SETTINGS, intervalSeconds: 3 }).intervalSeconds).toBe(2);
    expect(pressed('+', { ...SETTINGS, intervalSeconds: 3_600 }).intervalSeconds).toBe(3_600);
    expect(pressed('-', { ...SETTINGS, intervalSeconds: 0.1 }).intervalSeconds).toBe(0.1);
  });

  it('show help, which any key ends and does nothing else', () => {
    expect(pressed('?').isHelpShown).toBe(true);
    expect(pressed('?t')).toEqual(SETTINGS);
    expect(pressed('hx')).toEqual(SETTINGS);
  });

  it('quit, suspend and redraw, also from help', () => {
    const help = { ...SETTINGS, isHelpShown: true };
    for (const settings of [SETTINGS, help]) {
      expect(stepOf('q', settings)).toBe('quit');
      expect(stepOf('\x03', settings)).toBe('quit');
      expect(stepOf('\x1a', settings)).toBe('suspend');
      expect(stepOf('\x0c', settings)).toBe('redraw');
    }
  });

  it('that mean nothing do nothing; of special keys no part is taken for a key', () => {
    expect(stepOf('x', SETTINGS)).toBeUndefined();
    // Arrows, Delete, F1, F5, Alt-q, a mouse.
    expect(keysOf('\x1b[A\x1b[3~\x1bOP\x1b[15~\x1bq\x1b[<0;3;4M')).toEqual([]);
    expect(keysOf('t\x1b[Bq')).toEqual(['t', 'q']);
    expect(keysOf('\x1b')).toEqual([]);
  });

  it('are all told by help', () => {
    const told = KEYS.map(([key]) => key).join(' ');
    for (const key of ['r', 't', 'p', 'space', '+', '-', '?', 'h', '^L', '^Z', 'q', '^C'])
      expect(told).toContain(key);
  });
});
