"""The report page's style sheet: one column, system fonts, light and dark, tables that stack when narrow.

Read `STYLE`. May import nothing.
"""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--ink:#1f2328;--soft:#59636e;--page:#ffffff;--card:#f6f8fa;--line:#d1d9e0;
--blue:#0a5ea8;--orange:#9a4a00;--orange-soft:#fff3e6;--pink:#96175f;--pink-soft:#fdeaf4;--green:#1a6b34;
--green-soft:#e8f6ec;--mark:#fff3c4}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#a0abb7;
--page:#14181d;--card:#1b2128;--line:#343d47;
--blue:#79b8f2;--orange:#f0a04b;--orange-soft:#33240f;--pink:#ff8ac4;--pink-soft:#3a1530;--green:#6fce8b;
--green-soft:#11301c;--mark:#40360f}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:68rem;margin:0 auto;padding:2rem 1.25rem 4rem}
code,pre,.at,.shape{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:.86em}
h1{margin:.1rem 0 .4rem;font-size:1.7rem;overflow-wrap:anywhere}
h2{margin:2.4rem 0 .8rem;font-size:1.2rem}
h3{margin:0 0 .5rem;font-size:1rem}
h3 code{font-size:1em}
p{margin:.4rem 0;overflow-wrap:anywhere}
.over{margin:0;color:var(--soft);letter-spacing:.04em}
.lead{font-size:1.05rem}
.error{margin-top:1rem;padding:.7rem 1rem;border-left:4px solid var(--pink);background:var(--pink-soft)}
article{margin:0 0 1rem;padding:.9rem 1.1rem;border:1px solid var(--line);border-radius:8px;
background:var(--card)}
.mistake{border-left:4px solid var(--orange)}
.todo::before{content:"To do: ";font-weight:600}
.at{display:flex;flex-wrap:wrap;gap:.1rem .8rem;margin:.25rem 0}
.at span{color:var(--soft)}
.at code{font-size:1em;overflow-wrap:anywhere}
.note,footer{color:var(--soft);font-size:.88rem}
.shape{color:var(--soft);font-weight:normal}
.badge,.kind{display:inline-block;padding:.05rem .5rem;border-radius:1rem;font-size:.8rem;font-weight:600;
background:var(--orange-soft);color:var(--orange);white-space:nowrap}
.badge.healthy,.kind.Flows{background:var(--green-soft);color:var(--green)}
.badge.non-finite,.kind.NonFinite{background:var(--pink-soft);color:var(--pink)}
table{width:100%;border-collapse:collapse;font-size:.92rem}
th{padding:.3rem .6rem;text-align:left;color:var(--soft);font-weight:600;font-size:.82rem;
border-bottom:1px solid var(--line)}
td{padding:.45rem .6rem;vertical-align:top;border-bottom:1px solid var(--line)}
tbody tr:last-child td{border-bottom:0}
td p:first-child{margin-top:0}
td p:last-child{margin-bottom:0}
.rows td:nth-child(2),.rows td:nth-child(3){overflow-wrap:anywhere}
.rows td:nth-child(2){width:20%}.rows td:nth-child(3){width:26%}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.wide{overflow-x:auto;border:1px solid var(--line);border-radius:8px}
.flow td{padding:.25rem .6rem}
details{margin-top:.4rem}
summary{cursor:pointer;color:var(--blue)}
pre{margin:.4rem 0;overflow-x:auto}
details pre{padding:.6rem .8rem;border:1px solid var(--line);border-radius:6px;background:var(--page);
white-space:pre-wrap;overflow-wrap:anywhere}
.drawing div{margin-top:.6rem;overflow:auto;max-height:85vh;border:1px solid var(--line);border-radius:8px}
.drawing svg{display:block;margin:0 auto;max-width:none}
.source{padding:.8rem 0;border:1px solid var(--line);border-radius:8px;background:var(--card);
line-height:1.55}
.source span,.source mark{display:inline-block;min-width:100%;padding:0 1rem;color:inherit;background:none}
.source mark{background:var(--mark)}
.source b{color:var(--soft);font-weight:normal}
.source i{padding:0 1rem;color:var(--soft)}
footer{margin-top:3rem;padding-top:1rem;border-top:1px solid var(--line)}
@media (max-width:640px){
main{padding:1.2rem .8rem 3rem}
article{padding:.8rem}
table:not(.flow) thead{display:none}
table:not(.flow) tr{display:block;padding:.5rem 0;border-bottom:1px solid var(--line)}
table:not(.flow) tr:last-child{border-bottom:0}
table:not(.flow) td,.rows td:nth-child(n){display:block;width:auto;padding:.15rem 0;border:0}
td:empty{display:none!important}
table:not(.flow) td::before{content:attr(data-label);display:block;color:var(--soft);font-size:.75rem}
}
""".strip()

__all__ = ["STYLE"]
