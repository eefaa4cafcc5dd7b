/** The parts of a run's page that only tell: facts, the plan, the audit's report, the lineage, the body. */

import * as React from 'react';
import { IRun } from './records';
import { Fact, findingRows, lineageFacts, planFacts } from './run_facts';
import { trans } from './translation';

export function FactTable(props: { facts: Fact[] }): JSX.Element {
  return (
    <table className="nbp-facts">
      <tbody>
        {props.facts.map(([name, value], at) => (
          <tr key={at}>
            <th scope="row">{name}</th>
            <td>{value}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Everything of a run that its record says. */
export function Told(props: { run: IRun; full: any }): JSX.Element {
  const { run, full } = props;
  const facts: Fact[] = [
    [trans.__('kind'), run.kind],
    [trans.__('table'), run.table],
    [trans.__('owner'), run.owner],
    [trans.__('opened'), new Date(run.created_ms).toLocaleString()],
    [trans.__('changed'), new Date(run.updated_ms).toLocaleString()]
  ];
  const spec = full?.spec ?? {};
  return (
    <>
      <FactTable facts={facts.filter(([, value]) => value)} />
      <Part title={trans.__('Plan')} facts={planFacts(full)} />
      <Audit full={full} />
      <Part title={trans.__('Lineage')} facts={lineageFacts(full)} />
      <Text title={trans.__('Body')} text={spec.sql || spec.python?.source || spec.text || ''} />
      <Text title={trans.__('Declared')} text={full?.spec ? JSON.stringify(spec, null, 2) : ''} />
    </>
  );
}

function Part(props: { title: string; facts: Fact[] }): JSX.Element {
  return props.facts.length ? (
    <section aria-label={props.title}>
      <h3>{props.title}</h3>
      <FactTable facts={props.facts} />
    </section>
  ) : (
    <></>
  );
}

function Audit(props: { full: any }): JSX.Element {
  const rows = findingRows(props.full);
  if (!rows.length) {
    return <></>;
  }
  const good = rows.filter(row => row.good).length;
  const notes: string[] = props.full.outputs.audit.notes ?? [];
  return (
    <section aria-label={trans.__('Audit')}>
      <h3>{trans.__('Audit')}</h3>
      <p className="nbp-aside">
        {trans.__('%1 of %2 findings ok', good, rows.length)}
        {notes.length ? `. ${notes.join('. ')}` : ''}
      </p>
      <table className="nbp-facts">
        <thead>
          <tr>
            <th scope="col">{trans.__('rule')}</th>
            <th scope="col">{trans.__('column')}</th>
            <th scope="col">{trans.__('verdict')}</th>
            <th scope="col">{trans.__('what was seen')}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row, at) => (
            <tr key={at}>
              <td>{row.rule}</td>
              <td>{row.column}</td>
              <td className={row.good ? undefined : 'nbp-error'}>{row.verdict}</td>
              <td>{[row.message, row.fix].filter(Boolean).join('. ')}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Text(props: { title: string; text: string }): JSX.Element {
  return props.text ? (
    <details>
      <summary>{props.title}</summary>
      <pre className="nbp-lines" tabIndex={0} role="region" aria-label={props.title}>
        {props.text}
      </pre>
    </details>
  ) : (
    <></>
  );
}
