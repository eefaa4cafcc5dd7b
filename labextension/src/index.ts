/** The plugin: it hangs the panel, the cells' renderer, the status bar and the commands into JupyterLab or Notebook 7. */

import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import {
  Clipboard,
  Dialog,
  ICommandPalette,
  MainAreaWidget,
  Notification,
  showDialog,
  WidgetTracker
} from '@jupyterlab/apputils';
import { INotebookTracker, NotebookActions } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { IStatusBar } from '@jupyterlab/statusbar';
import { IActions } from './actions';
import { RunningCount } from './count';
import { Fault } from './fault';
import { nbplatIcon } from './icon';
import { LESSONS } from './lessons';
import { IChange, JOB_EVENT, JOB_MIME } from './records';
import { sender } from './request';
import { runRow, SectionId } from './rows';
import { Service } from './service';
import { Truth } from './truth';
import { BoardPanel, IPlace, JobOutput, placeName, PlaceView } from './widgets';
import { VERSION } from './version';

const CATEGORY = 'nbplat';
/** States that a run passes through; its end is told, not each step. */
const PASSING = ['staging', 'staged', 'auditing', 'audited', 'promoting', 'rolling_back'];

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'nbplat-lab:plugin',
  description:
    'Sessions, backfills, training, environments and sequences beside the notebook; live jobs in cells.',
  autoStart: true,
  optional: [ICommandPalette, INotebookTracker, IRenderMimeRegistry, IStatusBar, ILayoutRestorer],
  activate
};

export default plugin;

function activate(
  app: JupyterFrontEnd,
  palette: ICommandPalette | null,
  notebooks: INotebookTracker | null,
  rendermime: IRenderMimeRegistry | null,
  statusBar: IStatusBar | null,
  restorer: ILayoutRestorer | null
): void {
  const truth = new Truth(new Service(sender(app.serviceManager.serverSettings)), VERSION);
  const seen = (): void => {
    truth.pageVisible = document.visibilityState === 'visible';
  };
  document.addEventListener('visibilitychange', seen);
  seen();
  app.serviceManager.events.stream.connect((_, event) => {
    if (event.schema_id === JOB_EVENT) {
      truth.hear(event as unknown as IChange);
    }
  });

  const tabs = new WidgetTracker<MainAreaWidget<PlaceView>>({ namespace: 'nbplat' });
  const open = (place: IPlace): void => {
    const name = placeName(place);
    const there = tabs.find(tab => placeName(tab.content.place) === name);
    if (there) {
      app.shell.activateById(there.id);
      return;
    }
    const tab = new MainAreaWidget({ content: new PlaceView(truth, place, actions) });
    tab.id = `nbplat-${name}`;
    tab.title.label = place.what === 'log' ? `Log ${place.title ?? place.id}` : (place.title ?? place.id);
    tab.title.icon = nbplatIcon;
    tab.title.closable = true;
    app.shell.add(tab, 'main');
    void tabs.add(tab);
    app.shell.activateById(tab.id);
  };
  const actions: IActions = {
    insert: cell => insert(notebooks, cell),
    openRun: (kind, id) => open({ what: 'run', kind, id }),
    openJobLog: (id, title) => open({ what: 'log', id, title }),
    openSession: (id, title) => open({ what: 'session', id: String(id), title }),
    copy: text => Clipboard.copyToSystem(text),
    confirm: async (title, body, doIt) => {
      const buttons = [Dialog.cancelButton({ label: 'Keep' }), Dialog.warnButton({ label: doIt })];
      return (await showDialog({ title, body, buttons })).button.accept;
    },
    failed: error => {
      const said = error instanceof Fault ? `${error.message}. ${error.fix}` : String(error);
      Notification.error(said, { autoClose: false });
    }
  };

  const panel = new BoardPanel(truth, actions);
  app.shell.add(panel, 'left', { rank: 450 });
  restorer?.add(panel, panel.id);
  const openPanel = (): void => app.shell.activateById(panel.id);

  rendermime?.addFactory(
    {
      safe: true,
      mimeTypes: [JOB_MIME],
      createRenderer: () => new JobOutput(truth, rendermime, actions)
    },
    0
  );
  statusBar?.registerStatusItem('nbplat-lab:running', {
    item: new RunningCount(truth, openPanel),
    align: 'left',
    rank: 500
  });
  addCommands(app, palette, truth, open, openPanel, actions);
  void restorer?.restore(tabs, {
    command: 'nbplat:open',
    args: tab => ({ ...tab.content.place }),
    name: tab => placeName(tab.content.place)
  });

  truth.onNews(({ run, failed }) => {
    if (panel.isVisible || (!failed && PASSING.includes(run.state))) {
      return;
    }
    const row = runRow(run, truth.nowMs());
    const buttons = [{ label: 'Open', callback: () => actions.openRun(run.kind, run.id) }];
    if (row.logJob) {
      buttons.push({ label: 'Log', callback: () => actions.openJobLog(row.logJob!, run.id) });
    }
    const text = [`${run.id}: ${row.state}`, row.error].filter(Boolean).join('. ');
    Notification.emit(text, failed ? 'error' : 'success', {
      autoClose: failed ? false : 8000,
      actions: buttons
    });
  });
}

function addCommands(
  app: JupyterFrontEnd,
  palette: ICommandPalette | null,
  truth: Truth,
  open: (place: IPlace) => void,
  openPanel: () => void,
  actions: IActions
): void {
  const none = { type: 'object' as const, properties: {} };
  app.commands.addCommand('nbplat:open-panel', {
    label: 'Show the nbplat panel',
    icon: nbplatIcon,
    describedBy: { args: none },
    execute: openPanel
  });
  app.commands.addCommand('nbplat:refresh', {
    label: 'Refresh what nbplat shows',
    describedBy: { args: none },
    execute: () => truth.refresh()
  });
  app.commands.addCommand('nbplat:open', {
    label: 'Open a run, a session or a log of nbplat',
    describedBy: {
      args: {
        type: 'object',
        required: ['what', 'id'],
        properties: {
          what: { type: 'string', enum: ['run', 'session', 'log'], description: 'What to open.' },
          kind: { type: 'string', description: 'Of a run: backfill, training, environment or sequence.' },
          id: { type: 'string', description: 'spend_90d@3, the number of a session, or the id of a job.' },
          title: { type: 'string', description: 'Words for the tab.' }
        }
      }
    },
    execute: args => open(args as unknown as IPlace)
  });
  app.commands.addCommand('nbplat:insert-cell', {
    label: args => LESSONS[args.section as SectionId]?.label ?? 'Insert a cell of nbplat',
    describedBy: {
      args: {
        type: 'object',
        required: ['section'],
        properties: { section: { type: 'string', enum: Object.keys(LESSONS), description: 'Which cell.' } }
      }
    },
    execute: args => {
      actions.insert(LESSONS[args.section as SectionId].cell);
    }
  });
  palette?.addItem({ command: 'nbplat:open-panel', category: CATEGORY });
  palette?.addItem({ command: 'nbplat:refresh', category: CATEGORY });
  for (const section of Object.keys(LESSONS)) {
    palette?.addItem({ command: 'nbplat:insert-cell', args: { section }, category: CATEGORY });
  }
}

/** Put a cell below the active one; without a notebook in front the text goes to the clipboard, and that is said. */
function insert(notebooks: INotebookTracker | null, cell: string): boolean {
  const notebook = notebooks?.currentWidget?.content;
  if (!notebook) {
    Clipboard.copyToSystem(cell);
    Notification.info('No notebook is open: the cell is in the clipboard.', { autoClose: 6000 });
    return false;
  }
  NotebookActions.insertBelow(notebook);
  notebook.activeCell?.model.sharedModel.setSource(cell);
  notebook.activeCell?.editor?.focus();
  return true;
}
