/** What a tab of the main area shows, and how a link names it. Imports nothing of JupyterLab. */

export interface IPlace {
  what: 'run' | 'log' | 'session' | 'environment';
  /** Of a run: backfill, training, environment or sequence. */
  kind?: string;
  id: string;
  /** Words for the tab. */
  title?: string;
}

/** In the address of a page: `?nbplat=run/backfill/spend_90d@1`. */
export const PARAMETER = 'nbplat';

/** The name of a place, one tab each. */
export function placeName(place: IPlace): string {
  return [place.what, place.kind, place.id].filter(Boolean).join('-');
}

/** The address of a place: the page's own, with the place in it and nothing that is of this visit only. */
export function linkOf(place: IPlace, page: string): string {
  const url = new URL(page);
  const parts = [place.what, place.what === 'run' ? place.kind : '', place.id].filter(Boolean) as string[];
  url.search = `?${PARAMETER}=${parts.map(part => encodeURIComponent(part).replace(/%40/g, '@')).join('/')}`;
  url.hash = '';
  return url.toString();
}

/** The place that an address names; null: it names none. */
export function placeOf(search: string): IPlace | null {
  const named = new URLSearchParams(search).get(PARAMETER)?.split('/') ?? [];
  const [what, ...rest] = named;
  if (what === 'run' && rest.length === 2 && rest.every(Boolean)) {
    return { what, kind: rest[0], id: rest[1] };
  }
  return (what === 'log' || what === 'session' || what === 'environment') && rest.length === 1 && rest[0]
    ? { what, id: rest[0] }
    : null;
}

/** A notebook's path below the folder that the Jupyter server serves, as its files are named; null: it is not there. */
export function pathBelow(root: string, path: string): string | null {
  const top = root.replace(/\\/g, '/').replace(/\/+$/, '') + '/';
  const whole = path.replace(/\\/g, '/');
  return whole.startsWith(top) && whole.length > top.length ? whole.slice(top.length) : null;
}

/** `study.ipynb` of a path. */
export function fileName(path: string): string {
  return path.split(/[\\/]/).slice(-1)[0];
}
