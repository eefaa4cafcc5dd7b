/** Runs, sessions and logs as tabs of the main area: one each, part of the layout, opened by a command. */

import { ILayoutRestorer, JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { IActions } from './actions';
import { nbplatIcon } from './icon';
import { IPlace, placeName } from './place';
import { trans } from './translation';
import { Truth } from './truth';
import { PlaceView } from './widgets';

/** The command that opens a place; also what the layout is restored by. */
export const OPEN = 'nbplat:open';

/** Of a tab whose link has none. */
function titleOf({ what, id }: IPlace): string {
  return what === 'session' ? trans.__('Session %1', id) : what === 'environment' ? id.slice(0, 12) : id;
}

export class Tabs {
  constructor(
    private readonly _app: JupyterFrontEnd,
    private readonly _truth: Truth,
    private readonly _actions: IActions
  ) {}

  open(place: IPlace): void {
    const name = placeName(place);
    const there = this._tracker.find(tab => placeName(tab.content.place) === name);
    if (there) {
      this._app.shell.activateById(there.id);
      return;
    }
    const tab = new MainAreaWidget({ content: new PlaceView(this._truth, place, this._actions) });
    const title = place.title ?? titleOf(place);
    tab.id = `nbplat-${name}`;
    tab.title.label = place.what === 'log' ? trans.__('Log %1', title) : title;
    tab.title.icon = nbplatIcon;
    tab.title.closable = true;
    this._app.shell.add(tab, 'main');
    void this._tracker.add(tab);
    this._app.shell.activateById(tab.id);
  }

  /** Bring back what was open; the command must be there by then. */
  restore(restorer: ILayoutRestorer): void {
    void restorer.restore(this._tracker, {
      command: OPEN,
      args: tab => ({ ...tab.content.place }),
      name: tab => placeName(tab.content.place)
    });
  }

  private readonly _tracker = new WidgetTracker<MainAreaWidget<PlaceView>>({ namespace: 'nbplat' });
}
