import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KEYS } from '../../../../daemon/commands/inspecting/top/keys.js';
import {
  plainLines,
  type Shown,
  screenLines,
} from '../../../../daemon/commands/inspecting/top/screen/screen.js';
import { inAscii, type Line, painted } from '../../../../daemon/commands/inspecting/top/screen/text.js';
import { PARTS, type View } from '../../../../daemon/commands/inspecting/top/view.js';
import { busyView, libcColumnsOf, OPERATIONS, SETTINGS, shown } from './support.js';

function texts(lines: readonly Line[]): string[] {
  return lines.map((line) => painted(line, 'none').trimEnd());
}

function screen(state: Shown, columns: number, lines: number): string[] {
  return texts(screenLines(state, { columns, lines }));
}

describe('the screen', () => {
  it('has the essentials in 80x24', () => {
    expect(screen(shown(), 80, 24)).toMatchSnapshot();
  });

  it('uses the room of 200x60', () => {
    expect(screen(shown(), 200, 60)).toMatchSnapshot();
  });

  it('is readable in 100x40', () => {
    expect(screen(shown(), 100, 40)).toMatchSnapshot();
  });

  it('has the busiest operation in a window of six lines, too', () => {
    const lines = screen(shown(), 40, 6);
    expect(lines[2]).toMatch(/^OPERATION/);
    expect(lines[3]).toMatch(/^lookup/);
    expect(lines[5]).toContain('quit');
  });

  it('puts what is wrong on top, and says how to learn more of it', () => {
    const alerts = ['writes get ENOSPC: the disk of /srv/photos is full', 'the last checkpoint failed: EIO'];
    const view = busyView({ health: 'degraded', alerts });
    const lines = screen(shown({ view }), 80, 24);
    expect(lines.slice(1, 3)).toEqual(alerts.map((alert) => `! ${alert}`));
    expect(lines[0]).toContain('degraded');
    const many = shown({ view: busyView({ alerts: Array.from({ length: 9 }, (_, i) => `alert ${i}`) }) });
    expect(screen(many, 80, 24).slice(1, 6)).toEqual([
      '! alert 0',
      '! alert 1',
      '! alert 2',
      '! 6 things are wrong: see spinney health /mnt/photos',
      expect.stringContaining('Requests'),
    ]);
  });

  it('tells that the daemon does not answer, above what was last known', () => {
    const away = { reason: 'Cannot reach the daemon', seconds: 75 };
    const lines = screen(shown({ away }), 100, 24);
    expect(lines[0]).toContain('NO ANSWER');
    expect(lines[1]).toBe(
      '! The daemon has not answered for 1 min, tried again and again: Cannot reach the daemon',
    );
    expect(lines.join('\n')).toContain('lookup');
  });

  it('says that it is paused, and what is looked at before there is anything to show', () => {
    expect(screen(shown({ settings: { ...SETTINGS, isPaused: true } }), 80, 24)[0]).toContain('PAUSED');
    const first = screen(shown({ view: undefined }), 80, 24);
    expect(first[0]).toContain('/mnt/photos');
    expect(first.join('\n')).toContain('Looking');
  });

  it('explains every key and every part of the time', () => {
    const help = screen(shown({ settings: { ...SETTINGS, isHelpShown: true } }), 80, 24).join('\n');
    for (const [key, does] of KEYS)
      expect(help).toMatch(new RegExp(`${key.replace(/[?+^]/g, '\\$&')} +${does.replace('?', '\\?')}`));
    for (const part of PARTS) expect(help).toContain(part);
  });

  it('sorts by rate, time or p99, and marks by which', () => {
    const first = (sort: 'rate' | 'time' | 'p99'): string => {
      const lines = screen(shown({ settings: { ...SETTINGS, sort } }), 80, 24);
      return lines[lines.findIndex((line) => line.startsWith('OPERATION')) + 1]!.split(' ')[0]!;
    };
    expect([first('rate'), first('time'), first('p99')]).toEqual(['lookup', 'fsync', 'fsync']);
    const clients = (sort: 'rate' | 'time' | 'p99'): string[] => {
      const view = busyView({
        clients: [
          { uid: 0, user: 'a', program: 'x', processes: 1, rate: 3, busy: 0.1 },
          { uid: 0, user: 'b', program: 'x', processes: 1, rate: 2, busy: 0.3 },
          { uid: 0, user: 'c', program: 'x', processes: 1, rate: 1, busy: 0.2 },
        ],
      });
      const lines = screen(shown({ view, settings: { ...SETTINGS, sort } }), 80, 24);
      const at = lines.findIndex((line) => line.startsWith('USER'));
      return lines.slice(at + 1, at + 4).map((line) => line[0]!);
    };
    expect(clients('rate')).toEqual(['a', 'b', 'c']);
    expect(clients('time')).toEqual(['b', 'c', 'a']);
    expect(clients('p99')).toEqual(['c', 'b', 'a']);
    expect(screen(shown({ settings: { ...SETTINGS, sort: 'p99' } }), 80, 24).join('\n')).toContain('P99▼');
  });

  it('prints names as they are safe to print', () => {
    const view = busyView({
      clients: [{ uid: 0, user: 'a\nb', program: '\x1b[31mred', processes: 1, rate: 1, busy: 0 }],
      directories: [{ path: '/日本/\x07', rate: 1, busy: 0 }],
      alerts: ['\x1b]0;title\x07'],
    });
    const text = screen(shown({ view }), 120, 30).join('\n');
    expect(text).toContain('a\\nb');
    expect(text).toContain('\\u001b[31mred');
    expect(text).toContain('/日本/\\u0007');
    expect(text).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
  });
});

/** Text as somebody may have named a file: wide, invisible, broken, obeyed by terminals. */
const name = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  fc
    .array(
      fc.constantFrom(
        '日',
        'e\u0301',
        '👨‍👩‍👧',
        '\x1b[2J',
        '\n',
        '\ud800',
        '\u202e',
        'ｆ',
        'a',
        '한',
        '\ufe0f',
        '☎',
      ),
    )
    .map((parts) => parts.join('')),
);
const positive = fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e12, noNaN: true }));
const parts = fc.record({
  waiting: positive,
  tree: positive,
  loading: positive,
  journal: positive,
  below: positive,
});
const errors = fc.dictionary(fc.constantFrom('EIO', 'ENOENT', 'ENOSPC', 'ENAMETOOLONG'), positive);

const anyView: fc.Arbitrary<View> = fc
  .record({
    alerts: fc.array(name, { maxLength: 12 }),
    operations: fc.array(
      fc.record({
        operation: fc.constantFrom(...OPERATIONS.map(({ operation }) => operation)),
        rate: positive,
        busy: positive,
        p50Seconds: fc.option(positive, { nil: undefined }),
        p99Seconds: fc.option(positive, { nil: undefined }),
        maxSeconds: fc.option(positive, { nil: undefined }),
        parts,
        errors,
      }),
      { maxLength: 40 },
    ),
    clients: fc.option(
      fc.array(
        fc.record({
          uid: fc.nat(),
          user: name,
          program: name,
          processes: fc.nat(),
          rate: positive,
          busy: positive,
        }),
        { maxLength: 70 },
      ),
      { nil: undefined },
    ),
    directories: fc.option(
      fc.array(fc.record({ path: name, rate: positive, busy: positive }), { maxLength: 70 }),
      {
        nil: undefined,
      },
    ),
    slow: fc.array(
      fc.record({
        time: fc.constant('2026-11-30T15:00:00.000Z'),
        agoSeconds: positive,
        operation: fc.constant('copy_file_range'),
        path: name,
        user: name,
        program: name,
        result: fc.constant('ENAMETOOLONG'),
        seconds: positive,
        mostly: fc.constantFrom(...PARTS),
      }),
      { maxLength: 70 },
    ),
    mountpoint: name,
    store: name,
  })
  .map((replaced) => busyView(replaced));

const anyShown: fc.Arbitrary<Shown> = fc.record({
  view: fc.option(anyView, { nil: undefined }),
  settings: fc.record({
    sort: fc.constantFrom('rate', 'time', 'p99'),
    isPaused: fc.boolean(),
    isHelpShown: fc.boolean(),
    intervalSeconds: fc.constantFrom(0.1, 2, 3_600),
  }),
  place: name,
  clock: fc.constant('15:00:04'),
  away: fc.option(fc.record({ reason: name, seconds: positive }), { nil: undefined }),
  history: fc.array(
    fc.option(
      fc.record({
        rate: positive,
        p99Seconds: fc.option(positive, { nil: undefined }),
        bytesRate: positive,
        waiting: fc.option(fc.nat(), { nil: undefined }),
      }),
      { nil: undefined },
    ),
    { maxLength: 300 },
  ),
});

describe('any screen', () => {
  it('has no line wider than the window, none beyond it, and nothing that a terminal obeys', () => {
    const size = fc.record({
      columns: fc.integer({ min: 0, max: 240 }),
      lines: fc.integer({ min: 0, max: 80 }),
    });
    fc.assert(
      fc.property(anyShown, size, (state, room) => {
        const lines = screenLines(state, room);
        expect(lines.length).toBe(room.columns === 0 ? 0 : room.lines);
        for (const line of lines) {
          expect(libcColumnsOf(painted(line, 'none'))).toBeLessThanOrEqual(room.columns);
          expect(painted(inAscii(line), 'none')).toMatch(/^[\x20-\x7e]*$/);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('as plain lines, neither', () => {
    fc.assert(
      fc.property(anyView, fc.integer({ min: 20, max: 240 }), (view, columns) => {
        for (const line of plainLines(view, SETTINGS, columns)) {
          expect(libcColumnsOf(painted(line, 'none'))).toBeLessThanOrEqual(columns);
        }
      }),
      { numRuns: 50 },
    );
  });
});
