/** What the service says, as far as the panel reads it. Times are milliseconds since 1970, UTC. */

export interface IProgress {
  done: number;
  /** 0 while it is not known. */
  total: number;
  unit: string;
  what?: string;
}

export interface ISaid {
  code: string;
  message: string;
  fix: string;
}

export interface IJob {
  id: string;
  kind: string;
  run_id: string;
  state: string;
  ended: boolean;
  cancelling?: boolean;
  cancel_requested?: boolean;
  progress: IProgress;
  owner: string;
  error: ISaid | null;
  created_ms: number;
  started_ms: number | null;
  ended_ms: number | null;
}

export interface IRun {
  id: string;
  kind: string;
  name: string;
  state: string;
  owner: string;
  table: string;
  /** What a training run found: `AUC 0.523 to 0.661`; empty for others. */
  found?: string;
  /** Why it failed, or what the audit rejects. */
  error: ISaid | null;
  created_ms: number;
  updated_ms: number;
  /** Path of the notebook that it was asked for from, as its kernel was told; empty: from none. */
  notebook: string;
  job: IJob | null;
}

export interface IBoard {
  seq: number;
  now_ms: number;
  runs: IRun[];
}

export interface ISession {
  id: number;
  name: string;
  kind: string;
  owner: string;
  state: string;
  ended: boolean;
  app: { [key: string]: unknown };
  created_ms: number;
  seen_ms: number | null;
  ended_ms: number | null;
  /** As of a run. */
  notebook: string;
  error: ISaid | null;
  conf?: { key: string; value: string; origin: string }[];
}

export interface IEnvironment {
  name: string;
  key: string;
  platform: string;
  python: string;
  packages: number;
  built_ms: number;
  used_ms: number | null;
  running: string[];
  size_bytes: number;
}

/** All that is known of a built environment. */
export interface IEnvironmentDetail extends IEnvironment {
  lock_digest: string;
  requested: string[];
  contents: { name: string; version: string; build: string; kind: string }[];
}

/** What a cell's output holds of a job: `application/vnd.nbplat.job.v1+json`. */
export interface ISnapshot {
  id: string;
  kind: string;
  run_id: string;
  state: string;
  progress: IProgress;
  started_ms?: number | null;
  ended_ms?: number | null;
}

/** A Jupyter event of the server extension. */
export interface IChange {
  seq: number;
  run_id: string;
  job_id: string;
  state?: string;
  done?: number;
  total?: number;
}

/** Files of a backfill's partition; `leased` ones are being worked on. */
export interface IPartition {
  partition: string;
  files: number;
  rows: number;
  read_bytes: number;
  done: number;
  failed: number;
  leased: number;
}

export interface IAbout {
  version: string;
  home: string;
  /** The folder that the Jupyter server serves. */
  root: string;
  service: { where: string; state: string; version: string | null };
}

/** The name of the MIME type that `nbplat/ui/render/result.py` writes. */
export const JOB_MIME = 'application/vnd.nbplat.job.v1+json';

/** The schema of `nbplat/ui/server/watch.py`. */
export const JOB_EVENT = 'https://events.nbplat.dev/job/v1';

/** What a job is of: `backfill` of `backfill.stage`. */
export function area(kind: string): string {
  return kind.split('.')[0];
}
