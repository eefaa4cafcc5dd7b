import { LabIcon } from '@jupyterlab/ui-components';

/** A column that is laid beside a table. */
export const nbplatIcon = new LabIcon({
  name: 'nbplat:logo',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16">
<g class="jp-icon3" fill="#616161"><path d="M1.5 2.5h7v11h-7zm1 3v2h5v-2zm0 3v1.9h5V8.500zm0 2.900v1.100h5v-1.100z" fill-rule="evenodd"/>
<path d="M10.500 2.500h4v11h-4z"/></g></svg>`
});
