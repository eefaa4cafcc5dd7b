/** A job in a cell's output: live from the service, else as it was when the notebook was saved. */

import * as React from 'react';
import { IActions } from './actions';
import { Bar, State } from './bar';
import { useTruth } from './changes';
import { ISnapshot, IRun } from './records';
import { liveFigures, runRow, stepOf } from './rows';
import { trans } from './translation';
import { jobOfSnapshot, Truth } from './truth';
import { progressText, stateWord } from './words';

export interface IJobViewProps {
  truth: Truth;
  snapshot: ISnapshot;
  /** Whether the cell's own picture (HTML) stands below: then the end needs no words of ours. */
  pictured: boolean;
  actions: IActions;
}

/** Whether the service can still tell something new of it. */
export function unsettled(truth: Truth, snapshot: ISnapshot): boolean {
  const run = truth.runOf(snapshot);
  return run ? run.job !== null && !run.job.ended : truth.board === null;
}

/** Whether what the cell has drawn itself is the last word: the same job, ended, and nothing after it. */
export function pictureHolds(truth: Truth, snapshot: ISnapshot): boolean {
  if (!jobOfSnapshot(snapshot).ended) {
    return false;
  }
  const job = truth.runOf(snapshot)?.job;
  return !job || job.id === snapshot.id;
}

export function JobView(props: IJobViewProps): JSX.Element {
  const { truth, snapshot, actions } = props;
  const run = truth.runOf(snapshot);
  const job = run?.job ?? null;
  const live = job !== null && !job.ended;
  useTruth(truth, live);
  if (run && job) {
    return live ? <Live {...props} run={run} /> : <Ended {...props} run={run} />;
  }
  const saved = jobOfSnapshot(snapshot);
  if (saved.ended && props.pictured) {
    return <></>;
  }
  const why = truth.fault
    ? `${truth.fault.message}; ${truth.fault.fix}`
    : truth.asleep
      ? trans.__('the service does not run; the nbplat panel starts it')
      : truth.board
        ? trans.__('the service does not know it')
        : '';
  const word = stateWord(snapshot.state);
  return (
    <div className="nbp-job" data-saved="true">
      <Head title={snapshot.run_id} step={stepOf(saved)} tone={word.tone} state={word.text} />
      {!saved.ended && <Bar share={shareOf(snapshot)} label={trans.__('Progress of %1', snapshot.run_id)} />}
      <div className="nbp-row-end">
        <span className="nbp-aside">{progressText(snapshot.progress)}</span>
        <span className="nbp-acts">
          <button
            className="nbp-link"
            onClick={() => actions.openRun(saved.kind.split('.')[0], snapshot.run_id)}
          >
            {trans.__('Open')}
          </button>
        </span>
      </div>
      {why && <div className="nbp-aside">{trans.__('As it was when the cell was drawn: %1.', why)}</div>}
    </div>
  );
}

function Live(props: IJobViewProps & { run: IRun }): JSX.Element {
  const { truth, run, actions } = props;
  const row = runRow(run, truth.nowMs());
  const job = run.job!;
  const cancel = async (): Promise<void> => {
    if (
      await actions.confirm(
        trans.__('Cancel %1?', row.title),
        trans.__('Its job ends; what is finished is kept.'),
        trans.__('Cancel job')
      )
    ) {
      await truth.cancel(job.id).catch(actions.failed);
    }
  };
  return (
    <div className="nbp-job" data-live="true">
      <Head title={row.title} step={stepOf(job)} tone={row.tone} state={row.state} />
      <Bar share={row.share} label={trans.__('Progress of %1', row.title)} />
      <div className="nbp-row-end">
        <span className="nbp-aside">{liveFigures(job, truth.nowMs())}</span>
        <span className="nbp-acts">
          <button className="nbp-link" onClick={() => actions.openRun(run.kind, run.id)}>
            {trans.__('Open')}
          </button>
          <button className="nbp-link" onClick={() => actions.openJobLog(job.id, run.id)}>
            {trans.__('Log')}
          </button>
          {row.cancelJob && (
            <button className="nbp-link" onClick={() => void cancel()}>
              {trans.__('Cancel')}
            </button>
          )}
        </span>
      </div>
      {row.doing && <div className="nbp-aside">{row.doing}</div>}
      {truth.fault && (
        <div className="nbp-error" role="alert">
          {trans.__('Not up to date: %1. %2', truth.fault.message, truth.fault.fix)}
        </div>
      )}
    </div>
  );
}

function Ended(props: IJobViewProps & { run: IRun }): JSX.Element {
  const { truth, run, actions } = props;
  const row = runRow(run, truth.nowMs());
  return (
    <div className="nbp-job" data-ended="true">
      <div className="nbp-row-end">
        <Head title={row.title} step="" tone={row.tone} state={row.state} />
        <span className="nbp-acts">
          <span className="nbp-aside">{row.figures}</span>
          <button className="nbp-link" onClick={() => actions.openRun(run.kind, run.id)}>
            {trans.__('Open')}
          </button>
          {run.job && (
            <button className="nbp-link" onClick={() => actions.openJobLog(run.job!.id, run.id)}>
              {trans.__('Log')}
            </button>
          )}
        </span>
      </div>
      {row.error && <div className="nbp-error">{row.error}</div>}
    </div>
  );
}

function Head(props: { title: string; step: string; tone: any; state: string }): JSX.Element {
  return (
    <span className="nbp-job-head">
      <span className="nbp-title">{props.title}</span>
      {props.step && <span className="nbp-aside">{props.step}</span>}
      <State tone={props.tone} text={props.state} />
    </span>
  );
}

function shareOf(snapshot: ISnapshot): number | null {
  return snapshot.progress.total ? snapshot.progress.done / snapshot.progress.total : null;
}
