/** One Spark session in the main area: its state, its settings and who said each, its log. */

import * as React from 'react';
import { attachTo, IActions, stopRow } from './actions';
import { State } from './bar';
import { useAsked, useTruth } from './changes';
import { LogView } from './log_view';
import { sections } from './rows';
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
  return (
    <div className="nbp-view">
      <h2>
        {session.name || trans.__('session %1', id)} {row && <State tone={row.tone} text={row.state} />}
      </h2>
      <p className="nbp-aside">{row && `${row.about}, ${row.figures}`}</p>
      {session.error && <p className="nbp-error">{session.error}</p>}
      {row && !session.ended && (
        <p className="nbp-steps">
          <button className="nbp-button" onClick={() => attachTo(row, actions)}>
            {trans.__('Attach the notebook')}
          </button>
          <button className="nbp-button" onClick={() => void stopRow(row, truth, actions)}>
            {trans.__('Stop')}
          </button>
        </p>
      )}
      <h3>{trans.__('Settings')}</h3>
      <table className="nbp-facts">
        <thead>
          <tr>
            <th scope="col">{trans.__('setting')}</th>
            <th scope="col">{trans.__('value')}</th>
            <th scope="col">{trans.__('said by')}</th>
          </tr>
        </thead>
        <tbody>
          {(session.conf ?? []).map(({ key, value, origin }) => (
            <tr key={key}>
              <th scope="row">{key}</th>
              <td>{value}</td>
              <td>{origin}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <h3>{trans.__('Log')}</h3>
      <LogView read={read} live={!session.ended} fileName={`session-${id}`} />
    </div>
  );
}
