/** Receives datagrams on a unix socket, as a service manager or a journal does; for which Node has no call. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { onTestFinished } from 'vitest';

/** Binds the path, says so, and then says of each datagram who sent it and what is in it. */
const PROGRAM = `
import json, socket, struct, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
path = sys.argv[1]
receiver.bind("\\0" + path[1:] if path.startswith("@") else path)
print("bound", flush=True)
while True:
    data, control, _, _ = receiver.recvmsg(1 << 20, 256)
    pid = next(struct.unpack("iii", value)[0] for _, kind, value in control if kind == socket.SCM_CREDENTIALS)
    print(json.dumps({"pid": pid, "data": data.hex()}), flush=True)
`;

export interface Datagram {
  /** The sender's, in the receiver's namespace. */
  pid: number;
  bytes: Buffer;
  text: string;
}

export class DatagramReceiver {
  /** All so far, in order. */
  readonly received: Datagram[] = [];
  readonly #child: ChildProcess;
  #look: () => void = () => {};

  /** Listens at the path, or at `@name`, until the test is over. */
  static async bind(path: string): Promise<DatagramReceiver> {
    const receiver = new DatagramReceiver(path);
    await receiver.#bound;
    return receiver;
  }

  readonly #bound: Promise<void>;

  private constructor(path: string) {
    this.#child = spawn('python3', ['-c', PROGRAM, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(() => void this.#child.kill('SIGKILL'));
    const lines = createInterface({ input: this.#child.stdout! });
    this.#bound = new Promise((resolve, reject) => {
      this.#child.once('exit', () => reject(new Error(`Cannot listen at ${path}`)));
      lines.on('line', (line) => {
        if (line === 'bound') resolve();
        else this.#take(JSON.parse(line) as { pid: number; data: string });
      });
    });
  }

  /** The first one from number `from` on that is as wanted; waits for it. */
  async find(isWanted: (datagram: Datagram) => boolean, from = 0): Promise<Datagram> {
    for (;;) {
      const found = this.received.slice(from).find(isWanted);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        this.#look = resolve;
      });
    }
  }

  #take({ pid, data }: { pid: number; data: string }): void {
    const bytes = Buffer.from(data, 'hex');
    this.received.push({ pid, bytes, text: bytes.toString() });
    this.#look();
  }
}

/** Fields of an entry in the journal's own protocol. */
export function entryOf({ bytes }: Datagram): Record<string, string> {
  const fields: Record<string, string> = {};
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf('\n', at);
    const line = bytes.toString('utf8', at, end);
    const equals = line.indexOf('=');
    if (equals >= 0) {
      fields[line.slice(0, equals)] = line.slice(equals + 1);
      at = end + 1;
      continue;
    }
    const length = Number(bytes.readBigUInt64LE(end + 1));
    fields[line] = bytes.toString('utf8', end + 9, end + 9 + length);
    at = end + 9 + length + 1;
  }
  return fields;
}
