/** What the page knows of the service: one copy for the panel, the cells and the status bar. */

import { Fault, misfit } from './fault';
import { browserTimers, ITimers, Poller } from './poller';
import { area, IBoard, IChange, IEnvironment, IJob, IRun, ISession, ISnapshot } from './records';
import { Service } from './service';
import { trans } from './translation';

/** Between two looks when no event comes: what is shown is never older than 5 s. */
const EVERY_MS = 4000;
/** While only the status bar counts what runs; events come all the same. */
const COUNT_EVERY_MS = 15_000;
/** At most two updates a second. */
const LEAST_MS = 500;
/** States that another job takes on by itself, and for how long that is waited for. */
const PASSING = ['staged', 'auditing', 'audited', 'promoting', 'rolling_back'];
const PASSING_MS = 30_000;
/** Listing environments reads the disk. */
const ENVIRONMENTS_MS = 60_000;

/**
 * Who looks: the panel starts a service that does not run; a cell does not (opening a notebook must not start
 * processes); the count in the status bar asks seldom.
 */
export type Watcher = 'panel' | 'cell' | 'count';

/** A run or a job that has come to its end, or to a rest that is news. */
export interface INews {
  run: IRun;
  failed: boolean;
}

export class Truth {
  /**
   * @param version - Of this page's code.
   */
  constructor(
    readonly service: Service,
    private readonly _version: string,
    timers: ITimers = browserTimers
  ) {
    this._timers = timers;
    this._poller = new Poller(
      () => this._look(),
      () => (this._only('count') ? COUNT_EVERY_MS : EVERY_MS),
      LEAST_MS,
      timers
    );
  }

  /** null: not asked yet. */
  board: IBoard | null = null;
  sessions: ISession[] | null = null;
  environments: IEnvironment[] | null = null;
  /** Why nothing can be known; null when all is well. */
  fault: Fault | null = null;
  /** No service runs, and nobody who looks would start one. */
  asleep = false;

  /** Parts that could not be listed though the rest could: why, by the section's id. */
  partFaults: { sessions?: Fault; environment?: Fault } = {};

  /** The folder that the Jupyter server serves; empty: not known yet. */
  root = '';

  /** How many looks have come to their end, with or without an answer. */
  looks = 0;

  /** The service's clock, as far as this page knows it. */
  nowMs(): number {
    return this._timers.now() + this._skewMs;
  }

  /** Call back at every change; returns what ends it. */
  subscribe(heard: () => void): () => void {
    this._heard.add(heard);
    return () => this._heard.delete(heard);
  }

  /** Call back when a job that was seen alive has ended; returns what ends it. */
  onNews(heard: (news: INews) => void): () => void {
    this._newsHeard.add(heard);
    return () => this._newsHeard.delete(heard);
  }

  /** Say that somebody looks; requests are made until what is returned is called. */
  watch(who: Watcher): () => void {
    const mark = { who };
    this._watchers.add(mark);
    this._settle();
    if (who !== 'count') {
      this._poller.soon();
    }
    return () => {
      this._watchers.delete(mark);
      this._settle();
    };
  }

  /** Whether the page is in front; nothing is asked while it is not. */
  set pageVisible(value: boolean) {
    this._pageVisible = value;
    this._settle();
  }

  /** Ask now. */
  refresh(): void {
    this._environmentsAsked = -Infinity;
    this._checked = false;
    this._poller.soon();
  }

  /** Whether requests are being made. */
  get looking(): boolean {
    return this._poller.wanted;
  }

  /** The run that a cell's snapshot is of; undefined when the service has not said. */
  runOf(snapshot: ISnapshot): IRun | undefined {
    const kind = area(snapshot.kind);
    return this.board?.runs.find(run => run.kind === kind && run.id === snapshot.run_id);
  }

  /** Whether a run goes on: its job does, or has ended a moment ago and another takes on. */
  goesOn(run: IRun): boolean {
    const job = run.job;
    if (!job || !job.ended) {
      return job !== null;
    }
    const since = this.nowMs() - Math.max(run.updated_ms, job.ended_ms ?? 0);
    return job.state === 'succeeded' && PASSING.includes(run.state) && since < PASSING_MS;
  }

  /** Whether anything goes on that has an end to be told. */
  get anyGoesOn(): boolean {
    return this.board?.runs.some(run => this.goesOn(run)) ?? false;
  }

  /** How many jobs are under way. */
  get liveCount(): number {
    return this.board?.runs.filter(run => run.job && !run.job.ended).length ?? 0;
  }

  /** Whether a job goes on; true as well while nothing is known. One that another has followed has ended. */
  jobIsLive(jobId: string): boolean {
    return !this.board || this._jobOf(jobId)?.ended === false;
  }

  private _jobOf(jobId: string | undefined): IJob | null | undefined {
    return this.board?.runs.find(run => run.job?.id === jobId)?.job;
  }

  /** Take over an event: counters at once, everything else by asking. */
  hear(change: IChange): void {
    if (!this._poller.wanted) {
      return;
    }
    const job = this._jobOf(change.job_id);
    // Another total: what is counted may be another thing as well, which an event does not say.
    if (
      !job ||
      change.state !== undefined ||
      change.done === undefined ||
      change.total !== job.progress.total
    ) {
      this._poller.soon();
      return;
    }
    if (!job.ended && change.done >= job.progress.done) {
      job.progress = { ...job.progress, done: change.done };
      this._tell();
    }
  }

  /** Ask a job to end; the row says so at once. */
  async cancel(jobId: string): Promise<void> {
    const job = this._jobOf(jobId);
    if (job) {
      job.cancelling = true;
      this._tell();
    }
    try {
      await this.service.cancel(jobId);
    } finally {
      this._poller.soon();
    }
  }

  /** End a session. */
  async stop(id: number): Promise<void> {
    try {
      await this.service.stop(id);
    } finally {
      this._poller.soon();
    }
  }

  private async _look(): Promise<void> {
    try {
      await this._lookOnce();
    } finally {
      this.looks += 1;
      this._tell();
    }
  }

  private async _lookOnce(): Promise<void> {
    try {
      const mayStart = [...this._watchers].some(each => each.who === 'panel');
      if (!this._checked || !mayStart) {
        const about = await this.service.about();
        this.root = about.root;
        const wrong = misfit(about, this._version);
        if (wrong) {
          throw wrong;
        }
        this._checked = true;
        if (!mayStart && about.service.state === 'stopped') {
          this.asleep = true;
          return;
        }
      }
      const [board, sessions] = await Promise.all([this.service.board(), this._sessions()]);
      this._skewMs = board.now_ms - this._timers.now();
      this._notice(board);
      this.board = board;
      this.sessions = sessions;
      this.fault = null;
      this.asleep = false;
      this._tell();
      await this._lookAtEnvironments();
    } catch (error) {
      // Anything else is a fault of ours in drawing or reading: it is said as well, never a dead panel.
      this.fault =
        error instanceof Fault
          ? error
          : new Fault('page.failed', String(error), trans.__('reload the page'), 'way');
      this._checked = false;
    }
  }

  /** Sessions are a part of their own: where they cannot be listed, the rest is shown all the same. */
  private async _sessions(): Promise<ISession[] | null> {
    try {
      const found = await this.service.sessions();
      delete this.partFaults.sessions;
      return found;
    } catch (error) {
      this.partFaults.sessions = partFault(error);
      return this.sessions;
    }
  }

  private async _lookAtEnvironments(): Promise<void> {
    if (this._timers.now() - this._environmentsAsked < ENVIRONMENTS_MS) {
      return;
    }
    this._environmentsAsked = this._timers.now();
    try {
      this.environments = await this.service.environments();
      delete this.partFaults.environment;
    } catch (error) {
      this.partFaults.environment = partFault(error);
    }
    this._tell();
  }

  private _notice(board: IBoard): void {
    for (const run of board.runs) {
      const job = run.job;
      if (!job) {
        continue;
      }
      // By the run: its next job may begin and end between two looks.
      const key = `${run.kind}/${run.id}`;
      if (this.goesOn(run)) {
        this._alive.add(key);
      } else if (this._alive.delete(key)) {
        if (area(job.kind) === 'environment') {
          this._environmentsAsked = -Infinity;
        }
        const news = { run, failed: job.state === 'failed' || run.state === 'rejected' };
        this._newsHeard.forEach(heard => heard(news));
      }
    }
  }

  private _only(who: Watcher): boolean {
    return [...this._watchers].every(each => each.who === who);
  }

  private _settle(): void {
    this._poller.wanted = this._pageVisible && this._watchers.size > 0;
  }

  private _tell(): void {
    this._heard.forEach(heard => heard());
  }

  private readonly _timers: ITimers;
  private readonly _poller: Poller;
  private readonly _heard = new Set<() => void>();
  private readonly _newsHeard = new Set<(news: INews) => void>();
  private readonly _watchers = new Set<{ who: Watcher }>();
  private readonly _alive = new Set<string>();
  private _pageVisible = true;
  private _checked = false;
  private _environmentsAsked = -Infinity;
  private _skewMs = 0;
}

/** Why one part could not be listed; what is wrong with the way to the service is thrown on. */
function partFault(error: unknown): Fault {
  if (error instanceof Fault && error.scope !== 'way') {
    return error;
  }
  throw error;
}

/** A snapshot as the job it was; for where the service cannot be asked. */
export function jobOfSnapshot(snapshot: ISnapshot): IJob {
  return {
    ...snapshot,
    ended: ['succeeded', 'failed', 'cancelled'].includes(snapshot.state),
    owner: '',
    error: null,
    created_ms: 0,
    started_ms: snapshot.started_ms ?? null,
    ended_ms: snapshot.ended_ms ?? null
  };
}
