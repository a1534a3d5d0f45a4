/** Settings that change while a store is mounted: read, refused, applied and taken back as a whole. */
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { mount } from '../../../daemon/commands/mounts/mount.js';
import type { DaemonOptions } from '../../../daemon/mounting/daemon-options.js';
import { FIXED } from '../../../daemon/mounting/settings/fixed.js';
import { Settings } from '../../../daemon/mounting/settings/settings.js';
import { type Adjustable, SETTINGS } from '../../../daemon/mounting/settings/table.js';
import { SpinneyError } from '../../../engine/errors.js';

const OPTIONS: DaemonOptions = {
  mountpoint: '/mnt/x',
  store: '/srv/x',
  control: '/srv/x/control.sock',
  driver: 'auto',
  durability: 'written',
  cacheBytes: 64 * 1024 * 1024,
  readOnly: false,
  allowOther: false,
  entryTimeout: 3600,
  attributeTimeout: 3600,
  negativeTimeout: 3600,
  mountOptions: [],
  scrubDays: 0,
  slowRequestMs: 10,
  snapshots: [],
  snapshotDirectory: '.snap',
  metrics: undefined,
};

/** A mount that notes what is applied to it, in order; `fails` makes one of these fail. */
function mounted(options: Partial<DaemonOptions> = {}, parts: Partial<Adjustable> = {}) {
  const lines: { level: number; msg: string; changed?: unknown; name?: string }[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => lines.push(JSON.parse(line)) });
  const settings = new Settings({ ...OPTIONS, ...options }, log);
  const applied: string[] = [];
  const kept: Record<string, string>[] = [];
  const fails = new Set<string>();
  const apply = (what: string, value: unknown) => {
    if (fails.has(what)) throw new SpinneyError('ERR_JOURNAL_FAILED', `Cannot apply ${what}: it fails`);
    applied.push(`${what} ${JSON.stringify(value)}`);
  };
  settings.setParts(
    {
      log,
      setDurability: async (level) => apply('durability', level),
      schedule: { setRules: (rules) => apply('rules', rules) },
      scrubber: { schedule: (days) => apply('scrub', days) },
      mount: {
        setTimeouts: async ({ entryTimeout, attributeTimeout, negativeTimeout }) =>
          apply('timeouts', [entryTimeout, attributeTimeout, negativeTimeout]),
      },
      requestLog: {
        set slowMs(milliseconds: number) {
          apply('slow', milliseconds);
        },
      },
      ...parts,
    },
    async (changed) => void kept.push({ ...changed }),
  );
  return { settings, log, lines, applied, kept, fails };
}

const texts = ({ settings }: ReturnType<typeof mounted>) => settings.report().settings;

it.each([
  ['durability', 'synced', 'durability "synced"'],
  ['entry-timeout', '0.5', 'timeouts [0.5,3600,3600]'],
  ['attr-timeout', '0', 'timeouts [3600,0,3600]'],
  ['negative-timeout', '7', 'timeouts [3600,3600,7]'],
  ['snapshots', 'hourly:24,daily:7', 'rules [{"period":"hourly","keep":24},{"period":"daily","keep":7}]'],
  ['scrub', '7', 'scrub 7'],
  ['slow-requests', '0.5ms', 'slow 0.5'],
])('applies %s=%s', async (name, text, expected) => {
  const it = mounted();
  const before = texts(it)[name]!;
  const change = await it.settings.change({ [name]: text });
  expect(change.changed).toEqual({ [name]: { from: before, to: text } });
  expect(it.applied).toEqual([expected]);
  expect([texts(it)[name], it.kept]).toEqual([text, [{ [name]: text }]]);
  expect(it.lines.at(-1)).toMatchObject({ msg: 'settings changed', changed: change.changed });
  // To what it is already is no change.
  expect(await it.settings.change({ [name]: text })).toMatchObject({ changed: {}, notes: [] });
  expect([it.applied.length, it.kept.length]).toEqual([1, 1]);
  await it.settings.change({ [name]: before });
  expect(texts(it)[name]).toBe(before);
});

it('tells a change of the log level in the log, whichever way it goes', async () => {
  const it = mounted();
  await it.settings.change({ 'log-level': 'debug' });
  it.log.debug('now heard');
  await it.settings.change({ 'log-level': 'error' });
  it.log.info('not heard');
  expect(it.lines.map(({ msg }) => msg)).toEqual(['settings changed', 'now heard', 'settings changed']);
  expect(it.log.level).toBe('error');
});

it('says for how long the kernel keeps what it was told, where a time-out becomes shorter', async () => {
  const it = mounted();
  const { notes } = await it.settings.change({ 'entry-timeout': '1', 'negative-timeout': '7200' });
  expect(notes).toHaveLength(1);
  expect(notes[0]).toMatch(/^names that the kernel has already it keeps for up to 3600 s/);
});

it.each([
  [{ durability: 'synced', 'log-level': 'loud' }, 'log-level is "loud", but takes trace'],
  [{ scrub: '7', 'entry-timeout': '-1' }, 'entry-timeout is "-1", but takes a number from 0'],
  [{ scrub: '7', snapshots: 'hourly' }, 'snapshots has "hourly", but takes hourly:N'],
  [
    { scrub: '7', 'cache-size': '512' },
    'cache-size is 64, and cannot change while mounted: the cache is one',
  ],
  [{ scrub: '7', 'read-only': 'true' }, 'mount -o remount,ro'],
  [
    { scrub: '7', frobnicate: '1' },
    'there is no setting "frobnicate"; what can change while mounted is durability,',
  ],
  [{}, 'no setting is named'],
])('%j: none is applied', async (wanted, reason) => {
  const it = mounted();
  const before = texts(it);
  await expect(it.settings.change(wanted as Record<string, string>)).rejects.toMatchObject({
    code: 'ERR_INVALID_ARGUMENT',
    message: expect.stringContaining(reason),
  });
  expect([it.applied, it.kept, texts(it)]).toEqual([[], [], before]);
});

it('takes back what was applied before one that fails', async () => {
  const it = mounted();
  const before = texts(it);
  it.fails.add('timeouts');
  const wanted = { durability: 'synced', 'entry-timeout': '1', scrub: '7' };
  await expect(it.settings.change(wanted)).rejects.toMatchObject({ code: 'ERR_JOURNAL_FAILED' });
  expect(it.applied).toEqual(['durability "synced"', 'durability "written"']);
  expect([texts(it), it.kept]).toEqual([before, []]);
  it.fails.clear();
  await it.settings.change(wanted);
  expect(texts(it)).toMatchObject(wanted);
});

it('makes one change after the other', async () => {
  const it = mounted();
  await Promise.all([
    it.settings.change({ scrub: '1', 'entry-timeout': '1' }),
    it.settings.change({ scrub: '2' }),
    it.settings.change({ 'entry-timeout': '3' }),
  ]);
  expect(texts(it)).toMatchObject({ scrub: '2', 'entry-timeout': '3' });
  expect(it.applied.at(-1)).toBe('timeouts [3,3600,3600]');
});

it('refuses what makes no sense in this mount', async () => {
  const reader = mounted({ readOnly: true });
  await expect(reader.settings.change({ durability: 'synced' })).rejects.toThrow('nothing is written');
  await expect(reader.settings.change({ snapshots: 'daily:1' })).rejects.toThrow('makes no snapshots');
  expect((await reader.settings.change({ scrub: '1' })).changed).toEqual({ scrub: { from: '0', to: '1' } });
  const foreign = mounted({}, { mount: {} });
  await expect(foreign.settings.change({ 'entry-timeout': '1' })).rejects.toThrow('when it mounts; unmount');
});

it('has from the beginning what an earlier daemon of the mount was set to', async () => {
  const left = {
    durability: 'synced',
    'entry-timeout': '1',
    'log-level': 'warn',
    frobnicate: '1',
    scrub: 'x',
  };
  const it = mounted({ settings: left });
  expect(it.settings.options).toMatchObject({ durability: 'synced', entryTimeout: 1, scrubDays: 0 });
  expect(it.log.level).toBe('warn');
  expect(it.lines.map(({ level, name }) => [level, name])).toEqual([
    [40, 'frobnicate'],
    [40, 'scrub'],
  ]);
  await it.settings.change({ durability: 'written' });
  expect(it.kept).toEqual([{ durability: 'written', 'entry-timeout': '1', 'log-level': 'warn' }]);
});

it('tells each option of a mount, as the option takes it', () => {
  const names = [...SETTINGS, ...FIXED].map(({ name }) => name);
  const options = Object.keys(mount.options).filter((name) => name !== 'foreground');
  expect(names).toEqual(expect.arrayContaining(options));
  expect(Object.keys(texts(mounted()))).toEqual(names);
});
