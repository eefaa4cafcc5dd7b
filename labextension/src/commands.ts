/** What the command palette, the launcher, menus and links can call. */

import { JupyterFrontEnd } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { IActions } from './actions';
import { nbplatIcon } from './icon';
import { FORM_TITLES, LESSONS } from './lessons';
import { SectionId } from './rows';
import { OPEN, Tabs } from './tabs';
import { trans } from './translation';
import { Truth } from './truth';
import { BoardPanel, IPlace } from './widgets';

const CATEGORY = 'nbplat';
const SECTIONS = Object.keys(LESSONS) as SectionId[];

export function addCommands(parts: {
  app: JupyterFrontEnd;
  palette: ICommandPalette | null;
  launcher: ILauncher | null;
  truth: Truth;
  tabs: Tabs;
  panel: BoardPanel;
  actions: IActions;
}): void {
  const { app, palette, launcher, truth, tabs, panel, actions } = parts;
  const none = { type: 'object' as const, properties: {} };
  const openPanel = (): void => app.shell.activateById(panel.id);
  app.commands.addCommand('nbplat:open-panel', {
    label: trans.__('Show the nbplat panel'),
    icon: nbplatIcon,
    describedBy: { args: none },
    execute: openPanel
  });
  app.commands.addCommand('nbplat:refresh', {
    label: trans.__('Refresh what nbplat shows'),
    describedBy: { args: none },
    execute: () => truth.refresh()
  });
  app.commands.addCommand(OPEN, {
    label: trans.__('Open a run, a session or a log of nbplat'),
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
    execute: args => tabs.open(args as unknown as IPlace)
  });
  app.commands.addCommand('nbplat:new', {
    label: args => FORM_TITLES[args.section as SectionId]?.() ?? trans.__('Fill in a form of nbplat'),
    caption: trans.__('A form that puts a cell into the notebook'),
    icon: args => (args.inPalette ? undefined : nbplatIcon),
    describedBy: sectionSchema('Which form.'),
    execute: args => {
      panel.fill(args.section as SectionId);
      openPanel();
    }
  });
  app.commands.addCommand('nbplat:insert-cell', {
    label: args => LESSONS[args.section as SectionId]?.().label ?? trans.__('Insert a cell of nbplat'),
    describedBy: sectionSchema('Which cell.'),
    execute: args => {
      actions.insert(LESSONS[args.section as SectionId]().cell);
    }
  });
  palette?.addItem({ command: 'nbplat:open-panel', category: CATEGORY });
  palette?.addItem({ command: 'nbplat:refresh', category: CATEGORY });
  SECTIONS.forEach((section, rank) => {
    palette?.addItem({ command: 'nbplat:new', args: { section, inPalette: true }, category: CATEGORY });
    palette?.addItem({ command: 'nbplat:insert-cell', args: { section }, category: CATEGORY });
    launcher?.add({ command: 'nbplat:new', args: { section }, category: CATEGORY, rank });
  });
}

function sectionSchema(description: string): { args: any } {
  return {
    args: {
      type: 'object',
      required: ['section'],
      properties: { section: { type: 'string', enum: SECTIONS, description } }
    }
  };
}
