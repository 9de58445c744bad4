/* Forward and back through the model, a step at a time; pointing at a neuron shows its own map (book/model.ipynb).

   Everything shown is worked out here from what export.py wrote of both questions: u, v, ∂A/∂q, ∂y/∂A, α. */
"use strict";

qgcPictures.part("pass", async (root, data, index, tools) => {
  const { CELLS, SIDE, image: decode, floats, cosine, relu, neuronMaps, ranking, newCanvas } = window.qgcMaps;
  const { signed, whole, counted, later, mount, questions, onTheme, colour, paintCells, sceneOf, peak } = tools;
  const ACROSS = 32; // neurons in a row
  const SATURATED = 0.9; // as in the chapter

  // -- numbers --------------------------------------------------------------------------------------
  const v = floats(data.v);
  const c = floats(data.c);
  const P = neuronMaps(data.P);
  const size = v.length;
  const product = (a, b) => a.map((value, j) => value * b[j]);
  const part = (values, holds) => values.reduce((sum, value) => sum + Number(holds(value)), 0) / values.length;
  const placesOf = (scores) => {
    const places = new Uint16Array(scores.length);
    ranking(scores).forEach((j, place) => (places[j] = place + 1));
    return places;
  };
  const sides = data.asked.map((asked, k) => {
    const [u, q, sensitivity, alpha] = [asked.u, asked.q, asked.sensitivity, asked.alpha].map(floats);
    const g = product(c, u);
    const size = g.map(Math.abs);
    const places = { g: placesOf(size), sensitivity: placesOf(sensitivity) };
    const order = { g: ranking(size), sensitivity: ranking(sensitivity) };
    const map = floats(asked.map);
    return { ...asked, thing: data.things[k], u, q, v, A: product(u, v), g, sensitivity, alpha, map, places, order };
  });
  const alike = Object.fromEntries(
    ["u", "A", "g", "alpha"].map((name) => [name, cosine(sides[0][name], sides[1][name])]),
  );
  alike.map = cosine(relu(sides[0].map), relu(sides[1].map));
  const near = (name) => signed(alike[name], 2);
  const ownMap = (side, j) => P.subarray(j * CELLS, (j + 1) * CELLS).map((value) => side.g[j] * value);

  // -- the steps --------------------------------------------------------------------------------------
  const K = sides[0].alpha.length;
  const answer = `“${data.answer}”`;
  const STEPS = [
    {
      title: "A question and an image",
      panels: ["question", "image"],
      says: (side) => `“${capital(side.words.join(" "))}?” and ${data.about}. They take separate ways until step 6.`,
    },
    {
      title: "q, the question as numbers",
      panels: ["question", "q"],
      says: (side) =>
        `An LSTM reads the ${side.words.length} words, one after the other. What it keeps after the last one is q: ` +
        `${side.q.length} numbers.`,
    },
    {
      title: "u, the question branch",
      panels: ["q", "u"],
      says: (side) =>
        `u = tanh(W<sub>q</sub> q + b<sub>q</sub>), a number for each of ${counted(size)} neurons. ` +
        `${whole(part(side.u, (x) => Math.abs(x) > SATURATED))} of them are beyond ±${SATURATED}: it sets signs.`,
    },
    {
      title: "F, the feature maps",
      panels: ["image", "F"],
      says: () =>
        `The CNN turns the image into ${K} feature maps of 14×14 cells; ${whole(data.active)} of all cells are above ` +
        `zero. This is the last layer that knows where something is.`,
    },
    {
      title: "v, the image branch",
      panels: ["F", "v"],
      says: () =>
        `Two more layers and v = tanh(W<sub>i</sub> f/‖f‖ + b<sub>i</sub>): again ${counted(size)} numbers, ` +
        `made without the question.`,
    },
    {
      title: "A, the combine layer",
      panels: ["u", "v", "A"],
      says: () => "A = u ∘ v, neuron by neuron. The question meets the image here, and nowhere else.",
    },
    {
      title: "y, the answers’ scores",
      panels: ["A", "y"],
      says: (side) =>
        `A linear layer gives each answer a score. The most probable answer is “${side.likely[0][0]}” ` +
        `(${whole(side.likely[0][1])}).`,
    },
    {
      title: `g, the gradient of ${answer}`,
      panels: ["y", "u", "g"],
      says: () =>
        `Now back, from the score of ${answer}: the gradient at v is g = W<sub>o</sub>[${data.answer}] ∘ u. That row ` +
        `of W<sub>o</sub> depends on the answer alone, so the question enters through u only.`,
    },
    {
      title: "α, the feature maps’ weights",
      panels: ["g", "alpha"],
      says: () =>
        `Further back, each of the ${K} feature maps gets one weight α: a sum over all ${counted(size)} neurons.`,
    },
    {
      title: "The map",
      panels: ["F", "alpha", "map"],
      says: (side) =>
        `The feature maps times their weights, added up, negative cells set to zero: Grad-CAM for ${answer}. It is ` +
        `strongest ${peak(side.map)}.`,
    },
    {
      title: "What the other question changes",
      panels: ["u", "A", "g", "alpha", "map"],
      says: () =>
        `Cosine between the two questions: u ${near("u")}, A ${near("A")}, g ${near("g")}, α ${near("alpha")}, ` +
        `map ${near("map")}. The questions differ most at g; the sums that follow make them alike again.`,
    },
  ];

  // -- the page ---------------------------------------------------------------------------------------
  function capital(text) {
    return text[0].toUpperCase() + text.slice(1);
  }

  const panel = (name, title, inner) =>
    `<figure class="qi-panel qi-at-${name}" data-panel="${name}"><figcaption>${title}</figcaption>${inner}</figure>`;
  const canvas = (name, side = 1) => `<canvas role="img" width="${side}" height="${side}" data-at="${name}"></canvas>`;
  const grid = (name) =>
    `<div class="qi-grid" data-grid="${name}">${canvas(name)}<i data-at="ring-${name}" aria-hidden="true"></i></div>`;
  const arrow = (place, sign) => `<b class="qi-arrow qi-at-${place}" aria-hidden="true">${sign}</b>`;
  const { at, control } = mount(
    root,
    `<form autocomplete="off">${questions(data)}</form>
    <div class="qi-stepper" role="group" aria-label="Steps">
      <button type="button" name="back">← Back</button>
      <ol>${STEPS.map(
        ({ title }, i) =>
          `<li><button type="button" data-step="${i}" aria-label="Step ${i + 1}: ${title}">${i + 1}</button></li>`,
      ).join("")}</ol>
      <button type="button" name="next">Next →</button>
    </div>
    <p class="qi-says" aria-live="polite"><strong data-at="title"></strong> <span data-at="says"></span></p>
    <div class="qi-flow" data-at="flow">
      ${panel("question", "question", '<p data-at="question"></p>')} ${arrow("to-q", "→")}
      ${panel("q", "q", canvas("q"))} ${arrow("to-u", "→")}
      ${panel("u", "u", grid("u"))} ${arrow("u-to-A", "↘")}
      ${panel("image", "image", canvas("image", 224))} ${arrow("to-F", "→")}
      ${panel("F", `F: ${K} maps`, canvas("F"))} ${arrow("to-v", "→")}
      ${panel("v", "v", grid("v"))} ${arrow("v-to-A", "↗")}
      ${panel("A", "A = u ∘ v", grid("A"))} ${arrow("to-y", "↓")}
      ${panel("y", "y: the answers", '<ul data-at="y"></ul>')} ${arrow("to-g", "←")}
      ${panel("g", "g, back at v", grid("g"))} ${arrow("to-alpha", "←")}
      ${panel("alpha", `α: ${K} weights`, canvas("alpha"))} ${arrow("to-map", "←")}
      ${panel("map", "map", canvas("map", SIDE))}
    </div>
    <p class="qi-legend"><i class="qi-minus"></i> negative <i class="qi-plus"></i> positive.
      <span class="qi-how">In u, v, A and g a cell is a neuron: point at one, or tap it.</span></p>
    <section class="qi-neuron" aria-labelledby="qi-neuron-title">
      <h4 id="qi-neuron-title">One neuron’s own map</h4>
      ${canvas("own", SIDE)}
      <div>
        <div class="qi-pick"><label>Neuron <input type="number" name="neuron" min="0" max="${size - 1}" step="1"
          inputmode="numeric"></label>
          <button type="button" name="strong">Next by |g|</button>
          <button type="button" name="sensitive">Next by ∂A/∂q</button></div>
        <dl data-at="facts"></dl>
        <p data-at="words"></p>
      </div>
    </section>
    <ol class="qi-all" data-at="all"></ol>
    <p class="qgc-voice" aria-live="polite" data-at="voice"></p>`,
  );
  const panels = [...root.querySelectorAll("[data-panel]")];
  const state = { step: 0, k: 0, neuron: sides[0].order.g[0] };
  const side = () => sides[state.k];
  const scene = await sceneOf(data, index);
  const mosaic = await decode(data.F);

  // -- what a question changes ----------------------------------------------------------------------------
  function paintQuestion() {
    const now = side();
    const top = (values) => Math.max(...values.map(Math.abs));
    at("question").replaceChildren(
      ...now.words.map((word) => Object.assign(document.createElement("span"), { textContent: word })),
    );
    paintCells(at("q"), now.q, 32, Math.max(...sides.map(({ q }) => top(q))), root);
    for (const name of ["u", "v", "A"]) paintCells(at(name), now[name], ACROSS, 1, root);
    paintCells(at("g"), now.g, ACROSS, top(c), root);
    paintCells(at("alpha"), now.alpha, data.across, Math.max(...sides.map(({ alpha }) => top(alpha))), root);
    paintMosaic();
    scene.paintHeat(at("map"), now.map, state.k);
    at("y").replaceChildren(
      ...now.likely.map(([words, probability]) => {
        const bar = document.createElement("li");
        bar.style.setProperty("--part", probability);
        bar.textContent = `${words} ${whole(probability)}`;
        return bar;
      }),
    );
    const labels = {
      q: `q: ${now.q.length} numbers.`,
      u: `u: ${whole(part(now.u, (x) => x > 0))} positive.`,
      v: `v: ${whole(part(v, (x) => x > 0))} positive.`,
      A: `A: ${whole(part(now.A, (x) => x > 0))} positive.`,
      g: `g: ${whole(part(now.g, (x) => x > 0))} positive.`,
      alpha: `α: ${whole(part(now.alpha, (x) => x > 0))} of the weights are positive.`,
      map: `Grad-CAM for “${data.questions[state.k]}”, strongest ${peak(now.map)}.`,
      F: `The ${K} feature maps, ${data.across} in a row.`,
      image: `The scene: ${data.about}.`,
    };
    for (const [name, words] of Object.entries(labels)) at(name).setAttribute("aria-label", words);
    at("all").replaceChildren(
      ...STEPS.map(({ title, says }) =>
        Object.assign(document.createElement("li"), { innerHTML: `${title}. ${says(now)}` }),
      ),
    );
    paintStep();
    paintNeuron();
  }

  // The mosaic's brightness as the strength of the color of positive numbers.
  function paintMosaic() {
    const [ink, read] = [at("F"), newCanvas(mosaic.width)];
    [ink.width, ink.height, read.height] = [mosaic.width, mosaic.height, mosaic.height];
    const context = read.getContext("2d", { willReadFrequently: true });
    context.drawImage(mosaic, 0, 0);
    const image = context.getImageData(0, 0, read.width, read.height);
    for (let i = 0; i < image.data.length; i += 4) image.data[i + 3] = Math.min(2 * image.data[i], 255);
    context.putImageData(image, 0, 0);
    const front = ink.getContext("2d");
    front.drawImage(read, 0, 0);
    front.globalCompositeOperation = "source-in";
    front.fillStyle = colour(root, "--qi-plus");
    front.fillRect(0, 0, ink.width, ink.height);
  }

  // -- what a step changes ----------------------------------------------------------------------------------
  function paintStep() {
    const { title, says, panels: active } = STEPS[state.step];
    const reached = new Set(STEPS.slice(0, state.step + 1).flatMap((step) => step.panels));
    for (const element of panels) {
      const name = element.dataset.panel;
      element.classList.toggle("qi-now", active.includes(name));
      element.classList.toggle("qi-later", !reached.has(name));
    }
    for (const button of root.querySelectorAll("[data-step]"))
      button.setAttribute("aria-current", Number(button.dataset.step) === state.step ? "step" : "false");
    at("flow").dataset.count = active.length;
    at("title").textContent = `${state.step + 1}. ${title}.`;
    at("says").innerHTML = says(side());
    control.back.setAttribute("aria-disabled", state.step === 0);
    control.next.setAttribute("aria-disabled", state.step === STEPS.length - 1);
    root.dataset.steps = Number(root.dataset.steps ?? 0) + 1; // tests wait for it
  }

  function go(step) {
    state.step = Math.min(Math.max(step, 0), STEPS.length - 1);
    paintStep();
  }

  // -- what a neuron changes --------------------------------------------------------------------------------
  function paintNeuron() {
    const [now, j] = [side(), state.neuron];
    const own = ownMap(now, j);
    scene.paintSigns(at("own"), own);
    const strong = own.map(Math.abs);
    at("own").setAttribute("aria-label", `The own map of neuron ${j}, strongest ${peak(strong)}.`);
    const rows = [
      ["u", signed(now.u[j])],
      ["v", signed(v[j])],
      ["A = u·v", signed(now.A[j])],
      ["g", `${signed(now.g[j])} (rank ${counted(now.places.g[j])} by size)`],
      ["∂A/∂q", `${signed(now.sensitivity[j])} (rank ${counted(now.places.sensitivity[j])})`],
    ];
    at("facts").innerHTML = rows.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join("");
    const away = now.g[j] * sides[1 - state.k].g[j] < 0 ? "turned round" : "of the same sign";
    at("words").textContent =
      `Orange adds to the map for ${answer}, blue subtracts. Under the other question its map is ${away}. The maps ` +
      `of all ${counted(size)} neurons add up to the map of step 10.`;
    control.neuron.value = j;
    for (const name of ["u", "v", "A", "g"]) {
      const ring = at(`ring-${name}`);
      ring.style.left = `${(100 * (j % ACROSS)) / ACROSS}%`;
      ring.style.top = `${(100 * Math.floor(j / ACROSS)) / Math.ceil(size / ACROSS)}%`;
    }
    say();
  }

  const say = later(700, () => {
    const [now, j] = [side(), state.neuron];
    at("voice").textContent =
      `Neuron ${j}: u ${signed(now.u[j])}, v ${signed(v[j])}, g ${signed(now.g[j])}, its map is strongest ` +
      `${peak(ownMap(now, j).map(Math.abs))}.`;
  });

  function pick(j) {
    if (!(j >= 0 && j < size) || j === state.neuron) return;
    state.neuron = j;
    paintNeuron();
  }

  // -- events -----------------------------------------------------------------------------------------------
  for (const radio of root.querySelectorAll("[name=question]"))
    radio.addEventListener("change", () => {
      state.k = Number(radio.value);
      paintQuestion();
    });
  control.back.addEventListener("click", () => go(state.step - 1));
  control.next.addEventListener("click", () => go(state.step + 1));
  for (const button of root.querySelectorAll("[data-step]"))
    button.addEventListener("click", () => go(Number(button.dataset.step)));
  for (const element of root.querySelectorAll("[data-grid]")) {
    const point = ({ clientX, clientY }) => {
      const box = element.getBoundingClientRect();
      const cell = (at, length, cells) => Math.min(Math.max(Math.floor((at / length) * cells), 0), cells - 1);
      const column = cell(clientX - box.left, box.width, ACROSS);
      pick(column + ACROSS * cell(clientY - box.top, box.height, Math.ceil(size / ACROSS)));
    };
    element.addEventListener("pointermove", point);
    element.addEventListener("pointerdown", point);
  }
  control.neuron.addEventListener(
    "input",
    () => control.neuron.value && pick(Math.round(Number(control.neuron.value))),
  );
  control.neuron.addEventListener("change", () => (control.neuron.value = state.neuron));
  const next = (name) => () => pick(side().order[name][side().places[name][state.neuron] % size]);
  control.strong.addEventListener("click", next("g"));
  control.sensitive.addEventListener("click", next("sensitivity"));
  onTheme(paintQuestion);

  at("image").getContext("2d").drawImage(scene.picture, 0, 0, 224, 224);
  paintQuestion();
  return "Forward and back through the model";
});
