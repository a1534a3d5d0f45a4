/**
 * The processes that the benchmark of mounts starts. Each is in a session of its own, so that an interrupt from the
 * terminal does not end servers before their clients, and ends with the benchmark, however that ends.
 */
import { spawn } from 'node:child_process';

const TIMEOUT_MS = 300_000;
/** After which a process that was killed hangs in the kernel, since a server does not answer. */
const STUCK_MS = 5_000;
/** How much of what a process says to standard error is kept for a message. */
const KEPT = 300;

/** What a user has set is not to change what is measured. */
const ENV = { LC_ALL: 'C', GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' };

const running = new Set();

/** Starts a process: { child, said(), ended }; `ended` resolves with the exit code, or with the signal's name. */
export function start(argv, { stdout = 'ignore', cwd, env = {} } = {}) {
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', ...argv], {
    cwd,
    detached: true,
    stdio: ['ignore', stdout, 'pipe'],
    env: { ...process.env, ...ENV, ...env },
  });
  running.add(child);
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    said = (said + text).slice(0, KEPT);
  });
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      running.delete(child);
      resolve(code ?? signal);
    });
  });
  // Whoever waits gets to know.
  ended.catch(() => running.delete(child));
  return { child, said: () => said.trim().replaceAll('\n', '; '), ended };
}

/**
 * Runs a program to its end and returns what it printed. It is killed after `timeoutMs`, and `stuck` is called if that
 * does not end it.
 */
export async function run(argv, { timeoutMs = TIMEOUT_MS, stuck = () => {}, ...options } = {}) {
  const { child, said, ended } = start(argv, { stdout: 'pipe', ...options });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    printed += text;
  });
  const closed = new Promise((resolve) => child.once('close', resolve));
  const timers = [
    setTimeout(() => kill(child, 'SIGKILL'), timeoutMs),
    setTimeout(() => stuck(), timeoutMs + STUCK_MS),
  ];
  const started = performance.now();
  try {
    const code = await ended;
    await closed;
    if (code === 0) return printed;
    const late = performance.now() - started >= timeoutMs;
    throw new Error(
      `Cannot run ${argv.join(' ')}: ${late ? `took over ${timeoutMs} ms` : said() || `ended with ${code}`}`,
    );
  } finally {
    for (const timer of timers) clearTimeout(timer);
  }
}

/** Sends a signal to the process and what it has started. */
export function kill(child, signal) {
  if (child.pid === undefined || !running.has(child)) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

export function killAll() {
  for (const child of running) kill(child, 'SIGKILL');
}

/** Says something to the person at the terminal; standard output has the figures. */
export function say(text) {
  console.error(`bench: ${text}`);
}
