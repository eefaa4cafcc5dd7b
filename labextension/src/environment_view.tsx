/** One built environment in the main area: what it is, who runs in it, what is in it. */

import * as React from 'react';
import { IActions } from './actions';
import { useAsked, useTruth } from './changes';
import { PageHead } from './page_head';
import { Fact, filled } from './run_facts';
import { environmentTitle, sections } from './rows';
import { FactPart, RowTable } from './tables';
import { trans } from './translation';
import { Waiting } from './trouble';
import { Truth } from './truth';
import { ago, bytes } from './words';

export function EnvironmentView(props: { truth: Truth; id: string; actions: IActions }): JSX.Element {
  const { truth, id, actions } = props;
  useTruth(truth, false);
  const row = sections(truth)
    .find(each => each.id === 'environment')
    ?.rows?.find(each => each.environment?.key === id);
  const asked = useAsked(() => truth.service.environment(id), [id]);
  const known = asked.value;
  if (!known) {
    return <Waiting error={truth.fault ?? asked.error} actions={actions} />;
  }
  const used = known.used_ms ? ago(truth.nowMs() - known.used_ms) : trans.__('never');
  const facts: Fact[] = filled([
    [trans.__('asked for'), known.requested.join(', ')],
    [trans.__('size'), bytes(known.size_bytes)],
    [trans.__('built'), new Date(known.built_ms).toLocaleString()],
    [trans.__('last used'), used],
    [trans.__('in use by'), known.running.join(', ')],
    [trans.__('lock'), known.lock_digest.slice(0, 12)],
    [trans.__('key'), known.key]
  ]);
  return (
    <div className="nbp-view">
      <PageHead
        title={environmentTitle(known)}
        place={{ what: 'environment', id }}
        actions={actions}
        state={row ? { tone: row.tone, text: row.state } : null}
        about={[
          `Python ${known.python}`,
          known.platform,
          trans._n('%1 package', '%1 packages', known.packages)
        ]}
        fault={truth.fault}
        error={null}
        steps={[]}
      />
      <FactPart title={trans.__('Environment')} facts={facts} />
      <section aria-label={trans.__('Packages')}>
        <h3>{trans.__('Packages')}</h3>
        <RowTable
          heads={[trans.__('package'), trans.__('version'), trans.__('build'), trans.__('from')]}
          rows={known.contents.map(each => [each.name, each.version, each.build, each.kind])}
        />
      </section>
    </div>
  );
}
