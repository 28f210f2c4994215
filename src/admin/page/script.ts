/** Runs in the browser: takes the figures as they change, and draws the curves. Without it the page shows the figures of its loading. */
export const script = `
const figures = document.getElementById('figures');
const age = document.getElementById('age');
const section = document.getElementById('curves');
const plots = new Map();

function draw(id, at, values) {
  const place = document.getElementById(id);
  const data = [at, values];
  const known = plots.get(id);
  if (known) { known.setData(data); return; }
  const colour = getComputedStyle(document.body).color;
  const grid = getComputedStyle(section).borderTopColor;
  const axis = { stroke: colour, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 } };
  plots.set(id, new uPlot({
    width: place.clientWidth || 300, height: 180, legend: { show: false },
    // as all times of the page
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), 'Etc/UTC'), cursor: { drag: { x: false, y: false } },
    scales: { y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
    series: [{}, { stroke: colour, width: 1.5 }],
    axes: [axis, { ...axis, size: 60 }],
  }, data, place));
}

function show({ figures: text, time, curves }) {
  const isOpen = figures.querySelector('details')?.open;
  figures.innerHTML = text;
  const details = figures.querySelector('details');
  if (details && isOpen) details.open = true;
  age.textContent = 'as of ' + time + ' UTC';
  if (curves.at.length < 2) return;
  section.hidden = false;
  draw('payments', curves.at, curves.payments);
  draw('ev', curves.at, curves.evEther);
  draw('refusals', curves.at, curves.refusals);
}

const events = new EventSource('/events');
events.addEventListener('figures', (event) => show(JSON.parse(event.data)));
events.addEventListener('error', () => { age.textContent += ' (the signer does not answer now)'; });
addEventListener('resize', () => {
  for (const [id, plot] of plots) plot.setSize({ width: document.getElementById(id).clientWidth, height: 180 });
});
`;
