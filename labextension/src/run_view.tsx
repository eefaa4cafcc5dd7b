/** One run in the main area: where it is, what it is of, its log. */

import * as React from 'react';
import { IActions } from './actions';
import { Bar, State } from './bar';
import { useTruth } from './changes';
import { Fault } from './fault';
import { LogView } from './log_view';
import { IRun } from './records';
import { runRow } from './rows';
import { Truth } from './truth';
import { Trouble } from './board';
import { PartitionGrid } from './partition_grid';

export function RunView(props: { truth: Truth; kind: string; id: string; actions: IActions }): JSX.Element {
  const { truth, kind, id, actions } = props;
  const run = truth.board?.runs.find(each => each.kind === kind && each.id === id);
  const live = !!run?.job && !run.job.ended;
  useTruth(truth, live);
  const full = useAsked(() => truth.service.run(kind, id), [kind, id, run?.state, run?.updated_ms]);
  const jobId = run?.job?.id;
  const read = React.useCallback((offset: number) => truth.service.log(jobId ?? '', offset), [truth, jobId]);
  if (!run) {
    const fault = truth.fault ?? (full.error instanceof Fault ? full.error : null);
    return fault ? (
      <Trouble fault={fault} actions={actions} />
    ) : (
      <p className="nbp-aside">Asking the service …</p>
    );
  }
  const row = runRow(run, truth.nowMs());
  return (
    <div className="nbp-view">
      <h2>
        {run.id} <State tone={row.tone} text={row.state} />
      </h2>
      {truth.fault && <Trouble fault={truth.fault} actions={actions} />}
      {live && <Bar share={row.share} label={`Progress of ${run.id}`} />}
      <p className="nbp-aside">{row.figures}</p>
      {row.doing && <p className="nbp-aside">{row.doing}</p>}
      {row.error && <p className="nbp-error">{row.error}</p>}
      <Steps run={run} truth={truth} actions={actions} />
      {kind === 'backfill' && <Partitions run={run} truth={truth} />}
      <Facts run={run} full={full.value} />
      {jobId && (
        <>
          <h3>
            Log of {run.job!.kind} ({jobId})
          </h3>
          <LogView key={jobId} read={read} live={!run.job!.ended} fileName={`${run.id}-${jobId}`} />
        </>
      )}
    </div>
  );
}

/** What a person may do next with a backfill, by its state; the service checks it again. */
const STEPS: { [state: string]: [string, string, string][] } = {
  awaiting_promotion: [
    ['promote', 'Promote', 'The column becomes part of the table.'],
    ['audit', 'Audit again', 'The staged column is judged again.'],
    ['rollback', 'Discard', 'The staged column is dropped.']
  ],
  rejected: [
    ['audit', 'Audit again', 'The staged column is judged again.'],
    ['rollback', 'Discard', 'The staged column is dropped.']
  ],
  promoted: [['rollback', 'Roll back', 'The column is taken out of the table again.']],
  planned: [['retry', 'Retry', 'What failed is run again; what is done is kept.']]
};

function Steps(props: { run: IRun; truth: Truth; actions: IActions }): JSX.Element {
  const { run, truth, actions } = props;
  if (run.kind !== 'backfill' || !run.job) {
    return <></>;
  }
  const paused = run.job.state === 'paused';
  const live: [string, string, string][] = [
    paused
      ? ['resume', 'Resume', 'The run goes on where it was.']
      : ['pause', 'Pause', 'The run stops between two files; what is finished is kept.'],
    ['cancel', 'Cancel', 'The job ends; what is finished is kept.']
  ];
  const steps = run.job.ended ? (STEPS[run.state] ?? []) : live;
  const act = async (verb: string, label: string, what: string): Promise<void> => {
    if (!(await actions.confirm(`${label} ${run.id}?`, what, label))) {
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

function Facts(props: { run: IRun; full: any }): JSX.Element {
  const { run, full } = props;
  const spec = full?.spec ?? {};
  const findings: any[] = full?.outputs?.audit?.findings ?? [];
  const bad = findings.filter(each => !each.passed);
  const facts: [string, React.ReactNode][] = [
    ['kind', run.kind],
    ['table', run.table],
    ['owner', run.owner],
    ['new columns', (full?.plan?.columns ?? []).map((each: any) => `${each.name} ${each.type}`).join(', ')],
    ['engine', spec.engine],
    ['staging table', full?.outputs?.staging_table],
    ['audit', findings.length ? `${findings.length - bad.length} of ${findings.length} findings ok` : ''],
    ...bad.map((each, at): [string, React.ReactNode] => [
      at ? '' : 'not ok',
      `${each.rule} ${each.column}: ${each.message}`
    ]),
    ['opened', new Date(run.created_ms).toLocaleString()],
    ['changed', new Date(run.updated_ms).toLocaleString()]
  ];
  const body: string = spec.sql || spec.python?.source || '';
  return (
    <>
      <table className="nbp-facts">
        <tbody>
          {facts
            .filter(([, value]) => value)
            .map(([name, value], at) => (
              <tr key={at}>
                <th scope="row">{name}</th>
                <td>{value}</td>
              </tr>
            ))}
        </tbody>
      </table>
      {body && (
        <details>
          <summary>Body</summary>
          <pre className="nbp-lines">{body}</pre>
        </details>
      )}
    </>
  );
}

/** What a request gives; asked again when one of `on` changes, the last answer staying meanwhile. */
export function useAsked<T>(ask: () => Promise<T>, on: unknown[]): { value: T | null; error: unknown } {
  const [state, set] = React.useState<{ value: T | null; error: unknown }>({ value: null, error: null });
  React.useEffect(() => {
    let over = false;
    ask().then(
      value => !over && set({ value, error: null }),
      error => !over && set(before => ({ ...before, error }))
    );
    return () => {
      over = true;
    };
  }, on);
  return state;
}
