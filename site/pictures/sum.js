/* How weighted feature maps add up to Grad-CAM, and how a mean over the cells loses Pythia's attention.
   (book/same-answer.ipynb) */
"use strict";

qgcPictures.part("sum", async (root, data, index, tools) => {
  const { CELLS, GRID, SIDE, bytes, floats, cosine, relu, ranking } = window.qgcMaps;
  const { signed, counted, later, mount, questions, sceneOf, peak } = tools;

  // -- numbers --------------------------------------------------------------------------------------
  const tops = floats(data.F_top);
  const F = data.F.map((text, k) => Float32Array.from(bytes(text), (byte) => (byte * tops[k]) / 255));
  const K = F.length;
  const length = (map) => Math.sqrt(map.reduce((sum, value) => sum + value * value, 0));
  const lengths = F.map(length);
  const sides = data.asked.map((asked) => {
    const alpha = floats(asked.alpha);
    const order = ranking(alpha.map((weight, k) => Math.abs(weight) * lengths[k]));
    const sums = []; // of the first k + 1 in this order
    for (const k of order)
      sums.push((sums.at(-1) ?? new Float32Array(CELLS)).map((sum, i) => sum + alpha[k] * F[k][i]));
    return { alpha, order, sums, attention: floats(asked.attention), pythia: asked.pythia.map(floats) };
  });
  const likeness = (a, b) => cosine(relu(a), relu(b)) || 0; // an empty map is like none

  // -- the page ---------------------------------------------------------------------------------------
  const canvas = (name, words) => `<figure><figcaption data-at="${name}-title">${words}</figcaption>
    <canvas role="img" width="${SIDE}" height="${SIDE}" data-at="${name}"></canvas></figure>`;
  const blocks = data.blocks.map((side, i) => `<button type="button" data-block="${i}">${side}×${side}</button>`);
  const { at, control } = mount(
    root,
    `<section aria-labelledby="qi-sum-title"><h4 id="qi-sum-title">${K} feature maps add up to one map</h4>
      <form autocomplete="off">${questions(data)}
        <label class="qi-slide">How many are added <input type="range" name="count" min="1" max="${K}" step="1"></label>
      </form>
      <p class="qi-says" data-at="sum-says"></p>
      <div class="qi-three">${canvas("one", "")}${canvas("sum", "")}${canvas("all", "All: Grad-CAM")}</div>
      <p class="qi-legend"><i class="qi-minus"></i> subtracts from “${data.answer}” <i class="qi-plus"></i> adds</p>
    </section>
    <section aria-labelledby="qi-mean-title">
      <h4 id="qi-mean-title">The mean over the cells erases Pythia’s attention</h4>
      <p>The same scene in Pythia, which knows by its attention where to look. Before the feature maps are added up,
        Grad-CAM averages their gradient over all cells. Average over smaller blocks, and the attention
        is still there.</p>
      <div class="qi-sets" role="group" aria-label="The gradient’s mean over blocks of cells">${blocks.join("")}</div>
      <p class="qi-says" data-at="mean-says"></p>
      <div class="qi-four">${data.questions
        .map((question, k) => canvas(`attention-${k}`, `Attention: ${question}`) + canvas(`mean-${k}`, ""))
        .join("")}</div>
    </section>
    <p class="qgc-voice" aria-live="polite" data-at="voice"></p>`,
  );
  const state = { k: 0, count: 1, block: data.blocks.length - 1 };
  const scene = await sceneOf(data, index);

  // -- adding up ----------------------------------------------------------------------------------------
  function paintSum() {
    const { alpha, order, sums } = sides[state.k];
    const last = order[state.count - 1];
    const [sum, all] = [sums[state.count - 1], sums[K - 1]];
    const one = F[last].map((value) => value * alpha[last]);
    scene.paintSigns(at("one"), one);
    scene.paintSigns(at("sum"), sum);
    scene.paintHeat(at("all"), relu(all), state.k);
    at("one-title").textContent = `Feature map ${last} · α`;
    at("sum-title").textContent = state.count === 1 ? "The first one" : `The first ${state.count}, added`;
    at("sum-says").textContent =
      `Feature map ${last} has the weight α = ${signed(alpha[last], 5)}. ` +
      `${state.count === 1 ? "It alone has" : `The ${state.count} that add most have`} a cosine of ` +
      `${signed(likeness(sum, all), 2)} with the map of all ${counted(K)}.`;
    at("one").setAttribute("aria-label", `Feature map ${last} times its weight, strongest ${peak(one.map(Math.abs))}.`);
    at("sum").setAttribute("aria-label", `The sum of ${state.count} feature maps, highest ${peak(sum)}.`);
    at("all").setAttribute("aria-label", `Grad-CAM, strongest ${peak(all)}.`);
    control.count.value = state.count;
    control.count.setAttribute("aria-valuetext", `${state.count} of ${K} feature maps`);
    said("sum-says");
  }

  // -- averaging ----------------------------------------------------------------------------------------
  function paintMean() {
    const side = data.blocks[state.block];
    const maps = sides.map(({ pythia }) => pythia[state.block]);
    const name = { 1: "no mean (HiResCAM)", [GRID]: "mean of all (Grad-CAM)" }[side] ?? `means of ${side}×${side}`;
    maps.forEach((map, k) => {
      scene.paintHeat(at(`mean-${k}`), relu(map), k);
      at(`mean-${k}-title`).textContent = `Map: ${name}`;
      at(`mean-${k}`).setAttribute("aria-label", `Pythia’s map for “${data.questions[k]}”, strongest ${peak(map)}.`);
    });
    const near = sides.map(({ attention }, k) => signed(likeness(maps[k], attention), 2));
    at("mean-says").textContent =
      `Cosine of map and attention: ${near.join(" and ")}. Cosine of the two questions’ maps: ` +
      `${signed(likeness(...maps), 2)}.`;
    for (const button of root.querySelectorAll("[data-block]"))
      button.setAttribute("aria-pressed", Number(button.dataset.block) === state.block);
    said("mean-says");
  }

  const said = (name) => {
    root.dataset.steps = Number(root.dataset.steps ?? 0) + 1; // tests wait for it
    speak(at(name).textContent);
  };
  let words = "";
  const voice = later(700, () => (at("voice").textContent = words));
  function speak(text) {
    words = text;
    voice();
  }

  // -- events -----------------------------------------------------------------------------------------------
  for (const radio of root.querySelectorAll("[name=question]"))
    radio.addEventListener("change", () => {
      state.k = Number(radio.value);
      paintSum();
    });
  control.count.addEventListener("input", () => {
    state.count = Number(control.count.value);
    paintSum();
  });
  for (const button of root.querySelectorAll("[data-block]"))
    button.addEventListener("click", () => {
      state.block = Number(button.dataset.block);
      paintMean();
    });

  sides.forEach(({ attention }, k) => {
    scene.paintHeat(at(`attention-${k}`), attention, k);
    const label = `Pythia’s attention for “${data.questions[k]}”, strongest ${peak(attention)}.`;
    at(`attention-${k}`).setAttribute("aria-label", label);
  });
  paintSum();
  paintMean();
  return "How feature maps add up";
});
