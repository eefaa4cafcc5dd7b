/** The parts of a run's page that only tell: the plan, the audit's report, scores, the lineage, the body. */

import * as React from 'react';
import { State } from './bar';
import { saidText } from './rows';
import { findingRows, lineageFacts, planFacts } from './run_facts';
import { sequenceFacts } from './sequence_facts';
import { FactPart, FoldedText, RowTable } from './tables';
import { coverageRows, scoreRows, trainingFacts, trainingLineage } from './training_facts';
import { trans } from './translation';
import { capital } from './words';

/** Everything that the full record of a run says; nothing while it is null. */
export function Told(props: { full: any }): JSX.Element {
  const { full } = props;
  const spec = full?.spec ?? {};
  return (
    <>
      <Scores full={full} />
      <FactPart title={trans.__('Training')} facts={trainingFacts(full)} />
      <FactPart title={trans.__('Sequence')} facts={sequenceFacts(full)} />
      <FactPart title={trans.__('Plan')} facts={planFacts(full)} />
      <Audit full={full} />
      <FactPart title={trans.__('Lineage')} facts={[...lineageFacts(full), ...trainingLineage(full)]} />
      <FoldedText title={trans.__('Definition')} text={spec.definition ?? ''} open />
      <FoldedText title={trans.__('Body')} text={spec.sql || spec.python?.source || spec.text || ''} open />
      <FoldedText title={trans.__('Declared')} text={full?.spec ? JSON.stringify(spec, null, 2) : ''} />
    </>
  );
}

/** What a model gained from the joined columns, and how far these reach. */
function Scores(props: { full: any }): JSX.Element {
  const rows = scoreRows(props.full);
  const coverage = coverageRows(props.full);
  return (
    <>
      {rows.length > 0 && (
        <section aria-label={trans.__('Scores')}>
          <h3>{trans.__('Scores')}</h3>
          <RowTable heads={[trans.__('model'), trans.__('AUC'), trans.__('95 % interval')]} rows={rows} />
        </section>
      )}
      {coverage.length > 0 && (
        <section aria-label={trans.__('Coverage')}>
          <h3>{trans.__('Coverage')}</h3>
          <RowTable
            heads={[
              trans.__('joined'),
              trans.__('period'),
              trans.__('rows'),
              trans.__('covered'),
              trans.__('how')
            ]}
            rows={coverage}
          />
        </section>
      )}
    </>
  );
}

function Audit(props: { full: any }): JSX.Element {
  const rows = findingRows(props.full);
  if (!rows.length) {
    return <></>;
  }
  const good = rows.filter(row => row.tone === 'good').length;
  const notes: string[] = props.full.outputs.audit.notes ?? [];
  return (
    <section aria-label={trans.__('Audit')}>
      <h3>{trans.__('Audit')}</h3>
      <p className="nbp-aside">
        {[trans.__('%1 of %2 findings ok', good, rows.length), ...notes.map(capital)].join('. ')}
      </p>
      <RowTable
        heads={[trans.__('rule'), trans.__('verdict'), trans.__('column'), trans.__('what was seen')]}
        rows={rows.map(row => [
          row.rule,
          <State key="verdict" tone={row.tone} text={row.verdict} />,
          row.column,
          saidText(row)
        ])}
      />
    </section>
  );
}
