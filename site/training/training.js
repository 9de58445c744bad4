/* The slider through training: a moment of a training run, the two maps that its model has there, and its point on the
   curve (book/when.ipynb).

   Everything was worked out before (site/training/export.py): this file paints maps, with parts/maps.js, and says in
   words what they show. Read it from top to bottom: words, the plots, the page. */
"use strict";

(() => {
  const { SIDE, loader, image: decode, bytes, floats, percent } = window.qgcMaps;
  const { newCanvas, paleOf, tintsOf, heatGradient, paintMap, paintOutlines, later } = window.qgcMaps;
  const load = loader(document.currentScript.src, "qgcTraining");

  // -- words --------------------------------------------------------------------------------------
  const passes = (count) =>
    count.includes("/") ? `${count} of a pass` : count === "1" ? "1 pass" : `${count} passes`;
  const signed = (value, digits = 2) => value.toFixed(digits).replace(/^-0\.0+$/, "0.00").replace("-", "−");
  const capital = (text) => text[0].toUpperCase() + text.slice(1);

  // What Yule's Y says of a pair, −1 to 1.
  const SEPARATES = [
    [-0.02, "separates the two questions, but the wrong way round"],
    [0.02, "does not separate the two questions"],
    [0.3, "separates the two questions a little"],
    [0.7, "separates the two questions clearly"],
    [Infinity, "separates the two questions almost completely"],
  ];
  const separates = (Y) => SEPARATES.find(([below]) => Y < below)[1];

  function alike({ cosine, a }, method) {
    if (method.startsWith("contrast")) return "each of their contrast maps is the other one’s negative";
    return `their ${NAMES[method] ?? method} maps have a cosine of ${signed(cosine)}`;
  }

  const NAMES = { "gate, n = 25": "gated" };
  const OPTIONS = { "gate, n = 25": "the paper’s gate, n = 25", "contrast, L1": "question contrast, L1" };

  const VERDICT = { 1: "higher than", 0.5: "as high as", 0: "lower than" };
  function ranked({ a, verdict }, [one, two]) {
    return (
      `The first question’s map ranks the ${one} ${VERDICT[verdict]} the second’s does (above the ${two} in ` +
      `${percent(a[0])} and ${percent(a[1])} of random pairs of their cells).`
    );
  }

  function sentence(moment, entry, method, things) {
    const sure = entry.sure ? "" : "; halves of the alterations disagree";
    const Y = `Y = ${signed(entry.Y)}${sure}`;
    const shown = entry.maps[method.number];
    const model = `After ${passes(moment.passes)} the model ${separates(entry.Y)} (${Y})`;
    return `${model}; ${alike(shown, method.name)}. ${ranked(shown, things)}`;
  }

  function saidBy([said, sure, probability], answer) {
    const own = `The model says ${said} (${Math.round(100 * sure)} %).`;
    return said === answer ? own : `${own} Explained: ${answer} (${Math.round(100 * probability)} %).`;
  }

  // -- the plots: places are percentages of the box --------------------------------------------------
  const LEFT = -0.2; // of the axis of Y; its right end is 1
  const along = (Y) => (100 * (Y - LEFT)) / (1 - LEFT);
  const up = (value) => 100 * (1 - value);
  const dot = (point, kind, radius) =>
    `<circle class="${kind}" cx="${along(point.x)}%" cy="${up(point.y)}%" r="${radius}"/>`;

  const ticks = (side, place) =>
    [0, 0.5, 1].map((value) => `<span style="${side}:${place(value)}%">${value}</span>`).join("");
  const plot = (name) => `
    <div class="qt-plot"><p data-at="${name}-title"></p>
      <div class="qt-up" aria-hidden="true">${ticks("top", up)}</div>
      <svg role="img" data-at="${name}"></svg>
      <div class="qt-along" aria-hidden="true">${ticks("left", along)}</div>
    </div>`;

  // All models' points, those of this run joined, its moment ringed. `points`: {name, x, y, run}.
  function drawPlot(svg, points, chance) {
    const run = points.filter((point) => point.run);
    const lines = run.slice(1).map((to, i) => {
      const from = run[i];
      return `<line class="qt-run" x1="${along(from.x)}%" y1="${up(from.y)}%" x2="${along(to.x)}%" y2="${up(to.y)}%"/>`;
    });
    svg.innerHTML = [
      chance ? `<line class="qt-chance" x1="0" x2="100%" y1="${up(0.5)}%" y2="${up(0.5)}%"/>` : "",
      ...points.filter((point) => !point.run).map((point) => dot(point, "qt-other", 3)),
      ...lines,
      ...run.map((point) => dot(point, "qt-run", 4)),
      run.length ? `<circle class="qt-ring" r="9"/>` : "",
    ].join("");
  }

  function moveRing(svg, point) {
    const ring = svg.querySelector(".qt-ring");
    if (!ring) return;
    ring.style.display = point ? "" : "none";
    if (!point) return;
    ring.style.cx = `${along(point.x)}%`;
    ring.style.cy = `${up(point.y)}%`;
  }

  // -- the page: what is on it ------------------------------------------------------------------------
  const choice = (name, label) => `<label>${label}<select name="${name}"></select></label>`;
  const canvas = (name) => `<canvas role="img" width="${SIDE}" height="${SIDE}" data-at="${name}"></canvas>`;
  const PAGE = `
    <form class="qt-fields" aria-label="What to look at" autocomplete="off">
      ${choice("cell", "Training run")} ${choice("scene", "Scene")} ${choice("method", "Map")}
    </form>
    <fieldset class="qx-n"><legend data-at="moment"></legend>
      <div class="qx-row"><button type="button" name="less" aria-label="One moment earlier">←</button>
        <div class="qx-slide"><input type="range" min="0" step="1" name="slide"
          aria-label="Passes over the training scenes"><div class="qx-ticks" data-at="ticks"></div></div>
        <button type="button" name="more" aria-label="One moment later">→</button></div>
    </fieldset>
    <p class="qt-sentence" data-at="sentence"></p>
    <div class="qt-maps">
      <figure class="qt-scene">${canvas("scene")}<figcaption data-at="about"></figcaption></figure>
      <figure class="qt-first">${canvas("map-0")}<figcaption><b data-at="question-0"></b>
        <span data-at="said-0"></span></figcaption></figure>
      <figure class="qt-second">${canvas("map-1")}<figcaption><b data-at="question-1"></b>
        <span data-at="said-1"></span></figcaption></figure>
    </div>
    <div class="qt-strip" data-at="strip"></div>
    <div class="qx-legend"><span>0</span><i data-at="heat" role="img"
      aria-label="Colors of the heat, from pale to dark"></i><span>1</span>
      <small>share of the map’s own maximum; solid: the queried object</small></div>
    <div class="qt-plots">${plot("cosine")}${plot("rga")}</div>
    <p class="qt-about" data-at="curve"></p>
    <p class="qt-about" data-at="recorded"></p>
    <p class="qgc-voice" aria-live="polite" data-at="voice"></p>`;

  async function start(root) {
    const data = await load("data");
    root.innerHTML = PAGE;
    const found = new Map([...root.querySelectorAll("[data-at]")].map((element) => [element.dataset.at, element]));
    const at = (name) => found.get(name);
    const control = Object.fromEntries([...root.querySelectorAll("[name]")].map((element) => [element.name, element]));
    const cells = Object.keys(data.cells);
    const last = data.moments.length - 1;
    const state = { cell: cells[0], scene: 0, method: 0, moment: 0 };
    const tints = tintsOf(floats(data.heat));
    const pales = new Map(); // by the image's address
    let shown = null; // the scene with its lines and its pale image, and what the run's models say of it
    let ticket = 0; // the latest choice; one that is still loading gives up

    const scenesOf = (cell) => data.scenes[cell.split("-")[0]];
    const method = () => ({ number: state.method, name: data.methods[state.method] });

    function offer(select, labels, value) {
      select.replaceChildren(...labels.map((label, i) => new Option(label, i, false, i === value)));
    }

    // -- what a choice changes --
    async function choose() {
      const mine = ++ticket;
      const scene = scenesOf(state.cell)[state.scene];
      const picture = await decode(scene.picture);
      if (mine !== ticket) return;
      if (!pales.has(scene.picture)) pales.set(scene.picture, paleOf(picture));
      const paths = scene.outlines.map((outline) => new Path2D(outline));
      const line = (k, dashed) => ({ path: paths[k], colour: data.outlines[k], dashed });
      const lines = [0, 1].map((k) => {
        const drawn = newCanvas(SIDE);
        paintOutlines(drawn.getContext("2d"), [line(1 - k, true), line(k)]);
        return drawn;
      });
      shown = { scene, lines, pale: pales.get(scene.picture), entries: data.cells[state.cell][state.scene] };
      const scenes = scenesOf(state.cell).map(({ things }) => things.join(" and "));
      const labels = cells.map((cell) => data.labels[cell]);
      const methods = data.methods.map((name) => OPTIONS[name] ?? name);
      offer(control.cell, labels, cells.indexOf(state.cell));
      offer(control.scene, scenes, state.scene);
      offer(control.method, methods, state.method);
      const context = at("scene").getContext("2d");
      context.drawImage(picture, 0, 0, SIDE, SIDE);
      paintOutlines(context, [line(0), line(1)]);
      at("scene").setAttribute("aria-label", `The scene: ${scene.about}.`);
      at("about").textContent = `${capital(scene.about)}. Both answers: ${scene.answer}.`;
      scene.questions.forEach((question, k) => (at(`question-${k}`).textContent = question));
      drawPlots();
      paint();
    }

    function drawPlots() {
      const { of, split } = data.curve;
      const own = (i) => `${state.cell}-seed${data.seed}-${data.moments[i].step}`;
      const run = data.moments.map((_, i) => own(i));
      for (const [name, column] of [
        ["cosine", 1],
        ["rga", 2 + state.method],
      ]) {
        const points = [...Object.keys(of).filter((key) => !run.includes(key)), ...run]
          .filter((key) => of[key]?.[0] != null && of[key][column] != null)
          .map((key) => ({ key, x: of[key][0], y: of[key][column], run: run.includes(key) }));
        drawPlot(at(name), points, name === "rga");
        shown[name] = run.map((key) => points.find((point) => point.key === key));
      }
      at("cosine-title").textContent = "Cosine of the Grad-CAM maps";
      at("rga-title").textContent = `Rank grounding accuracy: ${OPTIONS[data.methods[state.method]] ?? "Grad-CAM"}`;
      at("curve").textContent = split
        ? `Across: how far a model separates two questions itself (Yule’s Y, mean over ${split} pairs). A dot is a ` +
          "model; this training run’s are joined, and the moment shown has a ring. Dashed: one half, chance."
        : "Nothing of protocol 2 is measured yet. Once it is, each model is a dot here: across, how far it separates " +
          "two questions itself (Yule’s Y); upward, how alike its maps are, and how often they follow the question.";
    }

    // -- what a step of the slider changes --
    function paint() {
      const { scene, entries, lines, pale } = shown;
      const entry = entries[state.moment];
      const moment = data.moments[state.moment];
      const { maps, a } = entry.maps[state.method];
      maps.forEach((map, k) => {
        paintMap(at(`map-${k}`).getContext("2d"), pale, bytes(map), tints, lines[k]);
        at(`map-${k}`).setAttribute("aria-label", mapInWords(k, a[k]));
        at(`said-${k}`).textContent = saidBy(entry.said[k], scene.answer);
      });
      at("moment").textContent = `After ${passes(moment.passes)} over the training scenes`;
      at("sentence").textContent = sentence(moment, entry, method(), scene.things);
      control.slide.value = state.moment;
      control.slide.setAttribute("aria-valuetext", passes(moment.passes));
      control.less.disabled = state.moment === 0;
      control.more.disabled = state.moment === last;
      for (const name of ["cosine", "rga"]) {
        const point = shown[name][state.moment];
        moveRing(at(name), point);
        at(name).setAttribute("aria-label", `${at(`${name}-title`).textContent}: ${pointInWords(point)}`);
      }
      say();
      root.dataset.steps = Number(root.dataset.steps ?? 0) + 1; // tests wait for it
    }

    function mapInWords(k, a) {
      const [one, two] = shown.scene.things;
      const ranks = `it ranks the ${one} above the ${two} in ${percent(a)} of random pairs of their cells`;
      return `Map for “${shown.scene.questions[k]}”: ${ranks}.`;
    }

    const pointInWords = (point) =>
      point ? `${signed(point.y)} at a separation of ${signed(point.x)}.` : "no point yet.";

    // Once a drag has ended.
    const say = later(600, () => (at("voice").textContent = at("sentence").textContent));

    // On paper nobody moves a slider: all moments, side by side.
    function paintStrip() {
      const { scene, entries, lines, pale } = shown;
      const figures = entries.map((entry, i) => {
        const figure = document.createElement("figure");
        const row = document.createElement("div");
        const { maps, cosine } = entry.maps[state.method];
        maps.forEach((map, k) => {
          const drawn = newCanvas(SIDE);
          paintMap(drawn.getContext("2d"), pale, bytes(map), tints, lines[k]);
          drawn.setAttribute("aria-label", scene.questions[k]);
          row.append(drawn);
        });
        const words = document.createElement("figcaption");
        const likeness = data.methods[state.method].startsWith("contrast") ? "" : `, cosine ${signed(cosine)}`;
        words.textContent = `${passes(data.moments[i].passes)}: Y = ${signed(entry.Y)}${likeness}`;
        figure.append(row, words);
        return figure;
      });
      at("strip").replaceChildren(...figures);
    }

    // -- events --
    function go(moment) {
      state.moment = Math.min(Math.max(moment, 0), last);
      paint();
    }

    for (const name of ["cell", "scene", "method"])
      control[name].addEventListener("change", () => {
        const value = Number(control[name].value);
        state[name] = name === "cell" ? cells[value] : value;
        choose();
      });
    control.slide.max = last;
    control.slide.addEventListener("input", () => go(Number(control.slide.value)));
    control.less.addEventListener("click", () => go(state.moment - 1));
    control.more.addEventListener("click", () => go(state.moment + 1));
    root.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
    window.addEventListener("beforeprint", paintStrip);
    at("ticks").replaceChildren(
      ...data.moments.map(({ passes: count }, i) => {
        const mark = document.createElement("button");
        Object.assign(mark, { type: "button", tabIndex: -1, textContent: count, title: passes(count) });
        mark.style.left = `${(100 * i) / last}%`;
        mark.addEventListener("click", () => go(i));
        return mark;
      }),
    );

    at("heat").style.background = heatGradient(floats(data.heat), data.paper);
    root.style.setProperty("--qt-first", data.outlines[0]);
    root.style.setProperty("--qt-second", data.outlines[1]);
    const waiting = Object.keys(data.labels).filter((cell) => !cells.includes(cell));
    at("recorded").textContent = waiting.length
      ? `Recorded so far: ${cells.map((cell) => data.labels[cell]).join("; ")}. Still to come: ` +
        `${waiting.map((cell) => data.labels[cell]).join("; ")}.`
      : "";
    await choose();
  }

  for (const root of document.querySelectorAll(".qgc-training"))
    start(root).catch((error) => {
      const problem = document.createElement("p");
      Object.assign(problem, { className: "qgc-problem", textContent: `The slider could not start: ${error.message}` });
      root.append(problem);
    });
})();
