/** Records and a clock for the tests. */

import { IActions } from '../src/actions';
import { IJob, IRun, ISession } from '../src/records';
import { ITimers } from '../src/poller';
import { ISend, Service } from '../src/service';

export const NOW = 1_700_000_000_000;

export function job(more: Partial<IJob> = {}): IJob {
  return {
    id: 'j000001',
    kind: 'backfill.stage',
    run_id: 'spend@1',
    state: 'running',
    ended: false,
    cancelling: false,
    progress: { done: 12, total: 48, unit: 'units' },
    owner: 'ann',
    error: null,
    created_ms: NOW - 65_000,
    started_ms: NOW - 60_000,
    ended_ms: null,
    ...more
  };
}

export function run(more: Partial<IRun> = {}): IRun {
  return {
    id: 'spend@1',
    kind: 'backfill',
    name: 'spend',
    state: 'staging',
    owner: 'ann',
    table: 'retail.train',
    error: null,
    created_ms: NOW - 65_000,
    updated_ms: NOW - 60_000,
    notebook: '',
    job: job(),
    ...more
  };
}

export function session(more: Partial<ISession> = {}): ISession {
  return {
    id: 3,
    name: 'warm',
    kind: 'pyspark',
    owner: 'ann',
    state: 'idle',
    ended: false,
    app: { id: 'local-1' },
    created_ms: NOW - 600_000,
    seen_ms: null,
    ended_ms: null,
    notebook: '',
    error: null,
    ...more
  };
}

/** Time that goes on when it is told to; promises settle between. */
export class Clock implements ITimers {
  time = NOW;
  private _due: { at: number; work: () => void }[] = [];

  now(): number {
    return this.time;
  }

  after(ms: number, work: () => void): () => void {
    const entry = { at: this.time + ms, work };
    this._due.push(entry);
    return () => {
      this._due = this._due.filter(each => each !== entry);
    };
  }

  async pass(ms: number): Promise<void> {
    const until = this.time + ms;
    await settle();
    for (;;) {
      const next = this._due.filter(each => each.at <= until).sort((a, b) => a.at - b.at)[0];
      if (!next) {
        break;
      }
      this._due = this._due.filter(each => each !== next);
      this.time = Math.max(this.time, next.at);
      next.work();
      await settle();
    }
    this.time = until;
  }
}

export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) {
    await Promise.resolve();
  }
}

/** A service whose replies are `replies` by path (without what follows `?`); what it was asked is kept. */
export class FakeServer {
  asked: string[] = [];
  replies: { [path: string]: unknown } = {
    'nbplat/about': {
      version: '0.1.0',
      home: '/h',
      root: '/work',
      service: { where: 'here', state: 'running', version: '0.1.0' }
    },
    'nbplat/api/v1/board': { seq: 1, now_ms: NOW, runs: [] },
    'nbplat/api/v1/sessions': { total: 0, sessions: [] },
    'nbplat/api/v1/environments': { environments: [] }
  };
  statuses: { [path: string]: number } = {};
  down = false;

  readonly send: ISend = async (verb, path) => {
    this.asked.push(`${verb} ${path}`);
    if (this.down) {
      throw new TypeError('fetch failed');
    }
    const plain = path.split('?')[0];
    const reply = this.replies[plain];
    return {
      status: this.statuses[plain] ?? (reply === undefined ? 404 : 200),
      text: typeof reply === 'string' ? reply : JSON.stringify(reply ?? {})
    };
  };

  get service(): Service {
    return new Service(this.send);
  }
}

/** Actions that only note that they were called. */
export function actions(more: Partial<IActions> = {}): IActions {
  return {
    insert: jest.fn(() => true),
    run: jest.fn(() => true),
    openRun: jest.fn(),
    openJobLog: jest.fn(),
    openSession: jest.fn(),
    openEnvironment: jest.fn(),
    notebookOf: jest.fn(() => null),
    openNotebook: jest.fn(),
    copy: jest.fn(),
    copyLink: jest.fn(),
    confirm: jest.fn(async () => true),
    failed: jest.fn(),
    ...more
  };
}
