/** A terminal for one test, of any size: a shell in tmux, whose screen can be looked at and whose keys can be pressed. */
import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import type { Site } from '../site.js';

/** Tests that need it are left out without it, under a title that says so. */
export const HAS_TMUX = spawnSync('tmux', ['-V']).status === 0;

const LOOK_AGAIN_MS = 50;
const DEADLINE_MS = 60_000;
const PROMPT = 'ready$ ';

export class Tmux {
  readonly #site: Site;
  readonly #tmux: string;

  private constructor(site: Site) {
    this.#site = site;
    // A server of its own, which knows no settings of the machine.
    this.#tmux = `TMUX_TMPDIR=${site.directory} tmux -u -L test -f /dev/null`;
  }

  /** A shell that waits for commands. `environment`: assignments for it. */
  static async open(site: Site, columns: number, lines: number, environment = ''): Promise<Tmux> {
    const tmux = new Tmux(site);
    const shell = `env LC_ALL=C.UTF-8 ${environment} PS1='${PROMPT}' bash --norc --noprofile -i`;
    onTestFinished(async () => {
      await site.attempt(`${tmux.#tmux} kill-server`);
    });
    await site.sh(`LC_ALL=C.UTF-8 ${tmux.#tmux} new-session -d -x ${columns} -y ${lines} "${shell}"`);
    await tmux.until((screen) => screen.includes(PROMPT.trim()));
    return tmux;
  }

  /** Types a line into the shell. */
  async type(line: string): Promise<void> {
    await this.#site.sh(
      `${this.#tmux} send-keys -l '${line.replaceAll("'", `'\\''`)}'; ${this.#tmux} send-keys Enter`,
    );
  }

  /** Presses keys, as tmux calls them: q, Space, C-z. */
  async press(...keys: string[]): Promise<void> {
    await this.#site.sh(`${this.#tmux} send-keys ${keys.map((key) => `'${key}'`).join(' ')}`);
  }

  async resize(columns: number, lines: number): Promise<void> {
    await this.#site.sh(`${this.#tmux} resize-window -x ${columns} -y ${lines}`);
  }

  /** What is to be seen; `escapes`: with colours. */
  async screen(escapes = false): Promise<string> {
    return await this.#site.sh(`${this.#tmux} capture-pane -p ${escapes ? '-e' : ''}`);
  }

  /** Of the terminal: `alternate_on`, `cursor_flag` and the like, 1 or 0. */
  async state(...names: string[]): Promise<string> {
    const format = names.map((name) => `#{${name}}`).join(' ');
    return await this.#site.sh(`${this.#tmux} display-message -p '${format}'`);
  }

  /** Looks until the screen is as wanted; returns it. */
  async until(isWanted: (screen: string) => boolean, what = ''): Promise<string> {
    const deadline = performance.now() + DEADLINE_MS;
    for (;;) {
      const screen = await this.screen();
      if (isWanted(screen)) return screen;
      if (performance.now() > deadline) throw new Error(`The terminal never showed ${what}, but:\n${screen}`);
      await sleep(LOOK_AGAIN_MS);
    }
  }

  untilShown(...texts: string[]): Promise<string> {
    return this.until((screen) => texts.every((text) => screen.includes(text)), texts.join(', '));
  }

  untilGone(text: string): Promise<string> {
    return this.until((screen) => !screen.includes(text), `a screen without ${text}`);
  }
}
