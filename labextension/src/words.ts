/** How states, times and sizes are said. Nothing is said by colour alone. */

import { IProgress } from './records';

export type Tone = 'live' | 'waiting' | 'good' | 'bad' | 'rest';

interface IWord {
  text: string;
  tone: Tone;
}

const STATES: { [state: string]: IWord } = {
  // jobs
  queued: { text: 'queued', tone: 'waiting' },
  running: { text: 'running', tone: 'live' },
  paused: { text: 'paused', tone: 'waiting' },
  succeeded: { text: 'succeeded', tone: 'good' },
  failed: { text: 'failed', tone: 'bad' },
  cancelled: { text: 'cancelled', tone: 'rest' },
  // runs of a backfill
  planned: { text: 'planned', tone: 'rest' },
  staging: { text: 'staging', tone: 'live' },
  staged: { text: 'staged', tone: 'waiting' },
  auditing: { text: 'auditing', tone: 'live' },
  audited: { text: 'audited', tone: 'good' },
  rejected: { text: 'rejected by the audit', tone: 'bad' },
  awaiting_promotion: { text: 'awaiting promotion', tone: 'waiting' },
  promoting: { text: 'promoting', tone: 'live' },
  promoted: { text: 'promoted', tone: 'good' },
  rolling_back: { text: 'rolling back', tone: 'live' },
  rolled_back: { text: 'rolled back', tone: 'rest' },
  superseded: { text: 'superseded', tone: 'rest' },
  expired: { text: 'expired', tone: 'rest' },
  // sessions
  not_started: { text: 'not started', tone: 'waiting' },
  starting: { text: 'starting', tone: 'live' },
  recovering: { text: 'recovering', tone: 'live' },
  idle: { text: 'idle', tone: 'good' },
  busy: { text: 'busy', tone: 'live' },
  shutting_down: { text: 'shutting down', tone: 'waiting' },
  error: { text: 'failed', tone: 'bad' },
  dead: { text: 'dead', tone: 'bad' },
  killed: { text: 'killed', tone: 'rest' },
  success: { text: 'ended', tone: 'rest' },
  // sequences, environments
  kept: { text: 'kept', tone: 'rest' },
  built: { text: 'built', tone: 'good' },
  building: { text: 'building', tone: 'live' },
  locked: { text: 'locked', tone: 'good' },
  done: { text: 'done', tone: 'good' }
};

const GLYPHS: { [tone in Tone]: string } = { live: '◐', waiting: '○', good: '✓', bad: '✕', rest: '–' };

/** The words and the tone of a state; an unknown one is said as it is. */
export function stateWord(state: string): IWord {
  return STATES[state] ?? { text: state.replace(/_/g, ' '), tone: 'rest' };
}

/** A sign beside the words, for eyes that scan. */
export function glyph(tone: Tone): string {
  return GLYPHS[tone];
}

/** `4 s`, `1 m 20 s`, `2 h 5 m`, `3 d 4 h`. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const parts: [number, string][] = [
    [Math.floor(seconds / 86400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's']
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) {
    return '0 s';
  }
  return parts
    .slice(first, first + 2)
    .filter(([count], index) => index === 0 || count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(' ');
}

/** `3 m ago`, `just now`. */
export function ago(ms: number): string {
  return ms < 10_000 ? 'just now' : `${duration(ms).split(' ').slice(0, 2).join(' ')} ago`;
}

/** `12.3 MB`; powers of ten, as the command line says it. */
export function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let step = 0;
  let value = count;
  while (value >= 1000 && step < units.length - 1) {
    value /= 1000;
    step += 1;
  }
  return `${step === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[step]}`;
}

/** Between 0 and 1; null while the total is not known. */
export function fraction(progress: IProgress): number | null {
  return progress.total > 0 ? Math.min(1, progress.done / progress.total) : null;
}

/** `12/48 units, 25 %`; empty when nothing is counted yet. Rounded down: 100 % is said only when all is done. */
export function progressText(progress: IProgress): string {
  const share = fraction(progress);
  if (share === null) {
    return progress.done ? `${progress.done.toLocaleString('en')} ${progress.unit}` : '';
  }
  const percent = `${Math.floor(100 * share)} %`;
  if (progress.unit === '‰') {
    return percent;
  }
  const [done, total] = [progress.done, progress.total].map(count => count.toLocaleString('en'));
  return `${done}/${total} ${progress.unit}, ${percent}`;
}

const LEAST_SHARE = 0.02;
const LEAST_MS = 2000;

/**
 * How long it will still take at the speed so far; null while too little is done to say so.
 *
 * A job that began again after a kill has done its first part before: what it says is then too short, never too long.
 */
export function timeLeft(progress: IProgress, elapsedMs: number): number | null {
  const share = fraction(progress);
  if (share === null || share < LEAST_SHARE || elapsedMs < LEAST_MS || share >= 1) {
    return null;
  }
  const left = (elapsedMs * (1 - share)) / share;
  // It is a guess: beyond a minute seconds would only pretend.
  return left > 60_000 ? Math.round(left / 60_000) * 60_000 : left;
}
