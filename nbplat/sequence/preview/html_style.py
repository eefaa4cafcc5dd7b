"""Colours and the style sheet of the static preview: mid tones that stand on white and on black."""

from __future__ import annotations

__all__ = ["COLOURS", "STYLE"]

# Each has a contrast of 3 : 1 and more with white and with the dark themes' greys; the letter stands in it in white.
# More types than colours share the last.
COLOURS = ("#3b7ec0", "#c8661d", "#3f9150", "#b0529a", "#7d6fd0", "#94802a", "#2f8f8f", "#7a7a7a")

# Text and lines take the page's own colour, so that the block fits JupyterLab's themes, nbviewer and a plain page;
# only the accents change, by JupyterLab's mark or by what the system prefers.
STYLE = (
    ".nbsq{--g:#2e8540;--r:#d13438;--y:#a86a00;font:13px/1.5 system-ui,sans-serif;max-width:100%}"
    "@media(prefers-color-scheme:dark){.nbsq{--g:#4caf6a;--r:#f0625f;--y:#d09a2c}}"
    "[data-jp-theme-light=true] .nbsq{--g:#2e8540;--r:#d13438;--y:#a86a00}"
    "[data-jp-theme-light=false] .nbsq{--g:#4caf6a;--r:#f0625f;--y:#d09a2c}"
    ".nbsq h4{margin:12px 0 2px!important;font-size:13px!important;font-weight:600}"
    ".nbsq table{border-collapse:collapse;margin:0!important;border:0!important;font-size:12px!important}"
    ".nbsq tr,.nbsq td,.nbsq th{background:0 0!important;border:0!important}"
    ".nbsq td,.nbsq th{padding:1px 12px 1px 0!important;text-align:left!important;vertical-align:top;font-weight:400;"
    "white-space:nowrap}"
    ".nbsq thead th,.nbsq .d{opacity:.72}"
    ".nbsq .n{text-align:right!important;font-variant-numeric:tabular-nums}"
    ".nbsq .w{white-space:normal}"
    ".nbsq .x{overflow-x:auto}"
    ".nbsq .v{border-left:4px solid;padding:2px 0 2px 10px;margin:6px 0}"
    ".nbsq .okv{border-color:var(--g)}.nbsq .leakv{border-color:var(--r)}.nbsq .riskv{border-color:var(--y)}"
    ".nbsq .ok{color:var(--g)}.nbsq .leak{color:var(--r);font-weight:600}.nbsq .risk{color:var(--y);font-weight:600}"
    ".nbsq .m{display:flex;flex-wrap:wrap;gap:6px 28px}.nbsq .m>div{max-width:260px}.nbsq .r>div{max-width:100%}"
    # A strip: one small box a token, narrower where there are many; the instant is the line between two cells.
    ".nbsq .t{width:100%}.nbsq .p{width:88%;max-width:0;padding:2px 3px 2px 0!important}"
    ".nbsq .a{width:12%;max-width:0;padding:2px 0 2px 3px!important;border-left:2px solid!important}"
    ".nbsq .s{display:flex;align-items:center;font:9px/15px ui-monospace,monospace}.nbsq .e{justify-content:flex-end}"
    ".nbsq .s i{flex:0 1 10px;min-width:2px;height:15px;margin-right:1px;text-align:center;font-style:normal;"
    "color:#fff;background-color:var(--m);border-radius:2px;overflow:hidden;box-sizing:border-box}"
    ".nbsq .s i.o{flex:0 9 8px;background:0 0;color:inherit;opacity:.8;border:1px solid;line-height:12px}"
    ".nbsq .s i.q{color:var(--r);opacity:1;border-style:dashed}"
    ".nbsq .s i.f{background-image:linear-gradient(var(--r) 72%,transparent 0);font-weight:700}"
    ".nbsq .s u{text-decoration:none;opacity:.72;padding:0 3px;flex:none}"
    ".nbsq .y i{flex:none;width:13px}"
    # A chart: columns that stand on their labels.
    ".nbsq .h{display:flex;align-items:flex-end;height:44px;gap:1px;border-bottom:1px solid;width:max-content}"
    ".nbsq .h i{width:13px;background:#7a8ca0;font-size:0}.nbsq .h i.k{background:#c8661d}"
    ".nbsq .l{display:flex;justify-content:space-between;font-size:10px}"
    ".nbsq .z{display:inline-block;width:90px;height:8px;border:1px solid;border-radius:2px;margin-right:6px}"
    ".nbsq .z i{display:block;height:100%;background:#7a8ca0}"
    ".nbsq pre{font:10px/13px ui-monospace,monospace!important;margin:0!important;background:0 0!important;"
    "color:inherit!important;padding:0!important;overflow-x:auto}"
    ".nbsq pre i{font-style:normal;color:#fff}"
    ".nbsq summary{cursor:pointer}"
) + "".join(f".nbsq i[class^='{place}']{{background-color:{colour}}}" for place, colour in enumerate(COLOURS))
