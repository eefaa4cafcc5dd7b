/** One Spark session in the main area: its state, its settings and who said each, its log. */

import * as React from 'react';
import { IActions } from './actions';
import { State } from './bar';
import { Trouble } from './board';
import { useTruth } from './changes';
import { Fault } from './fault';
import { LogView } from './log_view';
import { sections } from './rows';
import { useAsked } from './run_view';
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
    return asked.error instanceof Fault ? (
      <Trouble fault={asked.error} actions={actions} />
    ) : (
      <p className="nbp-aside">Asking the service …</p>
    );
  }
  return (
    <div className="nbp-view">
      <h2>
        {session.name || `session ${id}`} {row && <State tone={row.tone} text={row.state} />}
      </h2>
      <p className="nbp-aside">{row && `${row.about}, ${row.figures}`}</p>
      {session.error && <p className="nbp-error">{session.error}</p>}
      <h3>Settings</h3>
      <table className="nbp-facts">
        <thead>
          <tr>
            <th scope="col">setting</th>
            <th scope="col">value</th>
            <th scope="col">said by</th>
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
      <h3>Log</h3>
      <LogView read={read} live={!session.ended} fileName={`session-${id}`} />
    </div>
  );
}
