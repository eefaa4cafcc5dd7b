/** One run in the main area: where it is, what it is of, its log. */

import * as React from 'react';
import { IActions } from './actions';
import { Bar } from './bar';
import { useAsked, useTruth } from './changes';
import { LogView } from './log_view';
import { IStep, PageHead } from './page_head';
import { IRun } from './records';
import { PartitionGrid } from './partition_grid';
import { runRow } from './rows';
import { Told } from './run_parts';
import { trans } from './translation';
import { Waiting } from './trouble';
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
  const opened = new Date(run.created_ms).toLocaleString();
  return (
    <div className="nbp-view">
      <PageHead
        title={run.id}
        place={{ what: 'run', kind, id }}
        actions={actions}
        state={{ tone: row.tone, text: row.state }}
        about={[row.about, trans.__('opened %1', opened), live ? '' : row.figures]}
        notebook={run.notebook}
        runId={run.id}
        fault={truth.fault}
        error={row.error ? (run.error ?? run.job?.error ?? null) : null}
        steps={stepsOf(run, truth, actions)}
      >
        {live && (
          <>
            <Bar share={row.share} label={trans.__('Progress of %1', run.id)} />
            <p className="nbp-aside">{[row.figures, row.doing].filter(Boolean).join(' · ')}</p>
          </>
        )}
      </PageHead>
      {kind === 'backfill' && <Partitions run={run} truth={truth} />}
      <Told full={full.value} />
      {row.logJob && (
        <section aria-label={trans.__('Log')}>
          <h3>{trans.__('Log of %1 (%2)', run.job!.kind, jobId)}</h3>
          <LogView key={jobId} read={read} live={!run.job!.ended} fileName={`${run.id}-${jobId}`} />
        </section>
      )}
    </div>
  );
}

type Step = [verb: string, label: string, what: string];

/** What a person may do next with a backfill, by its state; the service checks it again. */
const STEPS: { [state: string]: () => Step[] } = {
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

function stepsOf(run: IRun, truth: Truth, actions: IActions): IStep[] {
  const job = run.job;
  if (!job || (run.kind !== 'backfill' && job.ended)) {
    return [];
  }
  const paused = job.state === 'paused';
  const cancel: Step = ['cancel', trans.__('Cancel'), trans.__('The job ends; what is finished is kept.')];
  const pause: Step = paused
    ? ['resume', trans.__('Resume'), trans.__('The run goes on where it was.')]
    : ['pause', trans.__('Pause'), trans.__('The run stops between two files; what is finished is kept.')];
  const live = run.kind === 'backfill' ? [pause, cancel] : [cancel];
  const act = async (verb: string, label: string, what: string): Promise<void> => {
    if (!(await actions.confirm(trans.__('%1 %2?', label, run.id), what, label))) {
      return;
    }
    try {
      await (verb === 'cancel' ? truth.cancel(job.id) : truth.service.act(run.id, verb));
    } catch (error) {
      actions.failed(error);
    }
    truth.refresh();
  };
  return (job.ended ? (STEPS[run.state]?.() ?? []) : live).map(([verb, label, what]) => ({
    label,
    what,
    main: verb === 'promote',
    act: () => void act(verb, label, what)
  }));
}

/** Asked again when files are done, every third second at most. */
function Partitions(props: { run: IRun; truth: Truth }): JSX.Element {
  const { run, truth } = props;
  const live = !!run.job && !run.job.ended;
  const round = live ? Math.floor(truth.nowMs() / 3000) : 0;
  const asked = useAsked(() => truth.service.partitions(run.id), [run.id, run.state, run.job?.state, round]);
  return asked.value ? <PartitionGrid partitions={asked.value} /> : <></>;
}
