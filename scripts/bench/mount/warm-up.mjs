/**
 * What a server does before it is measured, with files of its own: programs in JavaScript are compiled while they run, and
 * need thousands of requests until all is. Files with contents stay, since where files have just been removed some
 * filesystems take long to make new ones; and they are made only where contents matter, since their removal takes long
 * too.
 */
import { spread } from './place.mjs';

const nameOf = (pass) => `warm-${pass}`;

/** Makes files that the kernel does not know yet when the place is mounted. */
export async function prepareWarmUp(client, place) {
  const { passes, files, size } = place.warmUp;
  for (let pass = 0; pass < passes; pass++) {
    await client.make(nameOf(pass));
    await client.do('create', nameOf(pass), { count: files, size });
  }
  place.hasWarmUp = true;
}

export async function warmUp(client, place) {
  const { passes, files, size } = place.warmUp;
  if (!place.hasWarmUp) await prepareWarmUp(client, place);
  const looks = ['stat', 'absent', 'read', ...(place.attributes ? ['setxattr', 'getxattr'] : [])];
  for (let pass = 0; pass < passes; pass++) {
    const directory = nameOf(pass);
    await client.do('list', `${directory}/0`, { count: files });
    for (const operation of looks) await client.do(operation, directory, { count: files, size });
    await client.exec(`${directory}/0`, 'ls', '-l');
    await client.do('rename', directory, { count: files, repeats: 2 });
    await changeEmpty(client, files);
  }
  if (size > 0) await write(client, files, size);
}

async function changeEmpty(client, files) {
  const directory = spread('empty');
  await client.make(directory);
  await client.do('create', directory, { count: files });
  await client.do('unlink', directory, { count: files });
  await client.remove(directory);
}

async function write(client, files, size) {
  const directory = spread('written');
  await client.make(directory);
  await client.do('create', directory, { count: files, size });
}
