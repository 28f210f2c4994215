/** What the operator's page looks like, on a phone too, by day and by night. */
export const styleSheet = `
:root { color-scheme: light dark; --back: #fff; --fore: #1a1a1a; --soft: #595959; --line: #d0d0d0; --good: #0a6b2c; --bad: #b00020; --panel: #f6f6f6; }
@media (prefers-color-scheme: dark) {
  :root { --back: #121212; --fore: #ececec; --soft: #b0b0b0; --line: #3c3c3c; --good: #6fdc8c; --bad: #ff8a80; --panel: #1e1e1e; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; background: var(--back); color: var(--fore); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.25rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
header p, small, figcaption { color: var(--soft); margin: 0; }
section { background: var(--panel); border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; margin: .75rem 0; }
.good { color: var(--good); } .bad { color: var(--bad); }
.notice { border-left: .25rem solid var(--good); padding-left: .75rem; }
code { font-size: .9em; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .75rem .3rem 0; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--soft); font-weight: 600; white-space: nowrap; }
dl { margin: 0; } dl > div { display: grid; grid-template-columns: minmax(9rem, 15rem) 1fr; gap: .75rem; } dd { margin: 0; overflow-wrap: anywhere; } dt { color: var(--soft); }
dl.facts { font-size: .9em; } dl.facts > div { grid-template-columns: minmax(6rem, 13rem) 1fr; } dt { overflow-wrap: anywhere; }
meter { width: 6rem; max-width: 100%; }
a { color: inherit; }
.hash { font-size: .75em; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 0; min-width: 0; }
label { display: block; margin: .5rem 0; } input[name=reason] { width: 100%; max-width: 32rem; font: inherit; padding: .3rem; }
button { font: inherit; padding: .4rem .9rem; } .danger { background: #b00020; color: #fff; border: 0; border-radius: .25rem; }
summary { cursor: pointer; }
@media (max-width: 36rem) { dl > div, dl.facts > div { display: block; margin-bottom: .3rem; } }
`;
