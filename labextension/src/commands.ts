/** What the command palette, the launcher, menus and links can call. */

import { IRouter, JupyterFrontEnd } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { IActions } from './actions';
import { nbplatIcon } from './icon';
import { FORM_TITLES, insertWords, LESSONS } from './lessons';
import { IPlace, PARAMETER, placeOf } from './place';
import { SectionId } from './rows';
import { OPEN, Tabs } from './tabs';
import { trans } from './translation';
import { Truth } from './truth';
import { BoardPanel } from './widgets';

const CATEGORY = 'nbplat';
const SECTIONS = Object.keys(LESSONS) as SectionId[];

export function addCommands(parts: {
  app: JupyterFrontEnd;
  palette: ICommandPalette | null;
  launcher: ILauncher | null;
  router: IRouter | null;
  truth: Truth;
  tabs: Tabs;
  panel: BoardPanel;
  actions: IActions;
}): void {
  const { app, palette, launcher, router, truth, tabs, panel, actions } = parts;
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
    label: trans.__('Open a run, a session, an environment or a log of nbplat'),
    describedBy: {
      args: {
        type: 'object',
        required: ['what', 'id'],
        properties: {
          what: {
            type: 'string',
            enum: ['run', 'session', 'environment', 'log'],
            description: 'What to open.'
          },
          kind: { type: 'string', description: 'Of a run: backfill, training, environment or sequence.' },
          id: {
            type: 'string',
            description:
              'spend_90d@3, the number of a session, the key of an environment, or the id of a job.'
          },
          title: { type: 'string', description: 'Words for the tab.' }
        }
      }
    },
    execute: args => tabs.open(args as unknown as IPlace)
  });
  app.commands.addCommand('nbplat:follow-link', {
    label: trans.__('Open what the address names'),
    describedBy: { args: none },
    execute: async () => {
      const place = placeOf(window.location.search);
      await app.restored;
      if (place) {
        tabs.open(place);
      }
    }
  });
  router?.register({ command: 'nbplat:follow-link', pattern: new RegExp(`[?&]${PARAMETER}=`) });
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
    label: args => {
      const lesson = LESSONS[args.section as SectionId]?.();
      return lesson ? insertWords(lesson) : trans.__('Insert a cell of nbplat');
    },
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
