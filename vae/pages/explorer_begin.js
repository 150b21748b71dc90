// The explorer: reads what the page carries, connects the controls, and begins. It is the last of the scripts.

// ---- Begin ----

function prepareControls() {
  const draw = (z) => { halt(); moveTo(z); };
  byId("to-mean").addEventListener("click", () => draw(state.posterior.mean));
  byId("to-sample").addEventListener("click", () => draw(state.posterior.mean.map((m, k) => m + Math.exp(state.posterior.logvar[k] / 2) * normal(Math.random))));
  byId("to-prior").addEventListener("click", () => draw(state.z.map(() => normal(Math.random))));
  byId("stop").addEventListener("click", halt);
  for (const id of ["map-x", "map-y"]) byId(id).addEventListener("change", placeMap);
  byId("map-colour").addEventListener("change", () => { buildLegend(); drawMap(); });
  byId("manifold").addEventListener("change", () => { state.manifoldIsOld = true; refreshRest(); });
  const map = byId("map");
  onDrag(map, (event) => {
    const box = map.getBoundingClientRect();
    goOnMap([((event.clientX - box.left) / box.width) * 2 - 1, 1 - ((event.clientY - box.top) / box.height) * 2].map((v) => v * state.mapReach));
  });
  map.addEventListener("keydown", (event) => {
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!direction) return;
    event.preventDefault();
    const [x, y] = onPlane(state.z), step = event.shiftKey ? 0.5 : 0.1;
    goOnMap([x + step * direction[0], y + step * direction[1]]);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") halt(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawMap);
  addEventListener("resize", drawMap);
}

async function begin() {
  if (typeof DecompressionStream === "undefined") throw new Error("This page needs a browser of 2023 or later.");
  const images = readImages(await carriedBytes("images"));
  images.forEach((x, i) => wall.push({ x, label: data.images.labels ? data.images.labels[i] : null }));
  for (const [i, plain] of data.models.entries()) models.push(readModel(plain, await carriedBytes(`model${i}`), data.shape, data.map.count));
  const reach = Math.ceil(Math.max(4, ...models.map(({ points }) => points.reduce((largest, v) => Math.max(largest, Math.abs(v)), 0))));
  state = { reach, model: 0, x: wall[0].x, name: "", wallIndex: 0, held: new Set(), animated: null, latencies: [], expected: null, markRows: false, own: null };
  byId("difference-caption").textContent = channels === 1 ? "Orange: x has more. Blue: the decoded image has more." : "Grey: no difference.";
  for (const id of ["original", "decoded", "small-original", "difference"]) byId(id).style.aspectRatio = `${width} / ${height}`;
  compared = buildModels();
  wallButtons = buildWall();
  prepareSources();
  prepareControls();
  setModel(0);
  chooseWall(0);
  // For the console of the browser, and for tests: the numbers behind the pixels.
  window.explorer = { data, models, wall, encode, decode, get state() { return state; }, pixels: (one, z) => pixelMeans(one, decode(one, z)), distortion: (one, x, z) => distortionOf(one, x, decode(one, z)) };
  document.documentElement.dataset.ready = "true";
}

begin().catch((error) => {
  byId("failure").textContent = error.message;
  byId("failure").classList.remove("hidden");
  throw error;
});
