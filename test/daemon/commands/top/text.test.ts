import { describe, expect, it } from 'vitest';
import {
  beside,
  columnsOf,
  cutEnd,
  cutLine,
  cutStart,
  fillLine,
  inAscii,
  painted,
  span,
} from '../../../../daemon/commands/inspecting/top/screen/text.js';
import { onOneLine } from '../../../../daemon/commands/output/output.js';
import { libcColumns } from './support.js';

const SURROGATES = [0xd800, 0xdfff] as const;
const LAST = 0x10ffff;

describe('onOneLine', () => {
  it('leaves nothing of a name that a terminal obeys, or that takes a line', () => {
    expect(onOneLine('plain name, "quoted", back\\slash')).toBe('plain name, "quoted", back\\slash');
    expect(onOneLine('a\nb\tc\rd')).toBe('a\\nb\\tc\\rd');
    expect(onOneLine('\x1b[2J\x07\x7f\x9b')).toBe('\\u001b[2J\\u0007\\u007f\\u009b');
    // Turns the direction of what follows.
    expect(onOneLine('evil\u202egpj.exe')).toBe('evil\\u202egpj.exe');
    expect(onOneLine('half \ud800 a pair')).toBe('half \\ud800 a pair');
    expect(onOneLine('日本語 für é')).toBe('日本語 für é');
  });
});

describe('columns', () => {
  it('are never fewer than the C library gives, for any character that is printed as it is', () => {
    const wrong: string[] = [];
    for (let code = 0; code <= LAST; code++) {
      if (code >= SURROGATES[0] && code <= SURROGATES[1]) continue;
      const character = String.fromCodePoint(code);
      if (onOneLine(character) !== character) continue;
      const theirs = libcColumns(code);
      // Characters newer than the C library.
      if (theirs < 0) continue;
      if (columnsOf(character) < theirs) wrong.push(code.toString(16));
    }
    expect(wrong).toEqual([]);
  });

  it('are as many as people see', () => {
    expect(columnsOf('abc')).toBe(3);
    expect(columnsOf('日本')).toBe(4);
    expect(columnsOf('e\u0301')).toBe(1);
    expect(columnsOf('🎉')).toBe(2);
    expect(columnsOf('한글')).toBe(4);
    expect(columnsOf('…▼µ█')).toBe(4);
  });
});

describe('cutting', () => {
  it('keeps the beginning of a text, and the end of a path', () => {
    expect(cutEnd('abcdef', 6)).toBe('abcdef');
    expect(cutEnd('abcdef', 4)).toBe('abc…');
    expect(cutStart('/a/b/cdef', 5)).toBe('…cdef');
    expect(cutEnd('日本語', 4)).toBe('日…');
    expect(cutStart('日本語', 4)).toBe('…語');
    expect(cutEnd('abc', 0)).toBe('');
    expect(cutStart('abc', 0)).toBe('');
    expect(cutStart('abc', 1)).toBe('…');
  });

  it('does so across the spans of a line', () => {
    const line = [span('abc', 'bad'), span('def')];
    expect(cutLine(line, 6)).toEqual(line);
    expect(cutLine(line, 4)).toEqual([span('abc', 'bad'), span('…')]);
    expect(cutLine(line, 3)).toEqual([span('abc', 'bad')]);
    expect(fillLine(line, 8)).toEqual([...line, span('  ')]);
  });

  it('puts blocks of different heights beside each other', () => {
    const lines = beside([[span('a')]], [[span('x')], [span('y')]], 3, 1);
    expect(lines.map((line) => line.map(({ text }) => text).join(''))).toEqual(['a   x', '    y']);
  });
});

describe('what is sent', () => {
  const line = [span('a '), span('b', 'bad'), span(' c', 'good')];

  it('has colours, or bold alone, or nothing', () => {
    expect(painted(line, 'colour')).toBe('a \x1b[1;31mb\x1b[0m\x1b[32m c\x1b[0m');
    expect(painted(line, 'attributes')).toBe('a \x1b[1mb\x1b[0m c');
    expect(painted(line, 'none')).toBe('a b c');
  });

  it('is of the same width in ASCII', () => {
    const [ascii] = inAscii([span('12 µs ▁▄█ 日本… x▼')]);
    expect(ascii!.text).toBe('12 us .-# ????~ xv');
  });
});
