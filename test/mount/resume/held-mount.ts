/** A mount whose connection this process holds, as a guard does, and whose daemons come and go. */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mountDevice } from '../../../mount/kernel/device/mounting.js';
import * as libc from '../../../mount/libc/libc.js';
import type { DeviceMount } from '../../../mount/mountpoints/unmounting.js';

const SERVER = join(import.meta.dirname, 'serve.mjs');

export interface Started {
  isKept: boolean;
  resumed?: { nodes: number; files: number; directories: number; ms: number };
  openMs: number;
  ms: number;
}

type Told = Partial<
  Started & {
    ready: boolean;
    log: string;
    refused: string;
    handedOver: boolean;
    ended: string;
    stats: Record<string, unknown>;
  }
>;

export class HeldMount {
  readonly directory = mkdtempSync(join(tmpdir(), 'spinney-held-'));
  readonly store = join(this.directory, 'store');
  readonly mountpoint = join(this.directory, 'mnt');
  /** What daemons said that was no debugging. */
  readonly logged: string[] = [];
  readonly #options: { durability: string; timeout: number };
  #device: DeviceMount | undefined;
  #daemon: ChildProcess | undefined;
  #told: Told[] = [];
  #waiting: (() => void) | undefined;

  constructor({ durability = 'written', timeout = 60 } = {}) {
    this.#options = { durability, timeout };
    mkdirSync(this.store, { mode: 0o700 });
    mkdirSync(this.mountpoint);
  }

  async mount(): Promise<Started> {
    this.#device = mountDevice({
      mountpoint: this.mountpoint,
      driver: 'kernel',
      readOnly: false,
      allowOther: true,
      entryTimeout: 0,
      attributeTimeout: 0,
      negativeTimeout: 0,
      options: [],
      snapshotDirectory: undefined,
      contentDirectory: join(this.store, 'content'),
      source: this.store,
    });
    return this.#start(false);
  }

  /** Starts a daemon that goes on. Rejects with what it says where it cannot. */
  async resume(): Promise<Started> {
    return this.#start(true);
  }

  async #start(resumes: boolean): Promise<Started> {
    const { connection, fd } = this.#device!;
    const { store, mountpoint } = this;
    const argument = JSON.stringify({ store, mountpoint, connection, resumes, ...this.#options });
    this.#told = [];
    const daemon = fork(SERVER, [argument], { stdio: ['ignore', 'inherit', 'inherit', fd, 'ipc'] });
    this.#daemon = daemon;
    daemon.on('message', (message: Told) => {
      if (message.log !== undefined) this.logged.push(message.log);
      else this.#told.push(message);
      this.#waiting?.();
    });
    daemon.on('exit', () => this.#waiting?.());
    const told = await this.#await((message) => message.ready === true || message.refused !== undefined);
    if (told?.ready !== true) throw new Error(told?.refused ?? 'the daemon died');
    return told as Started;
  }

  /** Resolves to undefined where the daemon ends without a word. */
  async #await(isIt: (message: Told) => boolean): Promise<Told | undefined> {
    for (;;) {
      const found = this.#told.find(isIt);
      if (found !== undefined) return found;
      if (this.#daemon!.exitCode !== null || this.#daemon!.signalCode !== null) return undefined;
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
  }

  /** Resolves when the daemon is gone. */
  async kill(): Promise<void> {
    const daemon = this.#daemon!;
    const gone = new Promise((resolve) => daemon.once('exit', resolve));
    daemon.kill('SIGKILL');
    if (daemon.exitCode === null && daemon.signalCode === null) await gone;
  }

  async handOver(): Promise<boolean> {
    const daemon = this.#daemon!;
    const gone = new Promise((resolve) => daemon.once('exit', resolve));
    daemon.send('hand over');
    const told = await this.#await((message) => message.handedOver !== undefined);
    if (told?.handedOver === true) await gone;
    return told?.handedOver === true;
  }

  async stats(): Promise<Told> {
    this.#told = this.#told.filter(({ stats }) => stats === undefined);
    this.#daemon!.send('stats');
    return (await this.#await(({ stats }) => stats !== undefined)) ?? {};
  }

  /** Takes the mount away; resolves to what the daemon says of its end. */
  async unmount(): Promise<string | undefined> {
    libc.umount2(this.mountpoint, libc.MNT_DETACH);
    return (await this.#await(({ ended }) => ended !== undefined))?.ended;
  }

  cleanUp(): void {
    libc.umount2(this.mountpoint, libc.MNT_DETACH);
    if (this.#daemon?.exitCode === null && this.#daemon.signalCode === null) this.#daemon.kill('SIGKILL');
    if (this.#device !== undefined) libc.close(this.#device.fd);
    rmSync(this.directory, { recursive: true, force: true });
  }
}
