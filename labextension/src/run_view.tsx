/** One run in the main area: where it is, what it is of, its log. */

import * as React from 'react';
import { IActions } from './actions';
import { Bar, State } from './bar';
import { useAsked, useTruth } from './changes';
import { LogView } from './log_view';
import { IRun } from './records';
import { PartitionGrid } from './partition_grid';
import { runRow } from './rows';
import { Told } from './run_parts';
import { trans } from './translation';
import { Trouble, Waiting } from './trouble';
import { Truth } from './truth';

export function RunView(props: { truth: Truth; kind: string; id: string; actions: IActions }): JSX.Element {
  const { truth, kind, id, actions } = props;
  const run = truth.board?.runs.find(each => each.kind === kind && each.id === id);
  const live = !!run?.job && !run.job.ended;
  useTruth(truth, live);
  const full = useAsked(() => truth.service.run(kind, id), [kind, id, run?.state, run?.updated_ms]);
  const jobId = run?.job?.id;
  const read = React.useCallback((offset: number) => truth.service.log(jobId ?? '', offset), [truth, jobId]);
  if (!run) {
    return <Waiting error={truth.fault ?? full.error} actions={actions} />;
  }
  const row = runRow(run, truth.nowMs());
  return (
    <div className="nbp-view">
      <h2>
        {run.id} <State tone={row.tone} text={row.state} />
      </h2>
      {truth.fault && <Trouble fault={truth.fault} actions={actions} />}
      {live && <Bar share={row.share} label={trans.__('Progress of %1', run.id)} />}
      <p className="nbp-aside">{row.figures}</p>
      {row.doing && <p className="nbp-aside">{row.doing}</p>}
      {row.error && <p className="nbp-error">{row.error}</p>}
      <Steps run={run} truth={truth} actions={actions} />
      {kind === 'backfill' && <Partitions run={run} truth={truth} />}
      <Told run={run} full={full.value} />
      {jobId && (
        <>
          <h3>{trans.__('Log of %1 (%2)', run.job!.kind, jobId)}</h3>
          <LogView key={jobId} read={read} live={!run.job!.ended} fileName={`${run.id}-${jobId}`} />
        </>
      )}
    </div>
  );
}

/** What a person may do next with a backfill, by its state; the service checks it again. */
const STEPS: { [state: string]: () => [verb: string, label: string, what: string][] } = {
  awaiting_promotion: () => [
    ['promote', trans.__('Promote'), trans.__('The column becomes part of the table.')],
    ['audit', trans.__('Audit again'), trans.__('The staged column is judged again.')],
    ['rollback', trans.__('Discard'), trans.__('The staged column is dropped.')]
  ],
  rejected: () => [
    ['audit', trans.__('Audit again'), trans.__('The staged column is judged again.')],
    ['rollback', trans.__('Discard'), trans.__('The staged column is dropped.')]
  ],
  promoted: () => [
    ['rollback', trans.__('Roll back'), trans.__('The column is taken out of the table again.')]
  ],
  planned: () => [['retry', trans.__('Retry'), trans.__('What failed is run again; what is done is kept.')]]
};

function Steps(props: { run: IRun; truth: Truth; actions: IActions }): JSX.Element {
  const { run, truth, actions } = props;
  if (run.kind !== 'backfill' || !run.job) {
    return <></>;
  }
  const paused = run.job.state === 'paused';
  const live: [string, string, string][] = [
    paused
      ? ['resume', trans.__('Resume'), trans.__('The run goes on where it was.')]
      : ['pause', trans.__('Pause'), trans.__('The run stops between two files; what is finished is kept.')],
    ['cancel', trans.__('Cancel'), trans.__('The job ends; what is finished is kept.')]
  ];
  const steps = run.job.ended ? (STEPS[run.state]?.() ?? []) : live;
  const act = async (verb: string, label: string, what: string): Promise<void> => {
    if (!(await actions.confirm(trans.__('%1 %2?', label, run.id), what, label))) {
      return;
    }
    try {
      await (verb === 'cancel' ? truth.cancel(run.job!.id) : truth.service.act(run.id, verb));
    } catch (error) {
      actions.failed(error);
    }
    truth.refresh();
  };
  return (
    <p className="nbp-steps">
      {steps.map(([verb, label, what]) => (
        <button key={verb} className="nbp-button" title={what} onClick={() => void act(verb, label, what)}>
          {label}
        </button>
      ))}
    </p>
  );
}

/** Asked again when files are done, every third second at most. */
function Partitions(props: { run: IRun; truth: Truth }): JSX.Element {
  const { run, truth } = props;
  const live = !!run.job && !run.job.ended;
  const round = live ? Math.floor(truth.nowMs() / 3000) : 0;
  const asked = useAsked(() => truth.service.partitions(run.id), [run.id, run.state, run.job?.state, round]);
  return asked.value ? <PartitionGrid partitions={asked.value} /> : <></>;
}
