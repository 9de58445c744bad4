/* The neurons of the combine layer as dots to brush: which ones does the paper pick, and what is their map?
   (book/sensitivity.ipynb)

   A set's map is Σ g_j P_j over its neurons, worked out here for every set; qgc's closed form is the same sum. */
"use strict";

qgcPictures.part("neurons", async (root, data, index, tools) => {
  const { CELLS, floats, share, relu, neuronMaps, randomScores, ranking, running, mapOf } = window.qgcMaps;
  const { signed, whole, counted, later, mount, questions, onTheme, colour, sceneOf, peak } = tools;
  const DRAWS = 40; // random sets to compare with; of each the first n of a random ranking, so one draw does for all n
  const OTHERS = 1000; // seeds of those, far from those that the button draws

  // -- numbers --------------------------------------------------------------------------------------
  const c = floats(data.c);
  const P = neuronMaps(data.P);
  const size = c.length;
  const regions = data.regions.map(({ inside, area }) => ({ inside: floats(inside), area }));
  const anywhere = floats(data.anywhere);
  const total = (values) => values.reduce((sum, value) => sum + value, 0);
  const sides = data.asked.map((asked, k) => {
    const [u, sensitivity] = [floats(asked.u), floats(asked.sensitivity)];
    const g = c.map((value, j) => value * u[j]);
    const strength = g.map(Math.abs);
    const order = { paper: ranking(sensitivity), strong: ranking(strength) };
    const side = { k, u, sensitivity, g, strength, order, all: total(strength), margins: null };
    side.top = Math.max(
      ...mapOfSet(
        side,
        sensitivity.map(() => 1),
      ),
    );
    return side;
  });

  // The map before its ReLU of the neurons j with member[j].
  function mapOfSet(side, member) {
    const map = new Float64Array(CELLS);
    for (let j = 0; j < size; j++) {
      if (!member[j]) continue;
      for (let cell = 0; cell < CELLS; cell++) map[cell] += side.g[j] * P[j * CELLS + cell];
    }
    return map;
  }

  const shares = (map, k) => [k, 1 - k].map((i) => share(map, regions[i].inside, anywhere));
  const marginOf = (map, k) => shares(map, k).reduce((own, other) => own - other);

  // Margins of random sets of every size, a draw at a time, so that nobody waits.
  function drawRandomSets(side, then, draw = 0) {
    side.margins ??= [];
    const maps = running(ranking(randomScores(OTHERS + draw, size)), side.g, P);
    side.margins.push(Float32Array.from({ length: size }, (_, i) => marginOf(mapOf(maps, i + 1), side.k)));
    if (draw + 1 < DRAWS) setTimeout(drawRandomSets, 0, side, then, draw + 1);
    else then();
  }

  // -- axes: parts of the plot's width and height, 0 to 1 ---------------------------------------------
  const tallest = Math.max(...sides.flatMap(({ strength }) => [...strength]));
  const widest = Math.max(...sides.flatMap(({ sensitivity }) => [...sensitivity]));
  const DIGITS = [..."⁰¹²³⁴⁵⁶⁷⁸⁹"];
  const power = (exponent) => `10${exponent < 0 ? "⁻" : ""}${DIGITS[Math.abs(exponent)]}`;
  const [low, high] = [data.least, 1.3 * widest].map(Math.log10);
  const AXES = {
    sensitivity: {
      title: "∂A/∂q, the sensitivity",
      place: (side) => side.sensitivity.map((x) => (Math.log10(Math.max(x, data.least)) - low) / (high - low)),
      ticks: [0, 2, 4, 6, 8].map((step) => {
        const exponent = Math.round(low) + step;
        return [(exponent - low) / (high - low), step ? (exponent ? power(exponent) : "1") : `≤ ${power(exponent)}`];
      }),
      words: (part) => (part > 0 ? `10 to the ${signed(low + part * (high - low), 1)}` : "the least"),
    },
    u: {
      title: "u, the question branch",
      place: (side) => side.u.map((x) => (x + 1.04) / 2.08),
      ticks: [-1, -0.5, 0, 0.5, 1].map((u) => [(u + 1.04) / 2.08, signed(u, u % 1 ? 1 : 0)]),
      words: (part) => signed(2.08 * part - 1.04, 2),
    },
  };
  const ceiling = 1.05 * tallest;
  const spacing = [0.02, 0.05, 0.1, 0.2, 0.5].find((step) => ceiling / step < 5) ?? 1;
  const upTicks = Array.from({ length: Math.floor(ceiling / spacing) + 1 }, (_, i) => i * spacing);

  // -- the page ---------------------------------------------------------------------------------------
  const SETS = {
    paper: "most sensitive: the paper’s",
    strong: "strongest by |g|",
    random: "random",
    all: "all",
  };
  const bar = (name) => `<div class="qi-share"><span data-at="${name}-label"></span><strong data-at="${name}"></strong>
    <div aria-hidden="true"><i data-at="${name}-fill"></i><b data-at="${name}-even"></b></div></div>`;
  const edge = (name, words) =>
    `<label>${words}<input type="range" name="${name}" min="0" max="1" step="0.01"></label>`;
  const { at, control } = mount(
    root,
    `<form autocomplete="off">${questions(data)}
      <div class="qi-sets" role="group" aria-label="Sets of neurons">
        <label>n = <input type="number" name="n" min="1" max="${size}" step="1" inputmode="numeric"></label>
        ${Object.entries(SETS)
          .map(([name, words]) => `<button type="button" name="${name}">${words}</button>`)
          .join("")}
      </div></form>
    <p class="qi-says"><strong data-at="title"></strong> <span data-at="says"></span></p>
    <div class="qi-two">
      <div class="qi-left">
        <div class="qi-plot">
          <p>|g|: what the neuron adds to the map</p>
          <div class="qi-up" data-at="up" aria-hidden="true"></div>
          <div class="qi-field" data-at="field"><canvas role="img" width="920" height="640" data-at="plot"></canvas>
            <i data-at="brush" hidden></i></div>
          <div class="qi-along" data-at="along" aria-hidden="true"></div>
          <label class="qi-axis">across <select name="axis">
            ${Object.entries(AXES)
              .map(([key, { title }]) => `<option value="${key}">${title}</option>`)
              .join("")}
          </select></label>
        </div>
        <p class="qi-legend"><i class="qi-dot"></i> in the set <i class="qi-ringed"></i> the paper’s
          <span data-at="paper-n"></span>
          <span class="qi-how">Drag over the plot to choose a set, or use these:</span></p>
        <fieldset class="qi-edges"><legend class="qgc-voice">Edges of the brush</legend>
          ${edge("left", "from the left")}${edge("right", "to the right")}
          ${edge("bottom", "from below")}${edge("top", "to above")}</fieldset>
      </div>
      <div class="qi-right">
        <canvas role="img" width="448" height="448" data-at="map"></canvas>
        <p class="qi-strength" data-at="strength"></p>
        ${bar("own")}${bar("other")}
        <p class="qi-strength">The line: what an even map would have.</p>
      </div>
    </div>
    <p class="qgc-voice" aria-live="polite" data-at="voice"></p>`,
  );
  const EDGES = ["left", "right", "bottom", "top"];
  const FULL = { left: 0, right: 1, bottom: 0, top: 1 };
  const state = { k: 0, set: "paper", n: data.n, axis: "sensitivity", seed: 0, brush: { ...FULL } };
  const side = () => sides[state.k];
  const scene = await sceneOf(data, index);

  // -- which neurons are in the set ---------------------------------------------------------------------
  function members() {
    const now = side();
    if (state.set === "brush") {
      const { left, right, bottom, top } = state.brush;
      const across = AXES[state.axis].place(now);
      return now.strength.map((g, j) => {
        const up = g / ceiling;
        return Number(across[j] >= left && across[j] <= right && up >= bottom && up <= top);
      });
    }
    const order = state.set === "random" ? ranking(randomScores(state.seed, size)) : now.order[state.set];
    const member = new Float32Array(size).fill(Number(state.set === "all"));
    order?.subarray(0, state.n).forEach((j) => (member[j] = 1));
    return member;
  }

  // -- painting -------------------------------------------------------------------------------------------
  function paint() {
    const now = side();
    const member = members();
    const raw = mapOfSet(now, member);
    paintPlot(now, member);
    scene.paintHeat(at("map"), relu(raw), state.k);
    const n = total(member);
    const found = shares(raw, state.k);
    ["own", "other"].forEach((name, i) => {
      const k = i ? 1 - state.k : state.k;
      at(`${name}-label`).textContent = `on the ${data.things[k]}`;
      at(name).textContent = whole(found[i]);
      at(`${name}-fill`).style.width = `${100 * (found[i] || 0)}%`;
      at(`${name}-even`).style.left = `${100 * regions[k].area}%`;
      for (const part of ["fill", "label"]) at(`${name}-${part}`).dataset.question = k;
    });
    const top = Math.max(...raw);
    at("strength").textContent =
      top > 0 ? `Its highest value is ${tenths(top / now.top)} of the full Grad-CAM’s.` : "The map is empty.";
    at("title").textContent = `${titled(n)}.`;
    at("says").textContent = says(now, n, raw, total(now.strength.map((g, j) => g * member[j])));
    at("paper-n").textContent = state.n;
    control.n.value = state.n;
    control.axis.value = state.axis;
    for (const name of Object.keys(SETS)) control[name].setAttribute("aria-pressed", state.set === name);
    paintBrush();
    at("map").setAttribute("aria-label", `${titled(n)}: their map is strongest ${peak(raw)}.`);
    at("plot").setAttribute("aria-label", plotInWords(now));
    say();
    root.dataset.steps = Number(root.dataset.steps ?? 0) + 1; // tests wait for it
  }

  const tenths = (value) => `${(100 * value).toFixed(1)} %`;

  function titled(n) {
    const neurons = `${counted(n)} neuron${n === 1 ? "" : "s"}`;
    const kinds = { paper: "The paper’s set", strong: "The strongest", random: "Drawn at random", all: "Grad-CAM" };
    return `${kinds[state.set] ?? "Brushed"}: ${neurons}`;
  }

  function says(now, n, raw, held) {
    if (!n) return "Drag a larger box.";
    const holds = `They hold ${tenths(held / now.all)} of Σ|g|, and as many random ones ${tenths(n / size)}.`;
    const found = shares(raw, state.k);
    if (Number.isNaN(found[0])) return `${holds} Their map is empty.`;
    const [own, other] = [state.k, 1 - state.k].map((k, i) => `${whole(found[i])} is on the ${data.things[k]}`);
    return `${holds} Of their map, ${own} and ${other}${luck(now, n, found[0] - found[1])}`;
  }

  function luck(now, n, margin) {
    if (n === size) return ".";
    if (now.margins?.length !== DRAWS) return "; random sets are being compared …";
    const worse = now.margins.filter((ofSize) => !(ofSize[n - 1] >= margin)).length;
    return `; the difference is larger than in ${worse} of ${DRAWS} random sets of this size.`;
  }

  function paintPlot(now, member) {
    const canvas = at("plot");
    const context = canvas.getContext("2d");
    const { width, height } = canvas;
    const across = AXES[state.axis].place(now);
    const inks = ["--qgc-muted", "--qi-plus", "--qgc-text"].map((name) => colour(root, name));
    const dot = (j, radius) => {
      context.beginPath();
      context.arc(width * across[j], height * (1 - now.strength[j] / ceiling), radius, 0, 2 * Math.PI);
    };
    context.clearRect(0, 0, width, height);
    for (const chosen of [0, 1]) {
      context.fillStyle = inks[chosen];
      context.globalAlpha = chosen ? 0.9 : 0.4;
      for (let j = 0; j < size; j++) {
        if (member[j] !== chosen) continue;
        dot(j, chosen ? 6 : 4.5);
        context.fill();
      }
    }
    context.globalAlpha = 1;
    context.strokeStyle = inks[2];
    context.lineWidth = 2.5;
    for (const j of now.order.paper.subarray(0, state.n < size ? state.n : 0)) {
      dot(j, 10);
      context.stroke();
    }
  }

  function paintBrush() {
    const shown = state.set === "brush";
    const { left, right, bottom, top } = state.brush;
    const box = at("brush");
    box.hidden = !shown;
    Object.assign(box.style, {
      left: `${100 * left}%`,
      right: `${100 * (1 - right)}%`,
      bottom: `${100 * bottom}%`,
      top: `${100 * (1 - top)}%`,
    });
    for (const name of EDGES) {
      const value = state.brush[name];
      control[name].value = value;
      const words = ["left", "right"].includes(name) ? AXES[state.axis].words(value) : signed(value * ceiling, 2);
      control[name].setAttribute("aria-valuetext", words);
    }
  }

  function paintAxes() {
    const mark = (place, words, edge) => {
      const label = document.createElement("span");
      label.textContent = words;
      label.style[edge] = `${100 * place}%`;
      return label;
    };
    at("along").replaceChildren(...AXES[state.axis].ticks.map(([place, words]) => mark(place, words, "left")));
    at("up").replaceChildren(...upTicks.map((g) => mark(g / ceiling, signed(g, g ? 2 : 0), "bottom")));
  }

  function plotInWords(now) {
    const mean = (order) => signed(total([...order].map((j) => now.strength[j])) / order.length);
    const [paper, rest] = [now.order.paper.subarray(0, state.n), now.order.paper.subarray(state.n)];
    const others = rest.length ? `, the others ${mean(rest)}` : "";
    return `${counted(size)} neurons. The ${state.n} most sensitive have a mean |g| of ${mean(paper)}${others}.`;
  }

  const say = later(700, () => {
    const found = [at("own-label"), at("own"), at("other-label"), at("other")].map((element) => element.textContent);
    at("voice").textContent = `${at("title").textContent} ${at("says").textContent} ${found.join(" ")}.`;
  });

  // -- events -----------------------------------------------------------------------------------------------
  function ask(k) {
    state.k = k;
    if (!side().margins) drawRandomSets(side(), paint);
    paint();
  }

  for (const radio of root.querySelectorAll("[name=question]"))
    radio.addEventListener("change", () => ask(Number(radio.value)));
  for (const name of Object.keys(SETS))
    control[name].addEventListener("click", () => {
      if (name === "random" && state.set === name) state.seed = (state.seed + 1) % OTHERS;
      Object.assign(state, { set: name, brush: { ...FULL } });
      paint();
    });
  control.n.addEventListener("input", () => {
    const n = Math.round(Number(control.n.value));
    if (!(n >= 1 && n <= size)) return;
    state.n = n;
    if (["all", "brush"].includes(state.set)) Object.assign(state, { set: "paper", brush: { ...FULL } });
    paint();
  });
  control.n.addEventListener("change", () => (control.n.value = state.n));
  control.axis.addEventListener("change", () => {
    state.axis = control.axis.value;
    if (state.set === "brush") Object.assign(state, { set: "paper", brush: { ...FULL } });
    paintAxes();
    paint();
  });
  for (const name of EDGES)
    control[name].addEventListener("input", () => {
      const opposite = { left: "right", right: "left", bottom: "top", top: "bottom" }[name];
      const limit = ["left", "bottom"].includes(name) ? Math.min : Math.max;
      state.brush[name] = limit(Number(control[name].value), state.brush[opposite]);
      state.set = "brush";
      paint();
    });

  const field = at("field");
  let anchor = null; // where a drag began
  const place = ({ clientX, clientY }) => {
    const box = field.getBoundingClientRect();
    const part = (value) => Math.min(Math.max(value, 0), 1);
    return [part((clientX - box.left) / box.width), part(1 - (clientY - box.top) / box.height)];
  };
  field.addEventListener("pointerdown", (event) => {
    anchor = place(event);
    field.setPointerCapture(event.pointerId);
  });
  field.addEventListener("pointermove", (event) => {
    if (!anchor) return;
    const [x, y] = place(event);
    if (Math.hypot(x - anchor[0], y - anchor[1]) < 0.02) return; // a tap
    const [left, right] = [x, anchor[0]].sort((a, b) => a - b);
    const [bottom, top] = [y, anchor[1]].sort((a, b) => a - b);
    Object.assign(state, { set: "brush", brush: { left, right, bottom, top } });
    paint();
  });
  for (const name of ["pointerup", "pointercancel"]) field.addEventListener(name, () => (anchor = null));
  onTheme(paint);

  paintAxes();
  ask(0);
  return "Which neurons does the paper pick?";
});
