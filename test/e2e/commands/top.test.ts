/** The live view on real terminals, of a real mount under load. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { View } from '../../../daemon/commands/inspecting/top/view.js';
import { Site } from '../site.js';
import { HAS_TMUX, Tmux } from './tmux.js';

const CLI = join(import.meta.dirname, '../../../dist/daemon/cli.js');

/** Makes, reads and removes files until it is ended. */
const LOAD = `mkdir -p $MNT/busy/place; exec -a loader perl -e '
  for (my $i = 0; ; $i++) {
    open(my $f, ">", "$ENV{MNT}/busy/place/f$i") or die $!; print $f "x" x 100; close $f;
    -e "$ENV{MNT}/busy/place/none$i"; unlink "$ENV{MNT}/busy/place/f$i";
  }'`;

const ENDINGS = [
  ['SIGTERM', 143],
  ['SIGINT', 130],
  ['SIGHUP', 129],
] as const;

async function loaded(): Promise<Site> {
  const site = new Site();
  await site.mount();
  site.start(LOAD);
  return site;
}

function command(site: Site): string {
  return `${process.execPath} ${CLI} top ${site.mountpoint} --interval 0.5`;
}

/** The same; the shell notes the state of the terminal before and after, and says when it is over. */
function watching(site: Site): string {
  return `stty -g > before; ${command(site)}; echo "code" $?; stty -g > after; echo it is "over"`;
}

/** Waits until the command is over that `watching` began. Nothing of it may be left. */
async function expectOver(site: Site, tmux: Tmux, code: number): Promise<void> {
  await tmux.untilShown(`code ${code}`, 'it is over');
  expect(await tmux.state('alternate_on', 'cursor_flag')).toBe('0 1');
  const [before, after] = ['before', 'after'].map((name) => readFileSync(join(site.directory, name), 'utf8'));
  expect(before).toMatch(/^[0-9a-f:]+\n$/);
  expect(after).toBe(before);
}

describe.skipIf(!HAS_TMUX)('top on a terminal (needs tmux)', () => {
  it('shows the load, does what keys say, takes the size of the window, and leaves the terminal as it was', async () => {
    const site = await loaded();
    const tmux = await Tmux.open(site, 80, 24);
    await tmux.type(watching(site));
    const first = await tmux.untilShown('OPERATION', 'create', 'unlink', '/busy/place', 'perl', 'root');
    // The end of the path, as far as there is room, and how it does.
    expect(first.split('\n')[0]).toMatch(/^(…|\/).*\/mnt +ok {2}up /);
    expect(first).toMatch(/Requests +[\d,]+\/s +p50 /);
    expect(await tmux.state('alternate_on', 'cursor_flag')).toBe('1 0');

    await tmux.press('t');
    await tmux.untilShown('TIME▼', 'sort by time');
    await tmux.press('?');
    await tmux.untilShown('any key ends it');
    await tmux.press('x');
    await tmux.untilGone('any key ends it');
    await tmux.press('+');
    await tmux.untilShown('every 1 s');

    await tmux.press('Space');
    const paused = await tmux.untilShown('PAUSED');
    const requests = await site.stats();
    while ((await site.stats()).mount.requests < requests.mount.requests + 2_000);
    expect(await tmux.screen()).toBe(paused);
    await tmux.press('Space');
    await tmux.untilGone('PAUSED');

    await tmux.resize(200, 60);
    const large = await tmux.untilShown('HISTORY', 'SLOW, AGO', 'PROCESSES');
    expect(large.split('\n')).toHaveLength(60);
    await tmux.resize(60, 12);
    await tmux.until((screen) => screen.split('\n').at(-1)!.includes('quit'), 'the keys in the last line');

    await tmux.press('q');
    await expectOver(site, tmux, 0);
  });

  it('leaves the terminal as it was while it is put aside, and when signals end it', async () => {
    const site = await loaded();
    const tmux = await Tmux.open(site, 100, 30, 'NO_COLOR=1');
    await tmux.type(command(site));
    await tmux.untilShown('OPERATION', 'create');
    // Bold and reverse are no colours.
    expect(await tmux.screen(true)).not.toMatch(/\x1b\[[0-9;]*[34][0-7]m/);
    await tmux.press('C-z');
    await tmux.untilShown('Stopped');
    expect(await tmux.state('alternate_on', 'cursor_flag')).toBe('0 1');
    await tmux.type('fg');
    await tmux.untilShown('OPERATION', 'create');
    expect(await tmux.state('alternate_on', 'cursor_flag')).toBe('1 0');
    await tmux.press('q');
    await tmux.untilGone('OPERATION');

    for (const [signal, code] of ENDINGS) {
      await tmux.type(`clear; ${watching(site)}`);
      await tmux.untilShown('OPERATION');
      process.kill(Number(await site.sh(`pgrep -f '[c]li.js top ${site.mountpoint}'`)), signal);
      await expectOver(site, tmux, code);
    }
  });

  it('says that the daemon is away, and goes on with the next one', async () => {
    const site = await loaded();
    const tmux = await Tmux.open(site, 180, 30);
    await tmux.type(watching(site));
    await tmux.untilShown('OPERATION', `pid ${site.daemon()}`);
    const daemon = site.daemon();
    process.kill(daemon, 'SIGSTOP');
    await tmux.untilShown('NO ANSWER', 'it is there, but takes its time');
    process.kill(daemon, 'SIGCONT');
    await tmux.untilGone('NO ANSWER');
    await site.kill();
    await tmux.untilShown('NO ANSWER', 'The daemon has not answered for', 'tried again');
    await site.mount();
    site.start(LOAD);
    await tmux.untilGone('NO ANSWER');
    await tmux.untilShown(`pid ${site.daemon()}`, 'create', '/busy/place');
    await tmux.press('C-c');
    await expectOver(site, tmux, 0);
  });
});

describe('top without a terminal', () => {
  it('prints plain lines once, or until nobody reads them, or objects with figures that agree', async () => {
    const site = await loaded();
    await site.sh('until [ "$(ls $MNT/busy/place | head -1)" ]; do :; done');
    const once = await site.must('top', site.mountpoint, '--once', '--interval', '0.5');
    expect(once).toMatch(/^create +[\d,.]+ /m);
    expect(once).not.toContain('\x1b');
    const read = await site.sh(`${process.execPath} ${CLI} top $MNT --interval 0.1 | grep -m 3 ^Requests`);
    expect(read.split('\n')).toHaveLength(3);

    const json = await site.must('top', site.mountpoint, '--once', '--json', '--interval', '1.5');
    const view = JSON.parse(json) as View;
    expect(view).toMatchObject({ mountpoint: site.mountpoint, store: site.store, health: 'ok', alerts: [] });
    const { requests, operations } = view;
    expect(requests.rate).toBeCloseTo(
      operations.reduce((sum, { rate }) => sum + rate, 0),
      6,
    );
    expect(operations.map(({ operation }) => operation)).toContain('create');
    expect(requests.p50Seconds).toBeLessThanOrEqual(requests.p99Seconds!);
    expect(requests.p99Seconds).toBeLessThanOrEqual(requests.maxSeconds! * 1.13);
    // One thread serves, and another does what takes long.
    expect(requests.busy).toBeLessThan(2.1);
    expect(view.clients![0]).toMatchObject({ uid: 0, user: 'root', program: 'perl' });
    expect(view.directories![0]!.path).toBe('/busy/place');
    expect(view.directories![0]!.rate).toBeLessThan(requests.rate * 1.5);
  });

  it('fails in one line where there is nothing to watch', async () => {
    const site = new Site();
    expect(await site.refusal('top', site.directory)).toMatch(/Cannot (watch|reach|find)/);
    const { code, err } = await site.spinney('top', site.mountpoint, '--interval', '0');
    expect([code, err]).toEqual([
      2,
      expect.stringContaining('--interval is "0", but takes a number from 0.1 to 3600'),
    ]);
  });
});
