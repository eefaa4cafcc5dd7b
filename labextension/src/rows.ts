/** What the panel's rows show, made of records alone. */

import { area, IEnvironment, IJob, IRun, ISession } from './records';
import { trans } from './translation';
import { Truth } from './truth';
import { ago, bytes, duration, fraction, progressText, stateWord, timeLeft, Tone } from './words';

export type SectionId = 'sessions' | 'backfill' | 'training' | 'environment' | 'sequence';

export interface IRow {
  key: string;
  title: string;
  /** Of the job or run, in words. */
  state: string;
  tone: Tone;
  /** Table, kind, owner: what tells it from others. */
  about: string;
  /** Between 0 and 1; null draws no bar, unless `live`. */
  share: number | null;
  /** Counts, elapsed, left. */
  figures: string;
  /** What is under way; empty says nothing. */
  doing: string;
  /** What went wrong, with its mend; empty when nothing did. */
  error: string;
  live: boolean;
  cancelling: boolean;
  /** The job that Cancel ends; null: nothing to end. */
  cancelJob: string | null;
  /** The job whose log there is; null: none. */
  logJob: string | null;
  run: IRun | null;
  session: ISession | null;
  environment: IEnvironment | null;
  /** Path of the notebook that it was asked for from; empty: from none that is known. */
  notebook: string;
  /** What is copied, and what cells name it by. */
  id: string;
  at: number;
}

export interface ISection {
  id: SectionId;
  title: string;
  /** null: not known. */
  rows: IRow[] | null;
  /** Why they are not known, or not up to date; empty: they are, or are being asked for. */
  trouble: string;
  live: number;
}

const TITLES: [SectionId, () => string][] = [
  ['sessions', () => trans.__('Sessions')],
  ['backfill', () => trans.__('Backfills')],
  ['training', () => trans.__('Training')],
  ['environment', () => trans.__('Environments')],
  ['sequence', () => trans.__('Sequences')]
];

/** The five sections; rows are null while the service has not answered. `filter` is held against all words of a row. */
export function sections(truth: Truth, filter = ''): ISection[] {
  const now = truth.nowMs();
  return TITLES.map(([id, title]) => {
    const rows = rowsOf(id, truth, now);
    const words = filter.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const shown = rows?.filter(row => words.every(word => textOf(row).includes(word))) ?? null;
    const fault = truth.partFaults[id as 'sessions' | 'environment'];
    const trouble = fault ? saidText(fault) : '';
    return { id, title: title(), rows: shown, trouble, live: rows?.filter(row => row.live).length ?? 0 };
  });
}

function rowsOf(id: SectionId, truth: Truth, now: number): IRow[] | null {
  if (id === 'sessions') {
    return truth.sessions && [...truth.sessions].sort(liveFirst).map(each => sessionRow(each, now));
  }
  const runs = truth.board?.runs.filter(run => run.kind === id) ?? null;
  if (id === 'environment') {
    if (!runs || !truth.environments) {
      return null;
    }
    // What is built stands by itself; a run of the ledger is shown while it builds, or because it failed.
    const busy = runs.filter(run => run.job && (!run.job.ended || run.job.state === 'failed'));
    return [
      ...busy.map(run => runRow(run, now)),
      ...truth.environments.map(each => environmentRow(each, now))
    ];
  }
  return runs && runs.map(run => runRow(run, now)).sort((a, b) => Number(b.live) - Number(a.live));
}

/** A run with its last job. */
export function runRow(run: IRun, now: number): IRow {
  const job = run.job;
  const live = job !== null && !job.ended;
  const paused = job?.state === 'paused';
  const said = live ? liveState(run, job) : run.state;
  const word = job?.state === 'failed' && run.state !== 'rejected' ? stateWord('failed') : stateWord(said);
  const error = run.error ?? job?.error ?? null;
  return {
    key: `${run.kind}/${run.id}`,
    title: run.id,
    state: job?.cancelling
      ? trans.__('cancelling')
      : job?.state === 'failed'
        ? trans.__('%1 failed', stepOf(job))
        : word.text,
    tone: word.tone,
    about: [run.table, run.found ?? '', run.owner || job?.owner || ''].filter(Boolean).join(' · '),
    share: live ? fraction(job.progress) : null,
    figures: live ? liveFigures(job, now) : restFigures(run, job, now),
    doing: live && job.state === 'running' ? (job.progress.what ?? '') : '',
    error: word.tone === 'bad' && error ? saidText(error) : '',
    live: live && !paused,
    cancelling: !!job?.cancelling,
    cancelJob: live && !job.cancelling ? job.id : null,
    // What a training prints stands in its cell.
    logJob: run.kind === 'training' ? null : (job?.id ?? null),
    run,
    session: null,
    environment: null,
    notebook: run.notebook,
    id: run.id,
    at: run.updated_ms
  };
}

/** A running job's run says what is done (`staging`); queued and paused are the job's own words. */
function liveState(run: IRun, job: IJob): string {
  if (job.state !== 'running') {
    return job.state;
  }
  return stateWord(run.state).tone === 'live' ? run.state : 'running';
}

/** What is wrong and the mend, as they are written: either may begin with a name. */
export function saidText(error: { message: string; fix: string }): string {
  return error.fix ? trans.__('%1. Fix: %2', error.message, error.fix) : error.message;
}

export function stepOf(job: IJob): string {
  return job.kind.split('.').slice(-1)[0].replace(/_/g, ' ');
}

/** `12/48 units, 25 %, 1 m 20 s, about 4 m left`. */
export function liveFigures(job: IJob, now: number): string {
  const elapsed = job.started_ms === null ? null : Math.max(0, now - job.started_ms);
  const left = elapsed === null || job.state !== 'running' ? null : timeLeft(job.progress, elapsed);
  return [
    progressText(job.progress),
    elapsed === null ? trans.__('waits %1', duration(now - job.created_ms)) : duration(elapsed),
    left === null ? '' : trans.__('about %1 left', duration(left))
  ]
    .filter(Boolean)
    .join(', ');
}

function restFigures(run: IRun, job: IJob | null, now: number): string {
  const took =
    job?.started_ms && job.ended_ms ? trans.__('took %1', duration(job.ended_ms - job.started_ms)) : '';
  return [took, ago(now - run.updated_ms)].filter(Boolean).join(', ');
}

function sessionRow(session: ISession, now: number): IRow {
  const word = stateWord(session.state);
  const app = typeof session.app.id === 'string' ? session.app.id : '';
  const until = session.ended_ms ?? now;
  return {
    key: `session/${session.id}`,
    title: session.name || trans.__('session %1', session.id),
    state: word.text,
    tone: word.tone,
    about: [session.kind, session.name ? trans.__('id %1', session.id) : '', app, session.owner]
      .filter(Boolean)
      .join(' · '),
    share: null,
    figures: session.ended
      ? trans.__('lived %1', duration(until - session.created_ms))
      : trans.__('up %1', duration(until - session.created_ms)),
    doing: '',
    error: word.tone === 'bad' && session.error ? saidText(session.error) : '',
    live: !session.ended && word.tone === 'live',
    cancelling: session.state === 'shutting_down',
    cancelJob: null,
    logJob: null,
    run: null,
    session,
    environment: null,
    notebook: session.notebook,
    id: session.name || String(session.id),
    at: session.created_ms
  };
}

function environmentRow(environment: IEnvironment, now: number): IRow {
  const inUse = environment.running.length > 0;
  return {
    key: `environment/${environment.key}`,
    title: environmentTitle(environment),
    state: inUse ? trans.__('in use') : trans.__('built'),
    tone: 'good',
    about: [
      `Python ${environment.python}`,
      trans._n('%1 package', '%1 packages', environment.packages),
      environment.platform
    ].join(' · '),
    share: null,
    figures: trans.__('%1, built %2', bytes(environment.size_bytes), ago(now - environment.built_ms)),
    doing: '',
    error: '',
    live: false,
    cancelling: false,
    cancelJob: null,
    logJob: null,
    run: null,
    session: null,
    environment,
    notebook: '',
    id: environment.name,
    at: environment.built_ms
  };
}

/** Its name; where it was built under none, the beginning of its key, which commands take as well. */
export function environmentTitle(environment: IEnvironment): string {
  return environment.name || environment.key.slice(0, 12);
}

function liveFirst(a: ISession, b: ISession): number {
  return Number(a.ended) - Number(b.ended) || b.id - a.id;
}

function textOf(row: IRow): string {
  return `${row.title} ${row.state} ${row.about} ${row.run ? area(row.run.kind) : ''}`.toLowerCase();
}
