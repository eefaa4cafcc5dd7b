/** The plugins: they hang the panel, the cells' renderer, the colours and the commands into JupyterLab or Notebook 7. */

import { ILayoutRestorer, IRouter, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Clipboard, Dialog, ICommandPalette, Notification, showDialog } from '@jupyterlab/apputils';
import { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';
import { IActions } from './actions';
import { colourBodies } from './colours';
import { addCommands } from './commands';
import { RunningCount } from './count';
import { Fault } from './fault';
import { CellInserter } from './insert';
import { linkOf, pathBelow } from './place';
import { IChange, JOB_EVENT, JOB_MIME } from './records';
import { sender } from './request';
import { runRow } from './rows';
import { Service } from './service';
import { Tabs } from './tabs';
import { DOMAIN, speakWith, trans } from './translation';
import { Truth } from './truth';
import { BoardPanel, JobOutput, outputOf, outputSeen } from './widgets';
import { VERSION } from './version';

/** States that a run passes through; its end is told, not each step. */
const PASSING = ['staging', 'staged', 'auditing', 'audited', 'promoting', 'rolling_back'];

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'nbplat-lab:plugin',
  description:
    'Sessions, backfills, training, environments and sequences beside the notebook; live jobs in cells.',
  autoStart: true,
  optional: [
    ITranslator,
    ICommandPalette,
    ILauncher,
    IRouter,
    INotebookTracker,
    IRenderMimeRegistry,
    IStatusBar,
    ILayoutRestorer
  ],
  activate
};

/** Apart from the panel: where the editor is of another make, the rest works all the same. */
const colours: JupyterFrontEndPlugin<void> = {
  id: 'nbplat-lab:colours',
  description:
    'SQL and YAML in their own colours inside cells of %%backfill, %%sql, %%sequence, %%environment.',
  autoStart: true,
  optional: [IEditorLanguageRegistry],
  activate: (_, languages: IEditorLanguageRegistry | null) => {
    if (languages) {
      colourBodies(languages);
    }
  }
};

export default [plugin, colours];

function activate(
  app: JupyterFrontEnd,
  translator: ITranslator | null,
  palette: ICommandPalette | null,
  launcher: ILauncher | null,
  router: IRouter | null,
  notebooks: INotebookTracker | null,
  rendermime: IRenderMimeRegistry | null,
  statusBar: IStatusBar | null,
  restorer: ILayoutRestorer | null
): void {
  speakWith(translator?.load(DOMAIN) ?? null);
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

  const cells = new CellInserter(app, notebooks);
  const actions: IActions = {
    insert: cell => cells.insert(cell),
    run: cell => cells.run(cell),
    openRun: (kind, id) => tabs.open({ what: 'run', kind, id }),
    openJobLog: (id, title) => tabs.open({ what: 'log', id, title }),
    openSession: (id, title) => tabs.open({ what: 'session', id: String(id), title }),
    openEnvironment: (id, title) => tabs.open({ what: 'environment', id, title }),
    notebookOf: (runId, asked) =>
      notebookAround(runId ? outputOf(runId) : null)?.context.path ?? pathBelow(truth.root, asked),
    openNotebook: (runId, path) => void openNotebook(app, runId, path).catch(actions.failed),
    copy: text => Clipboard.copyToSystem(text),
    copyLink: place => Clipboard.copyToSystem(linkOf(place, window.location.href)),
    confirm: async (title, body, doIt) => {
      const buttons = [Dialog.cancelButton({ label: trans.__('Keep') }), Dialog.warnButton({ label: doIt })];
      return (await showDialog({ title, body, buttons })).button.accept;
    },
    failed: error => {
      const said = error instanceof Fault ? `${error.message}. ${error.fix}` : String(error);
      Notification.error(said, { autoClose: false });
    }
  };
  const tabs = new Tabs(app, truth, actions);

  const panel = new BoardPanel(truth, actions);
  app.shell.add(panel, 'left', { rank: 450 });
  restorer?.add(panel, panel.id);

  rendermime?.addFactory(
    {
      safe: true,
      mimeTypes: [JOB_MIME],
      createRenderer: () => new JobOutput(truth, rendermime, actions)
    },
    0
  );
  addCommands({ app, palette, launcher, router, truth, tabs, panel, actions });
  const count = new RunningCount(truth, () => app.shell.activateById(panel.id));
  statusBar?.registerStatusItem('nbplat-lab:running', {
    item: count,
    isActive: () => count.isActive(),
    activeStateChanged: count.activeStateChanged,
    align: 'left',
    rank: 500
  });
  if (restorer) {
    tabs.restore(restorer);
  }
  tellEnds(truth, panel, actions);
}

/** Ends and failures of jobs as notifications, while the panel that would show them is not seen. */
function tellEnds(truth: Truth, panel: BoardPanel, actions: IActions): void {
  truth.onNews(({ run, failed }) => {
    if (panel.isVisible || (!failed && PASSING.includes(run.state))) {
      return;
    }
    const row = runRow(run, truth.nowMs());
    const buttons = [{ label: trans.__('Open'), callback: () => actions.openRun(run.kind, run.id) }];
    if (row.logJob) {
      buttons.push({ label: trans.__('Log'), callback: () => actions.openJobLog(row.logJob!, run.id) });
    }
    const text = [`${run.id}: ${row.state}`, row.error].filter(Boolean).join('. ');
    Notification.emit(text, failed ? 'error' : 'success', {
      autoClose: failed ? false : 8000,
      actions: buttons
    });
  });
}

/** Bring the cell that shows a run to the front; its notebook is opened first where it is not. */
async function openNotebook(app: JupyterFrontEnd, runId: string | null, path: string): Promise<void> {
  const there = notebookAround(runId ? outputOf(runId) : null);
  if (there) {
    app.shell.activateById(there.id);
  } else {
    await app.commands.execute('docmanager:open', { path });
  }
  (runId ? await outputSeen(runId) : null)?.node.scrollIntoView({ block: 'center' });
}

function notebookAround(widget: Widget | null): NotebookPanel | null {
  for (let each = widget; each; each = each.parent) {
    if (each instanceof NotebookPanel) {
      return each;
    }
  }
  return null;
}
