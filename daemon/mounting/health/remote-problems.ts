/** What is wrong with a store's remote. */
import type { RemoteStats } from '../../../mount/types.js';
import type { Problem } from '../../health/codes.js';

/** From how much lag on somebody should know. */
const LAGGING_SECONDS = 60;
/** An object store that is away for less is nothing to tell of. */
const AWAY_TOLD_MS = 5_000;

/** Of a mount that shows what another machine writes. */
export function followingProblems(url: string, stats: RemoteStats | undefined): readonly Problem[] {
  if (stats === undefined) return [];
  const { cache, failure, lagSeconds, state } = stats;
  const seconds = Math.round(lagSeconds);
  const problems: Problem[] = [];
  if (state === 'away') {
    const reason = `${url} cannot be followed, and what is shown is ${seconds} s old: ${failure}`;
    problems.push({ code: 'REMOTE_UNREACHABLE', reason, tellAfterMs: AWAY_TOLD_MS });
  } else if (lagSeconds >= LAGGING_SECONDS) {
    problems.push({ code: 'REMOTE_LAGGING', reason: `what is shown of ${url} is ${seconds} s old` });
  }
  if (cache.isStuck) {
    const reason = `contents take ${cache.bytes} bytes here, of ${cache.limitBytes} that they should: the rest is in use`;
    problems.push({ code: 'CONTENT_CACHE_FULL', reason, tellAfterMs: LAGGING_SECONDS * 1000 });
  }
  return problems;
}

export function remoteProblems(url: string, stats: RemoteStats | undefined): readonly Problem[] {
  if (stats === undefined) return [];
  const { cache, failure, isFull, lagSeconds, state } = stats;
  const why = failure === undefined ? '' : `: ${failure}`;
  const seconds = Math.round(lagSeconds);
  if (state === 'taken') {
    return [
      {
        code: 'REMOTE_TAKEN',
        reason: `another machine has ${url}, and everything is refused with EIO${why}`,
      },
    ];
  }
  const problems: Problem[] = [];
  if (isFull) {
    const reason = `${url} lacks as much as it may, ${seconds} s behind: what adds is refused with ENOSPC`;
    problems.push({ code: 'REMOTE_FULL', reason });
  }
  if (state === 'away') {
    const reason = `${url} does not answer, or refuses, and is ${seconds} s behind${why}`;
    problems.push({ code: 'REMOTE_UNREACHABLE', reason, tellAfterMs: AWAY_TOLD_MS });
  } else if (lagSeconds >= LAGGING_SECONDS) {
    problems.push({ code: 'REMOTE_LAGGING', reason: `${url} is ${seconds} s behind${why}` });
  }
  if (cache.isStuck) {
    const reason = `contents take ${cache.bytes} bytes here, of ${cache.limitBytes} that they should: the rest is in use, or not in ${url} yet`;
    problems.push({ code: 'CONTENT_CACHE_FULL', reason, tellAfterMs: LAGGING_SECONDS * 1000 });
  }
  return problems;
}
