/** How states, times and sizes are said. Nothing is said by colour alone. */

import { IProgress } from './records';
import { trans } from './translation';

export type Tone = 'live' | 'waiting' | 'good' | 'warn' | 'bad' | 'rest';

interface IWord {
  text: string;
  tone: Tone;
}

/** Said when they are asked for: the language is known by then. */
const STATES: { [state: string]: [() => string, Tone] } = {
  // jobs
  queued: [() => trans.__('queued'), 'waiting'],
  running: [() => trans.__('running'), 'live'],
  paused: [() => trans.__('paused'), 'waiting'],
  succeeded: [() => trans.__('succeeded'), 'good'],
  failed: [() => trans.__('failed'), 'bad'],
  cancelled: [() => trans.__('cancelled'), 'rest'],
  // runs of a backfill
  planned: [() => trans.__('planned'), 'rest'],
  staging: [() => trans.__('staging'), 'live'],
  staged: [() => trans.__('staged'), 'waiting'],
  auditing: [() => trans.__('auditing'), 'live'],
  audited: [() => trans.__('audited'), 'good'],
  rejected: [() => trans.__('rejected by the audit'), 'bad'],
  awaiting_promotion: [() => trans.__('awaiting promotion'), 'waiting'],
  promoting: [() => trans.__('promoting'), 'live'],
  promoted: [() => trans.__('promoted'), 'good'],
  rolling_back: [() => trans.__('rolling back'), 'live'],
  rolled_back: [() => trans.__('rolled back'), 'rest'],
  superseded: [() => trans.__('superseded'), 'rest'],
  expired: [() => trans.__('expired'), 'rest'],
  // sessions
  not_started: [() => trans.__('not started'), 'waiting'],
  starting: [() => trans.__('starting'), 'live'],
  recovering: [() => trans.__('recovering'), 'live'],
  idle: [() => trans.__('idle'), 'good'],
  busy: [() => trans.__('busy'), 'live'],
  shutting_down: [() => trans.__('shutting down'), 'waiting'],
  error: [() => trans.__('failed'), 'bad'],
  dead: [() => trans.__('dead'), 'bad'],
  killed: [() => trans.__('killed'), 'rest'],
  success: [() => trans.__('ended'), 'rest'],
  // sequences, environments
  kept: [() => trans.__('kept'), 'rest'],
  built: [() => trans.__('built'), 'good'],
  building: [() => trans.__('building'), 'live'],
  locked: [() => trans.__('locked'), 'good'],
  done: [() => trans.__('done'), 'good']
};

const GLYPHS: { [tone in Tone]: string } = {
  live: '◐',
  waiting: '○',
  good: '✓',
  warn: '!',
  bad: '✕',
  rest: '–'
};

/** The words and the tone of a state; an unknown one is said as it is. */
export function stateWord(state: string): IWord {
  const known = Object.prototype.hasOwnProperty.call(STATES, state) ? STATES[state] : null;
  return known ? { text: known[0](), tone: known[1] } : { text: state.replace(/_/g, ' '), tone: 'rest' };
}

/** A sign beside the words, for eyes that scan. */
export function glyph(tone: Tone): string {
  return GLYPHS[tone];
}

/** `< 1 s`, `4 s`, `1 m 20 s`, `2 h 5 m`, `3 d 4 h`. */
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
    return '< 1 s';
  }
  return parts
    .slice(first, first + 2)
    .filter(([count], index) => index === 0 || count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(' ');
}

/** `3 m ago`, `just now`. */
export function ago(ms: number): string {
  return ms < 10_000
    ? trans.__('just now')
    : trans.__('%1 ago', duration(ms).split(' ').slice(0, 2).join(' '));
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

/** `87.3 %`. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

export function capital(text: string): string {
  return text ? text[0].toUpperCase() + text.slice(1) : '';
}
