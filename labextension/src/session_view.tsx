/** One Spark session in the main area: its state, its settings and who said each, its log. */

import * as React from 'react';
import { attachTo, IActions, stopRow } from './actions';
import { useAsked, useTruth } from './changes';
import { LogView } from './log_view';
import { PageHead } from './page_head';
import { sections } from './rows';
import { RowTable } from './tables';
import { trans } from './translation';
import { Waiting } from './trouble';
import { Truth } from './truth';

export function SessionView(props: { truth: Truth; id: number; actions: IActions }): JSX.Element {
  const { truth, id, actions } = props;
  const row = sections(truth)[0].rows?.find(each => each.session?.id === id);
  useTruth(truth, !!row?.live);
  const asked = useAsked(() => truth.service.session(id), [id, row?.state]);
  // The log of a session is asked for by its last lines, not by bytes: each look takes them anew.
  const read = React.useCallback(
    async (offset: number) => {
      const text = await truth.service.sessionLog(id);
      const size = text.length;
      return { text: text.slice(offset), next_offset: size, size };
    },
    [truth, id]
  );
  const session = asked.value;
  if (!session) {
    return <Waiting error={truth.fault ?? asked.error} actions={actions} />;
  }
  const lives = row && !session.ended;
  return (
    <div className="nbp-view">
      <PageHead
        title={session.name || trans.__('session %1', id)}
        place={{ what: 'session', id: String(id) }}
        actions={actions}
        state={row ? { tone: row.tone, text: row.state } : null}
        about={row ? [row.about, row.figures] : [session.owner]}
        notebook={session.notebook}
        fault={truth.fault}
        error={session.error}
        steps={
          lives
            ? [
                {
                  label: trans.__('Attach the notebook'),
                  what: trans.__('The cells of the notebook in front go to this session.'),
                  main: true,
                  act: () => attachTo(row, actions)
                },
                {
                  label: trans.__('Stop'),
                  what: trans.__('The session ends, with its variables and what it runs.'),
                  act: () => void stopRow(row, truth, actions)
                }
              ]
            : []
        }
      />
      <section aria-label={trans.__('Settings')}>
        <h3>{trans.__('Settings')}</h3>
        <RowTable
          heads={[trans.__('setting'), trans.__('value'), trans.__('said by')]}
          rows={(session.conf ?? []).map(({ key, value, origin }) => [key, value, origin])}
        />
      </section>
      <h3>{trans.__('Log')}</h3>
      <LogView read={read} live={!session.ended} fileName={`session-${id}`} />
    </div>
  );
}
